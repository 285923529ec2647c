//! The sums of days in memory, in blocks of days.

use std::collections::{BTreeMap, HashMap};

use crate::key::{KeyId, TenantId};
use crate::store::usage::{Block, DAYS, Hour, additions, put_in_order};
use crate::store::{UsageBatch, UsageByKeyQuery, UsageSums};

/// The blocks of all keys.
#[derive(Default)]
pub(super) struct Blocks(BTreeMap<Block, HashMap<KeyId, Vec<OfTenant>>>);

/// How many requests of a key were accepted and refused on behalf of a tenant, by the place of the day.
struct OfTenant {
    tenant: Option<TenantId>,
    counts: Box<[(u64, u64); DAYS]>,
}

impl Blocks {
    pub(super) fn add(&mut self, batch: &UsageBatch) {
        for ((block, id, tenant), days) in additions(&batch.rows) {
            let of_key = self.0.entry(block).or_default().entry(id.clone()).or_default();
            let known = of_key.iter().position(|known| known.tenant.as_ref() == tenant);
            let index = known.unwrap_or_else(|| {
                let counts = Box::new([(0, 0); DAYS]);
                of_key.push(OfTenant { tenant: tenant.cloned(), counts });
                of_key.len() - 1
            });
            for (place, (accepted, refused)) in days {
                let sum = &mut of_key[index].counts[place];
                *sum = (sum.0.saturating_add(accepted), sum.1.saturating_add(refused));
            }
        }
    }

    pub(super) fn read(&self, query: &UsageByKeyQuery) -> BTreeMap<KeyId, Vec<UsageSums>> {
        let range = query.from..query.to;
        let blocks = Block::within(query.from, query.to);
        let blocks: Vec<_> =
            blocks.filter_map(|block| Some((block, self.0.get(&block)?))).collect();
        let read = |id: &KeyId| {
            let mut sums = Vec::new();
            for (block, keys) in &blocks {
                for of_tenant in keys.get(id).into_iter().flatten() {
                    if query.tenant.matches(of_tenant.tenant.as_ref()) {
                        block.push_days(of_tenant.counts.iter().copied(), &range, &mut sums);
                    }
                }
            }
            put_in_order(&mut sums);
            (!sums.is_empty()).then(|| (id.clone(), sums))
        };
        query.ids.iter().filter_map(read).collect()
    }

    /// Removes blocks all of whose days are before `first_day`, of at most so many keys. Returns of how many.
    pub(super) fn prune(&mut self, first_day: Hour, at_most: u32) -> u64 {
        let mut left = at_most;
        while let Some(mut first) = self.0.first_entry()
            && *first.key() < Block::of(first_day)
            && left > 0
        {
            first.get_mut().retain(|_, _| {
                let is_kept = left == 0;
                left -= u32::from(!is_kept);
                is_kept
            });
            if first.get().is_empty() {
                first.remove();
            }
        }
        (at_most - left).into()
    }
}
