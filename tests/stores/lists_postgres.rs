//! What a list asks of PostgreSQL: by which index, of how many rows, and over which connections.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tower_api_key::store::{
    AuditQuery, EndedQuery, KeyQuery, KeyState, KeyUse, RecordUses, TenantFilter,
};
use tower_api_key::{KeyKind, KeyRepository, KeyStore, PostgresStore};

use crate::common::in_time;
use crate::common::servers::database_url;
use crate::sql::{at, inserted, replace};

/// How many keys there are. Of them, one in a thousand is disabled and so on.
const KEYS: i64 = 20_000;

/// How many rows a page may visit here.
const VISITED: usize = 2000;

/// A schema with many keys, and a pool whose only connection the store and the test have in turn: the
/// server counts what each connection reads.
struct Many {
    schema: String,
    pool: PgPool,
    keys: PostgresStore,
}

/// What was read since the tables were made.
#[derive(Debug)]
struct Counts {
    scans_of_tables: i64,
    /// How many entries of each index were read.
    entries: BTreeMap<String, i64>,
}

impl Many {
    async fn start(schema: &str) -> Self {
        let schema = format!("{schema}_{}", std::process::id());
        let options: PgConnectOptions = database_url().parse().unwrap();
        let options = options.options([("search_path", &*schema)]);
        let pool = PgPoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        let keys = PostgresStore::from_pool(pool.clone()).schema(&schema).await.unwrap();
        let many = Self { schema, pool, keys };
        many.run(format!(
            "ALTER TABLE api_keys DISABLE TRIGGER USER;
             INSERT INTO api_keys (id, digest, name, tenant, kind, stage, created_at, disabled, \
                 revoked_at, expires_at, rotation_due_at, created_by)
             SELECT 'key_' || lpad(n::text, 8, '0'), sha256(n::text::bytea), 'key ' || n, \
                 CASE WHEN n <= 10000 AND n % 10 > 1 THEN 'old' WHEN n % 10 = 0 THEN 'acme' \
                 WHEN n % 10 = 1 THEN NULL ELSE 'globex' END, 'secret', 'live', \
                 timestamptz '2025-01-01Z' + n * interval '1 second', n % 1000 = 1, \
                 CASE WHEN n % 1000 = 10 THEN timestamptz '2026-01-01Z' END, \
                 CASE WHEN n % 1000 = 20 THEN timestamptz '2026-01-01Z' END, \
                 CASE WHEN n % 1000 = 30 THEN timestamptz '2026-01-01Z' END, 'name:alice' \
             FROM generate_series(1, {KEYS}) AS n;
             INSERT INTO api_key_uses SELECT id, timestamptz '2026-01-01Z' FROM api_keys;
             ALTER TABLE api_keys ENABLE TRIGGER USER;
             ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_notify;
             ALTER TABLE api_keys ENABLE ALWAYS TRIGGER api_keys_notify_all;"
        ))
        .await;
        for table in ["api_keys", "api_key_uses"] {
            many.run(format!("VACUUM ANALYZE {table}")).await;
        }
        many
    }

