//! `api-keys prune`.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tower_api_key::store::UsageRetention;

use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::Session;
use crate::time::{earlier, parse_period};

/// Remove what is left of keys that were revoked or expired long ago
///
/// The audit events of SQLite and PostgreSQL stay.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys prune --older-than 365d
  api-keys prune --older-than 365d --usage-hours 90 --usage-days 400")]
pub(crate) struct Prune {
    /// How long ago a key was revoked or expired, at least
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    older_than: Duration,
    /// Also sum up hours of usage as days that are older than so many days. Servers with a `UsageRecorder`
    /// do so by themselves, unless it is built `without_pruning`
    #[arg(long, value_name = "DAYS", requires = "usage_days")]
    usage_hours: Option<u32>,
    /// Also delete days of usage that are older than so many days
    #[arg(long, value_name = "DAYS", requires = "usage_hours")]
    usage_days: Option<u32>,
}

impl Prune {
    fn usage(&self) -> Option<UsageRetention> {
        Some(UsageRetention::days(self.usage_hours?, self.usage_days?))
    }

    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let removed = session.keys.prune(earlier(session.now, self.older_than)?).await?;
        let keys = if removed == 1 { "key" } else { "keys" };
        say(format_args!("Removed {removed} {keys}."));
        let mut done = json!({ "removed": removed });
        if let Some(retention) = self.usage() {
            let rows = session.keys.prune_usage(retention).await?;
            say(format_args!("Deleted {rows} rows of usage."));
            done["usage_rows"] = rows.into();
        }
        session.output.json(&done)?;
        Ok(Exit::Done)
    }
}
