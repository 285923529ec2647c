//! A cache whose subscriptions are renewed: it forgets nothing while the server is the same, and
//! everything when it is another.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tower_api_key::store::{Invalidation, InvalidationSource, Subscription};
use tower_api_key::{CachedStore, KeyDigest, KeyStore as _, NewKey, StoreError};

use crate::common::MemoryKeys as _;
use crate::common::caching::{GatedStore, ScriptedSource, advance, cache, settle};
use crate::common::{logged, start_log};

const SECOND: Duration = Duration::from_secs(1);
const LIFETIME: Duration = Duration::from_secs(10);
const MAX_STALENESS: Duration = Duration::from_secs(60);

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
    let (store, source) = (GatedStore::default(), ScriptedSource::default());
    source.set_lifetime(LIFETIME);
    let digest = store.keys.issue(NewKey::named("robot")).unwrap().record.digest();
    let told: Arc<Mutex<Vec<bool>>> = Arc::default();
    let tell = Arc::clone(&told);
    let cached = cache(store.clone())
        .invalidated_by(source.clone())
        .heartbeat(SECOND)
        .ttl(600 * SECOND)
        .max_staleness(MAX_STALENESS)
        .on_liveness_change(move |live| tell.lock().unwrap().push(live))
        .build();
    settle().await;
    assert!(cached.is_live());
    let test = Test { store, source, digest, cached, told };
    test.find().await;
    test
}

impl Test {
    fn is_known(&self) -> bool {
        self.cached.find_now(&self.digest).answer().is_some()
    }

    async fn find(&self) {
        assert!(self.cached.find(&self.digest).await.unwrap().is_some());
    }
}

