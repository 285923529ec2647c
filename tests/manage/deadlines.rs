//! Calls of a manager while the database hangs: they end in time, and leave nothing half done.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use http::request::Parts;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Postgres, SqlitePool, Transaction};
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoutes, Refused};
use tower_api_key::store::{KeyChange, KeyQuery};
use tower_api_key::{
    AbilitySet, CachedStore, KeyId, KeyManager, KeyRecord, KeyRepository, KeyUpdate, ManageError,
    NewKey, PostgresStore, RedisStore, SqliteStore,
};

use crate::common::caching::next;
use crate::common::servers::{Redis, database_url};
use crate::common::{in_time, send_raw, serve};

const SHORT: Duration = Duration::from_millis(300);
const GRACE: Duration = Duration::from_secs(3600);

fn manager(store: impl KeyRepository + 'static) -> KeyManager {
    KeyManager::new(store).deadline(SHORT)
}

/// Returns a manager for calls that succeed, however slow the machine is.
fn patient(keys: &KeyManager) -> KeyManager {
    keys.clone().deadline(GRACE)
}

async fn issue(keys: &KeyManager) -> Arc<KeyRecord> {
    in_time(patient(keys).issue(NewKey::named("a key").tenant("acme"))).await.unwrap().record
}

/// Asserts that a call ends because of its deadline.
async fn assert_late<T: Debug>(call: impl Future<Output = Result<T, ManageError>>) {
    let result = in_time(call).await;
    assert!(matches!(result, Err(ManageError::Deadline(SHORT))), "{result:?}");
}

/// Asserts that no change of a key can be made, and that all calls say so in time.
async fn assert_changes_late(keys: &KeyManager, id: &KeyId) {
    assert_late(keys.update(id, &KeyUpdate::new().name("too late"))).await;
    assert_late(keys.disable(id)).await;
    assert_late(keys.rotate(id, GRACE)).await;
    assert_late(keys.revoke(id)).await;
    assert_late(keys.revoke_with_successors(id)).await;

    let owner = |_: &mut Parts, _: &KeyAction| {
        let everything: AbilitySet = ["*"].try_into().unwrap();
        Ok::<_, Refused>(Owner::of_tenant("acme".parse().unwrap(), everything, "alice"))
    };
    let routes = KeyRoutes::new(keys.clone(), owner);
    let address = serve(Router::new().merge(routes.into_router())).await;
    let answer = in_time(send_raw(address, format!("DELETE /api-keys/{id} HTTP/1.1"))).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
}

async fn assert_reads_late(keys: &KeyManager, id: &KeyId) {
    assert_late(keys.get(id)).await;
    assert_late(keys.list(&KeyQuery::new())).await;
    assert_late(keys.prune(SystemTime::now())).await;
    assert_late(keys.revoke_presented("sk_unknown")).await;
}

/// Waits until the database answers again, and asserts that each rotation of `old` was made as a
/// whole or not at all.
async fn assert_whole(keys: &KeyManager, old: &KeyId) {
    let keys = patient(keys);
    // Comes after what is still on its way.
    in_time(keys.revoke(old)).await.unwrap();
    let page = in_time(keys.list(&KeyQuery::new())).await.unwrap();
    let records: HashMap<_, _> =
        page.keys.iter().map(|key| (key.record.id().clone(), &key.record)).collect();
    let old = records[old];
    assert!(old.revoked_at().is_some());
    assert_eq!(records.len(), 1 + usize::from(old.successor().is_some()), "{records:?}");
    assert!(old.successor().is_none_or(|id| records.contains_key(id)), "{records:?}");
}

/// A schema of a test's own in PostgreSQL.
struct Schema {
    pool: PgPool,
    name: String,
}

impl Schema {
    async fn new(name: &str) -> (Self, PostgresStore) {
        let name = format!("deadlines_{name}_{}", std::process::id());
        let store = PostgresStore::connect(&database_url()).schema(&name).await.unwrap();
        (Self { pool: PgPool::connect(&database_url()).await.unwrap(), name }, store)
    }

