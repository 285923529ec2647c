//! The tables of usage.

use std::collections::BTreeMap;

use serde_json::json;

use super::time::{from_microseconds, to_microseconds};
use super::{Tables, Value};
use crate::key::KeyId;
use crate::store::usage::Hour;
use crate::store::{
    StoreError, TenantFilter, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind,
    UsageOf, UsageQuery, UsageStep,
};

use super::statements::{Statement, constant};

/// Leaves days out. An expression, so that no database uses the index of hours, which would visit the rows
/// of all keys.
const HOURS_ONLY: &str = " AND hours + 0 = 1";

/// For how long a writer that no longer writes is remembered. PostgreSQL and SQLite count in days.
pub(in crate::store) const WRITERS_FOR_DAYS: u32 = 30;

/// Returns the names of the columns with counts.
pub(in crate::store) fn columns() -> [&'static str; UsageKind::ALL.len()] {
    UsageKind::ALL.map(UsageKind::as_str)
}

/// Returns the definitions of the columns with counts. A kind without refusals is `NULL`.
pub(in crate::store) fn definitions(number: &str) -> String {
    let [accepted, refused @ ..] = columns();
    let refused = refused.map(|column| format!(", {column} {number}")).concat();
    format!("{accepted} {number} NOT NULL DEFAULT 0{refused}")
}

/// Returns the assignments that set each count of the row `known` to its sum with the `excluded` one.
pub(in crate::store) fn additions(kinds: &[UsageKind]) -> String {
    let add = |column: &UsageKind| {
        format!(
            "{column} = coalesce(known.{column} + excluded.{column}, known.{column}, excluded.{column})"
        )
    };
    kinds.iter().map(add).collect::<Vec<_>>().join(", ")
}

/// Returns the sum of each count of several rows.
pub(in crate::store) fn sums() -> String {
    columns().map(|column| format!("CAST(sum({column}) AS bigint) AS {column}")).join(", ")
}

/// Returns the kinds of which a batch has counts, and the accepted ones: a statement is shorter, and an addition
/// faster, without the others.
pub(in crate::store) fn kinds_of(batch: &UsageBatch) -> Vec<UsageKind> {
    let mut sum = UsageCounts::default();
    batch.rows.iter().for_each(|row| sum.add_all(&row.counts));
    let is_counted = |kind: &UsageKind| *kind == UsageKind::Accepted || sum.of(*kind) > 0;
    UsageKind::ALL.into_iter().filter(is_counted).collect()
}

/// Returns a count as databases keep it.
pub(in crate::store) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Returns the time at which an hour begins.
pub(in crate::store) fn time_of(hour: Hour) -> Result<Value, StoreError> {
    // The end of the last hour has no time.
    Ok(Value::Time(Some(to_microseconds(hour.start()).or_else(|error| match hour.0 {
        0 => Err(StoreError::new(error)),
        number => to_microseconds(Hour(number - 1).start()).map_err(StoreError::new),
    })?)))
}

/// Returns the statement that reads hours or days.
pub(in crate::store) fn read(
    tables: &Tables,
    query: &UsageQuery,
    dialect: &Dialect,
) -> Result<Statement, StoreError> {
    let (column, name) = match &query.of {
        UsageOf::Key(id) => ("key_id", id.to_string()),
        UsageOf::Tenant(tenant) => ("tenant", tenant.to_string()),
    };
    let (start, which) = match query.step {
        UsageStep::Hour => ("starts_at", HOURS_ONLY),
        UsageStep::Day => (dialect.day, ""),
    };
    let (usage, sums) = (tables.usage(), sums());
    let sql = format!(
        "SELECT {start} AS start, {sums} FROM {usage} \
         WHERE {column} = $1 AND starts_at >= $2 AND starts_at < $3{which} \
         GROUP BY {start} ORDER BY {start}"
    );
    let values = vec![Value::Text(Some(name)), time_of(query.from)?, time_of(query.to)?];
    Ok(Statement { sql: constant(sql), values })
}

/// The differences between the databases.
pub(in crate::store) struct Dialect {
    /// When the day of a row begins.
    pub(in crate::store) day: &'static str,
    /// The function that makes rows with a `value` of a JSON array.
    pub(in crate::store) each: &'static str,
    /// Whether the database knows `LATERAL`.
    pub(in crate::store) has_lateral: bool,
}

