//! What the threads of a layer keep in front of a store: that it is served, and when it is not.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Weak, mpsc};
use std::thread;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::store::{Invalidation, KeyChange, Token};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, CachedStore, Immediate, IssuedKey, KeyDigest, KeyRecord, KeyRepository as _,
    KeyStore, MemoryStore, NewKey, Rejection, RequireAbility, StoreError, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{ScriptedSource, advance, cache, next, settle};
use crate::common::in_time;

const SECOND: Duration = Duration::from_secs(1);

/// Has another store answer, and counts how often it is asked for a record.
struct Counted<S> {
    store: S,
    asked: Arc<AtomicUsize>,
}

impl<S> Counted<S> {
    fn new(store: S) -> (Self, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        (Self { store, asked: Arc::clone(&asked) }, asked)
    }
}

#[async_trait]
impl<S: KeyStore> KeyStore for Counted<S> {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.store.find(digest).await
    }

    fn find_to_keep(
        &self,
        digest: &KeyDigest,
    ) -> Immediate<(Option<Arc<KeyRecord>>, Option<Token>)> {
        let found = self.store.find_to_keep(digest);
        // Otherwise it is asked again.
        self.asked.fetch_add(usize::from(found != Immediate::Ask), Ordering::SeqCst);
        found
    }

    fn still_holds(&self, digest: &KeyDigest, token: Token) -> bool {
        self.store.still_holds(digest, token)
    }
}

fn issue(store: &MemoryStore) -> IssuedKey {
    store.issue(NewKey::named("robot").abilities(["bots:read"])).unwrap()
}

/// Sends a request through a layer, and returns the key with which it came, or why it was refused.
async fn ask(layer: &ApiKeyLayer, key: &IssuedKey) -> Result<VerifiedKey, &'static str> {
    let service = layer.layer(service_fn(async |mut request: Request<Empty<Bytes>>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        response.extensions_mut().insert(request.extensions_mut().remove::<VerifiedKey>());
        Ok::<_, Infallible>(response)
    }));
    let request = Request::get("/bots").header("x-api-key", key.secret.reveal());
    let response = service.oneshot(request.body(Empty::new()).unwrap()).await.unwrap();
    match response.extensions().get::<Option<VerifiedKey>>() {
        Some(key) => Ok(key.clone().expect("it came with a key")),
        None => Err(response.extensions().get::<Rejection>().unwrap().kind().as_str()),
    }
}

/// Sends a request whose answer is at hand.
fn ask_now(layer: &ApiKeyLayer, key: &IssuedKey) -> Result<VerifiedKey, &'static str> {
    ask(layer, key).now_or_never().expect("it waits for nothing")
}

/// Sends requests until the thread keeps the key.
fn warm_up(layer: &ApiKeyLayer, key: &IssuedKey) {
    for _ in 0..3 {
        ask_now(layer, key).unwrap();
    }
}

#[test]
fn what_is_asked_for_twice_is_kept_by_the_thread() {
    let keys = MemoryStore::new();
    let (key, other) = (issue(&keys), issue(&keys));
    let (store, asked) = Counted::new(keys.clone());
    let layer = ApiKeyLayer::new(store);
    for expected in [1, 2, 2, 2] {
        assert_eq!(*ask_now(&layer, &key).unwrap().record(), keys.record(key.record.id()).unwrap());
        assert_eq!(asked.load(Ordering::SeqCst), expected);
    }
    ask_now(&layer, &other).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    // Another thread keeps nothing yet.
    thread::scope(|scope| scope.spawn(|| ask_now(&layer, &key).map(drop)).join().unwrap()).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 4);
}

#[test]
fn a_store_that_gives_no_token_is_asked_each_time() {
    let store = crate::common::CountingStore::default();
    let key = issue(&store.keys);
    let layer = ApiKeyLayer::new(store.clone());
    for expected in 1..10 {
        ask_now(&layer, &key).unwrap();
        assert_eq!(store.asked(), expected);
    }
}

