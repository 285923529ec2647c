//! What batches save: keys that are pruned and issued one a transaction, and many, in one run; and how the
//! time to note uses grows.
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench batches -- 2000` prints it for so many keys in SQLite
//! (a file in the present directory), PostgreSQL and Redis. "One" is what a manager does for one key; the
//! list that finds what is to be pruned is not counted there.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tower_api_key::store::{
    Actor, AuditAction, AuditEvent, EndedQuery, KeyChange, KeyUse, RecordUses,
};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    KeyManager, KeyRecord, KeyRepository, NewKey, PostgresStore, RedisStore, SqliteStore,
};

/// How many keys are issued one by one, of which there is nothing to learn from more.
const ISSUED_ALONE: usize = 500;

#[tokio::main]
async fn main() {
    let keys = std::env::args().filter_map(|argument| argument.parse().ok()).next();
    let keys: usize = keys.unwrap_or(2000);
    println!("{keys} keys, microseconds a key: one a transaction, in batches, and the ratio\n");
    let directory = tempfile::tempdir_in(".").unwrap();
    let store = SqliteStore::open(directory.path().join("keys.db")).await.unwrap();
    measure("SQLite", &store, keys).await;
    if let Ok(url) = std::env::var("DATABASE_URL") {
        let schema = format!("batches_{}", std::process::id());
        let store = PostgresStore::connect(&url).schema(schema).await.unwrap();
        measure("PostgreSQL", &store, keys).await;
    }
    if let Ok(url) = std::env::var("REDIS_URL") {
        let prefix = format!("{{batches-{}}}:", std::process::id());
        let store = RedisStore::connect(&url).key_prefix(prefix).await.unwrap();
        measure("Redis", &store, keys).await;
    }
}

async fn measure<S: KeyRepository + RecordUses + Clone + 'static>(
    name: &str,
    store: &S,
    count: usize,
) {
    let keys = KeyManager::new(store.clone()).deadline(Duration::from_secs(600));
    let named = |number| NewKey::named(format!("till {number}")).tenant("acme");
    let start = Instant::now();
    for number in 0..ISSUED_ALONE.min(count) {
        keys.issue(named(number)).await.unwrap();
    }
    let alone = start.elapsed() / u32::try_from(ISSUED_ALONE.min(count)).unwrap();
    let start = Instant::now();
    let issued = keys.issue_all((0..count).map(named)).await.unwrap();
    print(name, "issue", alone, each(start, count));

    let ids: Vec<_> = issued.iter().map(|key| key.record.id().clone()).collect();
    for part in [count / 4, count / 2, count] {
        let now = SystemTime::now();
        let uses: Vec<_> = ids[..part].iter().map(|id| KeyUse::new(id.clone(), now)).collect();
        let start = Instant::now();
        store.record_uses(&uses).await.unwrap();
        let time = start.elapsed();
        println!("{name:11} {:7} {part:6} uses {:10.1} ms", "note", time.as_secs_f64() * 1e3);
    }

    expire(&keys, count).await;
    let mut one_by_one: Vec<Arc<KeyRecord>> = Vec::new();
    let mut query = EndedQuery::before(SystemTime::now()).limit(1000);
    loop {
        let page = store.ended(&query).await.unwrap();
        one_by_one.extend(page.keys);
        let Some(next) = page.next else { break };
        query = query.after(next);
    }
    assert_eq!(one_by_one.len(), count);
    let start = Instant::now();
    for record in one_by_one {
        let (now, before) = (SystemTime::now(), Some(Arc::clone(&record)));
        let event = AuditEvent::new(now, Actor::System, AuditAction::Removed, before, None);
        store.commit(&[KeyChange::Remove(record)], &[event]).await.unwrap();
    }
    let alone = each(start, count);
    expire(&keys, count).await;
    let start = Instant::now();
    assert_eq!(keys.prune(SystemTime::now()).await.unwrap(), count);
    print(name, "prune", alone, each(start, count));
    let start = Instant::now();
    assert_eq!(keys.prune(SystemTime::now()).await.unwrap(), 0);
    println!("{name:11} prune nothing     {:10.1} ms\n", start.elapsed().as_secs_f64() * 1e3);
}

/// Issues keys that have expired, by a clock that is an hour late.
async fn expire(keys: &KeyManager, count: usize) {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let keys = keys.clone().clock(Arc::new(FakeClock::at(hour_ago)));
    let minute_later = hour_ago + Duration::from_secs(60);
    let expiring = |number| NewKey::named(format!("till {number}")).expires_at(minute_later);
    let issued = keys.issue_all((0..count).map(expiring)).await.unwrap();
    assert_eq!(issued.len(), count);
}

fn each(start: Instant, count: usize) -> Duration {
    start.elapsed() / u32::try_from(count).unwrap()
}

fn print(name: &str, what: &str, alone: Duration, batch: Duration) {
    let [alone, batch] = [alone, batch].map(|time| time.as_secs_f64() * 1e6);
    println!("{name:11} {what:7} {alone:10.1} {batch:10.1} {:8.1} times", alone / batch);
}
