//! `api-keys prune`.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tower_api_key::manage::PruneProgress;
use tower_api_key::store::UsageRetention;

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::ProgressArgs;
use crate::say::say;
use crate::session::Session;
use crate::time::{earlier, parse_period};

/// Remove the records of keys that were revoked or expired long ago
///
/// The audit events in SQLite and PostgreSQL stay; `audit prune` removes those. Keys are removed in
/// batches. Ctrl-C stops after a batch, and the next call goes on.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys prune --older-than 365d
  api-keys prune --older-than 365d --usage-hours 90 --usage-days 400")]
pub(crate) struct Prune {
    /// The least period since a key was revoked or expired
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    older_than: Duration,
    /// Also replace hours of usage that are older than this number of days by sums of days. Servers
    /// with a `UsageRecorder` do this by themselves, unless it is built `without_pruning`
    #[arg(long, value_name = "DAYS", requires = "usage_days")]
    usage_hours: Option<u32>,
    /// Also delete days of usage that are older than this number of days
    #[arg(long, value_name = "DAYS", requires = "usage_hours")]
    usage_days: Option<u32>,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl Prune {
    fn usage(&self) -> Option<UsageRetention> {
        Some(UsageRetention::days(self.usage_hours?, self.usage_days?))
    }

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
        let mut done = json!({ "removed": removed, "stopped": is_stopped });
        if let Some(retention) = self.usage().filter(|_| !is_stopped) {
            let rows = session.keys.prune_usage(retention).await?;
            say(format_args!("Deleted {rows} rows of usage."));
            done["usage_rows"] = rows.into();
        }
        session.output.json(&done)?;
        Ok(if is_stopped { Exit::Interrupted } else { Exit::Done })
    }
}

fn keys(count: usize) -> String {
    format!("{count} {}", if count == 1 { "key" } else { "keys" })
}
