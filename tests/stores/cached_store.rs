//! Records in memory in front of a store: what is served from there, for how long, and what is
//! forgotten.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use futures_util::FutureExt as _;
use tower_api_key::manage::Owner;
use tower_api_key::store::{KeyChange, KeyQuery, Propagation};
use tower_api_key::testing::{
    FakeClock, check_key_repository, check_record_uses, check_usage_store,
};
use tower_api_key::{
    ApiKeyLayer, CachedStore, Immediate, KeyDigest, KeyHasher, KeyId, KeyManager, KeyRecord,
    KeyRepository, KeyScheme, KeyStore, KeyUpdate, MemoryStore, NewKey, SqliteStore, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{Answered, GatedStore, advance, cache, next, settle};
use crate::common::{get_raw, in_time, issue, serve, tell_kind};

const SECOND: Duration = Duration::from_secs(1);

/// A store with one key.
fn store() -> (GatedStore, Arc<KeyRecord>) {
    let store = GatedStore::default();
    let record = store.keys.issue(NewKey::named("robot")).unwrap().record;
    (store, record)
}

fn revoked(record: &KeyRecord) -> KeyChange {
    KeyChange::Replace(next(record, |next| next.set_revoked_at(Some(SystemTime::now()))))
}

/// What is found without asking the store.
fn known<S: KeyStore + 'static>(cached: &CachedStore<S>, digest: &KeyDigest) -> Option<bool> {
    match cached.find_now(digest) {
        Immediate::Answer(found) => Some(found.is_some()),
        Immediate::Ask => None,
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_through_the_cache_is_refused_at_once() {
    let database = MemoryStore::new();
    let issued = database.issue(NewKey::named("robot")).unwrap();
    let cached = CachedStore::new(database);
    let app = Router::new().route("/", get(async || "hello"));
    let address = serve(tell_kind(app.layer(ApiKeyLayer::new(cached.clone())))).await;
    let line = format!("x-api-key: {}", issued.secret.reveal());
    let ask = async || in_time(get_raw(address, "/", &[&line])).await;
    for _ in 0..3 {
        assert_eq!(ask().await.status, 200);
    }
    assert_eq!(known(&cached, &issued.record.digest()), Some(true));
    cached.commit(&[revoked(&issued.record)], &[]).await.unwrap();
    for _ in 0..3 {
        let refused = ask().await;
        assert_eq!((refused.status, refused.header("x-kind")), (401, Some("revoked")));
    }
}

#[tokio::test]
async fn a_key_that_another_node_has_revoked_is_refused_once_it_is_revoked_here_too() {
    let database = MemoryStore::new();
    let record = database.issue(NewKey::named("robot")).unwrap().record;
    let cached = CachedStore::new(database.clone());
    cached.find(&record.digest()).await.unwrap();
    KeyManager::new(database).revoke(record.id()).await.unwrap();
    // Nothing is left to be changed.
    KeyManager::new(cached.clone()).revoke(record.id()).await.unwrap();
    let found = cached.find(&record.digest()).await.unwrap().unwrap();
    assert!(found.revoked_at().is_some());
}

/// A manager on behalf of somebody of a tenant.
fn of_tenant(keys: &KeyManager, tenant: &str) -> KeyManager {
    let everything = ["*"].try_into().unwrap();
    keys.on_behalf_of(Owner::of_tenant(tenant.parse().unwrap(), everything, "somebody"))
}

#[tokio::test]
async fn only_who_may_see_a_key_has_a_cache_forget_it_and_only_if_it_was_changed() {
    let database = MemoryStore::new();
    let record = database.issue(NewKey::named("robot").tenant("acme")).unwrap().record;
    let unknown = NewKey::named("of another node").tenant("acme");
    let unknown = unknown.generate(&KeyScheme::default()).unwrap().record;
    let cached = CachedStore::new(database.clone());
    let keys = KeyManager::new(cached.clone());
    let (stranger, owner) = (of_tenant(&keys, "globex"), of_tenant(&keys, "acme"));
    let ask_for_all = async |keys: &KeyManager| {
        for id in [record.id(), unknown.id()] {
            let _ = keys.get(id).await;
            let _ = keys.update(id, &KeyUpdate::new()).await;
            let _ = keys.rotate(&KeyId::generate().unwrap(), SECOND).await;
        }
        let _ = keys.list(&KeyQuery::new()).await;
    };
    let what_is_known = || (known(&cached, &record.digest()), known(&cached, &unknown.digest()));

    cached.find(&record.digest()).await.unwrap();
    cached.find(&unknown.digest()).await.unwrap();
    for keys in [&stranger, &owner, &keys] {
        ask_for_all(keys).await;
        assert_eq!(what_is_known(), (Some(true), Some(false)), "nothing was changed");
    }

    // Another node, of which this one does not hear.
    database.update(record.id(), |record| record.set_name(format!("{}!", record.name()))).unwrap();
    database.insert(Arc::clone(&unknown));
    ask_for_all(&stranger).await;
    assert!(stranger.revoke(record.id()).await.is_err());
    assert!(stranger.revoke_with_successors(record.id()).await.is_err());
    assert_eq!(what_is_known(), (Some(true), Some(false)), "a stranger changes nothing");
    ask_for_all(&owner).await;
    assert_eq!(what_is_known(), (None, None));
    assert_eq!(cached.find(&record.digest()).await.unwrap().unwrap().name(), "robot!");
}

#[tokio::test]
async fn a_successor_that_another_node_has_revoked_is_refused_once_it_is_revoked_here_too() {
    let database = MemoryStore::new();
    let record = database.issue(NewKey::named("robot")).unwrap().record;
    let cached = CachedStore::new(database.clone());
    let keys = KeyManager::new(cached.clone());
    let successor = keys.rotate(record.id(), SECOND).await.unwrap().record;
    cached.find(&successor.digest()).await.unwrap();
    KeyManager::new(database).revoke(successor.id()).await.unwrap();
    keys.revoke_with_successors(record.id()).await.unwrap();
    let found = cached.find(&successor.digest()).await.unwrap().unwrap();
    assert!(found.revoked_at().is_some());
}

#[tokio::test]
async fn a_key_that_expires_while_it_is_in_memory_is_refused() {
    let clock = FakeClock::new();
    let database = MemoryStore::new();
    let expiring = NewKey::named("robot").expires_at(SystemTime::now() + 60 * SECOND);
    let key = issue(&database, expiring);
    let cached = CachedStore::builder(database).clock(FakeClock::new()).build();
    let layer = ApiKeyLayer::new(cached).clock(clock.clone());
    let app = Router::new().route("/", get(async || "hello"));
    let address = serve(tell_kind(app.layer(layer))).await;
    let line = format!("x-api-key: {key}");
    assert_eq!(in_time(get_raw(address, "/", &[&line])).await.status, 200);
    clock.advance(61 * SECOND);
    let refused = in_time(get_raw(address, "/", &[&line])).await;
    assert_eq!((refused.status, refused.header("x-kind")), (401, Some("expired")));
}

#[tokio::test]
async fn a_key_that_was_probed_before_it_was_issued_is_known_at_once() {
    let cached = CachedStore::new(MemoryStore::new());
    let issued = NewKey::named("robot").generate(&KeyScheme::default()).unwrap().record;
    assert_eq!(cached.find(&issued.digest()).await.unwrap(), None);
    assert_eq!(known(&cached, &issued.digest()), Some(false));
    cached.commit(&[KeyChange::Insert(Arc::clone(&issued))], &[]).await.unwrap();
    assert_eq!(cached.find(&issued.digest()).await.unwrap(), Some(Arc::clone(&issued)));
    cached.commit(&[KeyChange::Remove(Arc::clone(&issued))], &[]).await.unwrap();
    assert_eq!(cached.find(&issued.digest()).await.unwrap(), None);
}

#[tokio::test]
async fn a_cache_keeps_the_contract_of_its_store() {
    check_key_repository(&CachedStore::new(MemoryStore::new())).await;
    check_record_uses(&CachedStore::new(MemoryStore::new())).await;
    check_usage_store(&CachedStore::new(MemoryStore::new())).await;
    let sqlite = SqliteStore::in_memory().await.unwrap();
    check_key_repository(&CachedStore::new(sqlite)).await;
}

#[tokio::test]
async fn junk_keys_push_out_no_record_and_do_not_fill_the_memory() {
    let database = MemoryStore::new();
    let records: Vec<_> =
        (0..1000).map(|_| database.issue(NewKey::named("robot")).unwrap().record).collect();
    let cached = CachedStore::builder(database).capacity(1000).negative_capacity(1000).build();
    for record in &records {
        cached.find(&record.digest()).await.unwrap();
    }
    let count = || records.iter().filter(|key| known(&cached, &key.digest()) == Some(true)).count();
    assert_eq!(count(), 1000);
    let mut grown = 0;
    for round in 0..2 {
        let growth = measure(|| {
            for number in 0..50_000 {
                let junk = KeyHasher::sha256().digest(&format!("{round} {number}"));
                let _ = cached.find(&junk).now_or_never().unwrap().unwrap();
            }
        });
        grown = growth.bytes_current;
    }
    assert_eq!(count(), 1000);
    assert!(grown < 1_000_000, "the second fifty thousand took {grown} bytes more");
    let unknown = format!("{cached:?}");
    let unknown = unknown.split("unknown: ").nth(1).unwrap().split(',').next().unwrap();
    assert!(unknown.parse::<usize>().unwrap() <= 1100, "{unknown}");
}

/// A record with about so many bytes of restrictions, which it shares with no other.
fn restricted(database: &MemoryStore, bytes: usize) -> Arc<KeyRecord> {
    let endpoints = (0..bytes / 100).map(|number| format!("GET /v1/{}/{number}", "x".repeat(80)));
    let key = NewKey::named("robot").tenant("acme").endpoints(endpoints);
    database.issue(key).unwrap().record
}

/// What a cache says of itself.
fn said<S>(cached: &CachedStore<S>, field: &str) -> usize {
    let debug = format!("{cached:?}");
    let value = debug.split(&format!("{field}: ")).nth(1).unwrap();
    value.split([',', ' ']).next().unwrap().parse().unwrap()
}

/// Has a large record of every key, each in memory of its own.
struct Large;

#[async_trait]
impl KeyStore for Large {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let mut record = KeyRecord::clone(&restricted(&MemoryStore::new(), 20_000));
        record.set_digest(*digest);
        Ok(Some(Arc::new(record)))
    }
}

#[tokio::test]
async fn large_records_do_not_fill_the_memory() {
    const BOUND: usize = 4 << 20;

    let cached = CachedStore::builder(Large).max_bytes(BOUND).build();
    let digests: Vec<_> =
        (0..600).map(|number| KeyHasher::sha256().digest(&format!("{number}"))).collect();
    let grown = measure(|| {
        for digest in &digests {
            assert!(cached.find(digest).now_or_never().unwrap().unwrap().is_some());
            assert_eq!(known(&cached, digest), Some(true), "what is new is kept");
            assert!(said(&cached, "bytes") <= BOUND);
        }
    });
    let kept = digests.iter().filter(|digest| known(&cached, digest) == Some(true)).count();
    assert!((20..200).contains(&kept) && kept == said(&cached, "records"), "{kept}");
    assert!(said(&cached, "bytes") > BOUND / 2);
    let grown = usize::try_from(grown.bytes_current).unwrap();
    assert!(grown < BOUND + BOUND / 2, "{grown} bytes are in use");
    digests.iter().for_each(|digest| cached.invalidate(digest));
    assert_eq!((said(&cached, "records"), said(&cached, "bytes")), (0, 0));
}

#[tokio::test]
async fn a_record_that_is_larger_than_the_cache_is_served_and_not_kept() {
    let database = MemoryStore::new();
    let [small, large] = [100, 100_000].map(|bytes| restricted(&database, bytes));
    let cached = CachedStore::builder(database.clone()).max_bytes(100_000).build();
    for _ in 0..3 {
        for record in [&small, &large] {
            assert!(cached.find(&record.digest()).await.unwrap().as_ref() == Some(record));
        }
        let is_known = [&small, &large].map(|record| known(&cached, &record.digest()));
        assert_eq!(is_known, [Some(true), None]);
    }
    // Also if it was small before.
    let endpoints = large.restrictions().endpoints.clone().unwrap();
    let keys = KeyManager::new(cached.clone());
    keys.update(small.id(), &KeyUpdate::new().endpoints(&*endpoints)).await.unwrap();
    assert!(cached.find(&small.digest()).await.unwrap().is_some());
    assert_eq!((known(&cached, &small.digest()), said(&cached, "bytes")), (None, 0));
}

#[tokio::test]
async fn the_size_of_a_record_is_estimated_well() {
    let metadata: serde_json::Value = (0..500).map(|number| format!("item {number}")).collect();
    let names = (0..300).map(|number| (format!("name {number}"), serde_json::Value::from(number)));
    let names = serde_json::Value::Object(names.collect());
    let many = 0..100;
    for key in [
        NewKey::named("robot"),
        NewKey::named("robot").tenant("acme").stage("live").abilities(["a:b", "c:d"]),
        NewKey::named("robot").metadata("one", "text"),
        NewKey::named("robot").metadata("list", metadata),
        NewKey::named("robot").metadata("names", names),
        NewKey::named("robot")
            .abilities(many.clone().map(|number| format!("a:b{number}")).collect::<Vec<_>>()),
        NewKey::named("robot").addresses(many.clone().map(|number| format!("10.0.{number}.0/24"))),
        NewKey::named("robot")
            .origins(many.clone().map(|number| format!("https://{number}.example"))),
        NewKey::named("robot")
            .referrers(many.clone().map(|number| format!("https://a.example/{number}/*"))),
        NewKey::named("robot")
            .endpoints(many.clone().map(|number| format!("GET /v1/{{id}}/{number}/*"))),
        NewKey::named("robot").limit("5 per minute").limit("export: 7 per 2 hours"),
    ] {
        let database = MemoryStore::new();
        let record = database.issue(key).unwrap().record;
        let json = serde_json::to_string(&*record).unwrap();
        let mut read = None;
        let taken = measure(|| {
            read = Some(Arc::new(serde_json::from_str::<KeyRecord>(&json).unwrap()));
        });
        let taken = usize::try_from(taken.bytes_current).unwrap();
        let cached = CachedStore::new(database);
        cached.find(&record.digest()).await.unwrap();
        let estimated = said(&cached, "bytes");
        // The estimate has what the allocator and the cache add.
        assert!((taken..2 * taken).contains(&estimated), "{estimated} of {taken}: {json}");
    }
}

#[tokio::test]
async fn a_hit_allocates_nothing() {
    let (store, record) = store();
    let cached = CachedStore::new(store);
    let unknown = KeyDigest::from_bytes([7; 32]);
    for digest in [record.digest(), unknown] {
        cached.find(&digest).await.unwrap();
        let hit = measure(|| assert!(black_box(cached.find_now(&digest)).answer().is_some()));
        assert_eq!(hit.count_total, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_that_is_older_than_the_maximal_staleness() {
    let (store, record) = store();
    let cached = cache(store.clone()).max_staleness(60 * SECOND).build();
    store.hold(&record.digest());
    let asked = tokio::spawn({
        let (cached, digest) = (cached.clone(), record.digest());
        async move { cached.find(&digest).await }
    });
    settle().await;
    // An answer is as old as the question.
    advance(10 * SECOND).await;
    store.answer(0, Answered::Honestly);
    assert!(asked.await.unwrap().unwrap().is_some());
    advance(49 * SECOND + 999 * SECOND / 1000).await;
    assert_eq!(known(&cached, &record.digest()), Some(true));
    advance(SECOND / 1000).await;
    assert_eq!(known(&cached, &record.digest()), None);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_is_asked_for_again_after_a_short_time() {
    let (store, record) = store();
    let cached = cache(store.clone()).negative_ttl(3 * SECOND).build();
    let unknown = KeyDigest::from_bytes([7; 32]);
    cached.find(&unknown).await.unwrap();
    advance(3 * SECOND - Duration::from_nanos(1)).await;
    assert_eq!(known(&cached, &unknown), Some(false));
    advance(Duration::from_nanos(1_000_000)).await;
    assert_eq!(known(&cached, &unknown), None);
    // Unless nothing may be that old.
    let cached = cache(store).negative_ttl(3 * SECOND).max_staleness(2 * SECOND).build();
    cached.find(&unknown).await.unwrap();
    cached.find(&record.digest()).await.unwrap();
    advance(2 * SECOND).await;
    assert_eq!((known(&cached, &unknown), known(&cached, &record.digest())), (None, None));
}

#[tokio::test]
async fn nothing_is_served_while_the_clock_is_set_back() {
    let (store, record) = store();
    let clock = FakeClock::new();
    let cached = CachedStore::builder(store).clock(clock.clone()).build();
    cached.find(&record.digest()).await.unwrap();
    assert_eq!(known(&cached, &record.digest()), Some(true));
    clock.set(SystemTime::now() - 3600 * SECOND);
    assert_eq!(known(&cached, &record.digest()), None);
    assert!(cached.find(&record.digest()).await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_changed_past_the_cache_can_be_forgotten() {
    let (store, record) = store();
    let cached = CachedStore::new(store);
    for forget in [
        |cached: &CachedStore<GatedStore>, digest: &KeyDigest| cached.invalidate(digest),
        |cached: &CachedStore<GatedStore>, _: &KeyDigest| cached.invalidate_all(),
    ] {
        cached.find(&record.digest()).await.unwrap();
        assert_eq!(known(&cached.clone(), &record.digest()), Some(true));
        forget(&cached, &record.digest());
        assert_eq!(known(&cached, &record.digest()), None);
    }
}

#[tokio::test]
async fn a_cache_says_what_it_promises() {
    let within = |time| cache(MemoryStore::new()).max_staleness(time).build();
    assert_eq!(within(9 * SECOND).propagation(), Propagation::Within(9 * SECOND));
    let both = cache(within(9 * SECOND)).max_staleness(SECOND).build();
    assert_eq!(both.propagation(), Propagation::Within(10 * SECOND));
    assert!(both.is_live(), "there is nothing to be lost");
}

#[tokio::test]
async fn a_leaked_secret_is_looked_up_in_the_store_itself() {
    let database = MemoryStore::new();
    let cached = CachedStore::new(database.clone());
    let issued = NewKey::named("leaked").generate(&KeyScheme::default()).unwrap();
    assert_eq!(cached.find(&issued.record.digest()).await.unwrap(), None);
    // By another node, of which this one does not hear.
    database.insert(Arc::clone(&issued.record));
    assert_eq!(cached.find(&issued.record.digest()).await.unwrap(), None, "still in memory");
    let revoked = KeyManager::new(cached).revoke_presented(issued.secret.reveal()).await;
    assert!(revoked.unwrap().record.revoked_at().is_some());
}
