//! Usage in SQLite.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::repository::bound;
use super::{SqliteStore, usage_days};
use crate::key::{KeyId, TenantId};
use crate::store::sql::usage::{
    self, Dialect, UsageRow, WRITERS_FOR_DAYS, additions, columns, definitions, kinds_of, number,
    sums, time_of,
};
use crate::store::sql::{Statement, Tables, Value, constant, failed};
use crate::store::usage::{Block, sums_of};
use crate::store::{
    StoreError, UsageBatch, UsageBucket, UsageByKeyQuery, UsageKind, UsageQuery, UsageRetention,
    UsageStep, UsageStore, UsageSums,
};

/// When the day of a row begins.
const DAY: &str = "(starts_at - starts_at % 86400000000)";

/// What is written in SQLite's way.
pub(super) const DIALECT: Dialect = Dialect { day: DAY, each: "json_each", has_lateral: false };

/// Adds the tables of usage, which do not refer to those of keys: usage outlives its key.
pub(super) fn create_tables(tables: &Tables) -> String {
    let (usage, writers) = (tables.usage(), tables.usage_writers());
    let definitions = definitions("INTEGER");
    format!(
        "
        CREATE TABLE {usage} (
            key_id TEXT NOT NULL,
            starts_at INTEGER NOT NULL,
            hours INTEGER NOT NULL DEFAULT 1 CHECK (hours IN (1, 24)),
            tenant TEXT,
            {definitions},
            PRIMARY KEY (key_id, starts_at, hours)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX {by_tenant} ON {usage} (tenant, starts_at) WHERE tenant IS NOT NULL;
        CREATE INDEX {by_time} ON {usage} (hours, starts_at);
        {days}
        CREATE TABLE {writers} (
            writer TEXT NOT NULL PRIMARY KEY,
            number INTEGER NOT NULL,
            at INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        ",
        by_tenant = tables.part("api_key_usage_by_tenant"),
        by_time = tables.part("api_key_usage_by_time"),
        days = usage_days::create_table(tables),
    )
}

#[async_trait]
impl UsageStore for SqliteStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        if batch.rows.is_empty() {
            return Ok(());
        }
        let tables = &self.statements.tables;
        let number = i64::try_from(batch.number()).map_err(StoreError::new)?;
        let values = vec![Value::Text(Some(batch.writer().to_owned())), Value::Number(number)];
        let is_new = Statement { sql: constant(note_writer(tables)), values };
        let (hours, days) = (add(tables, batch), usage_days::add(tables, batch));
        let mut writing = self.writers.begin().await.map_err(failed)?;
        let noted = bound(&is_new).persistent(false).execute(writing.connection()).await;
        if noted.map_err(failed)?.rows_affected() > 0 {
            for add in [hours, days] {
                let added = bound(&add).persistent(false).execute(writing.connection()).await;
                added.map_err(failed)?;
            }
        }
        writing.commit().await.map_err(failed)
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        let statement = usage::read(&self.statements.tables, query, &DIALECT)?;
        let _place = self.share.for_list().await?;
        let rows = bound(&statement).persistent(false).fetch_all(&self.pool).await;
        rows.map_err(failed)?.iter().map(|row| read(row).map_err(failed)?.read()).collect()
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        let statement = usage::read_by_key(&self.statements.tables, query, &DIALECT)?;
        let _place = self.share.for_list().await?;
        let rows = bound(&statement).persistent(false).fetch_all(&self.pool).await;
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
        let _place = self.share.for_list().await?;
        let rows = bound(&statement).persistent(false).fetch_all(&self.pool).await;
        let rows = rows.map_err(failed)?;
        usage_days::sums_by_key(
            query,
            rows.iter().map(|row| {
                Ok((row.try_get("key_id").map_err(failed)?, row.try_get("days").map_err(failed)?))
            }),
        )
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        let tables = &self.statements.tables;
        let (first_hour, first_day) = retention.first_kept(now);
        let limit = Value::Number(at_most.into());
        let hours = [time_of(first_hour)?, limit.clone()].to_vec();
        let days = [time_of(first_day)?, limit.clone()].to_vec();
        let blocks = [time_of(Block::of(first_day).start())?, limit.clone()].to_vec();
        // Both statements about hours see the same rows, because there is only one writer.
        let statements = [
            (constant(sum_up(tables)), hours.clone(), false),
            (constant(delete(tables, 1)), hours, true),
            (constant(delete(tables, 24)), days, true),
            (constant(usage_days::delete(tables)), blocks, true),
            (constant(forget_writers(tables)), vec![limit], false),
        ];
        let mut deleted = 0;
        let mut writing = self.writers.begin().await.map_err(failed)?;
        for (sql, values, counts) in statements {
            let statement = Statement { sql, values };
            let done = bound(&statement).persistent(false).execute(writing.connection()).await;
            deleted += done.map_err(failed)?.rows_affected() * u64::from(counts);
        }
        writing.commit().await.map_err(failed)?;
        Ok(deleted)
    }
}