    /// Takes a lock in a transaction, which keeps it.
    async fn lock(&self, script: String) -> Transaction<'static, Postgres> {
        let mut lock = self.pool.begin().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut *lock).await.unwrap();
        lock
    }

    async fn lock_row(&self, id: &KeyId) -> Transaction<'static, Postgres> {
        self.lock(format!("SELECT FROM {}.api_keys WHERE id = '{id}' FOR UPDATE", self.name)).await
    }

    async fn drop(self) {
        let drop = AssertSqlSafe(format!("DROP SCHEMA {} CASCADE", self.name));
        sqlx::raw_sql(drop).execute(&self.pool).await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_row_that_is_locked_in_postgres_is_waited_for_until_the_deadline() {
    let (schema, store) = Schema::new("row").await;
    let keys = manager(store);
    let [other, locked] = [issue(&keys).await, issue(&keys).await];
    let lock = schema.lock_row(locked.id()).await;
    assert_changes_late(&keys, locked.id()).await;
    assert_eq!(
        in_time(patient(&keys).get(locked.id())).await.unwrap().record,
        locked,
        "it can be read"
    );
    in_time(patient(&keys).revoke(other.id())).await.unwrap();
    assert_eq!(in_time(patient(&keys).prune(SystemTime::now())).await.unwrap(), 1);
    lock.rollback().await.unwrap();
    let after = in_time(patient(&keys).get(locked.id())).await.unwrap().record;
    assert_eq!(after, locked, "nothing was changed");
    assert_whole(&keys, locked.id()).await;
    schema.drop().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_table_that_is_locked_in_postgres_is_waited_for_until_the_deadline() {
    let (schema, store) = Schema::new("table").await;
    let keys = manager(store);
    let key = issue(&keys).await;
    let lock = schema.lock(format!("LOCK TABLE {}.api_keys", schema.name)).await;
    assert_late(keys.issue(NewKey::named("too late"))).await;
    assert_reads_late(&keys, key.id()).await;
    assert_changes_late(&keys, key.id()).await;
    lock.rollback().await.unwrap();
    assert_whole(&keys, key.id()).await;
    schema.drop().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_commit_that_a_cache_does_not_drop_is_whole_too() {
    let (schema, store) = Schema::new("cached").await;
    let keys = manager(CachedStore::new(store));
    for _ in 0..3 {
        let key = issue(&keys).await;
        let lock = schema.lock_row(key.id()).await;
        assert_late(keys.rotate(key.id(), GRACE)).await;
        lock.rollback().await.unwrap();
        assert_whole(&keys, key.id()).await;
        let delete = AssertSqlSafe(format!("DELETE FROM {}.api_keys", schema.name));
        sqlx::raw_sql(delete).execute(&schema.pool).await.unwrap();
    }
    schema.drop().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn postgres_itself_gives_up_a_change_that_waits_for_a_lock() {
    let (schema, store) = Schema::new("server").await;
    let key = issue(&KeyManager::new(store.clone())).await;
    let change = [KeyChange::Replace(next(&key, |next| next.set_disabled(true)))];
    let lock = schema.lock_row(key.id()).await;
    let error = in_time(store.commit(&change, &[])).await.unwrap_err().to_string();
    assert!(error.contains("lock timeout"), "{error}");

    // A shorter limit stays.
    let options: PgConnectOptions = database_url().parse().unwrap();
    let pool = PgPoolOptions::new().connect_lazy_with(options.options([("lock_timeout", "50ms")]));
    let hasty = PostgresStore::from_pool(pool).schema(&schema.name).await.unwrap();
    let commit = tokio::time::timeout(Duration::from_secs(4), hasty.commit(&change, &[]));
    let error = commit.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("lock timeout"), "{error}");

    lock.rollback().await.unwrap();
    assert_eq!(store.get(key.id()).await.unwrap().unwrap().record, key, "nothing was changed");
    in_time(hasty.commit(&change, &[])).await.unwrap();
    schema.drop().await;
}

#[tokio::test]
async fn another_process_that_writes_to_sqlite_is_waited_for_until_the_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.db");
    let keys = manager(SqliteStore::open(&file).await.unwrap());
    let key = issue(&keys).await;
    let other = SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap();
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    assert_late(keys.issue(NewKey::named("too late"))).await;
    assert_changes_late(&keys, key.id()).await;
    assert_eq!(in_time(patient(&keys).get(key.id())).await.unwrap().record, key, "it can be read");
    lock.rollback().await.unwrap();
    assert_whole(&keys, key.id()).await;
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_redis_that_hangs_is_waited_for_until_the_deadline() {
    let redis = Redis::start().await;
    let keys = manager(RedisStore::connect(&redis.url()).await.unwrap());
    let key = issue(&keys).await;
    redis.pause().await;
    assert_late(keys.issue(NewKey::named("too late"))).await;
    assert_reads_late(&keys, key.id()).await;
    assert_changes_late(&keys, key.id()).await;
    redis.resume();
    assert_whole(&keys, key.id()).await;
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_redis_that_makes_changes_later_makes_them_as_a_whole() {
    let redis = Redis::start().await;
    let keys = manager(RedisStore::connect(&redis.url()).await.unwrap());
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let key = issue(&keys).await;
    let pause = ["PAUSE", "60000", "WRITE"];
    redis::cmd("CLIENT").arg(&pause).query_async::<()>(&mut connection).await.unwrap();
    // The script is on its way, and the server runs it when it goes on.
    assert_late(keys.rotate(key.id(), GRACE)).await;
    redis::cmd("CLIENT").arg("UNPAUSE").query_async::<()>(&mut connection).await.unwrap();
    assert_whole(&keys, key.id()).await;
}