/// Returns the statement that reads hours or days of several keys.
pub(in crate::store) fn read_by_key(
    tables: &Tables,
    query: &UsageByKeyQuery,
    dialect: &Dialect,
) -> Result<Statement, StoreError> {
    let each = dialect.each;
    let sql = if dialect.has_lateral {
        // One look into the index for each key. PostgreSQL, which cannot tell how many keys there are, would else
        // compare each of them with all that was used within the time.
        let of_key = select_usage(tables, query, "", "= asked.value", dialect);
        format!(
            "SELECT asked.value AS key_id, by_time.* FROM {each}($1) AS asked \
             CROSS JOIN LATERAL ({of_key}) AS by_time ORDER BY key_id, start"
        )
    } else {
        let which = format!("IN (SELECT value FROM {each}($1))");
        select_usage(tables, query, "key_id, ", &which, dialect) + " ORDER BY key_id, start"
    };
    Ok(Statement { sql: constant(sql), values: values_by_key(query)? })
}

/// Selects sums by the hour or day, of the keys whose id is `which`, by the columns `key`.
fn select_usage(
    tables: &Tables,
    query: &UsageByKeyQuery,
    key: &str,
    which: &str,
    dialect: &Dialect,
) -> String {
    let start = match query.step {
        UsageStep::Hour => "starts_at",
        UsageStep::Day => dialect.day,
    };
    let (usage, sums, conditions) = (tables.usage(), sums(), conditions(query, which));
    format!(
        "SELECT {key}{start} AS start, {sums} FROM {usage} WHERE {conditions} GROUP BY {key}{start}"
    )
}

/// Returns the conditions of the rows of the keys whose id is `which`.
fn conditions(query: &UsageByKeyQuery, which: &str) -> String {
    let hours = match query.step {
        UsageStep::Hour => HOURS_ONLY,
        UsageStep::Day => "",
    };
    // Not by the index of tenants, because a tenant has other keys as well.
    let whose = match query.tenant {
        TenantFilter::Any => "",
        TenantFilter::Of(_) | TenantFilter::Nobody => " AND coalesce(tenant, '') = $4",
    };
    format!("key_id {which} AND starts_at >= $2 AND starts_at < $3{hours}{whose}")
}

/// Returns the values of the statements that select by keys.
fn values_by_key(query: &UsageByKeyQuery) -> Result<Vec<Value>, StoreError> {
    let range = [time_of(query.from)?, time_of(query.to)?];
    Ok([ids(query)].into_iter().chain(range).chain(tenant(query)).collect())
}

/// Returns the ids of the keys as JSON.
pub(super) fn ids(query: &UsageByKeyQuery) -> Value {
    let ids: Vec<_> = query.ids.iter().map(KeyId::as_str).collect();
    Value::Json(Some(json!(ids).to_string()))
}

/// Returns the tenant on whose behalf the keys acted, if not any: empty for no tenant.
pub(super) fn tenant(query: &UsageByKeyQuery) -> Option<Value> {
    match &query.tenant {
        TenantFilter::Any => None,
        TenantFilter::Of(tenant) => Some(Value::Text(Some(tenant.to_string()))),
        TenantFilter::Nobody => Some(Value::Text(Some(String::new()))),
    }
}

/// Puts the rows of several keys together, which are in the order of their times.
pub(in crate::store) fn by_key(
    rows: impl Iterator<Item = Result<(String, UsageRow), StoreError>>,
) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
    let mut keys = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let (id, row) = row?;
        keys.entry(id.parse().map_err(StoreError::new)?).or_default().push(row.read()?);
    }
    Ok(keys)
}

/// Usage as every database sums it up.
pub(in crate::store) struct UsageRow {
    pub(in crate::store) start: i64,
    pub(in crate::store) counts: [Option<i64>; UsageKind::ALL.len()],
}

impl UsageRow {
    /// # Errors
    ///
    /// Returns an error if it does not have the form that this crate writes.
    pub(in crate::store) fn read(self) -> Result<UsageBucket, StoreError> {
        let start = from_microseconds(self.start).map_err(StoreError::new)?;
        let mut counts = UsageCounts::default();
        for (kind, count) in UsageKind::ALL.into_iter().zip(self.counts) {
            let count = u64::try_from(count.unwrap_or(0));
            counts.add(kind, count.map_err(|_| StoreError::new("a count of usage is negative"))?);
        }
        Ok(UsageBucket::new(start, counts))
    }
}