/// Lets time pass, and all tasks see each moment.
async fn pass(time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        advance(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_forgets_nothing_and_has_nobody_ask_the_store() {
    let test = start().await;
    for _ in 0..5 {
        pass(LIFETIME).await;
        assert!(test.is_known() && test.cached.is_live());
    }
    assert!(test.source.subscriptions() >= 5, "{}", test.source.subscriptions());
    assert_eq!((test.source.sessions(), test.source.server_changes()), (1, 1));
    assert_eq!((test.store.asked(), test.told.lock().unwrap().clone()), (1, vec![true]));
}

#[tokio::test(start_paused = true)]
async fn what_is_changed_while_a_subscription_is_renewed_is_heard() {
    let test = start().await;
    test.source.set_slow(true);
    let before = test.source.subscriptions();
    while test.source.subscriptions() == before {
        advance(SECOND / 10).await;
        if !test.source.is_empty() && test.source.subscriptions() == before {
            while test.source.deliver().is_some() {}
        }
    }
    // Two subscriptions are there, and no heartbeat has been heard by the new one.
    test.source.send(Invalidation::Key(test.digest));
    while test.source.deliver().is_some() {}
    settle().await;
    assert!(!test.is_known() && test.cached.is_live());
}

#[tokio::test(start_paused = true)]
async fn the_old_subscription_is_heard_to_its_end_before_the_new_one_takes_its_place() {
    let test = start().await;
    while test.source.subscriptions() == 1 {
        // What is changed now is on its way by the old one only, and the heartbeats after it.
        test.source.set_slow(true);
        test.source.send(Invalidation::Key(test.digest));
        advance(SECOND / 10).await;
        if test.source.subscriptions() == 1 {
            test.source.set_slow(false);
            while test.source.deliver().is_some() {}
            settle().await;
            test.find().await;
        }
    }
    assert!(test.is_known());
    while test.source.deliver_to(1).is_none() {
        advance(SECOND / 10).await;
    }
    settle().await;
    // The new one has heard a heartbeat, which the old one has yet to hear.
    assert!(test.is_known() && test.cached.is_live());
    while test.source.deliver_to(0).is_some() {}
    settle().await;
    assert!(!test.is_known() && test.cached.is_live());
    assert_eq!((test.source.sessions(), test.source.server_changes()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn another_server_has_everything_forgotten_before_it_is_too_old() {
    start_log();
    let test = start().await;
    pass(LIFETIME + 5 * SECOND).await;
    // From here on, nothing is heard of by the connections that there are.
    let left_behind = tokio::time::Instant::now();
    test.source.mute();
    while test.is_known() {
        advance(SECOND / 10).await;
        assert!(left_behind.elapsed() <= 3 * SECOND, "more than three heartbeats");
    }
    while !test.cached.is_live() {
        advance(SECOND / 10).await;
    }
    assert!(!test.is_known());
    assert_eq!(test.source.server_changes(), 2);
}

/// Heartbeats are heard on old connections as before, but new ones lead to another server.
#[tokio::test(start_paused = true)]
async fn a_node_that_yesterdays_server_keeps_alive_moves_at_the_next_renewal() {
    start_log();
    let test = start().await;
    let elsewhere = ScriptedSource::default();
    let here = ScriptedSource::default();
    let shared = Switched { here, elsewhere: elsewhere.clone(), places: Arc::default() };
    let cached = cache(test.store.clone())
        .invalidated_by(shared.clone())
        .heartbeat(SECOND)
        .ttl(600 * SECOND)
        .max_staleness(MAX_STALENESS)
        .build();
    settle().await;
    cached.find(&test.digest).await.unwrap();
    pass(3 * SECOND).await;
    assert!(cached.is_live() && cached.find_now(&test.digest).answer().is_some());
    // The old server lives on, and hears its own heartbeats.
    shared.switch();
    let switched = tokio::time::Instant::now();
    while cached.find_now(&test.digest).answer().is_some() {
        advance(SECOND / 10).await;
        assert!(switched.elapsed() <= LIFETIME + 4 * SECOND, "it stays with yesterday's server");
    }
    pass(SECOND).await;
    assert!(cached.is_live());
    cached.find(&test.digest).await.unwrap();
    elsewhere.send(Invalidation::Key(test.digest));
    settle().await;
    assert!(cached.find_now(&test.digest).answer().is_none(), "it does not hear of the new server");
    let events = logged("from another server");
    assert!(events.iter().all(|event| event.contains(" WARN ")) && !events.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_cannot_be_renewed_is_relied_on_for_as_long_as_a_record() {
    let test = start().await;
    // Nobody can subscribe any more, and the old subscription goes on.
    let began = tokio::time::Instant::now();
    test.source.set_closed(true);
    pass(MAX_STALENESS - LIFETIME).await;
    assert!(test.cached.is_live());
    while test.cached.is_live() {
        advance(SECOND / 10).await;
        assert!(began.elapsed() <= MAX_STALENESS, "it is relied on for too long");
    }
    pass(SECOND).await;
    assert_eq!(*test.told.lock().unwrap(), [true, false]);
    test.source.set_closed(false);
    pass(10 * SECOND).await;
    assert!(test.cached.is_live() && !test.is_known());
}

/// A name that leads new connections to another server from some time on.
#[derive(Clone)]
struct Switched {
    here: ScriptedSource,
    elsewhere: ScriptedSource,
    places: Arc<Mutex<Places>>,
}

#[derive(Clone, Copy, Default)]
struct Places {
    new_connections_go_elsewhere: bool,
    beats_go_elsewhere: bool,
}

impl Switched {
    fn switch(&self) {
        self.places.lock().unwrap().new_connections_go_elsewhere = true;
    }

    fn at(&self, elsewhere: bool) -> &ScriptedSource {
        if elsewhere { &self.elsewhere } else { &self.here }
    }
}

#[async_trait]
impl InvalidationSource for Switched {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let elsewhere = self.places.lock().unwrap().new_connections_go_elsewhere;
        let subscription = self.at(elsewhere).subscribe().await?;
        self.places.lock().unwrap().beats_go_elsewhere = elsewhere;
        Ok(subscription)
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        let elsewhere = self.places.lock().unwrap().beats_go_elsewhere;
        self.at(elsewhere).beat(number).await
    }

    fn lifetime(&self) -> Option<Duration> {
        Some(LIFETIME)
    }
}
