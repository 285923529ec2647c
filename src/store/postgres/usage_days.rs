//! The sums of days in PostgreSQL: arrays.

use std::collections::BTreeMap;

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::types::{Numbers, Timestamp};
use crate::key::KeyId;
use crate::store::sql::usage_days::{AddedDays, COLUMNS, condition, starts, values};
use crate::store::sql::{
    Statement, Tables, Value, constant, failed, from_microseconds, to_microseconds,
};
use crate::store::usage::{Block, DAYS, Hour, put_in_order};
use crate::store::{StoreError, UsageBatch, UsageByKeyQuery, UsageSums};

pub(super) fn create_table(tables: &Tables) -> String {
    let days = tables.usage_days();
    format!(
        r#"
        CREATE TABLE {days} (
            starts_at timestamptz NOT NULL CHECK (isfinite(starts_at)),
            key_id text COLLATE "C" NOT NULL,
            tenant text COLLATE "C" NOT NULL,
            accepted bigint[] NOT NULL,
            refused bigint[] NOT NULL,
            PRIMARY KEY (starts_at, key_id, tenant)
        -- Rows are updated in their place while their days last: each time, all rows of keys in use.
        ) WITH (fillfactor = 50);
        "#
    )
}

/// Adds to the days of a batch, if there is a row of `is_new`. Sums end at the largest number.
///
/// Rows are locked in the order of their blocks and keys.
pub(super) fn add(
    tables: &Tables,
    batch: &UsageBatch,
    values: &mut Vec<Value>,
) -> Result<String, StoreError> {
    let AddedDays { rows, places } = AddedDays::of(batch);
    let starts = rows.iter().map(|row| to_microseconds(row.block.start().start()));
    let starts = starts.collect::<Result<_, _>>().map_err(StoreError::new)?;
    let ids = rows.iter().map(|row| row.id.to_string()).collect();
    let tenants = rows.iter().map(|row| row.tenant().to_owned()).collect();
    let mut columns = vec![
        ("starts_at".to_owned(), Value::Times(starts)),
        ("key_id".to_owned(), Value::Texts(ids)),
        ("tenant".to_owned(), Value::Texts(tenants)),
    ];
    let (mut arrays, mut sums) = ([(); 2].map(|()| vec!["0".to_owned(); DAYS]), Vec::new());
    for place in places {
        for (index, column) in COLUMNS.into_iter().enumerate() {
            let name = format!("{column}_{place}");
            arrays[index][place].clone_from(&name);
            let numbers = rows.iter().map(|row| row.day(place)[index]).collect();
            columns.push((name, Value::Numbers(numbers)));
            // Arrays begin with 1.
            let number = format!("{column}[{}]", place + 1);
            sums.push(format!(
                "{number} = CASE WHEN known.{number} > {most} - excluded.{number} THEN {most} \
                 ELSE known.{number} + excluded.{number} END",
                most = i64::MAX
            ));
        }
    }
    let (days, added) = (tables.usage_days(), added(columns, values));
    let arrays = arrays.map(|numbers| format!("ARRAY[{}]::bigint[]", numbers.join(", ")));
    Ok(format!(
        "INSERT INTO {days} AS known (starts_at, key_id, tenant, accepted, refused) \
         SELECT starts_at, key_id, tenant, {} FROM (SELECT * FROM {added} \
         WHERE EXISTS (SELECT FROM is_new) \
         ORDER BY starts_at, key_id COLLATE \"C\", tenant COLLATE \"C\") AS added \
         ON CONFLICT (starts_at, key_id, tenant) DO UPDATE SET {}",
        arrays.join(", "),
        sums.join(", ")
    ))
}

/// Returns rows that are given by their columns. The values become the next parameters.
pub(super) fn added(columns: Vec<(String, Value)>, values: &mut Vec<Value>) -> String {
    let (mut names, mut parameters) = (Vec::new(), Vec::new());
    for (name, column) in columns {
        names.push(name);
        values.push(column);
        parameters.push(format!("${}", values.len()));
    }
    format!("unnest({}) AS added ({})", parameters.join(", "), names.join(", "))
}

/// Selects one row for each key that was used, with all of its blocks one after the other.
pub(super) fn select(tables: &Tables, query: &UsageByKeyQuery) -> Result<Statement, StoreError> {
    let (days, condition) = (tables.usage_days(), condition(query, "= ANY($2)"));
    let sql = format!(
        "SELECT asked.value AS key_id, known.* FROM json_array_elements_text($1) AS asked \
         CROSS JOIN LATERAL (SELECT array_agg(starts_at) AS starts, array_agg(accepted) AS accepted, \
         array_agg(refused) AS refused FROM {days} WHERE {condition}) AS known \
         WHERE starts IS NOT NULL"
    );
    let values = values(query, Value::Times(starts(query)?));
    Ok(Statement { sql: constant(sql), values })
}

/// Reads what [`select`] selects.
///
/// # Errors
///
/// Returns an error if a row has another form.
pub(super) fn sums_by_key(
    query: &UsageByKeyQuery,
    rows: &[PgRow],
) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
    let mut keys = BTreeMap::new();
    for row in rows {
        let id = row.try_get::<&str, _>("key_id").map_err(failed)?;
        let sums = read_row(query, row)?;
        if !sums.is_empty() {
            keys.insert(id.parse().map_err(StoreError::new)?, sums);
        }
    }
    Ok(keys)
}

fn read_row(query: &UsageByKeyQuery, row: &PgRow) -> Result<Vec<UsageSums>, StoreError> {
    let starts: Vec<Timestamp> = row.try_get("starts").map_err(failed)?;
    let Numbers(accepted) = row.try_get("accepted").map_err(failed)?;
    let Numbers(refused) = row.try_get("refused").map_err(failed)?;
    let (range, mut sums) = (query.from..query.to, Vec::new());
    let blocks = accepted.chunks(DAYS).zip(refused.chunks(DAYS));
    for (start, (accepted, refused)) in starts.into_iter().zip(blocks) {
        let start = Hour::of(from_microseconds(start.0).map_err(StoreError::new)?);
        let counts = accepted.iter().copied().zip(refused.iter().copied());
        Block::of(start).push_days(counts, &range, &mut sums);
    }
    put_in_order(&mut sums);
    Ok(sums)
}

/// Deletes blocks before a time, and returns how many.
pub(super) fn delete(tables: &Tables) -> String {
    let days = tables.usage_days();
    format!(
        "WITH old AS (\
         SELECT starts_at, key_id, tenant FROM {days} WHERE starts_at < $1 \
         ORDER BY starts_at, key_id LIMIT $2 FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM {days} AS known USING old \
         WHERE known.starts_at = old.starts_at AND known.key_id = old.key_id \
         AND known.tenant = old.tenant RETURNING 1) \
         SELECT count(*) FROM gone"
    )
}
