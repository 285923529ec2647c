//! Each of the stores, and a cache in front of one.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use sqlx::{AssertSqlSafe, PgPool};
use tower_api_key::store::RecordUses;
use tower_api_key::{
    CachedStore, KeyId, KeyRepository, MemoryStore, PostgresStore, RedisStore, SqliteStore,
};

/// What every store of the crate can do.
pub trait AnyStore: KeyRepository + RecordUses {}

impl<T: KeyRepository + RecordUses> AnyStore for T {}

pub type Store = Arc<dyn AnyStore>;

pub async fn over_memory<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    test(Arc::new(MemoryStore::new())).await;
}

pub async fn over_a_cache<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    test(Arc::new(CachedStore::new(MemoryStore::new()))).await;
}

pub async fn over_sqlite<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    let directory = tempfile::tempdir().unwrap();
    test(Arc::new(SqliteStore::open(directory.path().join("keys.db")).await.unwrap())).await;
}

/// Runs a test over PostgreSQL, in a schema that is dropped even if it fails.
#[cfg(unix)]
pub async fn over_postgres<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);

    let url = crate::common::servers::database_url();
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let schema = format!("stores_{}_{number}", std::process::id());
    let store = PostgresStore::connect(&url).schema(&schema).await.unwrap();
    let outcome = AssertUnwindSafe(test(Arc::new(store))).catch_unwind().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    sqlx::raw_sql(drop).execute(&pool).await.unwrap();
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Runs a test over Redis, under names of its own.
#[cfg(unix)]
pub async fn over_redis<F: Future<Output = ()>>(test: impl FnOnce(Store) -> F) {
    let prefix = format!("test:{}:", KeyId::generate().unwrap());
    let store = RedisStore::connect(&crate::common::servers::redis_url()).key_prefix(prefix);
    test(Arc::new(store.await.unwrap())).await;
}

/// Makes tests of functions that take a [`Store`], over each of them.
macro_rules! over_each_store {
    ($($name:ident)*) => {
        mod over_memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $crate::stores::over_memory(super::$name).await;
            })*
        }

        mod over_a_cache {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $crate::stores::over_a_cache(super::$name).await;
            })*
        }

        mod over_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                $crate::stores::over_sqlite(super::$name).await;
            })*
        }

        #[cfg(unix)]
        mod over_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: run tests/all"]
            async fn $name() {
                $crate::stores::over_postgres(super::$name).await;
            })*
        }

        #[cfg(unix)]
        mod over_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs Redis: run tests/all"]
            async fn $name() {
                $crate::stores::over_redis(super::$name).await;
            })*
        }
    };
}

pub(crate) use over_each_store;
