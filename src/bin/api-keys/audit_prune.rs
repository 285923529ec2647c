//! `api-keys audit prune`.

use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::interrupt::Interrupt;
use crate::progress::ProgressArgs;
use crate::say::say;
use crate::session::Session;
use crate::time::{earlier, parse_period, parse_time};

/// Remove old audit events
///
/// Export them first if you need them. Events are removed in batches. Ctrl-C stops after a batch, and
/// the next call goes on.
#[derive(Args)]
#[command(after_help = "\
Examples:
  api-keys audit prune --older-than 730d
  api-keys audit --until 2027-01-01 --json > 2026.jsonl && api-keys audit prune --before 2027-01-01")]
pub(crate) struct AuditPrune {
    /// The least age of the events, such as `730d`
    #[arg(long, value_name = "PERIOD", value_parser = parse_period)]
    #[arg(required_unless_present = "before", conflicts_with = "before")]
    older_than: Option<Duration>,
    /// The time before which events are removed
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    before: Option<SystemTime>,
    #[command(flatten)]
    progress: ProgressArgs,
}

impl AuditPrune {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        let before = match self.older_than {
            Some(period) => earlier(session.now, period)?,
            None => self.before.unwrap_or(SystemTime::UNIX_EPOCH),
        };
        let (interrupt, mut shown, mut last) = (Interrupt::listen(), self.progress.start(), 0);
        let pruned = session.keys.prune_audit_log_with(before, |removed| {
            last = removed;
            shown.say(format_args!("Removed {} so far.", events(removed)));
            interrupt.flow()
        });
        let outcome = pruned.await;
        if let Err(error) = outcome {
            if last > 0 {
                say(format_args!("Removed {} before it failed.", events(last)));
            }
            return Err(error.into());
        }
        let is_stopped = interrupt.is_asked();
        let stopped = if is_stopped { " Stopped: call it again to go on." } else { "" };
        say(format_args!("Removed {}.{stopped}", events(last)));
        session.output.json(&json!({ "removed": last, "stopped": is_stopped }))?;
        Ok(if is_stopped { Exit::Interrupted } else { Exit::Done })
    }
}

fn events(count: usize) -> String {
    format!("{count} {}", if count == 1 { "event" } else { "events" })
}
