//! The table of the sums of days: a row for each key and block of days.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::Value;
use super::time::to_microseconds;
use super::usage::{ids, tenant};
use crate::store::usage::{Block, additions};
use crate::store::{StoreError, TenantFilter, UsageBatch, UsageByKeyQuery};

/// The numbers of requests in an array: the name of its column, and with what the names of its added numbers
/// begin.
pub(in crate::store) const ARRAYS: [(&str, &str); 2] =
    [("accepted", "accepted_"), ("refused", "refused_")];

/// What a batch adds to the table.
pub(in crate::store) struct AddedDays {
    /// The rows as JSON, with blocks by their first hour since 1970, and the numbers of each day as `accepted_7` and
    /// `refused_7`.
    pub(in crate::store) rows: Value,
    /// The places of all days, from 0.
    pub(in crate::store) places: BTreeSet<usize>,
}

impl AddedDays {
    pub(in crate::store) fn of(batch: &UsageBatch) -> Self {
        let mut places = BTreeSet::new();
        let rows = additions(&batch.rows).into_iter().map(|((block, id, tenant), days)| {
            let mut object = Map::new();
            object.insert("key_id".to_owned(), id.as_str().into());
            object.insert("hour".to_owned(), block.start().0.into());
            object.insert("tenant".to_owned(), tenant.map_or("", |tenant| tenant.as_str()).into());
            for (place, (accepted, refused)) in days {
                places.insert(place);
                for ((_, name), count) in ARRAYS.into_iter().zip([accepted, refused]) {
                    object.insert(format!("{name}{place}"), count.min(i64::MAX as u64).into());
                }
            }
            Json::Object(object)
        });
        let rows = Json::Array(rows.collect()).to_string();
        Self { rows: Value::Json(Some(rows)), places }
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
