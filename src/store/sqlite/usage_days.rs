//! The sums of days in SQLite: JSON arrays, which are read as they are.

use std::collections::BTreeMap;

use crate::key::KeyId;
use crate::store::sql::usage_days::{ARRAYS, AddedDays, conditions, read};
use crate::store::sql::{Statement, Tables, constant};
use crate::store::usage::{Block, DAYS, Hour, put_in_order};
use crate::store::{StoreError, UsageByKeyQuery, UsageSums};

/// The first hour of a block, and how many requests were accepted and refused on each day.
type Row = (u32, [u64; DAYS], [u64; DAYS]);

pub(super) fn create_table(tables: &Tables) -> String {
    let days = tables.usage_days();
    format!(
        "
        CREATE TABLE {days} (
            key_id TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            tenant TEXT NOT NULL,
            accepted TEXT NOT NULL,
            refused TEXT NOT NULL,
            PRIMARY KEY (key_id, starts_at, tenant)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX {by_time} ON {days} (starts_at);
        ",
        by_time = tables.part("api_key_usage_days_by_time"),
    )
}

/// Adds to the days of a batch. Sums end at the largest number.
pub(super) fn add(tables: &Tables, added: AddedDays) -> Statement {
    let AddedDays { rows, places } = added;
    let days = tables.usage_days();
    let numbers = |name: &str, place| match places.contains(&place) {
        true => format!("coalesce(value ->> '{name}{place}', 0)"),
        false => "0".to_owned(),
    };
    let arrays = ARRAYS.map(|(_, name)| {
        let numbers: Vec<_> = (0..DAYS).map(|place| numbers(name, place)).collect();
        format!("json_array({})", numbers.join(", "))
    });
    let additions = ARRAYS.map(|(column, _)| {
        let sums = places.iter().map(|place| {
            // A sum that is too large is a floating-point number.
            format!(
                ", '$[{place}]', min({most}, (known.{column} ->> {place}) + (excluded.{column} ->> {place}))",
                most = i64::MAX
            )
        });
        format!("{column} = json_set(known.{column}{})", sums.collect::<String>())
    });
    let sql = format!(
        "INSERT INTO {days} AS known (key_id, starts_at, tenant, accepted, refused) \
         SELECT value ->> 'key_id', (value ->> 'hour') * 3600000000, value ->> 'tenant', {} \
         FROM json_each($1) WHERE true \
         ON CONFLICT (key_id, starts_at, tenant) DO UPDATE SET {}",
        arrays.join(", "),
        additions.join(", ")
    );
    Statement { sql: constant(sql), values: vec![rows] }
}

/// Selects one text for each key, with all of its blocks.
pub(super) fn select(tables: &Tables, query: &UsageByKeyQuery) -> Result<Statement, StoreError> {
    let (days, conditions) = (tables.usage_days(), conditions(query));
    let sql = format!(
        "SELECT asked.value AS key_id, \
         (SELECT '[' || group_concat('[' || (starts_at / 3600000000) || ',' || accepted || ',' || refused || ']') || ']' \
         FROM {days} WHERE {conditions}) AS days FROM json_each($1) AS asked"
    );
    read(sql, query)
}

/// Reads what [`select`] selects. A key that was not used has no text.
///
/// # Errors
///
/// Returns an error if a text has another form.
pub(super) fn sums_by_key<'a>(
    query: &UsageByKeyQuery,
    rows: impl Iterator<Item = Result<(&'a str, Option<&'a str>), StoreError>>,
) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
    let range = query.from..query.to;
    let mut keys = BTreeMap::new();
    for row in rows {
        if let (id, Some(text)) = row? {
            let blocks: Vec<Row> = serde_json::from_str(text).map_err(StoreError::new)?;
            let mut sums = Vec::new();
            for (hour, accepted, refused) in blocks {
                Block::of(Hour(hour)).push_days(
                    accepted.into_iter().zip(refused),
                    &range,
                    &mut sums,
                );
            }
            put_in_order(&mut sums);
            keys.insert(id.parse().map_err(StoreError::new)?, sums);
        }
    }
    keys.retain(|_, sums: &mut Vec<_>| !sums.is_empty());
    Ok(keys)
}

/// Deletes blocks before a time.
pub(super) fn delete(tables: &Tables) -> String {
    let days = tables.usage_days();
    format!(
        "DELETE FROM {days} WHERE (key_id, starts_at, tenant) IN \
         (SELECT key_id, starts_at, tenant FROM {days} WHERE starts_at < $1 ORDER BY starts_at LIMIT $2)"
    )
}
