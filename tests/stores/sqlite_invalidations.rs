//! What caches hear of changes in the file of SQLite.

use std::time::{Duration, SystemTime};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, SqlitePool};
use tempfile::TempDir;
use tower_api_key::store::{
    Invalidation, InvalidationSource as _, KeyChange, Propagation, Subscription,
};
use tower_api_key::{
    CachedStore, KeyManager, KeyRecord, KeyRepository, KeyStore as _, NewKey, SqliteStore,
};

use crate::common::in_time;

/// A file that two processes have opened, of which one listens.
struct Test {
    directory: TempDir,
    store: SqliteStore,
    other: SqliteStore,
}

impl Test {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let open = || SqliteStore::open(directory.path().join("keys.db"));
        let (store, other) = (open().await.unwrap(), open().await.unwrap());
        Self { directory, store, other }
    }

    async fn subscribe(&self) -> Box<dyn Subscription> {
        let source = self.store.invalidations().every(Duration::from_millis(5));
        source.subscribe().await.unwrap()
    }

    async fn plain(&self) -> SqlitePool {
        let options = SqliteConnectOptions::new().filename(self.directory.path().join("keys.db"));
        SqlitePool::connect_with(options).await.unwrap()
    }

    async fn issue(&self) -> KeyRecord {
        let keys = KeyManager::new(self.other.clone());
        let issued = keys.issue(NewKey::named("a key").tenant("acme")).await.unwrap();
        KeyRecord::clone(&issued.record)
    }
}

async fn run(pool: &SqlitePool, script: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(script.into())).execute(pool).await.unwrap();
}

async fn heard(subscription: &mut Box<dyn Subscription>) -> Invalidation {
    in_time(subscription.next()).await.unwrap()
}

#[tokio::test]
async fn every_change_of_another_connection_is_heard() {
    let test = Test::start().await;
    let before = test.issue().await;
    let mut subscription = test.subscribe().await;
    let record = test.issue().await;
    let key = |record: &KeyRecord| Invalidation::Key(record.digest());
    assert_eq!(heard(&mut subscription).await, key(&record));
    let keys = KeyManager::new(test.other.clone());
    keys.revoke(before.id()).await.unwrap();
    assert_eq!(heard(&mut subscription).await, key(&before));
    let stored = test.other.get(record.id()).await.unwrap().unwrap().record;
    test.other.commit(&[KeyChange::Remove(stored)], &[]).await.unwrap();
    assert_eq!(heard(&mut subscription).await, key(&record));
    // By the same store, and then by plain SQL, whose trigger raises the revision as well.
    test.store.commit(&[KeyChange::Insert(record.clone().into())], &[]).await.unwrap();
    assert_eq!(heard(&mut subscription).await, key(&record));
    let plain = test.plain().await;
    run(&plain, "UPDATE api_keys SET disabled = 1 WHERE revoked_at IS NULL").await;
    assert_eq!(heard(&mut subscription).await, key(&record));
    assert_eq!(heard(&mut subscription).await, key(&record));
    run(
        &plain,
        format!(
            "INSERT OR REPLACE INTO api_keys (id, digest, name, created_at) \
             VALUES ('{}', zeroblob(32), 'replaced', 0)",
            record.id()
        ),
    )
    .await;
    assert_eq!(heard(&mut subscription).await, key(&record));
    let other = tower_api_key::KeyDigest::from_bytes([0; 32]);
    assert_eq!(heard(&mut subscription).await, Invalidation::Key(other));
    run(&plain, "UPDATE api_keys SET digest = CAST(x'01' || substr(digest, 2) AS BLOB) WHERE digest = zeroblob(32)")
        .await;
    let mut digests = Vec::new();
    while digests.len() < 2 {
        let heard = heard(&mut subscription).await;
        if !digests.contains(&heard) {
            digests.push(heard);
        }
    }
    assert!(digests.contains(&Invalidation::Key(other)), "{digests:?}");
}

