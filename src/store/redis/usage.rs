//! Usage in Redis: hashes that expire.
//!
//! A hash has what there was of one key or one tenant within a day, by the hour, or within ten days, by the
//! day. Its fields are such as `480123:accepted`, with the number of the hour since 1970 in which the hour or
//! day begins. That of a key also has the `tenant` on whose behalf the key acts, if there is one. It expires
//! when the last of its time is too old.
//!
//! The sums of days are in texts beside them, which are in `usage_days.rs`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::RedisStore;
use crate::key::{KeyId, TenantId};
use crate::redis::Script;
use crate::store::usage::{HOURS_PER_DAY, Hour, sums_of};
use crate::store::{
    KeyUsage, StoreError, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind,
    UsageOf, UsageQuery, UsageRetention, UsageStep, UsageStore, UsageSums,
};

/// The number of hours in a hash.
const HOURS_PER_HASH: u32 = HOURS_PER_DAY;
const DAYS_PER_HASH: u32 = 10 * HOURS_PER_DAY;

/// For how long a writer that no longer writes is remembered.
const WRITER_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many keys or tenants one script writes, for which other commands wait.
const ROWS_PER_SCRIPT: usize = 1000;

/// How many hashes are read in one go.
const HASHES_AT_ONCE: usize = 400;

static ADD: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("usage.lua")));

/// The field of a hash that is not a count.
const TENANT: &str = "tenant";

/// What is added to hashes.
type Additions = BTreeMap<String, Addition>;

struct Addition {
    expires_at: u64,
    /// On whose behalf the key acts whose hash it is.
    tenant: Option<TenantId>,
    counts: BTreeMap<String, u64>,
}

