//! The sums of days in SQLite: JSON arrays, which are read as they are.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::key::KeyId;
use crate::store::sql::usage_days::{AddedDays, COLUMNS, condition, starts, values};
use crate::store::sql::{Statement, Tables, Value, constant};
use crate::store::usage::{Block, DAYS, Hour, put_in_order};
use crate::store::{StoreError, UsageBatch, UsageByKeyQuery, UsageSums};

/// The first hour of a block, and how many requests were accepted and refused on each day.
type Row = (u32, [u64; DAYS], [u64; DAYS]);

/// Adds the table. Its blocks are one after the other, so that a batch is added to few pages.
pub(super) fn create_table(tables: &Tables) -> String {
    let days = tables.usage_days();
    format!(
        "
        CREATE TABLE {days} (
            starts_at INTEGER NOT NULL,
            key_id TEXT NOT NULL,
            tenant TEXT NOT NULL,
            accepted TEXT NOT NULL,
            refused TEXT NOT NULL,
            PRIMARY KEY (starts_at, key_id, tenant)
        ) STRICT, WITHOUT ROWID;
        "
    )
}

/// Adds to the days of a batch. Sums end at the largest number.
pub(super) fn add(tables: &Tables, batch: &UsageBatch) -> Statement {
    let AddedDays { rows, places } = AddedDays::of(batch);
    let days = tables.usage_days();
    // The third value and those after it are the numbers of each day: as a text around them, and not as an array
    // of the database, which takes longer.
    let arrays = [0, 1].map(|array| {
        let mut numbers = vec!["0".to_owned(); DAYS];
        for (value, place) in (3 + array..).step_by(2).zip(&places) {
            numbers[*place] = format!("' || (value ->> {value}) || '");
        }
        format!("'[{}]'", numbers.join(","))
    });
    let sums = COLUMNS.map(|column| {
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
        "INSERT INTO {days} AS known (starts_at, key_id, tenant, accepted, refused) \
         SELECT (value ->> 0) * 3600000000, value ->> 1, value ->> 2, {} FROM json_each($1) WHERE true \
         ON CONFLICT (starts_at, key_id, tenant) DO UPDATE SET {}",
        arrays.join(", "),
        sums.join(", ")
    );
    let rows = rows.iter().map(|row| {
        let names = [json!(row.block.start().0), json!(row.id.as_str()), json!(row.tenant())];
        let numbers = places.iter().flat_map(|place| row.day(*place)).map(Json::from);
        names.into_iter().chain(numbers).collect::<Json>()
    });
    let rows = rows.collect::<Json>().to_string();
    Statement { sql: constant(sql), values: vec![Value::Json(Some(rows))] }
}

/// Selects one text for each key, with all of its blocks.
pub(super) fn select(tables: &Tables, query: &UsageByKeyQuery) -> Result<Statement, StoreError> {
    let days = tables.usage_days();
    let condition = condition(query, "IN (SELECT value FROM json_each($2))");
    let sql = format!(
        "SELECT asked.value AS key_id, \
         (SELECT '[' || group_concat('[' || (starts_at / 3600000000) || ',' || accepted || ',' || refused || ']') || ']' \
         FROM {days} WHERE {condition}) AS days FROM json_each($1) AS asked"
    );
    let blocks = Value::Json(Some(json!(starts(query)?).to_string()));
    Ok(Statement { sql: constant(sql), values: values(query, blocks) })
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
        "DELETE FROM {days} WHERE (starts_at, key_id, tenant) IN \
         (SELECT starts_at, key_id, tenant FROM {days} WHERE starts_at < $1 LIMIT $2)"
    )
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::store::UsageStep;

    #[test]
    fn what_is_not_two_arrays_of_all_days_is_an_error() {
        let range =
            SystemTime::UNIX_EPOCH..SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(9);
        let query = UsageByKeyQuery::new([], &range, UsageStep::Day);
        let read = |text: &str| sums_by_key(&query, [Ok(("key_1", Some(text)))].into_iter());
        let days = |number: &str| format!("[{}]", [number; DAYS].join(","));
        let read_two = |one: &str, two: &str| read(&format!("[[0,{},{}]]", days(one), days(two)));
        let found = read_two("7", "0").unwrap().into_values().next().unwrap();
        assert_eq!(found, [UsageSums::new(SystemTime::UNIX_EPOCH, 7, 0)]);
        assert!(read_two("0", "0").unwrap().is_empty());
        assert!(read("[]").unwrap().is_empty());
        for (one, two) in [("-1", "0"), ("0", "1.5"), ("null", "0"), ("0,0", "0"), ("0", "")] {
            assert!(read_two(one, two).is_err(), "{one}: {two}");
        }
    }
}
