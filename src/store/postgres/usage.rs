//! Usage in PostgreSQL.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::attempts::Attempts;
use super::connections::Purpose;
use super::lease::Lease;
use super::repository::bound;
use super::types::Timestamp;
use super::usage_days::added;
use super::{PostgresStore, usage_days};
use crate::key::KeyId;
use crate::store::sql::usage::{
    self, Dialect, UsageRow, WRITERS_FOR_DAYS, additions, columns, definitions, kinds_of, number,
    sums, time_of,
};
use crate::store::sql::{Statement, Tables, Value, constant, failed, to_microseconds};
use crate::store::usage::{Block, sums_of};
use crate::store::{
    KeyUsage, StoreError, UsageBatch, UsageBucket, UsageByKeyQuery, UsageKind, UsageQuery,
    UsageRetention, UsageStep, UsageStore, UsageSums,
};

/// When the day of a row begins.
const DAY: &str = "date_trunc('day', starts_at, 'UTC')";

/// The dialect of PostgreSQL.
pub(super) const DIALECT: Dialect =
    Dialect { day: DAY, each: "json_array_elements_text", has_lateral: true };

/// Adds the tables of usage, which do not refer to those of keys: usage outlives its key.
pub(super) fn create_tables(tables: &Tables) -> String {
    let (usage, writers) = (tables.usage(), tables.usage_writers());
    let definitions = definitions("bigint");
    format!(
        r#"
        CREATE TABLE {usage} (
            key_id text COLLATE "C" NOT NULL,
            starts_at timestamptz NOT NULL CHECK (isfinite(starts_at)),
            hours smallint NOT NULL DEFAULT 1 CHECK (hours IN (1, 24)),
            tenant text COLLATE "C",
            {definitions},
            PRIMARY KEY (key_id, starts_at, hours)
        -- Rows are updated in their place while their hour lasts.
        ) WITH (fillfactor = 80);
        CREATE INDEX {by_tenant} ON {usage} (tenant, starts_at) WHERE tenant IS NOT NULL;
        CREATE INDEX {by_time} ON {usage} (hours, starts_at);
        {days}
        CREATE TABLE {writers} (
            writer text COLLATE "C" PRIMARY KEY,
            number bigint NOT NULL,
            at timestamptz NOT NULL DEFAULT now()
        );
        "#,
        by_tenant = tables.part("api_key_usage_by_tenant"),
        by_time = tables.part("api_key_usage_by_time"),
        days = usage_days::create_table(tables),
    )
}

#[async_trait]
impl UsageStore for PostgresStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        self.execute(&add(&self.statements.tables, batch)?).await?;
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        let statement = usage::read(&self.statements.tables, query, &DIALECT)?;
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let rows = bound(&statement).persistent(false).fetch_all(&mut **lease).await;
        lease.give_back();
        rows.map_err(failed)?.iter().map(|row| read(row).map_err(failed)?.read()).collect()
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        let statement = usage::read_by_key(&self.statements.tables, query, &DIALECT)?;
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let rows = bound(&statement).persistent(false).fetch_all(&mut **lease).await;
        lease.give_back();
        let rows = rows.map_err(failed)?;
        usage::by_key(
            rows.iter().map(|row| {
                Ok((row.try_get("key_id").map_err(failed)?, read(row).map_err(failed)?))
            }),
        )
    }

    async fn sums_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
        if query.step == UsageStep::Hour {
            return Ok(sums_of(self.usage_by_key(query).await?));
        }
        let statement = usage_days::select(&self.statements.tables, query)?;
        let mut lease = Lease::of(&self.connections, Purpose::List).await?;
        let rows = bound(&statement).persistent(false).fetch_all(&mut **lease).await;
        lease.give_back();
        usage_days::sums_by_key(query, &rows.map_err(failed)?)
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        let (first_hour, first_day) = retention.first_kept(now);
        let mut deleted = 0;
        for (script, first) in [
            (sum_up as fn(&Tables) -> String, first_hour),
            (delete_days as fn(&Tables) -> String, first_day),
            (usage_days::delete as fn(&Tables) -> String, Block::of(first_day).start()),
        ] {
            let values = vec![time_of(first)?, Value::Number(at_most.into())];
            let statement = Statement { sql: constant(script(&self.statements.tables)), values };
            deleted += self.count(&statement).await?;
        }
        let values = vec![Value::Number(at_most.into())];
        let sql = constant(forget_writers(&self.statements.tables));
        self.execute(&Statement { sql, values }).await?;
        Ok(deleted)
    }
}

impl PostgresStore {
    async fn execute(&self, statement: &Statement) -> Result<u64, StoreError> {
        let mut attempts = Attempts::new(&self.connections);
        loop {
            let mut lease = Lease::of(&self.connections, Purpose::Change).await?;
            let done = bound(statement).persistent(false).execute(&mut **lease).await;
            if let Some(done) = attempts.end(done, lease) {
                return Ok(done.map_err(failed)?.rows_affected());
            }
        }
    }

