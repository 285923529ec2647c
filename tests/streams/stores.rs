//! How the layer comes to know what has become of a key: by stores that tell, and by asking.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use tower_api_key::store::{Invalidation, KeyChange, KeyChanges, KeyStoreExt as _};
use tower_api_key::{
    ApiKeyLayer, CachedStore, EndReason, IssuedKey, KeyDigest, KeyRecord, KeyRepository, KeyStore,
    MemoryStore, NewKey, StoreError, StreamWatch,
};

use crate::common::MemoryKeys as _;
use crate::common::built::api_keys;
use crate::common::caching::{RuntimeClock, ScriptedSource, advance, settle};
use crate::common::in_time;
use crate::{Feed, Streamed, failure, get, goes_on, open, poll};

/// A question for some keys, and when it was asked.
pub type Asked = (Vec<KeyDigest>, Instant);

/// A database that tells nobody of changes.
#[derive(Clone, Default)]
pub struct Database {
    pub keys: MemoryStore,
    asked: Arc<Mutex<Vec<Asked>>>,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
    is_down: Arc<AtomicBool>,
    hangs: Arc<AtomicBool>,
    /// A record that cannot be read.
    broken: Arc<Mutex<Option<KeyDigest>>>,
    latency: Duration,
}

impl Database {
    pub fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn answer(&self, digests: &[KeyDigest]) -> Result<(), StoreError> {
        self.asked.lock().unwrap().push((digests.to_vec(), Instant::now()));
        let now = self.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_in_flight.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(self.latency).await;
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        let broken = self.broken.lock().unwrap().is_some_and(|broken| digests.contains(&broken));
        if broken || self.is_down.load(Ordering::SeqCst) {
            return Err(StoreError::new("down"));
        }
        Ok(())
    }
}

#[async_trait]
impl KeyStore for Database {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.answer(&[*digest]).await?;
        self.keys.find(digest).await
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        self.answer(digests).await?;
        self.keys.find_many(digests).await
    }
}

/// Finds one key at a time.
#[derive(Clone)]
struct OneByOne(Database);

#[async_trait]
impl KeyStore for OneByOne {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.find(digest).await
    }
}

/// Tells of all changes.
struct Telling(Database, Arc<KeyChanges>);

#[async_trait]
impl KeyStore for Telling {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.find(digest).await
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        self.0.find_many(digests).await
    }

    fn changes(&self) -> Option<&KeyChanges> {
        Some(&self.1)
    }
}

fn issue(keys: &MemoryStore) -> IssuedKey {
    keys.issue(NewKey::named("listener")).unwrap()
}

async fn opened(layer: &ApiKeyLayer, key: &IssuedKey) -> (Feed, Streamed) {
    let (frames, body) = open(layer, key.secret.reveal(), get()).await;
    let mut body = body.into_body();
    goes_on(&frames, &mut body);
    (frames, body)
}

const PERIOD: Duration = Duration::from_secs(5);
/// The period with its jitter.
const LONGEST: Duration = Duration::from_secs(6);

