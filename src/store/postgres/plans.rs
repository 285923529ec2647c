//! What PostgreSQL reads for a statement over a large table: none of these goes through it.

use std::time::{Duration, SystemTime};

use sqlx::{PgPool, Row as _, raw_sql};

use super::PostgresStore;
use super::repository::{bound, note_uses};
use super::usage::DIALECT;
use super::usage_days;
use crate::key::{KeyHasher, KeyId};
use crate::store::sql::{Statement, Value, constant, usage};
use crate::store::{
    AuditCursor, AuditQuery, EndedCursor, EndedQuery, KeyChange, KeyRecord, KeyUse, TenantFilter,
    UsageByKeyQuery, UsageOf, UsageQuery, UsageStep,
};

/// A schema of its own with 20 000 keys, of which 200 ended, and 20 000 events.
struct Large {
    pool: PgPool,
    store: PostgresStore,
    schema: String,
}

impl Large {
    async fn new(name: &str) -> Self {
        let url = std::env::var("DATABASE_URL").expect("DATABASE_URL: run tests/all");
        let schema = format!("plans_{name}_{}", std::process::id());
        let store = PostgresStore::connect(&url).schema(&schema).await.unwrap();
        let pool = PgPool::connect(&url).await.unwrap();
        let fill = format!(
            "SET search_path = {schema};
            INSERT INTO api_keys (id, digest, name, tenant, expires_at)
                SELECT 'key_' || n, sha256(n::text::bytea), 'name', 'tenant-' || n % 50,
                    CASE WHEN n % 100 = 0 THEN to_timestamp(1600000000 + n)
                         WHEN n % 2 = 0 THEN to_timestamp(4000000000) END
                FROM generate_series(1, 20000) AS n;
            INSERT INTO api_key_audit (at, actor, action, key_id, tenant)
                SELECT to_timestamp(1600000000 + n), 'name:' || n % 50, 'issued', 'key_' || n % 5000,
                    'tenant-' || n % 50
                FROM generate_series(1, 20000) AS n;
            ANALYZE api_keys; ANALYZE api_key_audit;"
        );
        raw_sql(constant(fill)).execute(&pool).await.unwrap();
        Self { pool, store, schema }
    }

    async fn plan(&self, mut statement: Statement) -> String {
        statement.sql = constant(format!("EXPLAIN {}", statement.sql.as_str()));
        let rows = bound(&statement).persistent(false).fetch_all(&self.pool).await.unwrap();
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        lines.join("\n")
    }

    /// Adds a million rows of usage: two hundred hours of 5000 keys.
    async fn fill_usage(&self) {
        let fill = format!(
            "SET search_path = {};
            INSERT INTO api_key_usage (key_id, starts_at, tenant, accepted)
                SELECT 'key_' || n, to_timestamp(1600000000 / 3600 * 3600 + 3600 * hour),
                    'tenant-' || n % 50, n
                FROM generate_series(1, 5000) AS n, generate_series(1, 200) AS hour;
            ANALYZE api_key_usage;",
            self.schema
        );
        raw_sql(constant(fill)).execute(&self.pool).await.unwrap();
    }

    /// Adds blocks of days, of which the server knows nothing until they are analyzed.
    async fn fill_days(&self) {
        let fill = format!(
            "SET search_path = {};
            INSERT INTO api_key_usage_days (starts_at, key_id, tenant, accepted, refused)
                SELECT timestamptz 'epoch' + block * interval '32 days', 'key_' || n,
                    'tenant-' || n % 50, array_fill(n::bigint, ARRAY[32]),
                    array_fill(0::bigint, ARRAY[32])
                FROM generate_series(1, 20000) AS n, generate_series(614, 619) AS block;",
            self.schema
        );
        raw_sql(constant(fill)).execute(&self.pool).await.unwrap();
    }

    async fn drop(self) {
        let drop = constant(format!("DROP SCHEMA {} CASCADE", self.schema));
        raw_sql(drop).execute(&self.pool).await.unwrap();
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000 + second)
}