#[async_trait]
impl UsageStore for RedisStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        // Each part has a writer and a number of its own, so that each is added once.
        for (part, rows) in batch.rows.chunks(ROWS_PER_SCRIPT).enumerate() {
            let mut hashes = Additions::new();
            for row in rows {
                for step in [UsageStep::Hour, UsageStep::Day] {
                    self.add_to(&mut hashes, row, step, batch.retention);
                }
            }
            let mut call = ADD.call();
            call.key(self.name(&format!("usage:writer:{}:{part}", batch.writer)));
            call.arg(batch.number).arg(WRITER_FOR.as_secs()).arg(hashes.len());
            for (hash, Addition { expires_at, tenant, counts }) in hashes {
                call.key(hash).arg(expires_at);
                call.arg(tenant.as_ref().map_or("", TenantId::as_str)).arg(counts.len());
                for (field, count) in counts {
                    call.arg(field).arg(count.min(i64::MAX as u64));
                }
            }
            self.add_days(rows, batch.retention, &mut call);
            let added: i64 =
                call.run(&mut self.management.repeating()).await.map_err(StoreError::new)?;
            // Whether it was added now or before.
            let _ = added;
        }
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        let names = numbers(query.from, query.to, query.step);
        let names: Vec<_> = names.map(|number| self.hash(&query.of, query.step, number)).collect();
        let mut buckets = Buckets::new();
        for names in names.chunks(HASHES_AT_ONCE) {
            for fields in self.hashes(names).await? {
                read(fields, query.from..query.to, &mut buckets)?;
            }
        }
        Ok(told(buckets))
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        let names = self.names_by_key(query);
        let mut keys = BTreeMap::<_, Buckets>::new();
        for names in names.chunks(HASHES_AT_ONCE) {
            let (ids, names): (Vec<_>, Vec<_>) = names.iter().cloned().unzip();
            for (id, fields) in ids.into_iter().zip(self.hashes(&names).await?) {
                let tenant = fields.iter().find(|(field, _)| field == TENANT);
                let tenant = tenant.map(|(_, tenant)| tenant.parse()).transpose();
                if query.tenant.matches(tenant.map_err(StoreError::new)?.as_ref()) {
                    read(fields, query.from..query.to, keys.entry(id.clone()).or_default())?;
                }
            }
        }
        keys.retain(|_, buckets| !buckets.is_empty());
        Ok(keys.into_iter().map(|(id, buckets)| (id, told(buckets))).collect())
    }

    async fn sums_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
        match query.step {
            UsageStep::Hour => Ok(sums_of(self.usage_by_key(query).await?)),
            UsageStep::Day => self.days_by_key(query).await,
        }
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
    /// Adds a row to the hash of its key, and to that of its tenant.
    fn add_to(
        &self,
        hashes: &mut Additions,
        row: &KeyUsage,
        step: UsageStep,
        retention: UsageRetention,
    ) {
        let KeyUsage { hour, counts, .. } = *row;
        let (start, kept_for) = match step {
            UsageStep::Hour => (hour, retention.hours),
            UsageStep::Day => (hour.day(), retention.days),
        };
        let number = start.0 / per_hash(step);
        let end = Hour((number + 1) * per_hash(step)).start();
        let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let expires_at = end.saturating_add(kept_for).as_secs();
        let of_key = (UsageOf::Key(row.id.clone()), row.tenant.clone());
        let of_tenant = row.tenant.clone().map(|tenant| (UsageOf::Tenant(tenant), None));
        for (of, tenant) in [Some(of_key), of_tenant].into_iter().flatten() {
            let hash = hashes.entry(self.hash(&of, step, number));
            let Addition { counts: sums, .. } =
                hash.or_insert_with(|| Addition { expires_at, tenant, counts: BTreeMap::new() });
            for (kind, count) in counts.iter() {
                let sum = sums.entry(format!("{}:{kind}", start.0)).or_default();
                *sum = sum.saturating_add(count);
            }
        }
    }

    /// Returns the keys, each with the name of a hash that may have usage of it.
    fn names_by_key<'a>(&self, query: &'a UsageByKeyQuery) -> Vec<(&'a KeyId, String)> {
        let mut names = Vec::new();
        for id in &query.ids {
            let of = UsageOf::Key(id.clone());
            let numbers = numbers(query.from, query.to, query.step);
            names.extend(numbers.map(|number| (id, self.hash(&of, query.step, number))));
        }
        names
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

/// Returns the numbers of the hashes that cover a part of a time range.
fn numbers(from: Hour, to: Hour, step: UsageStep) -> Range<u32> {
    let per_hash = per_hash(step);
    from.0 / per_hash..to.0.div_ceil(per_hash)
}

type Buckets = BTreeMap<Hour, UsageCounts>;

/// Adds the counts that a hash has in a time range.
fn read(
    fields: Vec<(String, String)>,
    range: Range<Hour>,
    buckets: &mut Buckets,
) -> Result<(), StoreError> {
    for (field, value) in fields.into_iter().filter(|(field, _)| field != TENANT) {
        let (hour, kind) = parse_field(&field)?;
        let count = value.parse().map_err(StoreError::new)?;
        if let (true, Some(kind)) = (range.contains(&hour), kind) {
            buckets.entry(hour).or_default().add(kind, count);
        }
    }
    Ok(())
}

fn told(buckets: Buckets) -> Vec<UsageBucket> {
    let bucket = |(hour, counts): (Hour, _)| UsageBucket::new(hour.start(), counts);
    buckets.into_iter().map(bucket).collect()
}

/// Reads the name of a field. A newer version may have kinds that this one does not know.
fn parse_field(field: &str) -> Result<(Hour, Option<UsageKind>), StoreError> {
    let parsed = field.split_once(':').and_then(|(hour, kind)| Some((hour.parse().ok()?, kind)));
    let (hour, name) = parsed.ok_or_else(|| StoreError::new("a field of usage cannot be read"))?;
    let kind = UsageKind::ALL.into_iter().find(|kind| kind.as_str() == name);
    Ok((Hour(hour), kind))
}
