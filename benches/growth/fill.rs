//! Stores with many keys, filled by each database itself, and not one key after the other.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tower_api_key::store::{KeyUse, RecordUses as _};
use tower_api_key::{
    KeyDigest, KeyHasher, KeyId, KeyRecord, MemoryStore, PostgresStore, RedisStore, SqliteStore,
};

use super::Store;

/// Whose every other key is.
pub(crate) const BIG_TENANT: &str = "big";

/// When the first key was issued, in seconds.
const BEGIN: u64 = 1_700_000_000;

/// A store with so many keys.
pub(crate) struct Filled {
    pub(crate) name: &'static str,
    pub(crate) store: Store,
    clean_up: BoxFuture<'static, ()>,
}

impl Filled {
    pub(crate) const ALL: [fn(usize) -> BoxFuture<'static, Self>; 4] = [
        |keys| in_memory(keys).boxed(),
        |keys| in_sqlite(keys).boxed(),
        |keys| in_postgres(keys).boxed(),
        |keys| in_redis(keys).boxed(),
    ];

    pub(crate) async fn end(self) {
        drop(self.store);
        self.clean_up.await;
    }
}

pub(crate) fn issued_at(number: usize) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(BEGIN + number as u64)
}

pub(crate) fn digest(number: usize) -> KeyDigest {
    KeyHasher::sha256().digest(&number.to_string())
}

fn id(number: usize) -> KeyId {
    format!("key_{number:026}").parse().unwrap()
}

fn record(number: usize, keys: usize) -> KeyRecord {
    let name = if number == 0 { "needle".to_owned() } else { format!("key {number}") };
    let mut record = KeyRecord::new(id(number), digest(number), name, issued_at(number));
    let tenant = if number.is_multiple_of(2) {
        BIG_TENANT.to_owned()
    } else {
        format!("t{}", number % 1000)
    };
    record.set_tenant(Some(tenant.parse().unwrap()));
    record.set_stage(Some("live".parse().unwrap()));
    record.set_created_by(Some("alice".into()));
    record.set_disabled(number % 10_000 == 5000);
    record.set_expires_at((number % 10_000 == 4000).then(|| issued_at(number)));
    record.set_rotation_due_at((number % 10_000 == 3000).then(|| issued_at(keys)));
    record
}

async fn in_memory(keys: usize) -> Filled {
    let records = (0..keys).map(|number| record(number, keys));
    let store = MemoryStore::from_records(records).unwrap();
    let uses: Vec<_> =
        (0..keys).map(|number| KeyUse::new(id(number), issued_at(keys + 2))).collect();
    store.record_uses(&uses).await.unwrap();
    Filled { name: "memory", store: Arc::new(store), clean_up: async {}.boxed() }
}

const COLUMNS: &str = "id, digest, name, tenant, stage, created_by, created_at, disabled, expires_at, \
                       rotation_due_at";

async fn in_sqlite(keys: usize) -> Filled {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let options = SqliteConnectOptions::new().filename(&path);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    // It has no SHA-256 of its own.
    let fill = format!(
        "INSERT INTO api_keys ({COLUMNS})
         SELECT printf('key_%026d', n), digest, iif(n = 0, 'needle', 'key ' || n),
             iif(n % 2 = 0, '{BIG_TENANT}', 't' || n % 1000), 'live', 'name:alice',
             ({BEGIN} + n) * 1000000, n % 10000 = 5000,
             iif(n % 10000 = 4000, ({BEGIN} + n) * 1000000, NULL),
             iif(n % 10000 = 3000, ({BEGIN} + {keys}) * 1000000, NULL)
         FROM (SELECT key + $1 AS n, unhex(value) AS digest FROM json_each($2))"
    );
    let mut transaction = connection.begin().await.unwrap();
    let numbers: Vec<_> = (0..keys).collect();
    for numbers in numbers.chunks(10_000) {
        let digests: Vec<_> = numbers.iter().map(|number| digest(*number).to_string()).collect();
        let digests = serde_json::to_string(&digests).unwrap();
        let insert = sqlx::query(AssertSqlSafe(fill.clone())).bind(numbers[0] as i64).bind(digests);
        insert.execute(&mut *transaction).await.unwrap();
    }
    let uses = format!(
        "INSERT INTO api_key_uses SELECT id, ({BEGIN} + {keys} + 2) * 1000000 FROM api_keys"
    );
    sqlx::raw_sql(AssertSqlSafe(uses)).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    connection.close().await.unwrap();
    Filled { name: "SQLite", store: Arc::new(store), clean_up: async { drop(directory) }.boxed() }
}