/// Changes a row if the batch is new.
fn note_writer(tables: &Tables) -> String {
    let writers = tables.usage_writers();
    format!(
        "INSERT INTO {writers} AS known (writer, number, at) \
         VALUES ($1, $2, unixepoch() * 1000000) \
         ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at \
         WHERE known.number < excluded.number"
    )
}

/// Adds to the hours of a batch.
fn add(tables: &Tables, batch: &UsageBatch) -> Statement {
    let (usage, kinds) = (tables.usage(), kinds_of(batch));
    let names = kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let counts = (3..3 + kinds.len()).map(|value| format!("value ->> {value}"));
    let (counts, additions) = (counts.collect::<Vec<_>>().join(", "), additions(&kinds));
    let sql = format!(
        "INSERT INTO {usage} AS known (key_id, starts_at, tenant, {names}) \
         SELECT value ->> 0, (value ->> 1) * 3600000000, value ->> 2, {counts} \
         FROM json_each($1) WHERE true \
         ON CONFLICT (key_id, starts_at, hours) DO UPDATE SET {additions}"
    );
    let rows = batch.rows.iter().map(|row| {
        let tenant = row.tenant.as_ref().map(TenantId::as_str);
        let names = [json!(row.id.as_str()), json!(row.hour.0), json!(tenant)];
        let counts = kinds.iter().map(|kind| match (kind, row.counts.of(*kind)) {
            (UsageKind::Accepted, count) | (_, count @ 1..) => number(count).into(),
            _ => Json::Null,
        });
        names.into_iter().chain(counts).collect::<Json>()
    });
    let rows = rows.collect::<Json>().to_string();
    Statement { sql: constant(sql), values: vec![Value::Json(Some(rows))] }
}

/// Selects what is deleted next.
fn old(tables: &Tables, hours: u8) -> String {
    let usage = tables.usage();
    format!(
        "SELECT key_id, starts_at FROM {usage} WHERE hours = {hours} AND starts_at < $1 \
         ORDER BY starts_at, key_id LIMIT $2"
    )
}

fn sum_up(tables: &Tables) -> String {
    let (usage, old) = (tables.usage(), old(tables, 1));
    let (names, sums, additions) = (columns().join(", "), sums(), additions(&UsageKind::ALL));
    format!(
        "INSERT INTO {usage} AS known (key_id, starts_at, hours, tenant, {names}) \
         SELECT key_id, {DAY} AS day, 24, max(tenant), {sums} FROM {usage} \
         WHERE hours = 1 AND (key_id, starts_at) IN ({old}) GROUP BY key_id, day \
         ON CONFLICT (key_id, starts_at, hours) DO UPDATE SET {additions}"
    )
}

fn delete(tables: &Tables, hours: u8) -> String {
    let (usage, old) = (tables.usage(), old(tables, hours));
    format!("DELETE FROM {usage} WHERE hours = {hours} AND (key_id, starts_at) IN ({old})")
}

fn forget_writers(tables: &Tables) -> String {
    let writers = tables.usage_writers();
    format!(
        "DELETE FROM {writers} WHERE writer IN (SELECT writer FROM {writers} \
         WHERE at < (unixepoch() - {WRITERS_FOR_DAYS} * 86400) * 1000000 LIMIT $1)"
    )
}

fn read(row: &SqliteRow) -> sqlx::Result<UsageRow> {
    let mut counts = [None; _];
    for (count, column) in counts.iter_mut().zip(columns()) {
        *count = row.try_get(column)?;
    }
    Ok(UsageRow { start: row.try_get("start")?, counts })
}
