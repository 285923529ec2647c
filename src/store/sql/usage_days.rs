//! The table of the sums of days: a row for each key and block of days.

use std::collections::BTreeSet;

use super::Value;
use super::time::to_microseconds;
use super::usage::{ids, number, tenant};
use crate::key::{KeyId, TenantId};
use crate::store::usage::{Block, DayCounts, additions};
use crate::store::{StoreError, TenantFilter, UsageBatch, UsageByKeyQuery};

/// The columns with the numbers of requests.
pub(in crate::store) const COLUMNS: [&str; 2] = ["accepted", "refused"];

/// What a batch adds to the table.
pub(in crate::store) struct AddedDays<'a> {
    pub(in crate::store) rows: Vec<AddedRow<'a>>,
    /// The places of all days, from 0.
    pub(in crate::store) places: BTreeSet<usize>,
}

/// What is added to a row.
pub(in crate::store) struct AddedRow<'a> {
    pub(in crate::store) block: Block,
    pub(in crate::store) id: &'a KeyId,
    tenant: Option<&'a TenantId>,
    days: DayCounts,
}

impl<'a> AddedDays<'a> {
    pub(in crate::store) fn of(batch: &'a UsageBatch) -> Self {
        let rows = additions(&batch.rows).into_iter();
        let rows = rows.map(|((block, id, tenant), days)| AddedRow { block, id, tenant, days });
        let rows: Vec<_> = rows.collect();
        let places = rows.iter().flat_map(|row| row.days.keys().copied()).collect();
        Self { rows, places }
    }
}

impl AddedRow<'_> {
    /// Returns the tenant, which is empty for no tenant.
    pub(in crate::store) fn tenant(&self) -> &str {
        self.tenant.map_or("", TenantId::as_str)
    }

    /// Returns how many requests were accepted and refused on the day at a place.
    pub(in crate::store) fn day(&self, place: usize) -> [i64; 2] {
        let (accepted, refused) = self.days.get(&place).copied().unwrap_or_default();
        [number(accepted), number(refused)]
    }
}

/// Returns the condition of the rows of the key `asked.value` that a query asks for. `blocks` selects by time.
pub(in crate::store) fn condition(query: &UsageByKeyQuery, blocks: &str) -> String {
    let whose = match query.tenant {
        TenantFilter::Any => "",
        TenantFilter::Of(_) | TenantFilter::Nobody => " AND tenant = $3",
    };
    format!("starts_at {blocks} AND key_id = asked.value{whose}")
}

/// Returns the values of the statement that reads blocks: the keys, when the blocks begin, and the tenant.
pub(in crate::store) fn values(query: &UsageByKeyQuery, blocks: Value) -> Vec<Value> {
    [ids(query), blocks].into_iter().chain(tenant(query)).collect()
}

/// Returns when the blocks begin that a query asks for, in microseconds.
pub(in crate::store) fn starts(query: &UsageByKeyQuery) -> Result<Vec<i64>, StoreError> {
    let blocks = Block::within(query.from, query.to);
    let starts = blocks.map(|block| to_microseconds(block.start().start()));
    starts.collect::<Result<_, _>>().map_err(StoreError::new)
}
