//! The triggers that notify of changes: checked and mended when a store connects. And what has every
//! node forget what it knows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tower_api_key::store::{Invalidation, InvalidationSource as _};
use tower_api_key::{CachedStore, KeyManager, KeyRepository, KeyStore as _, NewKey, PostgresStore};

use crate::common::in_time;
use crate::common::servers::database_url;
use crate::postgres_replication::{pool, run};

/// Tables of a test's own.
struct Tables {
    schema: String,
    sql: PgPool,
}

impl Tables {
    async fn make() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let schema = format!("triggers_{}_{number}", std::process::id());
        let tables = Self { schema, sql: pool(&database_url()).await };
        tables.connect().await.unwrap();
        tables
    }

    async fn connect(&self) -> Result<PostgresStore, tower_api_key::StoreError> {
        PostgresStore::connect(&database_url()).schema(&self.schema).table_prefix("Acme_").await
    }

    async fn connect_without_migration(&self) -> Result<PostgresStore, tower_api_key::StoreError> {
        let builder = PostgresStore::connect(&database_url()).schema(&self.schema);
        builder.table_prefix("Acme_").without_migration().await
    }

    async fn alter(&self, what: &str) {
        run(&self.sql, &format!("ALTER TABLE \"{}\".\"Acme_api_keys\" {what}", self.schema)).await;
    }

    async fn ends(self) {
        run(&self.sql, &format!("DROP SCHEMA \"{}\" CASCADE", self.schema)).await;
    }
}

/// Changes a key as a replication does, and tells whether that is notified of.
async fn replicates_aloud(tables: &Tables, store: &PostgresStore) {
    let keys = KeyManager::new(store.clone());
    let record = keys.issue(NewKey::named("robot")).await.unwrap().record;
    let mut subscription = store.invalidations().subscribe().await.unwrap();
    let replicated = format!(
        "BEGIN; SET LOCAL session_replication_role = replica; \
         UPDATE \"{}\".\"Acme_api_keys\" SET disabled = true WHERE id = '{}'; COMMIT",
        tables.schema,
        record.id()
    );
    run(&tables.sql, &replicated).await;
    let heard = in_time(subscription.next()).await.unwrap();
    assert_eq!(heard, Invalidation::Key(record.digest()));
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn triggers_that_a_restore_left_ordinary_or_disabled_are_mended_or_named() {
    for (fault, state, name) in [
        // As `pg_restore --data-only --disable-triggers` does.
        ("DISABLE TRIGGER ALL, ENABLE TRIGGER ALL", "replication writes", "Acme_api_keys_notify"),
        ("DISABLE TRIGGER ALL", "is disabled", "Acme_api_keys_notify"),
        (
            "ENABLE TRIGGER \"Acme_api_keys_notify_all\"",
            "replication writes",
            "Acme_api_keys_notify_all",
        ),
        ("DISABLE TRIGGER \"Acme_api_keys_raise_revision\"", "is disabled", "raise_revision"),
        ("ENABLE REPLICA TRIGGER \"Acme_api_keys_notify\"", "replication writes", "notify"),
    ] {
        let tables = Tables::make().await;
        tables.alter(fault).await;
        let error = tables.connect_without_migration().await.unwrap_err().to_string();
        for part in [state, name, "ENABLE ALWAYS TRIGGER", "`api-keys init`"] {
            assert!(error.contains(part), "{fault}: {error}");
        }
        // As `api-keys init` does.
        replicates_aloud(&tables, &tables.connect().await.unwrap()).await;
        tables.connect_without_migration().await.unwrap();
        tables.ends().await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn triggers_that_are_missing_are_made_again() {
    let tables = Tables::make().await;
    for name in ["api_keys_notify", "api_keys_notify_all", "api_keys_raise_revision"] {
        let table = format!("\"{}\".\"Acme_api_keys\"", tables.schema);
        run(&tables.sql, &format!("DROP TRIGGER \"Acme_{name}\" ON {table}")).await;
        let error = tables.connect_without_migration().await.unwrap_err().to_string();
        assert!(error.contains("is missing") && error.contains("CREATE TRIGGER"), "{error}");
        // What it says is what helps.
        let cure = error.split('`').nth(3).unwrap();
        run(&tables.sql, cure).await;
        tables.connect_without_migration().await.unwrap();
        run(&tables.sql, &format!("DROP TRIGGER \"Acme_{name}\" ON {table}")).await;
        replicates_aloud(&tables, &tables.connect().await.unwrap()).await;
    }
    tables.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn every_node_forgets_what_it_knows_when_it_is_told_to() {
    let tables = Tables::make().await;
    let cache = async || {
        let store = tables.connect().await.unwrap();
        let cached = CachedStore::builder(store.clone()).invalidated_by(store.invalidations());
        let cached = cached.heartbeat(Duration::from_millis(200)).build();
        in_time(async {
            while !cached.is_live() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        cached
    };
    let (here, there) = (cache().await, cache().await);
    let key = KeyManager::new(here.clone()).issue(NewKey::named("robot")).await.unwrap().record;
    // As an operator's program does, which has no cache; and as a node does.
    let operator = tables.connect().await.unwrap();
    let tellers: [&dyn KeyRepository; 2] = [&operator, &here];
    for teller in tellers {
        for node in [&here, &there] {
            node.find(&key.digest()).await.unwrap().unwrap();
            assert!(node.find_now(&key.digest()).answer().is_some());
        }
        teller.invalidate_everywhere().await.unwrap();
        for node in [&here, &there] {
            let forgets = async {
                while node.find_now(&key.digest()).answer().is_some() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            in_time(forgets).await;
            assert!(node.is_live());
        }
    }
    drop((here, there, operator));
    tables.ends().await;
}
