//! Keys in PostgreSQL, that of the environment variable `DATABASE_URL`.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tower_api_key::store::{CommitError, KeyChange, KeyQuery, KeyUse, RecordUses, TablesError};
use tower_api_key::{KeyDigest, KeyRepository, KeyStore, PostgresStore};

use crate::common::in_time;
use crate::common::with_id;
use crate::sql::usage;
use crate::sql::version_1::{self, Old};
use crate::sql::{
    Count, Server, at, check, check_all_or_nothing, check_cancelled, check_many, check_refusals,
    check_round_trip, check_server, event, got, insert, inserted, record, remove, replace,
};

fn database_url() -> String {
    crate::common::servers::database_url()
}

/// A schema of a test's own.
struct Schema {
    name: String,
    /// Connections that find it first.
    pool: PgPool,
}

/// Runs a test with a schema, which is dropped even if it fails.
async fn with_schema(test: impl AsyncFnOnce(&Schema)) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);

    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let name = format!("Test of a store {} \"{number}\" 'x'", std::process::id());
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let set = AssertSqlSafe(format!("SET search_path = {quoted}"));
    let options = PgPoolOptions::new().after_connect(move |connection, _| {
        let set = AssertSqlSafe(set.0.clone());
        Box::pin(async move { sqlx::raw_sql(set).execute(connection).await.map(drop) })
    });
    let schema = Schema { name, pool: options.connect(&database_url()).await.unwrap() };
    let outcome = AssertUnwindSafe(test(&schema)).catch_unwind().await;
    schema.run(format!("DROP SCHEMA IF EXISTS {quoted} CASCADE")).await;
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

impl Schema {
    async fn connect(&self) -> PostgresStore {
        PostgresStore::connect(&database_url()).schema(&self.name).await.unwrap()
    }

    /// Runs plain SQL.
    async fn run(&self, script: impl Into<String>) {
        sqlx::raw_sql(AssertSqlSafe(script.into())).execute(&self.pool).await.unwrap();
    }
}

