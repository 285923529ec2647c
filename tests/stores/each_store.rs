//! A store of its own for each model, of each kind.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::runtime::Runtime;
use tower_api_key::{KeyId, MemoryStore, PostgresStore, RedisStore, SqliteStore};

use crate::common::servers::{database_url, redis_url};

pub(crate) fn in_memory(check: impl FnOnce(&Runtime, &MemoryStore)) {
    check(&Runtime::new().unwrap(), &MemoryStore::new());
}

pub(crate) fn in_sqlite(check: impl FnOnce(&Runtime, &SqliteStore)) {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(async { SqliteStore::in_memory().await.unwrap() });
    check(&runtime, &store);
}

/// In a schema of this name, which is dropped afterwards.
pub(crate) fn in_postgres(name: &str, check: impl FnOnce(&Runtime, &PostgresStore)) {
    let runtime = Runtime::new().unwrap();
    let schema = format!("{name}_{}", std::process::id());
    let store = runtime
        .block_on(async { PostgresStore::connect(&database_url()).schema(&schema).await.unwrap() });
    let checked = catch_unwind(AssertUnwindSafe(|| check(&runtime, &store)));
    runtime.block_on(async {
        let pool = sqlx::PgPool::connect(&database_url()).await.unwrap();
        let drop = sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
        sqlx::raw_sql(drop).execute(&pool).await.unwrap();
    });
    checked.unwrap_or_else(|panic| resume_unwind(panic));
}

pub(crate) fn in_redis(name: &str, check: impl FnOnce(&Runtime, &RedisStore)) {
    let runtime = Runtime::new().unwrap();
    let store = runtime.block_on(async {
        let prefix = format!("{name}:{}:", KeyId::generate().unwrap());
        RedisStore::connect(&redis_url()).key_prefix(prefix).await.unwrap()
    });
    check(&runtime, &store);
}