#[test]
fn a_key_that_is_changed_between_two_requests_is_judged_as_it_is_now() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone());
    let key = issue(&keys);
    warm_up(&layer, &key);
    assert!(keys.set_disabled(key.record.id(), true));
    assert_eq!(ask_now(&layer, &key).unwrap_err(), "disabled");
    assert!(keys.set_disabled(key.record.id(), false));
    warm_up(&layer, &key);
    keys.update(key.record.id(), |record| record.set_name("renamed")).unwrap();
    assert_eq!(ask_now(&layer, &key).unwrap().name(), "renamed");
    warm_up(&layer, &key);
    assert!(keys.revoke(key.record.id()));
    assert_eq!(ask_now(&layer, &key).unwrap_err(), "revoked");
    let removed = issue(&keys);
    warm_up(&layer, &removed);
    keys.remove(removed.record.id()).unwrap();
    assert_eq!(ask_now(&layer, &removed).unwrap_err(), "unknown");
    keys.insert(Arc::clone(&removed.record));
    warm_up(&layer, &removed);
    // Whatever replaces it, also one with another digest.
    let mut replaced = KeyRecord::new(
        removed.record.id().clone(),
        issue(&keys).record.digest(),
        "another",
        SystemTime::now(),
    );
    replaced.set_revision(7);
    keys.insert(replaced);
    assert_eq!(ask_now(&layer, &removed).unwrap_err(), "unknown");
}

/// A thread that sends a request whenever it is told to.
struct Worker {
    asks: mpsc::Sender<()>,
    answers: mpsc::Receiver<Result<(), &'static str>>,
}

impl Worker {
    fn start(layer: &ApiKeyLayer, key: &Arc<IssuedKey>) -> Self {
        let (asks, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        // A layer would have its front live on.
        let (layer, key) = (layer.clone(), Arc::clone(key));
        thread::spawn(move || {
            for () in asked {
                answer.send(ask_now(&layer, &key).map(drop)).unwrap();
            }
        });
        Self { asks, answers }
    }

    fn ask(&self) -> Result<(), &'static str> {
        self.asks.send(()).unwrap();
        self.answers.recv().unwrap()
    }
}

#[test]
fn a_key_that_is_revoked_on_one_thread_is_refused_by_all_that_kept_it() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone());
    let key = Arc::new(issue(&keys));
    let workers: Vec<_> = (0..4).map(|_| Worker::start(&layer, &key)).collect();
    for worker in &workers {
        (0..3).for_each(|_| worker.ask().unwrap());
    }
    assert!(keys.revoke(key.record.id()));
    for worker in &workers {
        assert_eq!(worker.ask(), Err("revoked"));
    }
}

