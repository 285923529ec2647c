//! Usage of each key: how many requests were accepted and refused, by the hour, and when a key was last used.
//!
//! A `UsageRecorder` (feature `usage`) on the layer counts, a store keeps what it counted, and a
//! [`KeyManager`](crate::KeyManager) tells it:
#![cfg_attr(
    feature = "usage",
    doc = r#"
```
use std::time::{Duration, SystemTime};

use tower_api_key::manage::UsagePeriod;
use tower_api_key::{KeyManager, MemoryStore, NewKey, UsageRecorder};

# #[tokio::main(flavor = "current_thread")]
# async fn main() -> Result<(), Box<dyn std::error::Error>> {
let store = MemoryStore::new();
let usage = UsageRecorder::new(store.clone());
let keys = KeyManager::new(store);
let layer = keys.layer().observer(usage.clone());
# let issued = keys.issue(NewKey::named("nightly import")).await?;
// … serve, and when the server stops:
usage.shutdown().await?;

let now = SystemTime::now();
let month = now - Duration::from_secs(30 * 24 * 3600)..now;
let used = keys.usage(issued.record.id(), month, UsagePeriod::Day).await?;
for day in &used.buckets {
    println!("{:?}: {} accepted, {} refused", day.start, day.counts.accepted(), day.counts.refused());
}
# Ok(())
# }
```
"#
)]
//!
//! | who asks | how |
//! |---|---|
//! | the application | [`KeyManager::usage`](crate::KeyManager::usage), [`tenant_usage`](crate::KeyManager::tenant_usage), [`usage_by_key`](crate::KeyManager::usage_by_key) for the keys of a list, and [`usage_sums_by_key`](crate::KeyManager::usage_sums_by_key) for sparklines |
//! | the owner of a key, over HTTP | `GET /api-keys/{id}/usage` of the feature `manage` |
//! | an operator | `api-keys usage KEY`, `api-keys usage --tenant acme`; `api-keys list --unused-for 90d` |
//!
//! # What is counted
//!
//! Each request of a key that is known, once, when it has its answer: as accepted, or as refused for a
//! [reason](crate::store::UsageKind), also by a guard on a route. A request without a key, or with one of which
//! there is no record, belongs to no key: it is counted by the metrics. Only accepted requests are uses:
//! [`last_used_at`](crate::store::StoredKey::last_used_at) and the lists of unused keys are not changed by others.
//!
//! # Where it is kept, and how long
//!
//! | store | where |
//! |---|---|
//! | PostgreSQL, SQLite | the table `api_key_usage`: one row a key and hour (`hours` = 1) or, when the hours are too old, a key and day (`hours` = 24), with a column for each reason; `api_key_usage_writers` says which batch each node has added last |
//! | Redis | hashes `usage:key:…` and `usage:tenant:…` by hours and by days, which expire by themselves. With one of the policies `volatile-…`, a full server evicts them |
//! | memory | in memory, with the keys |
//!
//! By default, hours are kept for 90 days and days for 400; then 1000 keys that are always in use take some
//! 2.2 million rows. Each node sums up and deletes what is too old, 1000 rows at a time and once an hour. Nodes
//! whose role may not delete are built with `without_pruning`; then `api-keys prune` does it, with
//! `--usage-hours` and `--usage-days`.
//!
//! The rights that a role in PostgreSQL needs are on the page about [roles](crate::guide::roles).
//!
//! **A key that is removed** leaves its usage, for as long as usage is kept: it counts in the totals of its
//! tenant, and a manager that may do everything can still ask for it. To owners there is no such key any more, but
//! `usage_by_key` still tells them what it did for their tenant.
//! To forget it sooner, delete the rows of its id.
//!
//! # What may be lost, and what counts twice
//!
//! * What a node has counted and not written is lost when its process is killed: what came within the last two
//!   intervals, which are two minutes by default. A shutdown of the recorder writes it.
//! * While the store is away, counts are kept in memory and nothing is lost. After a day, hours begin to blur:
//!   the oldest are added to the ones after them.
//! * Nothing counts twice, also where the answer to a write was lost: batches have numbers, and a store adds
//!   each once. It knows a writer for 30 days after its last batch, so a batch that was added, whose answer was
//!   lost, and that comes again after more than 30 days without any other, counts twice.
//! * What a failover of the database loses of the last writes is lost here as well.
//! * In Redis, a script that fails half way, such as because a name is taken by something else, loses what of its
//!   batch was not added.
//! * Hours are those of each node's clock, in UTC.
//!
//! Usage is for reviews and charts, and not a bill: a process can be killed.