impl Count for Schema {
    async fn count(&self, table: &str) -> i64 {
        let count = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.pool).await.unwrap()
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn many_keys_are_found_by_one_statement() {
    crate::common::start_log();
    with_schema(async |schema| {
        let store = schema.connect().await;
        let mut digests = Vec::new();
        for _ in 0..100 {
            digests.push(inserted(&store).await.digest());
        }
        let statements = || {
            let of = |condition| crate::common::logged(condition).len();
            [of("WHERE digest = $1"), of("WHERE digest IN ($1")]
        };
        store.find(&digests[0]).await.unwrap();
        assert_eq!(statements(), [1, 0]);
        let found = store.find_many(&digests).await.unwrap();
        assert_eq!(found.iter().flatten().count(), 100);
        assert_eq!(statements(), [1, 1]);
        check_many(&store).await;
        assert_eq!(statements(), [1, 71]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn usage_is_kept() {
    with_schema(async |schema| usage::check_usage(&schema.connect().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_store_keeps_the_contract() {
    with_schema(async |schema| check(&schema.connect().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_store_over_an_own_pool_with_a_prefix_keeps_the_contract() {
    with_schema(async |schema| {
        schema.connect().await;
        // The search path of the pool says in which schema.
        let keys = PostgresStore::from_pool(schema.pool.clone()).table_prefix("_9Acme").await;
        check(&keys.unwrap()).await;
        assert!(schema.count("\"_9Acmeapi_keys\"").await > 10);
        assert_eq!(schema.count("api_keys").await, 0);
    })
    .await;
}

#[test]
#[ignore = "needs PostgreSQL: run tests/all"]
fn a_record_is_read_back_as_it_was_whatever_it_holds() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let name = format!("Test round trip {}", std::process::id());
    let keys = runtime
        .block_on(async { PostgresStore::connect(&database_url()).schema(&name).await.unwrap() });
    let checked = std::panic::catch_unwind(AssertUnwindSafe(|| {
        check_round_trip(&runtime, &keys, "[\\PC\n]{0,20}")
    }));
    runtime.block_on(async {
        let pool = PgPool::connect(&database_url()).await.unwrap();
        let drop = AssertSqlSafe(format!("DROP SCHEMA \"{name}\" CASCADE"));
        sqlx::raw_sql(drop).execute(&pool).await.unwrap();
    });
    checked.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn changes_and_events_are_kept_together_or_not_at_all() {
    with_schema(async |schema| {
        check_all_or_nothing(&schema.connect().await, schema).await;
        let with_digest = "SELECT count(*) FROM api_key_audit, api_keys WHERE position(encode(digest, \
                           'hex') in concat(before, after)) > 0 OR before::jsonb ? 'digest'";
        let count: i64 = sqlx::query_scalar(with_digest).fetch_one(&schema.pool).await.unwrap();
        assert_eq!(count, 0);
        let event = "SELECT actor, action, tenant, after ->> 'name' FROM api_key_audit ORDER BY id";
        let event: (String, String, String, String) =
            sqlx::query_as(event).fetch_one(&schema.pool).await.unwrap();
        let expected = ["name:Zo\u{eb} 'the' \"admin\"", "updated", "acme", "a key"];
        assert_eq!(<[String; 4]>::from(event), expected);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn what_cannot_be_kept_is_refused() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        check_refusals(&keys, schema).await;
        let mut odd = record();
        odd.set_name(format!("{}\0", odd.name()));
        let error = keys.commit(&[insert(&record()), insert(&odd)], &[]).await.unwrap_err();
        assert!(matches!(error, CommitError::Store(_)), "{error}");
        assert_eq!(schema.count("api_keys").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_cancelled_commit_leaves_nothing_half_done() {
    with_schema(async |schema| {
        let name = format!("cancelled-{}", std::process::id());
        let options: PgConnectOptions = database_url().parse().unwrap();
        let pool = PgPool::connect_with(options.application_name(&name)).await.unwrap();
        let keys = PostgresStore::from_pool(pool.clone()).schema(&schema.name).await.unwrap();
        // No connection stays in a transaction, in which whoever has it next would be.
        let open = "SELECT count(*) FROM pg_stat_activity \
                    WHERE application_name = $1 AND state <> 'idle'";
        let settled = async || {
            loop {
                let open = sqlx::query_scalar(open).bind(&name).fetch_one(&schema.pool);
                let open: i64 = in_time(open).await.unwrap();
                if open == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        check_cancelled(&keys, async || in_time(settled()).await).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_key_works_until_it_is_revoked_and_an_outage_is_no_wrong_key() {
    with_schema(async |schema| {
        let drop_tables = async || schema.run("DROP TABLE api_keys CASCADE").await;
        check_server(&schema.connect().await, drop_tables).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn many_who_connect_to_a_new_database_at_once_find_the_same_tables() {
    with_schema(async |schema| {
        let connected = (0..12).map(|_| {
            let name = schema.name.clone();
            tokio::spawn(async move {
                PostgresStore::connect(&database_url()).schema(name).await.unwrap()
            })
        });
        let mut stores = Vec::new();
        for store in connected.collect::<Vec<_>>() {
            stores.push(in_time(store).await.unwrap());
        }
        let record = inserted(&stores[0]).await;
        for store in &stores {
            assert_eq!(got(store, &record).await, record);
        }
        assert_eq!(schema.count("api_key_migrations").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn many_who_connect_at_once_find_the_same_tables_whatever_they_isolate() {
    with_schema(async |schema| {
        let connected = (0..8).map(|number| {
            let isolation = ["repeatable read", "serializable"][number % 2];
            let options: PgConnectOptions = database_url().parse().unwrap();
            let options = options.options([("default_transaction_isolation", isolation)]);
            let pool = PgPoolOptions::new().connect_lazy_with(options);
            let builder = PostgresStore::from_pool(pool).schema(&schema.name);
            tokio::spawn(async move { builder.await })
        });
        for store in connected.collect::<Vec<_>>() {
            in_time(store).await.unwrap().unwrap();
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_database_that_cannot_keep_every_text_is_refused() {
    let admin = PgPool::connect(&database_url()).await.unwrap();
    let name = format!("latin_{}", std::process::id());
    let run = async |sql: String| {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&admin).await.unwrap();
    };
    run(format!(
        "CREATE DATABASE {name} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    ))
    .await;
    let options: PgConnectOptions = database_url().parse().unwrap();
    let pool = PgPoolOptions::new().connect_lazy_with(options.database(&name));
    let refused = PostgresStore::from_pool(pool.clone()).await;
    pool.close().await;
    run(format!("DROP DATABASE {name}")).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("encoding is LATIN1 and not UTF8"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_database_that_a_newer_version_left_nothing_in_is_refused() {
    with_schema(async |schema| {
        schema.connect().await;
        schema.run("INSERT INTO api_key_migrations (version) VALUES (7)").await;
        let builder = || PostgresStore::connect(&database_url()).schema(&schema.name);
        for builder in [builder(), builder().without_migration()] {
            let error = builder.await.unwrap_err().to_string();
            assert!(error.contains("are of version 7") && error.contains("up to 3"), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_database_that_a_newer_version_expanded_is_used() {
    with_schema(async |schema| {
        schema.connect().await;
        schema
            .run(
                "ALTER TABLE api_keys ADD COLUMN later text NOT NULL DEFAULT 'later'; \
                 CREATE TABLE api_key_later (id text); \
                 UPDATE api_key_migrations SET level = 9 WHERE version = 1",
            )
            .await;
        let builder = || PostgresStore::connect(&database_url()).schema(&schema.name);
        for builder in [builder(), builder().without_migration()] {
            check(&builder.await.unwrap()).await;
        }
        let levels = "SELECT version, level FROM api_key_migrations";
        let levels: (i64, i64) = sqlx::query_as(levels).fetch_one(&schema.pool).await.unwrap();
        assert_eq!(levels, (1, 9), "nothing was migrated");
        // Until one needs more than this version knows.
        schema.run("INSERT INTO api_key_migrations VALUES (4, now(), 10)").await;
        let error = builder().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().downcast_ref();
        assert_eq!(source, Some(&TablesError::Newer(10, 3)));
    })
    .await;
}

impl Schema {
    /// Makes the tables of version 1.
    async fn make_version_1(&self) {
        let quoted = format!("\"{}\"", self.name.replace('"', "\"\""));
        let tables = include_str!("sql/version_1.postgres.sql");
        let in_text = format!("'{}.", quoted.replace('\'', "''"));
        let tables = tables.replace("'public.", &in_text);
        let tables = tables.replace("public.", &format!("{quoted}."));
        self.run(format!("CREATE SCHEMA {quoted}; {tables}")).await;
    }
}

impl Old for Schema {
    async fn change(&self, sql: String) -> u64 {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await.unwrap().rows_affected()
    }

    async fn text(&self, sql: String) -> Option<String> {
        // Prepared once, as a node does.
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_optional(&self.pool).await.unwrap()
    }

    fn digest(&self, digest: &KeyDigest) -> String {
        format!("'\\x{digest}'::bytea")
    }

    fn time(&self, microseconds: i64) -> String {
        format!("'epoch'::timestamptz + {microseconds} * interval '1 microsecond'")
    }

    fn texts(&self, texts: &[&str]) -> String {
        format!("'{{{}}}'", texts.join(","))
    }

    fn flag(&self, flag: bool) -> String {
        flag.to_string()
    }

    fn note(&self, id: &str, microseconds: i64) -> String {
        let time = self.time(microseconds);
        format!(
            "WITH used AS (SELECT * FROM unnest(ARRAY['{id}'], ARRAY[{time}]) \
             AS used (key_id, at)), \
             known AS (SELECT id FROM api_keys WHERE id IN (SELECT key_id FROM used) \
             ORDER BY id FOR KEY SHARE) \
             INSERT INTO api_key_uses AS noted (key_id, last_used_at) \
             SELECT id, max(at) FROM known JOIN used ON key_id = id GROUP BY id ORDER BY id \
             ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at \
             WHERE excluded.last_used_at > noted.last_used_at"
        )
    }
}

/// The digest of a key in the tables of version 1.
const NIGHTLY_IMPORT: &str = "7944b405cf882b585259a40303d110d9e73df8197dec7e8fd3ae33aef2ccde49";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn tables_of_version_1_are_migrated_and_nodes_of_both_versions_use_them_at_once() {
    with_schema(async |schema| {
        schema.make_version_1().await;
        let builder = PostgresStore::connect(&database_url()).schema(&schema.name);
        let error = builder.without_migration().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().downcast_ref();
        assert_eq!(source, Some(&TablesError::Older(1, 3)));
        // A node that runs has read, and goes on to read, while another migrates.
        let digest = NIGHTLY_IMPORT.parse().unwrap();
        assert_eq!(schema.find(&digest).await.as_deref(), Some("nightly import"));
        let keys = schema.connect().await;
        assert_eq!(schema.find(&digest).await.as_deref(), Some("nightly import"));
        version_1::check_keys(&keys).await;
        version_1::check_both(&keys, schema).await;
        check(&keys).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn migrated_tables_are_like_new_ones() {
    let mut columns = Vec::new();
    for version_1 in [true, false] {
        with_schema(async |schema| {
            if version_1 {
                schema.make_version_1().await;
            }
            schema.connect().await;
            let all = "SELECT concat_ws(' ', table_name, column_name, data_type, collation_name, \
                       is_nullable, column_default, is_identity) \
                       FROM information_schema.columns WHERE table_schema = $1 \
                       UNION SELECT concat_ws(' ', event_object_table, trigger_name, \
                       event_manipulation, action_timing) \
                       FROM information_schema.triggers WHERE trigger_schema = $1 \
                       UNION SELECT replace(indexdef, quote_ident($1), '') \
                       FROM pg_indexes WHERE schemaname = $1 ORDER BY 1";
            let all = sqlx::query_scalar(all).bind(&schema.name).fetch_all(&schema.pool);
            let all: Vec<String> = all.await.unwrap();
            columns.push(all);
        })
        .await;
    }
    assert!(columns[0].len() > 40, "{columns:?}");
    assert_eq!(columns[0], columns[1]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_migration_that_has_to_wait_lets_requests_go_first() {
    with_schema(async |schema| {
        schema.make_version_1().await;
        // As a backup does.
        let mut backup = schema.pool.begin().await.unwrap();
        let read = "SELECT count(*) FROM api_keys";
        let _: i64 = sqlx::query_scalar(read).fetch_one(&mut *backup).await.unwrap();
        let migrated = AtomicBool::new(false);
        let migrate = async {
            schema.connect().await;
            migrated.store(true, Ordering::SeqCst);
        };
        let requests = async {
            let digest = NIGHTLY_IMPORT.parse().unwrap();
            for _ in 0..30 {
                // As long as a layer waits.
                let find = tokio::time::timeout(Duration::from_secs(5), schema.find(&digest));
                assert_eq!(find.await.unwrap().as_deref(), Some("nightly import"));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            assert!(!migrated.load(Ordering::SeqCst));
            backup.rollback().await.unwrap();
        };
        in_time(async { tokio::join!(migrate, requests) }).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_migrated_database_needs_no_right_to_change_its_tables() {
    with_schema(async |schema| {
        let builder = || PostgresStore::connect(&database_url()).schema(&schema.name);
        let error = builder().without_migration().await.unwrap_err().to_string();
        assert!(error.contains("version 0") && error.contains("version 3 is needed"), "{error}");
        schema.connect().await;
        let (role, quoted) =
            (format!("app_{}", std::process::id()), schema.name.replace('"', "\"\""));
        schema
            .run(format!(
                "CREATE ROLE {role}; GRANT USAGE ON SCHEMA \"{quoted}\" TO {role}; \
                 GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"{quoted}\" TO {role}"
            ))
            .await;
        let set = format!("SET ROLE {role}");
        let pool = PgPoolOptions::new().after_connect(move |connection, _| {
            let set = AssertSqlSafe(set.clone());
            Box::pin(async move { sqlx::raw_sql(set).execute(connection).await.map(drop) })
        });
        let pool = pool.connect(&database_url()).await.unwrap();
        let builder = || PostgresStore::from_pool(pool.clone()).schema(&schema.name);
        for builder in [builder(), builder().without_migration()] {
            let keys = builder.await.unwrap();
            let record = inserted(&keys).await;
            keys.record_uses(&[KeyUse::new(record.id().clone(), at(7))]).await.unwrap();
            let rename = replace(&record, |record| record.set_name(format!("{}!", record.name())));
            keys.commit(&[rename], &[event(Some(&record), None)]).await.unwrap();
            keys.commit(&[remove(&got(&keys, &record).await)], &[]).await.unwrap();
        }
        assert!(builder().table_prefix("other_").await.is_err());
        pool.close().await;
        schema.run(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn names_that_are_none_are_refused_before_anything_is_sent() {
    let nowhere = "postgres://app:hush-hush@127.0.0.1:1/app";
    for (schema, prefix, reason) in
        [("", "", "a schema has"), ("a\0", "", "a schema has"), ("a", "a-b", "a table prefix has")]
    {
        let builder = PostgresStore::connect(nowhere).schema(schema).table_prefix(prefix);
        let error = builder.await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    // Whatever is wrong with the URL, its password is not told.
    let urls = [
        nowhere,
        "postgres://app:hush-hush@[::1/app",
        "postgres://app:hush-hush@h:99999/a",
        "postgres://app:hush-hush@127.0.0.1/app?sslmode=odd",
        "postgres:hush-hush",
    ];
    for url in urls {
        let builder = PostgresStore::connect(url);
        let shown = format!("{builder:?}");
        let error = in_time(builder.into_future()).await.unwrap_err();
        let shown = format!("{shown} {error} {error:?}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_revocation_by_plain_sql_is_not_lost() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        let revoke = "UPDATE api_keys SET revoked_at = '2023-11-14T22:13:20Z'";
        for script in [
            revoke.to_owned(),
            format!("{revoke}, revision = 0"),
            format!("DROP TRIGGER api_keys_raise_revision ON api_keys; {revoke}"),
        ] {
            let record = inserted(&keys).await;
            let update = replace(&record, |record| record.set_name(format!("{}!", record.name())));
            // While a commit waits for it.
            let mut plain = schema.pool.begin().await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(script.clone())).execute(&mut *plain).await.unwrap();
            let commit = tokio::spawn({
                let keys = keys.clone();
                async move { keys.commit(&[update], &[]).await }
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            plain.commit().await.unwrap();
            let error = in_time(commit).await.unwrap().unwrap_err();
            assert!(matches!(error, CommitError::Conflict), "{script}: {error}");
            let revoked = got(&keys, &record).await;
            assert_eq!(revoked.revoked_at(), Some(at(1_700_000_000_000_000)));
            assert_eq!(revoked.revision(), u64::from(!script.starts_with("DROP")), "{script}");
            schema.run("DELETE FROM api_keys").await;
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_row_that_cannot_be_read_is_no_missing_key() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        let (server, record) = Server::start(&keys).await;
        let checks = "ALTER TABLE api_keys DROP CONSTRAINT api_keys_digest_check, \
                      DROP CONSTRAINT api_keys_expires_at_check, \
                      DROP CONSTRAINT api_keys_revoked_at_check";
        schema.run(checks).await;
        for (column, value) in [
            ("restrictions", r#"'{"adresses":["10.0.0.0/8"]}'"#),
            ("restrictions", r#"'{"addresses":["10.0.0.1/8"]}'"#),
            ("restrictions", "'null'"),
            ("abilities", "'{admin:}'"),
            ("abilities", "'{NULL}'"),
            ("limits", r#"'["1 per month"]'"#),
            ("metadata", "'[]'"),
            ("kind", "'PUBLIC'"),
            ("tenant", "''"),
            ("stage", "'a b'"),
            ("created_at", "'1969-12-31'"),
            ("expires_at", "'infinity'"),
            ("revoked_at", "'-infinity'"),
            ("revoked_at", "'10000-01-01T00:00:01Z'"),
        ] {
            server.assert_kind(200, None).await;
            let copy = "CREATE TABLE copy AS SELECT * FROM api_keys";
            schema.run(format!("{copy}; UPDATE api_keys SET {column} = {value}")).await;
            let error = keys.find(&record.digest()).await.unwrap_err().to_string();
            assert!(error.contains(column), "{error}");
            assert!(keys.get(record.id()).await.is_err());
            assert!(keys.list(&KeyQuery::new()).await.is_err());
            server.assert_kind(503, Some("unavailable")).await;
            let back = "DELETE FROM api_keys; INSERT INTO api_keys SELECT * FROM copy";
            schema.run(format!("{back}; DROP TABLE copy")).await;
        }
        schema.run("UPDATE api_keys SET digest = '\\x00'").await;
        let error = keys.get(record.id()).await.unwrap_err().to_string();
        assert!(error.contains("`digest`"), "{error}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn ids_are_ordered_by_their_bytes_whatever_the_locale() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        let mut ids = ["key_a", "key_B", "key_-", "key_1", "key_.", "KEY_a", "key__"];
        for id in ids {
            let record = with_id(&record(), &id.parse().unwrap());
            keys.commit(&[insert(&record)], &[]).await.unwrap();
        }
        ids.sort_unstable_by(|one, other| other.cmp(one));
        let (mut query, mut listed) = (KeyQuery::new().limit(1), Vec::new());
        loop {
            let page = keys.list(&query).await.unwrap();
            listed.push(page.keys[0].record.id().to_string());
            let Some(next) = page.next else { break };
            query = query.after(next);
        }
        assert_eq!(listed, ids);
        let collation = "SELECT count(*) FROM information_schema.columns WHERE collation_name = 'C' \
                         AND table_schema = $1 AND column_name IN ('id', 'tenant', 'key_id')";
        let collated: i64 =
            sqlx::query_scalar(collation).bind(&schema.name).fetch_one(&schema.pool).await.unwrap();
        assert_eq!(collated, 10);
    })
    .await;
}

async fn payload(listener: &mut PgListener) -> String {
    in_time(listener.recv()).await.unwrap().payload().to_owned()
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn every_change_of_a_key_is_notified_and_nothing_else() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        let mut listener = PgListener::connect(&database_url()).await.unwrap();
        listener.listen(&format!("{}.api_keys", schema.name)).await.unwrap();
        let record = record();
        let mut expected = Vec::new();
        keys.commit(&[insert(&record)], &[event(None, Some(&record))]).await.unwrap();
        expected.push(record.digest().to_string());
        let change = replace(&record, |record| record.set_disabled(true));
        keys.commit(std::slice::from_ref(&change), &[]).await.unwrap();
        expected.push(record.digest().to_string());
        assert!(keys.commit(&[change], &[]).await.is_err());
        keys.record_uses(&[KeyUse::new(record.id().clone(), at(7))]).await.unwrap();
        keys.commit(&[KeyChange::Require(got(&keys, &record).await.into())], &[]).await.unwrap();
        schema.run("UPDATE api_keys SET name = 'plain'").await;
        expected.push(record.digest().to_string());
        // As a replication writes.
        let mut replica = schema.pool.acquire().await.unwrap();
        let script = "SET session_replication_role = replica; UPDATE api_keys SET name = 'copied'; \
                      RESET session_replication_role";
        sqlx::raw_sql(script).execute(&mut *replica).await.unwrap();
        drop(replica);
        expected.push(record.digest().to_string());
        let other = "01".repeat(32);
        schema.run(format!("UPDATE api_keys SET digest = '\\x{other}'")).await;
        expected.extend([record.digest().to_string(), other.clone()]);
        schema.run("DELETE FROM api_keys").await;
        expected.push(other);
        schema.run("TRUNCATE api_keys CASCADE").await;
        expected.push("*".to_owned());
        for expected in expected {
            assert_eq!(payload(&mut listener).await, expected);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_channel_with_a_long_name_is_hashed() {
    with_schema(async |schema| {
        let prefix = "x".repeat(32);
        let builder = PostgresStore::connect(&database_url()).schema(&schema.name);
        let keys = builder.table_prefix(&prefix).await.unwrap();
        let name = format!("{}.{prefix}api_keys", schema.name);
        assert!(name.len() > 63, "{name}");
        let hash = "SELECT 'api_keys.' || left(encode(sha256($1::text::bytea), 'hex'), 32)";
        let channel: String =
            sqlx::query_scalar(hash).bind(name).fetch_one(&schema.pool).await.unwrap();
        let mut listener = PgListener::connect(&database_url()).await.unwrap();
        listener.listen(&channel).await.unwrap();
        let record = inserted(&keys).await;
        assert_eq!(payload(&mut listener).await, record.digest().to_string());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn those_who_note_uses_and_those_who_remove_keys_do_not_lock_each_other_out() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        for _ in 0..10 {
            let mut records = Vec::new();
            for _ in 0..20 {
                records.push(inserted(&keys).await);
            }
            let mut tasks = Vec::new();
            for round in 0..6_u64 {
                let mut uses: Vec<_> = records
                    .iter()
                    .map(|record| KeyUse::new(record.id().clone(), at(round)))
                    .collect();
                if round % 2 == 0 {
                    uses.reverse();
                }
                let keys = keys.clone();
                tasks.push(tokio::spawn(async move { keys.record_uses(&uses).await.unwrap() }));
            }
            for order in [false, true] {
                let mut half: Vec<_> =
                    records.iter().skip(usize::from(order)).step_by(2).map(remove).collect();
                if order {
                    half.reverse();
                }
                let keys = keys.clone();
                tasks.push(tokio::spawn(async move { keys.commit(&half, &[]).await.unwrap() }));
            }
            for task in tasks {
                in_time(task).await.unwrap();
            }
            assert_eq!(schema.count("api_key_uses").await, 0);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn two_commits_that_lock_each_other_out_are_settled() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        for _ in 0..3 {
            let (one, other) = (inserted(&keys).await, inserted(&keys).await);
            let rename = |record: &_| {
                replace(record, |record| record.set_name(format!("{}!", record.name())))
            };
            let mut plain = schema.pool.begin().await.unwrap();
            let lock = "SELECT 1 FROM api_keys WHERE id = $1 FOR UPDATE";
            sqlx::query(lock).bind(other.id().as_str()).execute(&mut *plain).await.unwrap();
            let commit = tokio::spawn({
                let (keys, changes) = (keys.clone(), [rename(&one), rename(&other)]);
                async move { keys.commit(&changes, &[]).await }
            });
            tokio::time::sleep(Duration::from_millis(100)).await;
            // Waits for the commit, which waits for this: the server gives one of them up.
            let both = sqlx::query(lock).bind(one.id().as_str()).execute(&mut *plain).await;
            drop(both);
            let _ = plain.rollback().await;
            in_time(commit).await.unwrap().unwrap();
            assert_eq!(got(&keys, &other).await.name(), "a key!");
        }
    })
    .await;
}

/// Those who lock a row for sharing let each other pass, and whoever changes it waits for all of
/// them for as long as they come.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_key_that_is_required_is_locked_by_one_at_a_time_and_can_be_noted_as_used() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        let other = inserted(&keys).await;
        let rename =
            |record: &_| replace(record, |record| record.set_name(format!("{}!", record.name())));
        for with_another in [false, true] {
            let owner = inserted(&keys).await;
            let mut changes = vec![KeyChange::Require(Arc::new(owner.clone()))];
            if with_another {
                changes.push(rename(&other));
            }
            let id = owner.id().clone();
            let shared = async |mode: &str| {
                let mut plain = schema.pool.begin().await.unwrap();
                let lock = AssertSqlSafe(format!("SELECT 1 FROM api_keys WHERE id = $1 {mode}"));
                sqlx::query(lock).bind(id.as_str()).execute(&mut *plain).await.unwrap();
                plain
            };
            let sharer = shared("FOR SHARE").await;
            let commit = tokio::spawn({
                let keys = keys.clone();
                async move { keys.commit(&changes, &[]).await }
            });
            let own = schema.name.replace('"', "\"\"");
            in_time(async {
                let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                             AND query LIKE '%' || $1 || '%' AND query LIKE '% FOR NO KEY UPDATE'";
                while sqlx::query_scalar::<_, i64>(waits)
                    .bind(&own)
                    .fetch_one(&schema.pool)
                    .await
                    .unwrap()
                    == 0
                {
                    assert!(!commit.is_finished(), "the row was shared");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            })
            .await;
            // Nobody waits for the commit who only notes a use, nor the commit for them.
            in_time(keys.record_uses(&[KeyUse::new(id.clone(), at(7))])).await.unwrap();
            let noting = shared("FOR KEY SHARE").await;
            sharer.rollback().await.unwrap();
            in_time(commit).await.unwrap().unwrap();
            noting.rollback().await.unwrap();
        }
        assert_eq!(got(&keys, &other).await.name(), "a key!");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn connections_that_the_server_closed_are_replaced() {
    with_schema(async |schema| {
        let keys = schema.connect().await;
        let record = inserted(&keys).await;
        for _ in 0..3 {
            let digest = record.digest();
            let finds = (0..8).map(|_| keys.find(&digest));
            for found in futures_util::future::join_all(finds).await {
                assert_eq!(found.unwrap().as_deref(), Some(&record));
            }
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE application_name = 'tower-api-key' AND query LIKE '%' || $1 || '%'";
            let own = schema.name.replace('"', "\"\"");
            sqlx::query(end).bind(own).execute(&schema.pool).await.unwrap();
        }
        assert_eq!(keys.find(&record.digest()).await.unwrap().as_deref(), Some(&record));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_connection_whose_server_is_silent_does_not_keep_its_place() {
    with_schema(async |schema| {
        let pool = PgPoolOptions::new().max_connections(1).connect(&database_url()).await.unwrap();
        let keys = PostgresStore::from_pool(pool.clone()).schema(&schema.name).await.unwrap();
        let record = inserted(&keys).await;
        let mut lock = schema.pool.begin().await.unwrap();
        sqlx::raw_sql("LOCK TABLE api_keys").execute(&mut *lock).await.unwrap();
        let digest = record.digest();
        let waiting = tokio::time::timeout(Duration::from_millis(100), keys.find(&digest));
        assert!(waiting.await.is_err(), "the table is locked");
        // The lock is still held: what answers is another connection.
        let one: i32 = in_time(sqlx::query_scalar("SELECT 1").fetch_one(&pool)).await.unwrap();
        assert_eq!(one, 1);
        lock.rollback().await.unwrap();
        assert_eq!(keys.find(&record.digest()).await.unwrap().as_deref(), Some(&record));
    })
    .await;
}
