//! The tables of usage.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::time::{from_microseconds, to_microseconds};
use super::{Tables, Value};
use crate::key::KeyId;
use crate::store::usage::Hour;
use crate::store::{
    StoreError, TenantFilter, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind,
    UsageOf, UsageQuery, UsageStep,
};

use super::statements::{Statement, constant};

/// Leaves days out. An expression, so that no database looks for all hours of a time by their index, and
/// meets those of all keys.
const HOURS_ONLY: &str = " AND hours + 0 = 1";

/// For how long a writer is known that writes no more. PostgreSQL and SQLite count in days.
pub(in crate::store) const WRITERS_FOR_DAYS: u32 = 30;

/// Returns the names of the columns with counts.
pub(in crate::store) fn columns() -> [&'static str; UsageKind::ALL.len()] {
    UsageKind::ALL.map(UsageKind::as_str)
}

/// Returns the definitions of the columns with counts. Where there was no refusal of a kind, there is no number.
pub(in crate::store) fn definitions(number: &str) -> String {
    let [accepted, refused @ ..] = columns();
    let refused = refused.map(|column| format!(", {column} {number}")).concat();
    format!("{accepted} {number} NOT NULL DEFAULT 0{refused}")
}

/// Returns what sets each count of a row, which is called `known`, to its sum with the `excluded` one.
pub(in crate::store) fn additions() -> String {
    let add = |column| {
        format!(
            "{column} = coalesce(known.{column} + excluded.{column}, known.{column}, excluded.{column})"
        )
    };
    columns().map(add).join(", ")
}

/// Returns the sum of each count of several rows.
pub(in crate::store) fn sums() -> String {
    columns().map(|column| format!("CAST(sum({column}) AS bigint) AS {column}")).join(", ")
}

/// Returns the rows of a batch as JSON, with hours counted from 1970, and without counts that are zero.
pub(in crate::store) fn rows_of(batch: &UsageBatch) -> Value {
    let rows = batch.rows.iter().map(|row| {
        let mut object = Map::new();
        object.insert("key_id".to_owned(), row.id.as_str().into());
        object
            .insert("tenant".to_owned(), json!(row.tenant.as_ref().map(|tenant| tenant.as_str())));
        object.insert("hour".to_owned(), row.hour.0.into());
        object.insert("accepted".to_owned(), 0.into());
        for (kind, count) in row.counts.iter() {
            object.insert(kind.as_str().to_owned(), count.min(i64::MAX as u64).into());
        }
        Json::Object(object)
    });
    Value::Json(Some(Json::Array(rows.collect()).to_string()))
}

/// Returns the time at which an hour begins.
pub(in crate::store) fn time_of(hour: Hour) -> Result<Value, StoreError> {
    // The end of the last one that there is has no time.
    Ok(Value::Time(Some(to_microseconds(hour.start()).or_else(|error| match hour.0 {
        0 => Err(StoreError::new(error)),
        number => to_microseconds(Hour(number - 1).start()).map_err(StoreError::new),
    })?)))
}

/// Returns the statement that reads hours or days, where `day` is when the day of a row begins.
pub(in crate::store) fn read(
    tables: &Tables,
    query: &UsageQuery,
    day: &str,
) -> Result<Statement, StoreError> {
    let (column, name) = match &query.of {
        UsageOf::Key(id) => ("key_id", id.to_string()),
        UsageOf::Tenant(tenant) => ("tenant", tenant.to_string()),
    };
    let (start, which) = match query.step {
        UsageStep::Hour => ("starts_at", HOURS_ONLY),
        UsageStep::Day => (day, ""),
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

/// Returns the statement that reads hours or days of several keys, where `day` is when the day of a row begins.
///
/// `select` writes it: it is told what to sum up by, and a condition on rows of the keys in the JSON array `$1`.
pub(in crate::store) fn read_by_key(
    query: &UsageByKeyQuery,
    day: &str,
    select: impl FnOnce(&str, &str) -> String,
) -> Result<Statement, StoreError> {
    let (start, which) = match query.step {
        UsageStep::Hour => ("starts_at", HOURS_ONLY),
        UsageStep::Day => (day, ""),
    };
    let ids: Vec<_> = query.ids.iter().map(KeyId::as_str).collect();
    let mut values = vec![Value::Json(Some(json!(ids).to_string()))];
    values.extend([time_of(query.from)?, time_of(query.to)?]);
    let of_tenant = match &query.tenant {
        TenantFilter::Any => None,
        TenantFilter::Of(tenant) => Some(tenant.to_string()),
        TenantFilter::Nobody => Some(String::new()),
    };
    // Not by the index of tenants, which have other keys as well.
    let whose = if of_tenant.is_some() { " AND coalesce(tenant, '') = $4" } else { "" };
    values.extend(of_tenant.map(|tenant| Value::Text(Some(tenant))));
    let condition = format!("starts_at >= $2 AND starts_at < $3{which}{whose}");
    Ok(Statement { sql: constant(select(start, &condition)), values })
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
    /// Returns an error if it has not the form that this crate writes.
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
