//! The sums of days in PostgreSQL: arrays.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::types::{Numbers, Timestamp};
use crate::key::KeyId;
use crate::store::sql::usage_days::{ARRAYS, condition, starts, values};
use crate::store::sql::{Statement, Tables, Value, constant, failed, from_microseconds};
use crate::store::usage::{Block, DAYS, Hour, put_in_order};
use crate::store::{StoreError, UsageByKeyQuery, UsageSums};

pub(super) fn create_table(tables: &Tables) -> String {
    let days = tables.usage_days();
    let [accepted, refused] = ARRAYS.map(|(column, _)| {
        format!("{column} bigint[] NOT NULL CHECK (array_dims({column}) = '[1:{DAYS}]')")
    });
    format!(
        r#"
        CREATE TABLE {days} (
            starts_at timestamptz NOT NULL CHECK (isfinite(starts_at)),
            key_id text COLLATE "C" NOT NULL,
            tenant text COLLATE "C" NOT NULL,
            {accepted},
            {refused},
            PRIMARY KEY (starts_at, key_id, tenant)
        -- Rows are updated in their place while their days last.
        ) WITH (fillfactor = 80);
        "#
    )
}

/// Adds rows of `$4` to days, if there is a row of `is_new`. Sums end at the largest number.
///
/// Rows are locked in the order of their keys.
pub(super) fn add(tables: &Tables, places: &BTreeSet<usize>) -> String {
    let days = tables.usage_days();
    let types =
        places.iter().flat_map(|place| ARRAYS.map(|(_, name)| format!(", {name}{place} bigint")));
    let types: String = types.collect();
    let number = |name: &str, place| match places.contains(&place) {
        true => format!("coalesce({name}{place}, 0)"),
        false => "0".to_owned(),
    };
    let arrays = ARRAYS.map(|(_, name)| {
        let numbers: Vec<_> = (0..DAYS).map(|place| number(name, place)).collect();
        format!("ARRAY[{}]::bigint[]", numbers.join(", "))
    });
    let additions = places.iter().flat_map(|place| {
        ARRAYS.map(|(column, _)| {
            // Arrays begin with 1.
            let number = format!("{column}[{}]", place + 1);
            format!(
                "{number} = CASE WHEN known.{number} > {most} - excluded.{number} THEN {most} \
                 ELSE known.{number} + excluded.{number} END",
                most = i64::MAX
            )
        })
    });
    let additions: Vec<_> = additions.collect();
    format!(
        "INSERT INTO {days} AS known (starts_at, key_id, tenant, accepted, refused) \
         SELECT timestamptz 'epoch' + hour * interval '1 hour', key_id, tenant, {} \
         FROM json_to_recordset($4) AS added (key_id text, hour bigint, tenant text{types}) \
         WHERE EXISTS (SELECT FROM is_new) ORDER BY hour, key_id COLLATE \"C\", tenant COLLATE \"C\" \
         ON CONFLICT (starts_at, key_id, tenant) DO UPDATE SET {}",
        arrays.join(", "),
        additions.join(", ")
    )
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
