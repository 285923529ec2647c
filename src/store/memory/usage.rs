//! Usage in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::MemoryStore;
use crate::key::{KeyId, TenantId};
use crate::store::usage::Hour;
use crate::store::{
    StoreError, UsageBatch, UsageBucket, UsageCounts, UsageOf, UsageQuery, UsageRetention,
    UsageStep, UsageStore,
};

/// The usage of all keys, by hours and by the days of hours that are too old.
#[derive(Default)]
pub(super) struct Usage {
    hours: Rows,
    days: Rows,
    /// The last number of each writer. Each of them is a recorder of this process.
    writers: HashMap<Arc<str>, u64>,
}

type Rows = BTreeMap<(Hour, KeyId), Row>;

struct Row {
    tenant: Option<TenantId>,
    counts: UsageCounts,
}

#[async_trait]
impl UsageStore for MemoryStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        let mut usage = self.usage_lock();
        let is_known = usage.writers.get(&batch.writer).is_some_and(|last| *last >= batch.number);
        if !is_known {
            usage.writers.insert(Arc::clone(&batch.writer), batch.number);
            for row in &batch.rows {
                add(&mut usage.hours, (row.hour, row.id.clone()), &row.tenant, &row.counts);
            }
        }
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        let usage = self.usage_lock();
        let mut buckets = BTreeMap::<Hour, UsageCounts>::new();
        let mut add = |rows: &Rows, start: fn(Hour) -> Hour| {
            for (hour, counts) in found(rows, query) {
                buckets.entry(start(hour)).or_default().add_all(counts);
            }
        };
        match query.step {
            UsageStep::Hour => add(&usage.hours, |hour| hour),
            UsageStep::Day => {
                add(&usage.hours, Hour::day);
                add(&usage.days, Hour::day);
            }
        }
        let bucket = |(hour, counts): (Hour, _)| UsageBucket::new(hour.start(), counts);
        Ok(buckets.into_iter().map(bucket).collect())
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        let (first_hour, first_day) = retention.first_kept(now);
        let mut usage = self.usage_lock();
        let Usage { hours, days, .. } = &mut *usage;
        let mut deleted = 0;
        for _ in 0..at_most {
            let Some(((hour, id), row)) = pop_before(hours, first_hour) else { break };
            add(days, (hour.day(), id), &row.tenant, &row.counts);
            deleted += 1;
        }
        for _ in 0..at_most {
            let Some(_) = pop_before(days, first_day) else { break };
            deleted += 1;
        }
        Ok(deleted)
    }
}

impl MemoryStore {
    fn usage_lock(&self) -> MutexGuard<'_, Usage> {
        self.shared.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(rows: &mut Rows, place: (Hour, KeyId), tenant: &Option<TenantId>, counts: &UsageCounts) {
    let new = || Row { tenant: tenant.clone(), counts: UsageCounts::default() };
    rows.entry(place).or_insert_with(new).counts.add_all(counts);
}

fn pop_before(rows: &mut Rows, first: Hour) -> Option<((Hour, KeyId), Row)> {
    let oldest = rows.first_entry().filter(|oldest| oldest.key().0 < first)?;
    Some(oldest.remove_entry())
}

fn found<'a>(
    rows: &'a Rows,
    query: &'a UsageQuery,
) -> impl Iterator<Item = (Hour, &'a UsageCounts)> {
    let range = query.from..query.to;
    let rows = rows.iter().filter(move |((hour, _), _)| range.contains(hour));
    let is_asked = |id: &KeyId, row: &Row| match &query.of {
        UsageOf::Key(key) => id == key,
        UsageOf::Tenant(tenant) => row.tenant.as_ref() == Some(tenant),
    };
    rows.filter(move |((_, id), row)| is_asked(id, row))
        .map(|((hour, _), row)| (*hour, &row.counts))
}
