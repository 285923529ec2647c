//! Usage in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use crate::key::{KeyId, TenantId};
use crate::store::usage::Hour;
use crate::store::{
    UsageBatch, UsageBucket, UsageCounts, UsageOf, UsageQuery, UsageRetention, UsageStep,
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

impl Usage {
    pub(super) fn add(&mut self, batch: &UsageBatch) {
        let is_known = self.writers.get(&batch.writer).is_some_and(|last| *last >= batch.number);
        if !is_known {
            self.writers.insert(Arc::clone(&batch.writer), batch.number);
            for row in &batch.rows {
                add(&mut self.hours, (row.hour, row.id.clone()), &row.tenant, &row.counts);
            }
        }
    }

    pub(super) fn read(&self, query: &UsageQuery) -> Vec<UsageBucket> {
        let mut buckets = BTreeMap::<Hour, UsageCounts>::new();
        let mut add = |rows: &Rows, start: fn(Hour) -> Hour| {
            for (hour, counts) in found(rows, query) {
                buckets.entry(start(hour)).or_default().add_all(counts);
            }
        };
        match query.step {
            UsageStep::Hour => add(&self.hours, |hour| hour),
            UsageStep::Day => {
                add(&self.hours, Hour::day);
                add(&self.days, Hour::day);
            }
        }
        let bucket = |(hour, counts): (Hour, _)| UsageBucket::new(hour.start(), counts);
        buckets.into_iter().map(bucket).collect()
    }

    pub(super) fn prune(
        &mut self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> u64 {
        let (first_hour, first_day) = retention.first_kept(now);
        let Self { hours, days, .. } = self;
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
        deleted
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