#[tokio::test(start_paused = true)]
async fn a_store_that_tells_nobody_is_asked_once_for_all_streams_of_a_key() {
    let database = Database::default();
    let layer = ApiKeyLayer::new(database.clone());
    let key = issue(&database.keys);
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(opened(&layer, &key).await);
    }
    database.take_asked();
    for _ in 0..10 {
        tokio::time::sleep(LONGEST + Duration::from_millis(10)).await;
        let asked = database.take_asked();
        assert!((1..=2).contains(&asked.len()), "{}", asked.len());
        assert!(asked.iter().all(|(digests, _)| digests.len() == 1));
    }
    assert!(database.keys.revoke(key.record.id()));
    tokio::time::sleep(LONGEST + Duration::from_millis(10)).await;
    for (_, body) in &mut streams {
        assert_eq!(failure(body).await, EndReason::Revoked);
    }
    // Nothing is open, so nobody asks.
    database.take_asked();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(database.take_asked().is_empty());
    assert_eq!(layer.open_streams(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_keys_are_asked_for_together_and_no_more_than_the_bounds_say() {
    let database = Database { latency: Duration::from_millis(20), ..Database::default() };
    let layer = ApiKeyLayer::new(database.clone());
    let mut streams = Vec::new();
    for _ in 0..3000 {
        let key = issue(&database.keys);
        let (_frames, body) = open(&layer, key.secret.reveal(), get()).await;
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        streams.push((key, _frames, body));
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    database.most_in_flight.store(0, Ordering::SeqCst);
    database.take_asked();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = database.take_asked();
    let keys: usize = asked.iter().map(|(digests, _)| digests.len()).sum();
    // 30 seconds are at least 5 of the longest periods.
    assert!((5 * 3000..=9 * 3000).contains(&keys), "{keys}");
    assert_within_the_bounds(&database, &asked);
    for (key, ..) in &streams {
        assert!(database.keys.revoke(key.record.id()));
    }
    tokio::time::sleep(2 * LONGEST).await;
    for (_, _, body) in &mut streams {
        assert_eq!(failure(body).await, EndReason::Revoked);
    }
}

/// Asserts that the store was asked for as many keys at once, as often in any second and as often at
/// the same time as the documentation promises.
fn assert_within_the_bounds(database: &Database, asked: &[Asked]) {
    assert!(asked.iter().all(|(digests, _)| digests.len() <= 100));
    for (_, from) in asked {
        let second =
            asked.iter().filter(|(_, at)| at >= from && *at < *from + Duration::from_secs(1));
        assert!(second.count() <= 20);
    }
    assert!(database.most_in_flight.load(Ordering::SeqCst) <= 4);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hears_of_nothing_certain_over_and_over_is_asked_no_more_and_all_keys_get_their_turn()
 {
    // An answer takes longer than it is until everything may have changed again.
    let database = Database { latency: Duration::from_millis(120), ..Database::default() };
    let changes = Arc::new(KeyChanges::new());
    let layer = ApiKeyLayer::new(Telling(database.clone(), Arc::clone(&changes)));
    let mut streams = Vec::new();
    for _ in 0..1500 {
        let key = issue(&database.keys);
        let (frames, body) = open(&layer, key.secret.reveal(), get()).await;
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        streams.push((key, frames, body));
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    database.most_in_flight.store(0, Ordering::SeqCst);
    database.take_asked();
    let doubt = async |seconds: usize| {
        for _ in 0..20 * seconds {
            changes.all_changed();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    doubt(20).await;
    let asked = database.take_asked();
    assert_within_the_bounds(&database, &asked);
    // 1500 keys are fifteen batches, of which there may be twenty a second.
    let mut times = HashMap::<_, usize>::new();
    for digest in asked.iter().flat_map(|(digests, _)| digests) {
        *times.entry(digest).or_default() += 1;
    }
    assert_eq!(times.len(), 1500);
    let (least, most) = (times.values().min(), times.values().max());
    assert!(least >= Some(&20) && most <= Some(&40), "{least:?} {most:?}");
    for (key, ..) in &streams {
        assert!(database.keys.revoke(key.record.id()));
    }
    doubt(5).await;
    for (_, _, body) in &mut streams {
        assert_eq!(crate::failed(body), EndReason::Revoked);
    }
    assert_within_the_bounds(&database, &database.take_asked());
}

#[tokio::test(start_paused = true)]
async fn streams_end_as_unavailable_when_the_store_was_away_for_too_long() {
    for hangs in [false, true] {
        for store in [true, false] {
            let database = Database::default();
            let layer = match store {
                true => ApiKeyLayer::new(database.clone()),
                false => ApiKeyLayer::new(OneByOne(database.clone())),
            };
            let key = issue(&database.keys);
            let (frames, mut body) = opened(&layer, &key).await;
            let began = Instant::now();
            let away = if hangs { &database.hangs } else { &database.is_down };
            away.store(true, Ordering::SeqCst);
            // A short outage ends nothing.
            tokio::time::sleep(Duration::from_secs(40)).await;
            goes_on(&frames, &mut body);
            away.store(false, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(60)).await;
            goes_on(&frames, &mut body);
            database.take_asked();
            away.store(true, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(50)).await;
            goes_on(&frames, &mut body);
            let asked = database.take_asked().len();
            assert!((2..=10).contains(&asked), "it is asked less and less: {asked}");
            let began = began + Duration::from_secs(100);
            tokio::time::sleep_until(began + Duration::from_secs(67)).await;
            assert_eq!(failure(&mut body).await, EndReason::Unavailable);
            assert_eq!(layer.open_streams(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_does_not_hide_others() {
    let database = Database::default();
    let layer = ApiKeyLayer::new(database.clone());
    let keys = [(); 3].map(|()| issue(&database.keys));
    let mut streams = Vec::new();
    for key in &keys {
        streams.push(opened(&layer, key).await);
    }
    *database.broken.lock().unwrap() = Some(keys[0].record.digest());
    assert!(database.keys.revoke(keys[1].record.id()));
    tokio::time::sleep(4 * LONGEST).await;
    let [(broken_frames, broken), (_, revoked), (frames, valid)] = &mut streams[..] else {
        panic!()
    };
    assert_eq!(failure(revoked).await, EndReason::Revoked);
    goes_on(broken_frames, broken);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(failure(broken).await, EndReason::Unavailable);
    goes_on(frames, valid);
}

#[tokio::test(start_paused = true)]
async fn the_period_and_the_bound_are_settings() {
    let database = Database::default();
    let watch = StreamWatch::new()
        .recheck_every(Duration::from_millis(100))
        .max_unchecked(Duration::from_secs(2));
    let layer = ApiKeyLayer::new(database.clone()).streams(watch);
    let [one, other] = [(); 2].map(|()| issue(&database.keys));
    let (_one_frames, mut first) = opened(&layer, &one).await;
    let (_frames, mut second) = opened(&layer, &other).await;
    assert!(database.keys.revoke(one.record.id()));
    tokio::time::sleep(Duration::from_millis(130)).await;
    assert_eq!(failure(&mut first).await, EndReason::Revoked);
    database.is_down.store(true, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(failure(&mut second).await, EndReason::Unavailable);
}

#[tokio::test]
#[should_panic(expected = "a period above 0")]
async fn a_period_of_nothing_is_refused() {
    let _ = StreamWatch::new().recheck_every(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_only_loaded_again_wakes_nobody() {
    let database = Database::default();
    let layer = ApiKeyLayer::new(database.clone());
    let key = issue(&database.keys);
    let (frames, mut body) = opened(&layer, &key).await;
    for _ in 0..5 {
        // Another `Arc` with the same record.
        let record = KeyRecord::clone(&database.keys.record(key.record.id()).unwrap());
        database.keys.insert(record);
        tokio::time::sleep(LONGEST).await;
        goes_on(&frames, &mut body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_through_a_cache_ends_streams_at_once() {
    let database = Database::default();
    let cached = CachedStore::builder(database.keys.clone()).clock(RuntimeClock::start()).build();
    let layer = ApiKeyLayer::new(cached.clone());
    let key = issue(&database.keys);
    let (_frames, mut body) = opened(&layer, &key).await;
    let mut revoked = KeyRecord::clone(&key.record);
    revoked.set_revoked_at(Some(std::time::SystemTime::now()));
    revoked.set_revision(revoked.revision() + 1);
    cached.commit(&[KeyChange::Replace(Arc::new(revoked))], &[]).await.unwrap();
    settle().await;
    assert_eq!(failure(&mut body).await, EndReason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn a_cache_without_a_source_ends_streams_when_requests_are_refused() {
    let database = Database::default();
    let cached = CachedStore::builder(OneByOne(database.clone()))
        .clock(RuntimeClock::start())
        .max_staleness(Duration::from_secs(20))
        .build();
    let layer = ApiKeyLayer::new(cached.clone());
    let key = issue(&database.keys);
    let (frames, mut body) = opened(&layer, &key).await;
    assert!(database.keys.revoke(key.record.id()));
    tokio::time::sleep(Duration::from_secs(10)).await;
    goes_on(&frames, &mut body);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(failure(&mut body).await, EndReason::Revoked);
    // Somebody says that everything may have changed.
    let key = issue(&database.keys);
    let (_frames, mut body) = opened(&layer, &key).await;
    assert!(database.keys.revoke(key.record.id()));
    cached.invalidate_all();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(failure(&mut body).await, EndReason::Revoked);
    // The same on all nodes, of which the others cannot be told here.
    let cached = CachedStore::new(database.keys.clone());
    let layer = ApiKeyLayer::new(cached.clone());
    let key = issue(&database.keys);
    let (_frames, mut body) = opened(&layer, &key).await;
    assert!(database.keys.revoke(key.record.id()));
    assert!(cached.invalidate_everywhere().await.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(crate::failed(&mut body), EndReason::Revoked);
}

const HEARTBEAT: Duration = Duration::from_millis(500);

#[tokio::test(start_paused = true)]
async fn what_another_node_changes_ends_streams_when_it_is_heard() {
    let database = Database::default();
    let source = ScriptedSource::default();
    let cached = CachedStore::builder(database.clone())
        .clock(RuntimeClock::start())
        .heartbeat(HEARTBEAT)
        .invalidated_by(source.clone())
        .build();
    let layer = ApiKeyLayer::new(cached.clone());
    advance(HEARTBEAT).await;
    assert!(cached.is_live());
    let keys = [(); 2].map(|()| issue(&database.keys));
    let mut streams = Vec::new();
    for key in &keys {
        streams.push(opened(&layer, key).await);
    }
    database.take_asked();
    // While it hears all, nobody is asked.
    for _ in 0..60 {
        tokio::time::sleep(HEARTBEAT).await;
        assert!(cached.is_live());
    }
    assert!(database.take_asked().is_empty());
    assert!(database.keys.revoke(keys[0].record.id()));
    source.send(Invalidation::Key(keys[0].record.digest()));
    tokio::time::sleep(Duration::from_millis(1)).await;
    let asked = database.take_asked();
    assert_eq!(asked.len(), 1);
    let mut streams = streams.into_iter();
    let (_frames, mut revoked) = streams.next().unwrap();
    let (frames, mut valid) = streams.next().unwrap();
    assert_eq!(failure(&mut revoked).await, EndReason::Revoked);
    goes_on(&frames, &mut valid);

    // What was changed while nothing was heard is found when it is heard again, …
    source.lose();
    assert!(database.keys.revoke(keys[1].record.id()));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(cached.is_live());
    assert_eq!(failure(&mut valid).await, EndReason::Revoked);

    // … and within the period while it is not.
    let key = issue(&database.keys);
    let (frames, mut body) = opened(&layer, &key).await;
    source.set_away(true);
    source.lose();
    settle().await;
    assert!(!cached.is_live());
    assert!(database.keys.revoke(key.record.id()));
    goes_on(&frames, &mut body);
    tokio::time::sleep(PERIOD + LONGEST).await;
    assert!(!cached.is_live());
    assert_eq!(in_time(failure(&mut body)).await, EndReason::Revoked);
}

#[tokio::test]
async fn a_store_finds_many_as_it_finds_one() {
    let database = Database::default();
    let keys = [(); 5].map(|()| issue(&database.keys));
    let unknown = KeyDigest::from_bytes([7; 32]);
    let mut digests: Vec<_> = keys.iter().map(|key| key.record.digest()).collect();
    digests.insert(2, unknown);
    let mut records: Vec<_> = keys.iter().map(|key| Some(Arc::clone(&key.record))).collect();
    records.insert(2, None);
    let cached = CachedStore::builder(database.clone()).build();
    for expected in [&digests[..], &digests[1..2], &[], &digests[..]] {
        for store in [
            &database as &dyn KeyStore,
            &OneByOne(database.clone()),
            &cached,
            &Arc::new(OneByOne(database.clone())),
        ] {
            let found = store.find_many(expected).await.unwrap();
            let one_by_one = expected.iter().map(|digest| {
                digests.iter().position(|known| known == digest).map(|index| records[index].clone())
            });
            assert_eq!(found, one_by_one.map(Option::unwrap).collect::<Vec<_>>());
        }
    }
    database.take_asked();
    assert_eq!(cached.find_many(&digests).await.unwrap(), records);
    assert!(database.take_asked().is_empty());
    database.is_down.store(true, Ordering::SeqCst);
    assert!(OneByOne(database).find_many(&digests).await.is_err());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn what_another_node_plain_sql_or_the_command_changes_in_postgresql_ends_streams() {
    use tower_api_key::{KeyManager, PostgresStore};

    let schema = format!("streams_{}", std::process::id());
    let url = crate::common::servers::database_url();
    let connect = async || PostgresStore::connect(&url).schema(&schema).await.unwrap();
    let database = connect().await;
    let source = database.invalidations();
    let cached = CachedStore::builder(database).invalidated_by(source).build();
    // Asking again would take longer than the test.
    let watch = StreamWatch::new().recheck_every(Duration::from_secs(3600));
    let layer = ApiKeyLayer::new(cached.clone()).streams(watch);
    let other_node = KeyManager::new(connect().await);
    in_time(async {
        while !cached.is_live() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let mut keys = Vec::new();
    for name in ["by the other node", "by the command", "by SQL"] {
        keys.push(other_node.issue(NewKey::named(name)).await.unwrap());
    }
    let (frames, mut first) = opened(&layer, &keys[0]).await;
    let (second_frames, mut second) = opened(&layer, &keys[1]).await;
    let (third_frames, mut third) = opened(&layer, &keys[2]).await;
    goes_on(&frames, &mut first);
    other_node.revoke(keys[0].record.id()).await.unwrap();
    assert_eq!(failure(&mut first).await, EndReason::Revoked);
    goes_on(&second_frames, &mut second);
    let mut command = tokio::process::Command::new(api_keys());
    command.args(["--schema", &schema, "revoke", keys[1].record.id().as_str()]);
    let output = command.env("DATABASE_URL", &url).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(failure(&mut second).await, EndReason::Revoked);
    goes_on(&third_frames, &mut third);
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let sql = format!("UPDATE {schema}.api_keys SET disabled = true, revision = revision + 1");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    assert_eq!(failure(&mut third).await, EndReason::Disabled);
    let drop = format!("DROP SCHEMA {schema} CASCADE");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&pool).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_over_two_stores_end_whichever_of_them_has_the_key() {
    // Both tell of changes, so nothing has to be waited for.
    for of_old in [false, true] {
        let (new, old) = (MemoryStore::new(), MemoryStore::new());
        let layer = ApiKeyLayer::new(new.clone().or(old.clone()));
        let keys = if of_old { &old } else { &new };
        let key = issue(keys);
        let (feed, mut body) = opened(&layer, &key).await;
        goes_on(&feed, &mut body);
        if of_old {
            // What the new store says of a key counts from then on.
            let mut record = KeyRecord::clone(&key.record);
            record.set_disabled(true);
            new.insert(record);
            assert_eq!(failure(&mut body).await, EndReason::Disabled);
        } else {
            assert!(keys.revoke(key.record.id()));
            assert_eq!(failure(&mut body).await, EndReason::Revoked);
        }
    }
    // One of them tells nobody, so its keys are asked for.
    let (new, old) = (MemoryStore::new(), Database::default());
    let layer = ApiKeyLayer::new(new.or(old.clone()));
    let key = issue(&old.keys);
    let (_feed, mut body) = opened(&layer, &key).await;
    assert!(old.keys.revoke(key.record.id()));
    tokio::time::sleep(LONGEST + Duration::from_millis(10)).await;
    assert_eq!(failure(&mut body).await, EndReason::Revoked);
}

#[tokio::test(start_paused = true)]
async fn streams_end_when_their_tenant_is_suspended_here_or_elsewhere() {
    let acme = || "acme".parse().unwrap();
    for (cached, here) in [(false, true), (true, true), (true, false)] {
        let keys = MemoryStore::new();
        let source = ScriptedSource::default();
        let cache = CachedStore::builder(keys.clone())
            .clock(RuntimeClock::start())
            .heartbeat(HEARTBEAT)
            .invalidated_by(source.clone())
            .build();
        advance(HEARTBEAT).await;
        let layer = match cached {
            true => ApiKeyLayer::new(cache.clone()),
            false => ApiKeyLayer::new(keys.clone()),
        };
        let theirs = keys.issue(NewKey::named("listener").tenant("acme")).unwrap();
        let (other, nobodys) =
            (keys.issue(NewKey::named("listener").tenant("other")).unwrap(), issue(&keys));
        let (_frames, mut ending) = opened(&layer, &theirs).await;
        let (of_other, of_nobody) = (opened(&layer, &other).await, opened(&layer, &nobodys).await);
        let since = Some(std::time::SystemTime::UNIX_EPOCH);
        match (cached, here) {
            (true, true) => drop(cache.set_suspended(&acme(), since, &[]).await.unwrap()),
            _ => drop(keys.set_suspended(&acme(), since, &[]).await.unwrap()),
        }
        if !here {
            source.send(Invalidation::Tenant(acme()));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(failure(&mut ending).await, EndReason::Suspended);
        for (frames, mut body) in [of_other, of_nobody] {
            goes_on(&frames, &mut body);
        }
    }
}
