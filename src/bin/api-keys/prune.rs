//! `api-keys prune`.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::Session;
use crate::time::{earlier, parse_period};

/// Remove what is left of keys that were revoked or expired long ago
///
/// The audit events of SQLite and PostgreSQL stay.
#[derive(Args)]
#[command(after_help = "\
Example:
  api-keys prune --older-than 365d")]
pub(crate) struct Prune {
    /// How long ago a key was revoked or expired, at least
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    older_than: Duration,
}

impl Prune {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let removed = session.keys.prune(earlier(session.now, self.older_than)?).await?;
        let keys = if removed == 1 { "key" } else { "keys" };
        say(format_args!("Removed {removed} {keys}."));
        session.output.json(&json!({ "removed": removed }))?;
        Ok(Exit::Done)
    }
}