#[tokio::test]
async fn a_key_that_is_revoked_through_a_cache_is_refused_by_all_threads_that_kept_it() {
    let keys = MemoryStore::new();
    let cached = CachedStore::new(keys.clone());
    let layer = ApiKeyLayer::new(cached.clone());
    let key = Arc::new(issue(&keys));
    cached.find(&key.record.digest()).await.unwrap();
    let workers: Vec<_> = (0..4).map(|_| Worker::start(&layer, &key)).collect();
    for worker in &workers {
        (0..3).for_each(|_| worker.ask().unwrap());
    }
    let revoked = next(&key.record, |record| record.set_revoked_at(Some(SystemTime::now())));
    cached.commit(&[KeyChange::Replace(revoked)], &[]).await.unwrap();
    for worker in &workers {
        worker.asks.send(()).unwrap();
        // It has to ask the store again, for which it has no runtime: nothing is served at least.
        assert!(!matches!(worker.answers.recv(), Ok(Ok(()))));
    }
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

#[test]
fn threads_never_go_back_behind_what_was_acknowledged_or_seen() {
    const CHANGES: u64 = 20_000;
    let keys = MemoryStore::new();
    let key = issue(&keys);
    let layer = ApiKeyLayer::new(keys.clone());
    let (known, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let ready = Barrier::new(4);
    let read = || {
        ready.wait();
        while !is_over.load(Ordering::SeqCst) {
            let before = known.load(Ordering::SeqCst);
            let seen = ask_now(&layer, &key).unwrap().record().revision();
            assert!(seen >= before, "{seen} was served after {before} was known");
            known.fetch_max(seen, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        let readers = [(); 3].map(|()| scope.spawn(read));
        ready.wait();
        for _ in 0..CHANGES {
            let changed = keys.update(key.record.id(), |_| ()).unwrap();
            known.fetch_max(changed.revision(), Ordering::SeqCst);
        }
        is_over.store(true, Ordering::SeqCst);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
}

#[test]
fn a_key_that_is_changed_all_the_time_leaves_others_where_they_are() {
    let keys = MemoryStore::new();
    let (busy, quiet) = (issue(&keys), issue(&keys));
    // Two keys in a thousand are counted together.
    let counter = |key: &IssuedKey| key.record.digest().as_bytes()[28..30].to_vec();
    let quiet = if counter(&busy) == counter(&quiet) { issue(&keys) } else { quiet };
    let (store, asked) = Counted::new(keys.clone());
    let layer = ApiKeyLayer::new(store);
    warm_up(&layer, &quiet);
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..1000 {
        keys.update(busy.record.id(), |_| ()).unwrap();
        ask_now(&layer, &quiet).unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), before);
}

#[test]
fn what_is_kept_is_judged_at_each_request() {
    let keys = MemoryStore::new();
    let clock = FakeClock::new();
    let (store, asked) = Counted::new(keys.clone());
    let layer = ApiKeyLayer::new(store).clock(clock.clone());
    let expiring = NewKey::named("short")
        .expires_at(tower_api_key::Clock::now(&clock) + 10 * SECOND)
        .limit("5 per hour");
    let key = keys.issue(expiring).unwrap();
    for _ in 0..5 {
        ask_now(&layer, &key).unwrap();
    }
    assert_eq!(ask_now(&layer, &key).unwrap_err(), "rate_limited");
    clock.advance(10 * SECOND);
    assert_eq!(ask_now(&layer, &key).unwrap_err(), "expired");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn layers_over_one_store_keep_nothing_for_each_other() {
    let keys = MemoryStore::new();
    let key = issue(&keys);
    let reads = ApiKeyLayer::new(keys.clone()).guard(RequireAbility::new("bots:read"));
    let writes = ApiKeyLayer::new(keys.clone()).guard(RequireAbility::new("bots:write"));
    for _ in 0..5 {
        ask_now(&reads, &key).unwrap();
        assert_eq!(ask_now(&writes, &key).unwrap_err(), "missing_ability");
    }
    // Nor does one whose settings were changed after it had been used.
    let stricter = reads.clone().guard(RequireAbility::new("bots:write"));
    for _ in 0..5 {
        assert_eq!(ask_now(&stricter, &key).unwrap_err(), "missing_ability");
        ask_now(&reads, &key).unwrap();
    }
    let changed = reads.guard(RequireAbility::new("bots:write"));
    assert_eq!(ask_now(&changed, &key).unwrap_err(), "missing_ability");
    // And another store is another store.
    let other = ApiKeyLayer::new(MemoryStore::new());
    assert_eq!(ask_now(&other, &key).unwrap_err(), "unknown");
}

#[test]
fn a_store_goes_with_its_layer_though_threads_kept_its_keys() {
    let keys = MemoryStore::new();
    let key = Arc::new(issue(&keys));
    let store = Arc::new(Counted::new(keys).0);
    let is_there: Weak<_> = Arc::downgrade(&store);
    let layer = ApiKeyLayer::new(store);
    warm_up(&layer, &key);
    // A thread that goes on without ever serving again.
    let (stop, stopped) = mpsc::channel::<()>();
    let (kept, has_kept) = mpsc::channel();
    let (other, others_key) = (layer.clone(), Arc::clone(&key));
    let idle = thread::spawn(move || {
        warm_up(&other, &others_key);
        drop(other);
        kept.send(()).unwrap();
        let _ = stopped.recv();
    });
    has_kept.recv().unwrap();
    let verified = ask_now(&layer, &key).unwrap();
    drop(layer);
    assert!(is_there.upgrade().is_some(), "a key that a handler has knows who verified it");
    drop(verified);
    assert!(is_there.upgrade().is_none());
    drop(stop);
    idle.join().unwrap();
}

#[test]
fn large_records_are_not_kept() {
    let keys = MemoryStore::new();
    let large = NewKey::named("x".repeat(5000));
    let key = keys.issue(large).unwrap();
    let (store, asked) = Counted::new(keys);
    let layer = ApiKeyLayer::new(store);
    warm_up(&layer, &key);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn in_the_last_tenth_of_its_time_the_cache_sees_each_request() {
    let keys = MemoryStore::new();
    let key = issue(&keys);
    let cached = cache(keys.clone()).ttl(10 * SECOND).max_staleness(20 * SECOND).build();
    let (store, asked) = Counted::new(cached);
    let layer = ApiKeyLayer::new(store);
    let seen = async || {
        let before = asked.load(Ordering::SeqCst);
        ask(&layer, &key).await.unwrap();
        asked.load(Ordering::SeqCst) - before
    };
    // It is loaded, found and found again.
    assert_eq!([seen().await, seen().await, seen().await], [1; 3]);
    advance(9 * SECOND - Duration::from_millis(1)).await;
    assert_eq!([seen().await, seen().await], [0; 2]);
    advance(Duration::from_millis(1)).await;
    assert_eq!([seen().await, seen().await], [1; 2]);
    // After which it is loaded again in the background, and kept again.
    advance(SECOND).await;
    assert_eq!(seen().await, 1);
    settle().await;
    assert_eq!([seen().await, seen().await], [1, 0]);
    // What was changed past the cache is noticed by the age that it has by then.
    assert!(keys.revoke(key.record.id()));
    advance(20 * SECOND).await;
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

/// A cache that hears of changes, and the layer over it, which keeps the key.
async fn notified()
-> (MemoryStore, ScriptedSource, CachedStore<MemoryStore>, ApiKeyLayer, IssuedKey) {
    let (keys, source) = (MemoryStore::new(), ScriptedSource::default());
    let cached = cache(keys.clone()).ttl(60 * SECOND).max_staleness(60 * SECOND);
    let cached = cached.invalidated_by(source.clone()).heartbeat(SECOND).build();
    settle().await;
    assert!(cached.is_live());
    let key = issue(&keys);
    let layer = ApiKeyLayer::new(cached.clone());
    for _ in 0..4 {
        ask(&layer, &key).await.unwrap();
    }
    (keys, source, cached, layer, key)
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_tenant_is_suspended_is_refused_though_threads_kept_it() {
    let acme = "acme".parse().unwrap();
    let since = Some(SystemTime::now());
    let source = ScriptedSource::default();
    for (cached, here) in [(false, true), (true, true), (true, false)] {
        let keys = MemoryStore::new();
        let key = keys.issue(NewKey::named("robot").tenant("acme")).unwrap();
        let cache = cache(keys.clone()).ttl(60 * SECOND).max_staleness(60 * SECOND);
        let cache = cache.invalidated_by(source.clone()).heartbeat(SECOND).build();
        settle().await;
        let layer = match cached {
            true => ApiKeyLayer::new(cache.clone()),
            false => ApiKeyLayer::new(keys.clone()),
        };
        for is_suspended in [true, false, true] {
            let expected = if is_suspended { Err("suspended") } else { Ok(()) };
            for _ in 0..4 {
                let before = ask(&layer, &key).await.map(drop);
                assert_eq!(before, if is_suspended { Ok(()) } else { Err("suspended") });
            }
            let since = since.filter(|_| is_suspended);
            match cached && here {
                true => cache.set_suspended(&acme, since, &[]).await.unwrap(),
                false => keys.set_suspended(&acme, since, &[]).await.unwrap(),
            };
            if !here {
                source.send(Invalidation::Tenant(acme.clone()));
                settle().await;
            }
            assert_eq!(ask(&layer, &key).await.map(drop), expected, "{cached} {here}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_another_node_revoked_is_refused_as_soon_as_the_cache_is_notified() {
    let (keys, source, _cached, layer, key) = notified().await;
    assert!(keys.revoke(key.record.id()));
    // Nobody was notified yet.
    ask(&layer, &key).await.unwrap();
    source.send(Invalidation::Key(key.record.digest()));
    settle().await;
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_kept_is_served_while_the_subscription_is_lost() {
    let (keys, source, cached, layer, key) = notified().await;
    source.set_away(true);
    source.lose();
    settle().await;
    assert!(!cached.is_live());
    assert!(keys.revoke(key.record.id()));
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
    // Nor once it is live again.
    source.set_away(false);
    in_time(async {
        while !cached.is_live() {
            advance(SECOND).await;
        }
    })
    .await;
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_says_nothing_any_more_ends_by_the_clock() {
    let (keys, source, _cached, layer, key) = notified().await;
    source.mute();
    assert!(keys.revoke(key.record.id()));
    // As if the task that listens were stalled: the time passes, and no task goes on.
    tokio::time::advance(3 * SECOND).await;
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn who_is_told_of_a_change_is_not_contradicted_by_what_threads_kept() {
    let keys = MemoryStore::new();
    let key = issue(&keys);
    let cached = cache(keys.clone()).capacity(1).build();
    let layer = ApiKeyLayer::new(cached.clone());
    for _ in 0..4 {
        ask(&layer, &key).await.unwrap();
    }
    // Others push it out of the cache, and another node revokes it.
    for _ in 0..3 {
        cached.find(&issue(&keys).record.digest()).await.unwrap();
    }
    assert!(keys.revoke(key.record.id()));
    cached.record_changed(&keys.record(key.record.id()).unwrap());
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

#[tokio::test(start_paused = true)]
async fn what_one_thread_has_seen_no_other_contradicts() {
    let keys = MemoryStore::new();
    let key = issue(&keys);
    let cached = cache(keys.clone()).capacity(1).build();
    let layer = ApiKeyLayer::new(cached.clone());
    for _ in 0..4 {
        ask(&layer, &key).await.unwrap();
    }
    // Others push it out of the cache, another node revokes it, and another thread finds that.
    for _ in 0..3 {
        cached.find(&issue(&keys).record.digest()).await.unwrap();
    }
    assert!(keys.revoke(key.record.id()));
    cached.find(&key.record.digest()).await.unwrap();
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}

/// A store that can be away.
#[derive(Clone)]
struct Away(MemoryStore, Arc<AtomicBool>);

#[async_trait]
impl KeyStore for Away {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        match self.1.load(Ordering::SeqCst) {
            true => Err(StoreError::new("the database is away")),
            false => self.0.find(digest).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_served_in_an_outage_is_not_kept_beyond_the_grace() {
    let (keys, source, is_away) = (MemoryStore::new(), ScriptedSource::default(), Arc::default());
    let store = Away(keys.clone(), Arc::clone(&is_away));
    let cached = cache(store).ttl(60 * SECOND).max_staleness(60 * SECOND);
    let cached = cached.invalidated_by(source.clone()).heartbeat(SECOND);
    let cached = cached.serve_while_unreachable(20 * SECOND).build();
    settle().await;
    let key = issue(&keys);
    let layer = ApiKeyLayer::new(cached.clone());
    for _ in 0..4 {
        ask(&layer, &key).await.unwrap();
    }
    is_away.store(true, Ordering::SeqCst);
    source.set_away(true);
    source.lose();
    settle().await;
    for _ in 0..19 {
        for _ in 0..4 {
            ask(&layer, &key).await.unwrap();
        }
        advance(SECOND).await;
    }
    advance(2 * SECOND).await;
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "unavailable");
    // What is true is served as soon as the store is back.
    assert!(keys.revoke(key.record.id()));
    is_away.store(false, Ordering::SeqCst);
    assert_eq!(ask(&layer, &key).await.unwrap_err(), "revoked");
}
