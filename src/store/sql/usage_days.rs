//! The table of the sums of days: a row for each key and block of days.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::usage::{time_of, values_by_key};
use super::{Statement, Value, constant};
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
        let rows = additions(&batch.rows).into_iter().map(|((id, block, tenant), days)| {
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

/// Returns the conditions of the rows of the key `asked.value`.
pub(in crate::store) fn conditions(query: &UsageByKeyQuery) -> &'static str {
    match query.tenant {
        TenantFilter::Any => "key_id = asked.value AND starts_at >= $2 AND starts_at < $3",
        TenantFilter::Of(_) | TenantFilter::Nobody => {
            "key_id = asked.value AND starts_at >= $2 AND starts_at < $3 AND tenant = $4"
        }
    }
}

/// Returns the statement that reads the blocks of several keys: a row for each key that may be `NULL`.
pub(in crate::store) fn read(
    sql: String,
    query: &UsageByKeyQuery,
) -> Result<Statement, StoreError> {
    let mut values = values_by_key(query)?;
    values[1] = time_of(Block::of(query.from).start())?;
    Ok(Statement { sql: constant(sql), values })
}
