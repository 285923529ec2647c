//! A cache that hears of changes: it applies them, and serves nothing from memory that it may not
//! have been told of.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tower_api_key::store::{
    CachedStoreBuilder, Invalidation, InvalidationSource, Propagation, Subscription,
};
use tower_api_key::{
    CachedStore, KeyDigest, KeyRepository, KeyStore, MemoryStore, NewKey, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{GatedStore, ScriptedSource, advance, cache, settle};
use crate::common::{logged, start_log};

const SECOND: Duration = Duration::from_secs(1);

struct Test {
    store: GatedStore,
    source: ScriptedSource,
    digest: KeyDigest,
    cached: CachedStore<GatedStore>,
    /// What was told of the subscription.
    told: Arc<Mutex<Vec<bool>>>,
}

/// A cache with a heartbeat every second that has loaded a key.
async fn start() -> Test {
    let test = start_with(ScriptedSource::default()).await;
    assert!(test.cached.is_live());
    test.warm_up().await;
    test
}

async fn start_with(source: ScriptedSource) -> Test {
    let store = GatedStore::default();
    let digest = store.keys.issue(NewKey::named("robot")).unwrap().record.digest();
    let told: Arc<Mutex<Vec<bool>>> = Arc::default();
    let tell = Arc::clone(&told);
    let cached = builder(store.clone(), source.clone())
        .on_liveness_change(move |live| tell.lock().unwrap().push(live))
        .build();
    settle().await;
    Test { store, source, digest, cached, told }
}

fn builder<S>(store: S, source: impl InvalidationSource + 'static) -> CachedStoreBuilder<S> {
    cache(store).invalidated_by(source).heartbeat(SECOND).max_staleness(600 * SECOND)
}

impl Test {
    fn is_known(&self) -> bool {
        self.cached.find_now(&self.digest).answer().is_some()
    }

    async fn find(&self) {
        assert!(self.cached.find(&self.digest).await.unwrap().is_some());
    }

    async fn warm_up(&self) {
        self.find().await;
        assert!(self.is_known());
    }

    fn told(&self) -> Vec<bool> {
        self.told.lock().unwrap().clone()
    }

    /// Checks that each request asks the store, and that nothing of it is kept.
    async fn assert_asks_always(&self) {
        for _ in 0..3 {
            assert!(!self.is_known() && !self.cached.is_live());
            let asked = self.store.asked();
            self.find().await;
            assert_eq!(self.store.asked(), asked + 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_change_is_forgotten() {
    let test = start().await;
    let mut other = *test.digest.as_bytes();
    other[31] ^= 1;
    test.source.send(Invalidation::Key(KeyDigest::from_bytes(other)));
    settle().await;
    assert!(test.is_known());
    for invalidation in [Invalidation::Key(test.digest), Invalidation::Everything] {
        test.source.send(invalidation);
        settle().await;
        assert!(!test.is_known() && test.cached.is_live());
        test.warm_up().await;
    }
    let at_the_latest = 600 * SECOND;
    assert_eq!(test.cached.propagation(), Propagation::Notified { at_the_latest });
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_lives_goes_on() {
    let test = start().await;
    for _ in 0..100 {
        advance(SECOND / 4).await;
        assert!(test.is_known());
    }
    assert_eq!((test.source.subscriptions(), test.told()), (1, vec![true]));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_fails_has_every_key_looked_up_until_it_is_back_and_all_forgotten() {
    start_log();
    let test = start().await;
    test.source.set_away(true);
    test.source.lose();
    settle().await;
    test.assert_asks_always().await;
    for _ in 0..100 {
        advance(SECOND).await;
    }
    test.assert_asks_always().await;
    test.source.set_away(false);
    for _ in 0..6 {
        advance(SECOND).await;
    }
    assert!(test.cached.is_live());
    assert!(!test.is_known(), "it may have been changed unheard");
    test.warm_up().await;
    assert_eq!(test.told(), [true, false, true]);
    let events = logged("cache invalidation lost");
    assert!(events.iter().any(|event| event.contains(" WARN ") && event.contains("was cut")));
    assert!(logged("cache invalidation works").iter().all(|event| event.contains(" INFO ")));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_falls_silent_is_noticed_after_three_heartbeats() {
    let test = start().await;
    test.source.mute();
    advance(3 * SECOND - SECOND / 100).await;
    assert!(test.is_known());
    advance(SECOND / 100).await;
    test.assert_asks_always().await;
    // It subscribes again, to something that is heard.
    advance(SECOND).await;
    assert_eq!((test.source.subscriptions(), test.told()), (2, vec![true, false, true]));
    assert!(test.cached.is_live() && !test.is_known());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_never_hears_never_lives() {
    // As through a pool that subscribes somebody else.
    let source = ScriptedSource::default();
    source.set_deaf(true);
    let test = start_with(source).await;
    for _ in 0..100 {
        test.assert_asks_always().await;
        advance(SECOND).await;
    }
    assert_eq!(test.told(), [false]);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_of_other_nodes_prove_nothing() {
    let test = start().await;
    test.source.set_slow(true);
    for _ in 0..3 {
        advance(SECOND).await;
        // Overtakes what this node sent.
        test.source.send_first(Invalidation::Heartbeat(4711));
        test.source.deliver();
        settle().await;
    }
    assert!(!test.cached.is_live());
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_was_on_its_way_for_long_proves_little() {
    let test = start().await;
    test.source.set_slow(true);
    for _ in 0..5 {
        advance(SECOND / 2).await;
    }
    // It arrives one and a half seconds late, and so would a revocation.
    test.source.deliver();
    settle().await;
    advance(SECOND).await;
    assert!(test.is_known());
    advance(SECOND / 2).await;
    assert!(!test.is_known(), "it was sent three seconds ago");
    assert_eq!(test.source.subscriptions(), 1);
}

#[tokio::test]
async fn a_runtime_that_stalls_serves_nothing_when_it_goes_on() {
    let store = GatedStore::default();
    let digest = store.keys.issue(NewKey::named("robot")).unwrap().record.digest();
    let heartbeat = Duration::from_millis(20);
    let cached = CachedStore::builder(store)
        .invalidated_by(ScriptedSource::default())
        .heartbeat(heartbeat)
        .build();
    while !cached.is_live() {
        tokio::time::sleep(heartbeat).await;
    }
    cached.find(&digest).await.unwrap();
    // No task runs meanwhile.
    std::thread::sleep(4 * heartbeat);
    assert!(cached.find_now(&digest).answer().is_none() && !cached.is_live());
}

#[tokio::test(start_paused = true)]
async fn nobody_joins_a_load_that_began_while_the_subscription_lived() {
    let test = start().await;
    test.cached.invalidate_all();
    test.store.hold(&test.digest);
    let find = || {
        let (cached, digest) = (test.cached.clone(), test.digest);
        tokio::spawn(async move { cached.find(&digest).await })
    };
    let _before = find();
    settle().await;
    test.source.set_away(true);
    test.source.lose();
    settle().await;
    let _after = find();
    settle().await;
    assert_eq!(test.store.waiting().len(), 2);
}

/// A source that panics wherever it can, at first.
#[derive(Clone, Default)]
struct Panicking {
    source: ScriptedSource,
    calls: Arc<AtomicUsize>,
}

impl Panicking {
    fn panic_at(&self, calls: std::ops::Range<usize>) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if calls.contains(&call) {
            std::panic::resume_unwind(Box::new("the source panics"));
        }
    }
}

#[async_trait]
impl InvalidationSource for Panicking {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        self.panic_at(0..2);
        self.source.subscribe().await
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        self.panic_at(3..4);
        self.source.beat(number).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_or_a_callback_that_panics_is_not_the_end() {
    let source = Panicking::default();
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    let cached = builder(MemoryStore::new(), source.clone())
        .on_liveness_change(move |live| {
            tell.store(live, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("the callback panics"));
        })
        .build();
    for _ in 0..20 {
        advance(SECOND).await;
    }
    assert!(source.calls.load(Ordering::SeqCst) > 4);
    assert!(cached.is_live() && told.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn the_subscription_ends_with_the_cache() {
    let test = start().await;
    assert!(test.source.is_subscribed());
    let clone = test.cached.clone();
    drop(test.cached);
    settle().await;
    assert!(test.source.is_subscribed() && clone.is_live());
    drop(clone);
    settle().await;
    assert!(!test.source.is_subscribed());
}

#[tokio::test]
#[should_panic(expected = "three heartbeats have to fit")]
async fn a_heartbeat_that_is_too_slow_is_refused() {
    let builder = builder(MemoryStore::new(), ScriptedSource::default());
    let _ = builder.max_staleness(2 * SECOND).build();
}
