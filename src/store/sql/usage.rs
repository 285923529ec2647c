//! The tables of usage.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::time::{from_microseconds, to_microseconds};
use super::{Tables, Value};
use crate::key::KeyId;
use crate::store::usage::Hour;
use crate::store::{
    StoreError, TenantFilter, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind,
    UsageOf, UsageQuery, UsageStep, UsageSums,
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
    /// The number of the hour since 1970 with which a row begins.
    pub(in crate::store) hour: &'static str,
    /// The function that makes rows with a `value` of a JSON array.
    pub(in crate::store) each: &'static str,
    /// The function that concatenates texts.
    pub(in crate::store) join: &'static str,
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

/// Returns the statement that reads how often several keys were used, as one row a key. Its text has three numbers
/// for each row of usage: the hour since 1970, and how many requests were accepted and refused.
///
/// The days are summed up by [`sums_by_key`]: the databases would sort the rows of each key for that, which takes
/// longer than all else.
pub(in crate::store) fn sum_by_key(
    tables: &Tables,
    query: &UsageByKeyQuery,
    dialect: &Dialect,
) -> Result<Statement, StoreError> {
    let [accepted, refused @ ..] = columns();
    let refused = refused.map(|column| format!("coalesce({column}, 0)")).join(" + ");
    let conditions = conditions(query, "= asked.value");
    let (usage, Dialect { each, hour, join, .. }) = (tables.usage(), dialect);
    let sql = format!(
        "SELECT asked.value AS key_id, \
         (SELECT {join}(({hour}) || ' ' || {accepted} || ' ' || ({refused}), ' ') \
         FROM {usage} WHERE {conditions}) AS sums FROM {each}($1) AS asked"
    );
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
    let ids: Vec<_> = query.ids.iter().map(KeyId::as_str).collect();
    let mut values = vec![Value::Json(Some(json!(ids).to_string()))];
    values.extend([time_of(query.from)?, time_of(query.to)?]);
    let of_tenant = match &query.tenant {
        TenantFilter::Any => None,
        TenantFilter::Of(tenant) => Some(tenant.to_string()),
        TenantFilter::Nobody => Some(String::new()),
    };
    values.extend(of_tenant.map(|tenant| Value::Text(Some(tenant))));
    Ok(values)
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

/// Sums up the hours or days of several keys. A key that was not used has none.
pub(in crate::store) fn sums_by_key<'a>(
    step: UsageStep,
    rows: impl Iterator<Item = Result<(&'a str, Option<&'a str>), StoreError>>,
) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
    let mut keys = BTreeMap::new();
    for row in rows {
        if let (id, Some(text)) = row? {
            keys.insert(id.parse().map_err(StoreError::new)?, read_sums(step, text)?);
        }
    }
    Ok(keys)
}

/// Reads the text of one key that [`sum_by_key`] selects.
///
/// # Errors
///
/// Returns an error if it has another form.
fn read_sums(step: UsageStep, text: &str) -> Result<Vec<UsageSums>, StoreError> {
    let failed = || StoreError::new("the sums of usage cannot be read");
    let mut numbers = text.split(' ').map(str::parse::<u64>);
    let mut number = || numbers.next().map(|number| number.map_err(|_| failed()));
    let mut sums = Vec::new();
    while let Some(hour) = number() {
        let hour = u32::try_from(hour?).ok().filter(|hour| *hour <= Hour::LAST.0);
        let hour = Hour(hour.ok_or_else(failed)?);
        let start = if step == UsageStep::Day { hour.day() } else { hour };
        let accepted = number().ok_or_else(failed)??;
        sums.push(UsageSums::new(start.start(), accepted, number().ok_or_else(failed)??));
    }
    // A database may put them into the text in any order.
    sums.sort_unstable_by_key(|sums| sums.start);
    UsageSums::merge(&mut sums);
    Ok(sums)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(hour: u32, accepted: u64, refused: u64) -> UsageSums {
        UsageSums::new(Hour(hour).start(), accepted, refused)
    }

    #[test]
    fn sums_are_read_by_hours_or_days_in_the_order_of_their_times() {
        let text = "49 7 0 47 18446744073709551615 3 24 1 1 48 1 2";
        let hours = read_sums(UsageStep::Hour, text).unwrap();
        assert_eq!(hours, [sums(24, 1, 1), sums(47, u64::MAX, 3), sums(48, 1, 2), sums(49, 7, 0)]);
        let days = read_sums(UsageStep::Day, text).unwrap();
        assert_eq!(days, [sums(24, u64::MAX, 4), sums(48, 8, 2)]);
    }

    #[test]
    fn what_is_not_three_numbers_each_is_an_error() {
        for text in ["", "24", "24 1", "24 1 2 ", "24 -1 2", "24 1 2.5", "70389528 1 2", "24  1 2"]
        {
            assert!(read_sums(UsageStep::Day, text).is_err(), "{text:?}");
        }
    }
}
