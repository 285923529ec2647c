//! Usage of each key: how many requests were accepted and refused in each hour, and when a key was last
//! used.
//!
//! A `UsageRecorder` (feature `usage`) on the layer counts, a store keeps the counts, and a
//! [`KeyManager`](crate::KeyManager) returns them:
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
//! | reader | how |
//! |---|---|
//! | the application | [`KeyManager::usage`](crate::KeyManager::usage), [`tenant_usage`](crate::KeyManager::tenant_usage), [`usage_by_key`](crate::KeyManager::usage_by_key) for the keys of a list, and [`usage_sums_by_key`](crate::KeyManager::usage_sums_by_key) for sparklines |
//! | the owner of a key, over HTTP | `GET /api-keys/{id}/usage` of the feature `manage` |
//! | an operator | `api-keys usage KEY`, `api-keys usage --tenant acme`; `api-keys list --unused-for 90d` |
//!
//! # What is counted
//!
//! Each request of a known key is counted once, when it has its response: as accepted, or as refused
//! for a [reason](crate::store::UsageKind), also by a guard on a route. A request without a key, or
//! with an unknown one, belongs to no key: the metrics count it. Only accepted requests are uses:
//! others do not change [`last_used_at`](crate::store::StoredKey::last_used_at) and the lists of unused
//! keys.
//!
//! # Where it is kept, and how long
//!
//! | store | where |
//! |---|---|
//! | PostgreSQL, SQLite | the table `api_key_usage`: one row for each key and hour (`hours` = 1) or, when the hours are too old, each key and day (`hours` = 24), with a column for each reason; the table `api_key_usage_days`: one row for each key and 32 days, with the numbers of accepted and refused requests of each day, for sparklines; `api_key_usage_writers` has the last batch of each node |
//! | Redis | hashes `usage:key:…` and `usage:tenant:…` by hours and by days, and a text for each key and 32 days, which expire. With a `volatile-…` policy, a full server evicts them |
//! | memory | in memory, with the keys |
//!
//! By default, hours are kept for 90 days and days for 400. 1000 keys that are always in use then take
//! some 2.2 million rows of hours and days, and 13 000 of 32 days. Each node sums up and deletes old rows, 1000 at a time and once an hour.
//! Nodes whose role may not delete are built with `without_pruning`; then run `api-keys prune` with
//! `--usage-hours` and `--usage-days`.
//!
//! The rights that a role in PostgreSQL needs are on the page about [roles](crate::guide::roles).
//!
//! **A removed key** leaves its usage, for as long as usage is kept: it counts in the totals of its
//! tenant, and a manager with all rights can still read it. For owners the key no longer exists, but
//! `usage_by_key` still returns its usage for their tenant. To delete it sooner, delete the rows of its
//! id from both tables.
//!
//! **Sparklines** may show days that are older than the retention, for at most 31 days: the days of a row are
//! deleted together.
//!
//! # What may be lost, and what counts twice
//!
//! * If a process is killed, its unwritten counts are lost: those of the last two intervals, which are
//!   two minutes by default. A shutdown of the recorder writes them.
//! * While the store cannot be reached, counts are kept in memory and nothing is lost. After a day,
//!   hours begin to blur: the oldest are added to the following ones.
//! * Nothing counts twice, even if the answer to a write was lost: batches have numbers, and a store
//!   adds each once. It remembers a writer for 30 days after its last batch. So a batch counts twice if
//!   it was added, its answer was lost, and it is repeated after more than 30 days without any other.
//! * If a failover of the database loses its last writes, their usage is lost as well.
//! * In Redis, if a script fails half way, for example because a name has another type, the rest of its
//!   batch is lost.
//! * Hours are in UTC, by each node's clock.
//!
//! Use it for reviews and charts, not for bills: a process can be killed.
