//! Usage in memory.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::SystemTime;

use super::usage_days::Blocks;
use crate::key::{KeyId, TenantId};
use crate::store::usage::{Hour, sums_of};
use crate::store::{
    UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageOf, UsageQuery, UsageRetention,
    UsageStep, UsageSums,
};

/// The usage of all keys, by hours and by the days of hours that are too old.
#[derive(Default)]
pub(super) struct Usage {
    hours: Rows,
    days: Rows,
    blocks: Blocks,
    /// The last number of each writer. Each of them is a recorder of this process.
    writers: HashMap<Arc<str>, u64>,
}

/// Rows, and the orders in which they are looked for.
#[derive(Default)]
struct Rows {
    by_key: BTreeMap<(KeyId, Hour), Row>,
    by_tenant: BTreeMap<(TenantId, Hour), BTreeSet<KeyId>>,
    by_time: BTreeSet<(Hour, KeyId)>,
}

struct Row {
    tenant: Option<TenantId>,
    counts: UsageCounts,
}

type Buckets = BTreeMap<Hour, UsageCounts>;

impl Usage {
    pub(super) fn add(&mut self, batch: &UsageBatch) {
        let is_known = self.writers.get(&batch.writer).is_some_and(|last| *last >= batch.number);
        if !is_known {
            self.writers.insert(Arc::clone(&batch.writer), batch.number);
            for row in &batch.rows {
                self.hours.add(row.id.clone(), row.hour, row.tenant.as_ref(), &row.counts);
            }
            self.blocks.add(batch);
        }
    }

    pub(super) fn read(&self, query: &UsageQuery) -> Vec<UsageBucket> {
        let mut buckets = Buckets::new();
        for rows in self.asked(query.step) {
            match &query.of {
                UsageOf::Key(id) => {
                    for (hour, row) in rows.of_key(id, query.from, query.to) {
                        add(&mut buckets, hour, query.step, &row.counts);
                    }
                }
                UsageOf::Tenant(tenant) => {
                    for (hour, row) in rows.of_tenant(tenant, query.from, query.to) {
                        add(&mut buckets, hour, query.step, &row.counts);
                    }
                }
            }
        }
        told(buckets)
    }

    pub(super) fn read_by_key(&self, query: &UsageByKeyQuery) -> BTreeMap<KeyId, Vec<UsageBucket>> {
        let read = |id: &KeyId| {
            let mut buckets = Buckets::new();
            for rows in self.asked(query.step) {
                for (hour, row) in rows.of_key(id, query.from, query.to) {
                    if query.tenant.matches(row.tenant.as_ref()) {
                        add(&mut buckets, hour, query.step, &row.counts);
                    }
                }
            }
            (!buckets.is_empty()).then(|| (id.clone(), told(buckets)))
        };
        query.ids.iter().filter_map(read).collect()
    }

    pub(super) fn sums_by_key(&self, query: &UsageByKeyQuery) -> BTreeMap<KeyId, Vec<UsageSums>> {
        if query.step == UsageStep::Hour {
            return sums_of(self.read_by_key(query));
        }
        self.blocks.read(query)
    }

    /// Returns the rows in which there may be hours or days.
    fn asked(&self, step: UsageStep) -> impl Iterator<Item = &Rows> {
        let days = (step == UsageStep::Day).then_some(&self.days);
        [Some(&self.hours), days].into_iter().flatten()
    }

    pub(super) fn prune(
        &mut self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> u64 {
        let (first_hour, first_day) = retention.first_kept(now);
        let Self { hours, days, blocks, .. } = self;
        let mut deleted = 0;
        for _ in 0..at_most {
            let Some((id, hour, row)) = hours.pop_before(first_hour) else { break };
            days.add(id, hour.day(), row.tenant.as_ref(), &row.counts);
            deleted += 1;
        }
        for _ in 0..at_most {
            let Some(_) = days.pop_before(first_day) else { break };
            deleted += 1;
        }
        deleted + blocks.prune(first_day, at_most)
    }
}

impl Rows {
    fn add(&mut self, id: KeyId, hour: Hour, tenant: Option<&TenantId>, counts: &UsageCounts) {
        let row = self.by_key.entry((id.clone(), hour)).or_insert_with(|| {
            if let Some(tenant) = tenant {
                self.by_tenant.entry((tenant.clone(), hour)).or_default().insert(id.clone());
            }
            self.by_time.insert((hour, id));
            Row { tenant: tenant.cloned(), counts: UsageCounts::default() }
        });
        row.counts.add_all(counts);
    }

    fn of_key(&self, id: &KeyId, from: Hour, to: Hour) -> impl Iterator<Item = (Hour, &Row)> {
        let rows = self.by_key.range((id.clone(), from)..(id.clone(), to));
        rows.map(|((_, hour), row)| (*hour, row))
    }

    fn of_tenant(
        &self,
        tenant: &TenantId,
        from: Hour,
        to: Hour,
    ) -> impl Iterator<Item = (Hour, &Row)> {
        let hours = self.by_tenant.range((tenant.clone(), from)..(tenant.clone(), to));
        let places = hours.flat_map(|((_, hour), ids)| ids.iter().map(|id| (id.clone(), *hour)));
        places.filter_map(|place| Some((place.1, self.by_key.get(&place)?)))
    }

    fn pop_before(&mut self, first: Hour) -> Option<(KeyId, Hour, Row)> {
        if self.by_time.first()?.0 >= first {
            return None;
        }
        let (hour, id) = self.by_time.pop_first()?;
        let row = self.by_key.remove(&(id.clone(), hour))?;
        if let Some(tenant) = &row.tenant
            && let Entry::Occupied(mut ids) = self.by_tenant.entry((tenant.clone(), hour))
        {
            ids.get_mut().remove(&id);
            if ids.get().is_empty() {
                ids.remove();
            }
        }
        Some((id, hour, row))
    }
}

fn add(buckets: &mut Buckets, hour: Hour, step: UsageStep, counts: &UsageCounts) {
    buckets.entry(start(hour, step)).or_default().add_all(counts);
}

fn start(hour: Hour, step: UsageStep) -> Hour {
    if step == UsageStep::Day { hour.day() } else { hour }
}

fn told(buckets: Buckets) -> Vec<UsageBucket> {
    let bucket = |(hour, counts): (Hour, _)| UsageBucket::new(hour.start(), counts);
    buckets.into_iter().map(bucket).collect()
}