fn id(number: usize) -> KeyId {
    format!("key_{number}").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn the_keys_that_ended_are_found_by_their_index() {
    let large = Large::new("ended").await;
    let next = EndedCursor::new("00001600000300000000.key_300");
    let all = EndedQuery::before(at(100_000)).limit(20);
    let own = all.clone().tenant(Some("tenant-0".parse().unwrap()).into());
    for query in [all.clone(), all.after(next), own] {
        let plan = large.plan(large.store.statements.ended(&query).unwrap()).await;
        assert!(plan.contains("Index Scan using api_keys_ended"), "{plan}");
        // The few suspended tenants may be read in any way.
        assert!(!plan.contains("Seq Scan on api_keys"), "{plan}");
    }
    large.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn events_are_found_by_an_index_in_their_order() {
    let large = Large::new("events").await;
    for (query, index) in [
        (AuditQuery::new(), "api_key_audit_by_time"),
        (
            AuditQuery::new()
                .since(at(9000))
                .after("1600010000000000.9".parse::<AuditCursor>().unwrap()),
            "api_key_audit_by_time",
        ),
        (AuditQuery::new().tenant("tenant-1"), "api_key_audit_by_tenant"),
        (AuditQuery::new().actor("1"), "api_key_audit_by_actor"),
        (AuditQuery::new().key(id(1)), "api_key_audit_of_key"),
    ] {
        for query in [query.clone(), query.newest_first()] {
            let plan = large.plan(large.store.statements.events(&query)).await;
            assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
            // Few of one key may be sorted.
            assert!(!plan.contains("Sort") || query.key_id.is_some(), "{plan}");
        }
    }
    let plan = large.plan(large.store.statements.remove_events(at(300), 10)).await;
    assert!(plan.contains("api_key_audit_by_time") && !plan.contains("Seq Scan"), "{plan}");
    large.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn many_keys_are_changed_without_reading_the_others() {
    let large = Large::new("changes").await;
    let records: Vec<_> = (1..=10)
        .map(|number| {
            let digest = KeyHasher::sha256().digest(&number.to_string());
            std::sync::Arc::new(KeyRecord::new(id(number), digest, "name", at(0)))
        })
        .collect();
    for kind in [KeyChange::Replace, KeyChange::Remove, KeyChange::Require] {
        let changes: Vec<_> = records.iter().cloned().map(kind).collect();
        let step = large.store.statements.steps(&changes, &[]).unwrap_or_default().remove(0);
        let plan = large.plan(step.statement).await;
        assert!(plan.contains("Index Scan") && !plan.contains("Seq Scan"), "{plan}");
    }
    let uses: Vec<_> = (1..=10).map(|number| KeyUse::new(id(number), at(0))).collect();
    let plan = large.plan(large.store.statements.note(&uses, note_uses).unwrap()).await;
    assert!(plan.contains("Index") && !plan.contains("Seq Scan"), "{plan}");
    large.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn days_are_found_by_their_keys() {
    let large = Large::new("days").await;
    large.fill_days().await;
    let (tables, day) = (&large.store.statements.tables, 24 * 3600);
    let by_time_and_key = "AND (key_id = asked.value)";
    for is_analyzed in [false, true] {
        if is_analyzed {
            let analyze = format!("ANALYZE {}", tables.usage_days());
            raw_sql(constant(analyze)).execute(&large.pool).await.unwrap();
        }
        for range in [at(0)..at(30 * day), at(0)..at(400 * day)] {
            let by_key = UsageByKeyQuery::new((1..=100).map(id), &range, UsageStep::Day);
            let own = by_key.clone().of_tenant(TenantFilter::Of("tenant-1".parse().unwrap()));
            for query in [by_key, own] {
                let plan = large.plan(usage_days::select(tables, &query).unwrap()).await;
                assert!(plan.contains(by_time_and_key) && !plan.contains("Seq Scan"), "{plan}");
            }
        }
        let sql = constant(usage_days::delete(tables));
        let values = vec![Value::Time(Some(0)), Value::Number(1000)];
        let plan = large.plan(Statement { sql, values }).await;
        let index = "api_key_usage_days_pkey";
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{plan}");
    }
    large.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn usage_is_found_by_its_keys_or_its_tenant() {
    let large = Large::new("usage").await;
    large.fill_usage().await;
    let (tables, day) = (&large.store.statements.tables, 24 * 3600);
    for range in [at(0)..at(day), at(0)..at(400 * day)] {
        for step in [UsageStep::Hour, UsageStep::Day] {
            // As many as a page of a list has.
            let by_key = UsageByKeyQuery::new((1..=100).map(id), &range, step);
            let own = by_key.clone().of_tenant(TenantFilter::Of("tenant-1".parse().unwrap()));
            let read = |of| usage::read(tables, &UsageQuery::new(of, &range, step), &DIALECT);
            for (statement, index) in [
                (usage::read_by_key(tables, &by_key, &DIALECT), "api_key_usage_pkey"),
                (usage::read_by_key(tables, &own, &DIALECT), "api_key_usage_pkey"),
                (read(UsageOf::Key(id(1))), "api_key_usage_pkey"),
                (read(UsageOf::Tenant("tenant-1".parse().unwrap())), "api_key_usage_by_tenant"),
            ] {
                let plan = large.plan(statement.unwrap()).await;
                assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{step:?}: {plan}");
            }
        }
    }
    large.drop().await;
}