async fn in_postgres(keys: usize) -> Filled {
    let url = std::env::var("DATABASE_URL").expect("run tests/servers, which starts the servers");
    let schema = format!("growth_{}_{keys}", std::process::id());
    let store = PostgresStore::connect(&url).schema(&schema).await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let fill = format!(
        "SET search_path = {schema};
         ALTER TABLE api_keys DISABLE TRIGGER USER;
         INSERT INTO api_keys ({COLUMNS})
         SELECT 'key_' || lpad(n::text, 26, '0'),
             sha256(n::text::bytea),
             CASE n WHEN 0 THEN 'needle' ELSE 'key ' || n END,
             CASE n % 2 WHEN 0 THEN '{BIG_TENANT}' ELSE 't' || n % 1000 END, 'live', 'name:alice',
             to_timestamp({BEGIN} + n), n % 10000 = 5000,
             CASE n % 10000 WHEN 4000 THEN to_timestamp({BEGIN} + n) END,
             CASE n % 10000 WHEN 3000 THEN to_timestamp({BEGIN} + {keys}) END
         FROM generate_series(0, {keys}::bigint - 1) AS n;
         INSERT INTO api_key_uses SELECT id, to_timestamp({BEGIN} + {keys} + 2) FROM api_keys;
         ALTER TABLE api_keys ENABLE TRIGGER USER;"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection).await.unwrap();
    for table in ["api_keys", "api_key_uses"] {
        let vacuum = AssertSqlSafe(format!("VACUUM ANALYZE {table}"));
        sqlx::raw_sql(vacuum).execute(&mut connection).await.unwrap();
    }
    let clean_up = async move {
        let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
        sqlx::raw_sql(drop).execute(&mut connection).await.unwrap();
    };
    Filled { name: "PostgreSQL", store: Arc::new(store), clean_up: clean_up.boxed() }
}

/// The names go with the server, which is a private one.
async fn in_redis(keys: usize) -> Filled {
    let url = std::env::var("REDIS_URL").expect("run tests/servers, which starts the servers");
    let prefix = format!("growth-{keys}:");
    let store = RedisStore::connect(&url).key_prefix(&*prefix).await.unwrap();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let used_at = (BEGIN + keys as u64 + 2) * 1_000_000;
    let numbers: Vec<_> = (0..keys).collect();
    for numbers in numbers.chunks(1000) {
        let mut pipe = redis::pipe();
        for &number in numbers {
            let record = record(number, keys);
            let (id, digest) = (record.id().as_str(), record.digest().to_string());
            let place = format!("{:020}.{id}", (BEGIN + number as u64) * 1_000_000);
            let json = serde_json::to_vec(&record).unwrap();
            pipe.cmd("SET").arg(format!("{prefix}key:{digest}")).arg(json).ignore();
            pipe.cmd("HSET").arg(format!("{prefix}ids")).arg(id).arg(digest).ignore();
            pipe.cmd("ZADD").arg(format!("{prefix}uses")).arg(used_at).arg(id).ignore();
            for index in ["all".to_owned(), format!("tenant:{}", record.tenant().unwrap())] {
                pipe.cmd("ZADD").arg(format!("{prefix}{index}")).arg(0).arg(&place).ignore();
            }
        }
        let () = pipe.query_async(&mut connection).await.unwrap();
    }
    Filled { name: "Redis", store: Arc::new(store), clean_up: async {}.boxed() }
}
