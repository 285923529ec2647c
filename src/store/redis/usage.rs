//! Usage in Redis: hashes that expire.
//!
//! A hash has what there was of one key or one tenant within a day, by the hour, or within ten days, by the
//! day. Its fields are such as `480123:accepted`, with the number of the hour since 1970 in which the hour or
//! day begins. It expires when the last of its time is too old.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::RedisStore;
use crate::redis::Script;
use crate::store::usage::{HOURS_PER_DAY, Hour};
use crate::store::{
    StoreError, UsageBatch, UsageBucket, UsageCounts, UsageKind, UsageOf, UsageQuery,
    UsageRetention, UsageStep, UsageStore,
};

/// How many hours there are in a hash.
const HOURS_PER_HASH: u32 = HOURS_PER_DAY;
const DAYS_PER_HASH: u32 = 10 * HOURS_PER_DAY;

/// For how long a writer is known that writes no more.
const WRITER_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many keys or tenants are written by one script, in which others wait.
const ROWS_PER_SCRIPT: usize = 1000;

/// How many hashes are read in one go.
const HASHES_AT_ONCE: usize = 100;

static ADD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("usage.lua")));

/// The fields of hashes, and when each hash expires.
type Hashes = BTreeMap<String, (u64, BTreeMap<String, u64>)>;

#[async_trait]
impl UsageStore for RedisStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        // Each part has a writer and a number of its own, so that each is added once.
        for (part, rows) in batch.rows.chunks(ROWS_PER_SCRIPT).enumerate() {
            let mut hashes = Hashes::new();
            for row in rows {
                let of_tenant = row.tenant.clone().map(UsageOf::Tenant);
                for of in [Some(UsageOf::Key(row.id.clone())), of_tenant].into_iter().flatten() {
                    for step in [UsageStep::Hour, UsageStep::Day] {
                        self.add_to(&mut hashes, &of, step, row.hour, batch.retention, &row.counts);
                    }
                }
            }
            let mut call = ADD.call();
            call.key(self.name(&format!("usage:writer:{}:{part}", batch.writer)));
            call.arg(batch.number).arg(WRITER_FOR.as_secs());
            for (hash, (expires_at, fields)) in hashes {
                call.key(hash).arg(expires_at).arg(fields.len());
                for (field, count) in fields {
                    call.arg(field).arg(count.min(i64::MAX as u64));
                }
            }
            let added: i64 =
                call.run(&mut self.connection.repeating()).await.map_err(StoreError::new)?;
            // Whether it was added now or before.
            let _ = added;
        }
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        let per_hash = per_hash(query.step);
        let first = query.from.0 / per_hash;
        let end = query.to.0.div_ceil(per_hash);
        let names: Vec<_> =
            (first..end).map(|number| self.hash(&query.of, query.step, number)).collect();
        let mut buckets = BTreeMap::<Hour, UsageCounts>::new();
        for names in names.chunks(HASHES_AT_ONCE) {
            for fields in self.hashes(names).await? {
                for (field, count) in fields {
                    let (hour, kind) = parse_field(&field)?;
                    if let (true, Some(kind)) = ((query.from..query.to).contains(&hour), kind) {
                        buckets.entry(hour).or_default().add(kind, count);
                    }
                }
            }
        }
        let bucket = |(hour, counts): (Hour, _)| UsageBucket::new(hour.start(), counts);
        Ok(buckets.into_iter().map(bucket).collect())
    }

    /// Usage expires by itself.
    async fn prune_usage(
        &self,
        _: UsageRetention,
        _: SystemTime,
        _: u32,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }
}

impl RedisStore {
    fn add_to(
        &self,
        hashes: &mut Hashes,
        of: &UsageOf,
        step: UsageStep,
        hour: Hour,
        retention: UsageRetention,
        counts: &UsageCounts,
    ) {
        let (start, kept_for) = match step {
            UsageStep::Hour => (hour, retention.hours),
            UsageStep::Day => (hour.day(), retention.days),
        };
        let number = start.0 / per_hash(step);
        let end = Hour((number + 1) * per_hash(step)).start();
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires_at = end.saturating_add(kept_for).as_secs();
        let (_, fields) = hashes
            .entry(self.hash(of, step, number))
            .or_insert_with(|| (expires_at, BTreeMap::new()));
        for (kind, count) in counts.iter() {
            let sum = fields.entry(format!("{}:{kind}", start.0)).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    fn hash(&self, of: &UsageOf, step: UsageStep, number: u32) -> String {
        let (whose, name) = match of {
            UsageOf::Key(id) => ("key", id.as_str()),
            UsageOf::Tenant(tenant) => ("tenant", tenant.as_str()),
        };
        let by = match step {
            UsageStep::Hour => "hours",
            UsageStep::Day => "days",
        };
        self.name(&format!("usage:{whose}:{name}:{by}:{number}"))
    }
}

fn per_hash(step: UsageStep) -> u32 {
    match step {
        UsageStep::Hour => HOURS_PER_HASH,
        UsageStep::Day => DAYS_PER_HASH,
    }
}

/// Reads the name of a field. A newer version may count what this one does not know.
fn parse_field(field: &str) -> Result<(Hour, Option<UsageKind>), StoreError> {
    let parsed = field.split_once(':').and_then(|(hour, kind)| Some((hour.parse().ok()?, kind)));
    let (hour, name) = parsed.ok_or_else(|| StoreError::new("a field of usage cannot be read"))?;
    let kind = UsageKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    Ok((Hour(hour), kind))
}