#[tokio::test]
async fn a_tenant_that_is_suspended_or_resumed_is_heard_of() {
    let test = Test::start().await;
    let record = test.issue().await;
    let cached = CachedStore::builder(test.store.clone())
        .invalidated_by(test.store.invalidations().every(Duration::from_millis(5)))
        .build();
    let mut subscription = test.subscribe().await;
    let keys = KeyManager::new(test.other.clone());
    let acme = "acme".parse().unwrap();
    for is_suspended in [true, false] {
        let is_seen = || async {
            let found = cached.find(&record.digest()).await.unwrap().unwrap();
            found.is_suspended() == is_suspended
        };
        match is_suspended {
            true => keys.suspend(&acme).await.unwrap(),
            false => keys.resume(&acme).await.unwrap(),
        };
        assert_eq!(heard(&mut subscription).await, Invalidation::Tenant(acme.clone()));
        in_time(async {
            while !is_seen().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
    let plain = test.plain().await;
    run(&plain, "INSERT INTO api_key_suspensions VALUES ('other', 0); UPDATE api_key_suspensions SET tenant = 'third'").await;
    for tenant in ["other", "third", "other"] {
        let tenant = tenant.parse().unwrap();
        assert_eq!(heard(&mut subscription).await, Invalidation::Tenant(tenant));
    }
}

#[tokio::test]
async fn what_is_rolled_back_or_only_used_is_not_heard() {
    let test = Test::start().await;
    let record = test.issue().await;
    let source = test.store.invalidations().every(Duration::from_millis(5));
    let mut subscription = source.subscribe().await.unwrap();
    let twice = [KeyChange::Insert(record.clone().into())];
    test.other.commit(&twice, &[]).await.unwrap_err();
    use tower_api_key::store::{KeyUse, RecordUses as _};
    let used = KeyUse::new(record.id().clone(), SystemTime::now());
    test.other.record_uses(&[used]).await.unwrap();
    source.beat(7).await.unwrap();
    assert_eq!(heard(&mut subscription).await, Invalidation::Heartbeat(7));
}

#[tokio::test]
async fn a_heartbeat_is_heard_after_what_was_changed_before_it() {
    let test = Test::start().await;
    let source = test.store.invalidations().every(Duration::from_millis(5));
    let mut subscriptions = [source.subscribe().await.unwrap(), source.subscribe().await.unwrap()];
    for number in 0..20 {
        let record = test.issue().await;
        source.beat(number).await.unwrap();
        for subscription in &mut subscriptions {
            assert_eq!(heard(subscription).await, Invalidation::Key(record.digest()));
            assert_eq!(heard(subscription).await, Invalidation::Heartbeat(number));
        }
    }
}

#[tokio::test]
async fn a_look_that_is_dropped_loses_nothing() {
    let test = Test::start().await;
    let source = test.store.invalidations().every(Duration::from_millis(1));
    let mut subscription = source.subscribe().await.unwrap();
    let mut expected = Vec::new();
    let mut found = Vec::new();
    for number in 0..20 {
        expected.push(Invalidation::Key(test.issue().await.digest()));
        source.beat(number).await.unwrap();
        expected.push(Invalidation::Heartbeat(number));
        for _ in 0..3 {
            let next = subscription.next();
            if let Ok(heard) = tokio::time::timeout(Duration::from_micros(300), next).await {
                found.push(heard.unwrap());
            }
        }
    }
    while found.len() < expected.len() {
        found.push(heard(&mut subscription).await);
    }
    let of = |all: &[Invalidation], beats: bool| -> Vec<Invalidation> {
        let is_beat = |heard: &&Invalidation| matches!(heard, Invalidation::Heartbeat(_)) == beats;
        all.iter().filter(is_beat).cloned().collect()
    };
    for beats in [true, false] {
        assert_eq!(of(&found, beats), of(&expected, beats));
    }
}

#[tokio::test]
async fn the_log_is_bounded_and_who_missed_some_forgets_everything() {
    let test = Test::start().await;
    let record = test.issue().await;
    let mut subscription = test.subscribe().await;
    let plain = test.plain().await;
    run(
        &plain,
        "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers LIMIT 10000) \
         INSERT INTO api_keys (id, digest, name, created_at) \
         SELECT 'many_' || n, randomblob(32), 'many', 0 FROM numbers",
    )
    .await;
    assert_eq!(heard(&mut subscription).await, Invalidation::Everything);
    let count = "SELECT count(*) FROM api_key_changes";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&plain).await.unwrap();
    assert!((4096..=4352).contains(&count), "{count}");
    // It goes on from there.
    KeyManager::new(test.other.clone()).revoke(record.id()).await.unwrap();
    assert_eq!(heard(&mut subscription).await, Invalidation::Key(record.digest()));
}

#[tokio::test]
async fn a_log_that_was_taken_back_is_noticed_also_if_it_has_gone_on() {
    let test = Test::start().await;
    for _ in 0..3 {
        test.issue().await;
    }
    let plain = test.plain().await;
    // As a restore does: what the log had is not there any more.
    for taken_back in [
        "DELETE FROM api_key_changes",
        "DELETE FROM api_key_changes; UPDATE sqlite_sequence SET seq = 0 WHERE name = 'api_key_changes'",
        "UPDATE api_key_changes SET digest = zeroblob(32)",
    ] {
        let last = test.issue().await;
        let mut subscription = test.subscribe().await;
        run(&plain, format!("BEGIN; {taken_back}; UPDATE api_keys SET name = name || '.'; COMMIT"))
            .await;
        assert_eq!(heard(&mut subscription).await, Invalidation::Everything, "{taken_back}");
        KeyManager::new(test.other.clone()).revoke(last.id()).await.unwrap();
        assert_eq!(heard(&mut subscription).await, Invalidation::Key(last.digest()));
    }
}

#[tokio::test]
async fn all_can_be_told_to_forget_everything() {
    let test = Test::start().await;
    let mut subscription = test.subscribe().await;
    test.other.invalidate_everywhere().await.unwrap();
    assert_eq!(heard(&mut subscription).await, Invalidation::Everything);
}

#[tokio::test]
async fn a_subscription_ends_with_its_database() {
    let test = Test::start().await;
    let mut subscription = test.subscribe().await;
    test.store.close().await;
    assert!(in_time(subscription.next()).await.is_err());
    assert!(test.store.invalidations().subscribe().await.is_err());
    // A table that is gone.
    let test = Test::start().await;
    let mut subscription = test.subscribe().await;
    let script = "DROP TABLE api_key_changes; UPDATE api_key_uses SET last_used_at = 0";
    run(&test.plain().await, script).await;
    assert!(in_time(subscription.next()).await.is_err());
}

#[tokio::test]
async fn a_database_in_memory_is_heard_too() {
    let store = SqliteStore::in_memory().await.unwrap();
    let source = store.invalidations().every(Duration::from_millis(5));
    let mut subscription = source.subscribe().await.unwrap();
    let keys = KeyManager::new(store);
    for number in 0..3 {
        let issued = keys.issue(NewKey::named("a key")).await.unwrap();
        source.beat(number).await.unwrap();
        let digest = issued.record.digest();
        assert_eq!(heard(&mut subscription).await, Invalidation::Key(digest));
        assert_eq!(heard(&mut subscription).await, Invalidation::Heartbeat(number));
    }
}

#[tokio::test]
async fn a_cache_refuses_what_another_process_has_revoked_long_before_it_is_too_old() {
    let test = Test::start().await;
    let record = test.issue().await;
    let cached = CachedStore::builder(test.store.clone())
        .invalidated_by(test.store.invalidations())
        .max_staleness(Duration::from_secs(3600))
        .ttl(Duration::from_secs(3600))
        .build();
    in_time(async {
        while !cached.is_live() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(matches!(cached.propagation(), Propagation::Notified { .. }));
    let digest = record.digest();
    assert!(cached.find(&digest).await.unwrap().is_some());
    assert!(cached.find_now(&digest).answer().is_some());
    KeyManager::new(test.other.clone()).revoke(record.id()).await.unwrap();
    in_time(async {
        while cached.find(&digest).await.unwrap().unwrap().revoked_at().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
