//! `api-keys invalidate`.

use clap::Args;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::session::Session;

/// Have all servers forget what they know of keys, after a restore or a failover that lost changes
///
/// Servers with a cache are notified of changes, and not of changes that came undone. Revoke first
/// what has to be revoked again.
#[derive(Args)]
#[command(after_help = "\
Example:
  api-keys audit --since 2027-01-31 --json > kept.jsonl    # before, if the database still answers
  api-keys revoke --ids-stdin < revoked-since-the-backup.txt
  api-keys invalidate

Servers over SQLite hear of it by `SqliteStore::invalidations`. Those whose file was replaced have to be
restarted.")]
pub(crate) struct Invalidate {}

impl Invalidate {
    pub(crate) async fn run(self, session: &Session) -> Result<Exit, Failure> {
        session.database.repository().invalidate_everywhere().await?;
        say(format_args!("Servers that hear of changes forget what they know from now on."));
        say(format_args!(
            "Those that are cut off serve nothing from memory, or only what is not too old for them \
             (`max_staleness`)."
        ));
        session.output.json(&json!({ "invalidated": true }))?;
        Ok(Exit::Done)
    }
}
