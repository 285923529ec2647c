//! `api-keys invalidate`.

use clap::Args;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::Session;

/// Clear the caches of all servers, after a restore or a failover that lost changes
///
/// Servers with a cache are notified of changes, but not of changes that were undone. First revoke
/// again the keys that were revoked since.
#[derive(Args)]
#[command(after_help = "\
Example:
  api-keys audit --since 2027-01-31 --json > kept.jsonl    # before, if the database still answers
  api-keys revoke --ids-stdin < revoked-since-the-backup.txt
  api-keys invalidate

Servers with SQLite are notified by `SqliteStore::invalidations`. Restart servers whose file was
replaced.")]
pub(crate) struct Invalidate {}

impl Invalidate {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.database.repository().invalidate_everywhere().await?;
        say(format_args!("Servers that are notified of changes drop their caches from now on."));
        say(format_args!(
            "Servers without a connection use no cache, or only entries that are not too old \
             (`max_staleness`)."
        ));
        session.output.json(&json!({ "invalidated": true }))?;
        Ok(Exit::Done)
    }
}
