//! `api-keys prune`.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tower_api_key::manage::PruneProgress;

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::ProgressArgs;
use crate::say::say;
use crate::session::Session;
use crate::time::{earlier, parse_period};

/// Remove what is left of keys that were revoked or expired long ago
///
/// The audit events of SQLite and PostgreSQL stay; `audit prune` removes those. Keys are removed in
/// batches. Ctrl-C stops it after one, and the next call goes on.
#[derive(Args)]
#[command(after_help = "\
Example:
  api-keys prune --older-than 365d")]
pub(crate) struct Prune {
    /// How long ago a key was revoked or expired, at least
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    older_than: Duration,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl Prune {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let before = earlier(session.now, self.older_than)?;
        let (interrupt, mut shown) = (Interrupt::listen(), self.progress.start());
        let mut last = PruneProgress::default();
        let pruned = session.keys.prune_with(before, |progress| {
            last = progress;
            shown.say(format_args!("Removed {} so far.", keys(progress.removed)));
            interrupt.flow()
        });
        let outcome = pruned.await;
        let removed = outcome.as_ref().map_or(last.removed, |pruned| pruned.removed);
        if let Err(error) = outcome {
            if removed > 0 {
                say(format_args!("Removed {} before it failed.", keys(removed)));
            }
            return Err(error.into());
        }
        let is_stopped = interrupt.is_asked();
        let stopped = if is_stopped { " Stopped: call it again to go on." } else { "" };
        say(format_args!("Removed {}.{stopped}", keys(removed)));
        session.output.json(&json!({ "removed": removed, "stopped": is_stopped }))?;
        Ok(if is_stopped { Exit::Interrupted } else { Exit::Done })
    }
}

fn keys(count: usize) -> String {
    format!("{count} {}", if count == 1 { "key" } else { "keys" })
}