    /// Returns the number that a statement selects.
    async fn count(&self, statement: &Statement) -> Result<u64, StoreError> {
        let mut attempts = Attempts::new(&self.connections);
        loop {
            let mut lease = Lease::of(&self.connections, Purpose::Change).await?;
            let row = bound(statement).persistent(false).fetch_one(&mut **lease).await;
            if let Some(row) = attempts.end(row, lease) {
                let count: i64 = row.map_err(failed)?.try_get(0).map_err(failed)?;
                return Ok(u64::try_from(count).unwrap_or(0));
            }
        }
    }
}

/// Adds a batch, unless its writer has added it before: in one statement, so that it is all or nothing.
///
/// Rows are locked in the order of their keys, which is that of the batch.
fn add(tables: &Tables, batch: &UsageBatch) -> Result<Statement, StoreError> {
    let number_of_batch = i64::try_from(batch.number()).map_err(StoreError::new)?;
    let mut values =
        vec![Value::Text(Some(batch.writer().to_owned())), Value::Number(number_of_batch)];
    let days = usage_days::add(tables, batch, &mut values)?;
    let rows = batch.rows();
    let starts = rows.iter().map(|row| to_microseconds(row.hour()));
    let starts = starts.collect::<Result<_, _>>().map_err(StoreError::new)?;
    let tenant = |row: &KeyUsage| row.tenant.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut columns = vec![
        ("key_id".to_owned(), Value::Texts(rows.iter().map(|row| row.id.to_string()).collect())),
        ("starts_at".to_owned(), Value::Times(starts)),
        ("tenant".to_owned(), Value::Texts(rows.iter().map(tenant).collect())),
    ];
    let kinds = kinds_of(batch);
    columns.extend(kinds.iter().map(|kind| {
        let counts = rows.iter().map(|row| number(row.counts.of(*kind)));
        (kind.to_string(), Value::Numbers(counts.collect()))
    }));
    let (usage, writers) = (tables.usage(), tables.usage_writers());
    let names = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let refused = kinds.iter().skip(1).map(|kind| format!(", nullif({kind}, 0)"));
    let (refused, additions) = (refused.collect::<String>(), additions(&kinds));
    let added = added(columns, &mut values);
    let sql = format!(
        "WITH is_new AS (\
         INSERT INTO {writers} AS known (writer, number) VALUES ($1, $2) \
         ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = now() \
         WHERE known.number < excluded.number RETURNING number), \
         days AS ({days}) \
         INSERT INTO {usage} AS known (key_id, starts_at, tenant, {names}) \
         SELECT key_id, starts_at, nullif(tenant, ''), accepted{refused} \
         FROM {added} WHERE EXISTS (SELECT FROM is_new) ORDER BY key_id COLLATE \"C\", starts_at \
         ON CONFLICT (key_id, starts_at, hours) DO UPDATE SET {additions}"
    );
    Ok(Statement { sql: constant(sql), values })
}

/// Sums up hours to days: in one statement, so that nothing is lost and nothing counts twice. Rows that
/// another node is processing are skipped.
fn sum_up(tables: &Tables) -> String {
    let usage = tables.usage();
    let (names, sums, additions) = (columns().join(", "), sums(), additions(&UsageKind::ALL));
    format!(
        "WITH old AS (\
         SELECT key_id, starts_at FROM {usage} WHERE hours = 1 AND starts_at < $1 \
         ORDER BY starts_at, key_id LIMIT $2 FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM {usage} AS known USING old \
         WHERE known.hours = 1 AND known.key_id = old.key_id AND known.starts_at = old.starts_at \
         RETURNING known.*), \
         added AS (INSERT INTO {usage} AS known (key_id, starts_at, hours, tenant, {names}) \
         SELECT key_id, {DAY}, 24, max(tenant), {sums} FROM gone \
         GROUP BY key_id, {DAY} ORDER BY key_id, {DAY} \
         ON CONFLICT (key_id, starts_at, hours) DO UPDATE SET {additions}) \
         SELECT count(*) FROM gone"
    )
}

fn delete_days(tables: &Tables) -> String {
    let usage = tables.usage();
    format!(
        "WITH old AS (\
         SELECT key_id, starts_at FROM {usage} WHERE hours = 24 AND starts_at < $1 \
         ORDER BY starts_at, key_id LIMIT $2 FOR UPDATE SKIP LOCKED), \
         gone AS (DELETE FROM {usage} AS known USING old \
         WHERE known.hours = 24 AND known.key_id = old.key_id AND known.starts_at = old.starts_at \
         RETURNING 1) \
         SELECT count(*) FROM gone"
    )
}

fn forget_writers(tables: &Tables) -> String {
    let writers = tables.usage_writers();
    format!(
        "DELETE FROM {writers} WHERE writer IN (SELECT writer FROM {writers} \
         WHERE at < now() - interval '{WRITERS_FOR_DAYS} days' LIMIT $1 FOR UPDATE SKIP LOCKED)"
    )
}

fn read(row: &PgRow) -> sqlx::Result<UsageRow> {
    let mut counts = [None; _];
    for (count, column) in counts.iter_mut().zip(columns()) {
        *count = row.try_get(column)?;
    }
    Ok(UsageRow { start: row.try_get::<Timestamp, _>("start")?.0, counts })
}