    async fn run(&self, script: String) {
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&self.pool).await.unwrap();
    }

    async fn counts(&self) -> Counts {
        self.run("SELECT pg_stat_force_next_flush()".to_owned()).await;
        let scans = "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables WHERE schemaname = $1 \
                     AND relname IN ('api_keys', 'api_key_uses')";
        let scans = sqlx::query_scalar(scans).bind(&self.schema).fetch_one(&self.pool).await;
        let entries = "SELECT indexrelname::text, idx_tup_read FROM pg_stat_user_indexes \
                       WHERE schemaname = $1 AND relname IN ('api_keys', 'api_key_uses')";
        let entries: Vec<(String, i64)> =
            sqlx::query_as(entries).bind(&self.schema).fetch_all(&self.pool).await.unwrap();
        Counts { scans_of_tables: scans.unwrap(), entries: entries.into_iter().collect() }
    }

    /// Lists one page, and returns how many keys it has and how much of which index was read for it.
    async fn page(&self, query: &KeyQuery) -> (usize, BTreeMap<String, i64>) {
        let before = self.counts().await;
        let page = self.keys.list(query).await.unwrap();
        let after = self.counts().await;
        assert_eq!(after.scans_of_tables, before.scans_of_tables, "a table was read: {query:?}");
        let read = after.entries.into_iter().map(|(index, entries)| {
            let read = entries - before.entries[&index];
            (index, read)
        });
        (page.keys.len(), read.filter(|(_, entries)| *entries > 0).collect())
    }

    async fn end(self) {
        self.run(format!("DROP SCHEMA {} CASCADE", self.schema)).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_page_reads_a_bounded_part_of_the_index_that_fits() {
    let many = Many::start("lists_by_index").await;
    let now = at(1_800_000_000_000_000);
    let mut query = KeyQuery::new().limit(50).max_visited(VISITED);
    query.at = now;
    let acme = || query.clone().tenant("acme");
    let nobodys = || {
        let mut query = query.clone();
        query.tenant = TenantFilter::Nobody;
        query
    };
    let early = at(1_700_000_000_000_000);
    let old = || query.clone().tenant("old");
    let visited = VISITED as i64;
    // What a page of few keys costs, however many others there are: the keys and one more.
    let few = 51;
    for (query, index, most, found) in [
        (query.clone(), "api_keys_by_age", few, 50),
        (acme(), "api_keys_by_tenant_and_age", few, 50),
        (nobodys(), "api_keys_by_tenant_and_age", few, 50),
        // Not even where many rows are of one tenant, and all of them old.
        (old(), "api_keys_by_tenant_and_age", few, 50),
        (old().name("no such name"), "api_keys_by_tenant_and_age", 2 * visited, 0),
        (query.clone().state(KeyState::Revoked), "api_keys_revoked", few, 20),
        (acme().state(KeyState::Revoked), "api_keys_revoked_by_tenant", few, 20),
        (nobodys().state(KeyState::Revoked), "api_keys_revoked_by_tenant", few, 0),
        (query.clone().state(KeyState::Disabled), "api_keys_disabled", few, 20),
        (acme().state(KeyState::Disabled), "api_keys_disabled_by_tenant", few, 0),
        (nobodys().state(KeyState::Disabled), "api_keys_disabled_by_tenant", few, 20),
        (query.clone().state(KeyState::Expired), "api_keys_expiring", 2 * few, 20),
        (acme().state(KeyState::Expired), "api_keys_expiring_by_tenant", 2 * few, 20),
        (query.clone().rotation_due_by(now), "api_keys_rotating", 2 * few, 20),
        (acme().rotation_due_by(early), "api_keys_rotating_by_tenant", 2 * few, 0),
        (old().state(KeyState::Active), "api_keys_not_revoked_by_tenant", 1000 + few + 5, 50),
        (query.clone().state(KeyState::Active), "api_keys_by_age", 1000 + few + 5, 50),
        (old().state(KeyState::Suspended), "api_keys_not_revoked_by_tenant", 2 * visited, 0),
        (query.clone().state(KeyState::Suspended), "api_keys_by_age", 2 * visited, 0),
        // What no index knows is looked for among as many rows as a page may visit. Each of them is
        // visited twice: where its window ends, and whether it matches.
        (query.clone().name("no such name"), "api_keys_by_age", 2 * visited, 0),
        (old().stage("test"), "api_keys_by_tenant_and_age", 2 * visited, 0),
        (old().kind(KeyKind::Public), "api_keys_by_tenant_and_age", 2 * visited, 0),
        (query.clone().stage("test"), "api_keys_by_age", 2 * visited, 0),
        (query.clone().created_by("mallory"), "api_keys_by_age", 2 * visited, 0),
        (query.clone().created_by("alice"), "api_keys_by_age", 1000 + few, 50),
        (query.clone().unused_since(at(1_767_225_600_000_000)), "api_keys_by_age", 2 * visited, 0),
    ] {
        let (keys, mut read) = many.page(&query).await;
        assert_eq!(keys, found, "{query:?}");
        // When each key that is listed, or might be unused, was last used.
        let uses = read.remove("api_key_uses_pkey").unwrap_or(0);
        assert!(uses <= visited, "{uses} uses were read: {query:?}");
        let entries = read.remove(index).unwrap_or(0);
        // The entry that ends a range is read, too.
        assert!(
            entries <= most + 5 && (entries > 0 || found == 0),
            "{entries} of {index}: {query:?}"
        );
        assert_eq!(read, BTreeMap::new(), "another index was read: {query:?}");
    }
    many.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn lists_take_no_connection_from_look_ups_and_changes() {
    let schema = format!("lists_share_{}", std::process::id());
    let options: PgConnectOptions = database_url().parse().unwrap();
    let options = options.options([("search_path", &*schema)]);
    let pool = PgPoolOptions::new()
        .max_connections(10)
        .acquire_timeout(Duration::from_secs(3))
        .connect_with(options)
        .await
        .unwrap();
    let keys = PostgresStore::from_pool(pool.clone()).schema(&schema).await.unwrap();
    let record = inserted(&keys).await;
    // A list reads when keys were last used, which a look-up and most changes do not.
    let mut other = pool.acquire().await.unwrap().detach();
    let lock = "BEGIN; LOCK TABLE api_key_uses IN ACCESS EXCLUSIVE MODE";
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let lists: Vec<_> = (0..60)
        .map(|_| {
            let keys = keys.clone();
            tokio::spawn(async move { keys.list(&KeyQuery::new()).await.map(drop) })
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                   AND query LIKE '%' || $1 || '%api_key_uses%'";
    let waiting = async || -> i64 {
        sqlx::query_scalar(waiting).bind(&schema).fetch_one(&pool).await.unwrap()
    };
    in_time(async {
        while waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    // A background write waits as well, and all that lists and changes have is taken.
    let used = KeyUse::new(record.id().clone(), at(1_700_000_000_000_000));
    let noted = tokio::spawn({
        let (keys, used) = (keys.clone(), used.clone());
        async move { keys.record_uses(&[used]).await }
    });
    in_time(async {
        while waiting().await < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    for _ in 0..50 {
        let digest = record.digest();
        let found = join_all((0..8).map(|_| keys.find(&digest)));
        assert!(in_time(found).await.into_iter().all(|found| found.unwrap().is_some()));
    }
    assert_eq!(waiting().await, 2, "lists and changes have more than their share");
    // Those that waited for too long say which share it is that is taken.
    let change = [replace(&record, |_| {})];
    let (ended, acme) = (EndedQuery::before(at(1)), "acme".parse().unwrap());
    let events = AuditQuery::new();
    let (commit, ended, events, removed, suspended, set) = in_time(async {
        tokio::join!(
            keys.commit(&change, &[]),
            keys.ended(&ended),
            keys.audit_log(&events),
            keys.prune_audit_log(at(1), 1),
            keys.suspended(),
            keys.set_suspended(&acme, None, &[]),
        )
    })
    .await;
    let errors = [
        commit.unwrap_err().to_string(),
        ended.unwrap_err().to_string(),
        events.unwrap_err().to_string(),
        removed.unwrap_err().to_string(),
        suspended.unwrap_err().to_string(),
        set.unwrap_err().to_string(),
    ];
    for error in errors {
        assert!(error.contains("that lists and changes may use"), "{error}");
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    in_time(noted).await.unwrap().unwrap();
    let ended = in_time(join_all(lists)).await;
    let ended = ended.into_iter().filter(|list| list.as_ref().is_ok_and(Result::is_ok)).count();
    assert!(ended > 0, "no list was ever answered");
    // Without such a write, a revocation waits for no list.
    sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
    let list = tokio::spawn({
        let keys = keys.clone();
        async move {
            let query = KeyQuery::new();
            join_all((0..20).map(|_| keys.list(&query))).await.len()
        }
    });
    in_time(async {
        while waiting().await == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let revoke = replace(&record, |record| record.set_revoked_at(Some(at(1_700_000_000_000_000))));
    in_time(keys.commit(&[revoke], &[])).await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    in_time(list).await.unwrap();
    let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    sqlx::raw_sql(drop).execute(&pool).await.unwrap();
}
