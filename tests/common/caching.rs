//! Parts of caches that do as a test tells them: a store, a source of invalidations, a clock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tower_api_key::store::{
    AuditEvent, CachedStoreBuilder, CommitError, Invalidation, InvalidationSource, KeyChange,
    KeyPage, KeyQuery, KeyUse, RecordUses, StoredKey, Subscription, SuspendedTenant,
};
use tower_api_key::{
    CachedStore, Clock, KeyDigest, KeyId, KeyRecord, KeyRepository, KeyStore, MemoryStore,
    StoreError, TenantId,
};

/// Follows the time of the runtime, which tests move.
pub struct RuntimeClock(Instant);

impl RuntimeClock {
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1) + self.0.elapsed()
    }
}

/// Lets all tasks go on until each of them waits.
pub async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

pub async fn advance(time: Duration) {
    tokio::time::advance(time).await;
    settle().await;
}

/// A memory store whose lookups and commits wait, if told to, until a test lets them go on: one
/// step to read or write, and one to answer.
#[derive(Clone, Default)]
pub struct GatedStore {
    pub keys: MemoryStore,
    gates: Arc<Mutex<Gates>>,
    asked: Arc<AtomicUsize>,
    suspensions: Arc<Mutex<Vec<SystemTime>>>,
}

#[derive(Default)]
struct Gates {
    held: Option<KeyDigest>,
    calls: Vec<Call>,
}

/// A call that waits.
struct Call {
    act: Option<oneshot::Sender<()>>,
    answer: oneshot::Sender<Answered>,
    is_commit: bool,
}

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    Honestly,
    WithAnError,
    WithAPanic,
}

impl GatedStore {
    /// From now on, calls for this key wait.
    pub fn hold(&self, digest: &KeyDigest) {
        self.gates.lock().unwrap().held = Some(*digest);
    }

    /// Suspends or resumes a tenant without waiting.
    pub async fn suspend_now(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        event: &AuditEvent,
    ) {
        let events = std::slice::from_ref(event);
        if self.keys.set_suspended(tenant, since, events).await.unwrap() {
            self.suspensions.lock().unwrap().push(event.at);
        }
    }

    /// Returns how often a tenant was suspended or resumed, until and with the event of that time.
    pub fn suspensions_until(&self, at: SystemTime) -> Option<usize> {
        let suspensions = self.suspensions.lock().unwrap();
        suspensions.iter().position(|known| *known == at).map(|index| index + 1)
    }

    pub fn suspensions(&self) -> usize {
        self.suspensions.lock().unwrap().len()
    }

    /// Returns how often a record was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Returns which calls wait: whether each is a commit.
    pub fn waiting(&self) -> Vec<bool> {
        self.calls().calls.iter().map(|call| call.is_commit).collect()
    }

    /// Lets the call read or write, if it has not.
    pub fn act(&self, call: usize) {
        if let Some(act) = self.calls().calls[call].act.take() {
            let _ = act.send(());
        }
    }

    /// Lets the call end.
    pub fn answer(&self, call: usize, answered: Answered) {
        let mut gates = self.calls();
        let call = gates.calls.remove(call);
        call.act.map(|act| act.send(()));
        let _ = call.answer.send(answered);
    }

    /// Returns the calls that somebody still waits for.
    fn calls(&self) -> MutexGuard<'_, Gates> {
        let mut gates = self.gates.lock().unwrap();
        gates.calls.retain(|call| !call.answer.is_closed());
        gates
    }

    /// Puts a call on the list if its key is held.
    fn enter(
        &self,
        digests: &[KeyDigest],
        is_commit: bool,
    ) -> Option<(oneshot::Receiver<()>, oneshot::Receiver<Answered>)> {
        let mut gates = self.gates.lock().unwrap();
        gates.held.filter(|held| digests.contains(held))?;
        let (act, may_act) = oneshot::channel();
        let (answer, may_answer) = oneshot::channel();
        gates.calls.push(Call { act: Some(act), answer, is_commit });
        Some((may_act, may_answer))
    }

    /// Does `what` when the test says so.
    async fn gated<T>(
        &self,
        digests: &[KeyDigest],
        is_commit: bool,
        what: impl AsyncFnOnce() -> T,
    ) -> Result<T, StoreError> {
        let Some((may_act, may_answer)) = self.enter(digests, is_commit) else {
            return Ok(what().await);
        };
        let _ = may_act.await;
        let done = what().await;
        match may_answer.await {
            Ok(Answered::Honestly) => Ok(done),
            // Without the message that a panic prints.
            Ok(Answered::WithAPanic) => std::panic::resume_unwind(Box::new("the store panics")),
            _ => Err(StoreError::new("the database is away")),
        }
    }
}

#[async_trait]
impl KeyStore for GatedStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.gated(&[*digest], false, async || self.keys.find(digest).await).await?
    }
}

#[async_trait]
impl KeyRepository for GatedStore {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        KeyRepository::get(&self.keys, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.keys, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let digests: Vec<_> = changes.iter().map(|change| change.record().digest()).collect();
        self.gated(&digests, true, async || self.keys.commit(changes, events).await).await?
    }

    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let held: Vec<_> = self.calls().held.into_iter().collect();
        let set = async || {
            let has_changed = self.keys.set_suspended(tenant, since, events).await?;
            let changed = events.iter().filter(|_| has_changed).map(|event| event.at);
            self.suspensions.lock().unwrap().extend(changed);
            Ok(has_changed)
        };
        self.gated(&held, true, set).await?
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        self.keys.suspended().await
    }
}

#[async_trait]
impl RecordUses for GatedStore {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.keys.record_uses(uses).await
    }
}

/// A source of invalidations that is a queue.
#[derive(Clone, Default)]
pub struct ScriptedSource(Arc<Mutex<Wire>>);

#[derive(Default)]
struct Wire {
    /// The oldest first.
    subscribers: Vec<Subscriber>,
    /// How many keys and tenants were told to be changed.
    changes: usize,
    /// Whether what is sent waits until it is delivered.
    slow: bool,
    /// Whether nobody can subscribe or send.
    away: bool,
    /// Whether nobody can subscribe.
    closed: bool,
    /// Whether a subscription hears nothing, ever.
    deaf: bool,
    subscriptions: usize,
    /// How many of them replaced no other that goes on.
    sessions: usize,
    lifetime: Option<Duration>,
    server_changes: usize,
}

struct Subscriber {
    /// What is under way to it, and how many changes were told before.
    queue: VecDeque<(Invalidation, usize)>,
    sender: mpsc::UnboundedSender<Result<Invalidation, StoreError>>,
    /// Whether it hears nothing any more.
    is_mute: bool,
}

/// What a subscriber was told.
pub struct Told {
    pub invalidation: Invalidation,
    /// How many changes were told before.
    pub before: usize,
    /// Whether it was told to the oldest that somebody listens to.
    pub to_the_oldest: bool,
}

impl Wire {
    /// Removes those that nobody listens to any more.
    fn prune(&mut self) {
        self.subscribers.retain(|subscriber| !subscriber.sender.is_closed());
    }
}

impl ScriptedSource {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    pub fn set_slow(&self, slow: bool) {
        self.wire().slow = slow;
    }

    pub fn set_away(&self, away: bool) {
        self.wire().away = away;
    }

    pub fn set_closed(&self, closed: bool) {
        self.wire().closed = closed;
    }

    pub fn set_deaf(&self, deaf: bool) {
        self.wire().deaf = deaf;
    }

    /// Has subscriptions renewed.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.wire().lifetime = Some(lifetime);
    }

    /// From now on, the subscriptions that there are hear nothing: the server is another.
    pub fn mute(&self) {
        let mut wire = self.wire();
        for subscriber in &mut wire.subscribers {
            subscriber.is_mute = true;
            subscriber.queue.clear();
        }
    }

    pub fn subscriptions(&self) -> usize {
        self.wire().subscriptions
    }

    /// Returns how often somebody subscribed who had no subscription.
    pub fn sessions(&self) -> usize {
        self.wire().sessions
    }

    /// Returns how often it was said that the server may be another.
    pub fn server_changes(&self) -> usize {
        self.wire().server_changes
    }

    /// Tells the subscribers, now or when it is [delivered](Self::deliver).
    pub fn send(&self, invalidation: Invalidation) {
        let mut wire = self.wire();
        let told = (invalidation, wire.changes);
        let is_change = matches!(told.0, Invalidation::Key(_) | Invalidation::Tenant(_));
        wire.changes += usize::from(is_change);
        if wire.deaf {
            return;
        }
        wire.prune();
        let hearing = wire.subscribers.iter_mut().filter(|subscriber| !subscriber.is_mute);
        hearing.for_each(|subscriber| subscriber.queue.push_back(told.clone()));
        let slow = wire.slow;
        drop(wire);
        while !slow && self.deliver().is_some() {}
    }

    /// Lets the oldest subscriber to whom something is under way hear what was sent first.
    pub fn deliver(&self) -> Option<Invalidation> {
        let subscribers = self.wire().subscribers.len();
        let told = (0..subscribers).find_map(|index| self.deliver_to(index));
        told.map(|told| told.invalidation)
    }

    /// Lets one of the subscribers, counted round, hear what was sent to it first.
    pub fn deliver_to(&self, index: usize) -> Option<Told> {
        let mut wire = self.wire();
        wire.prune();
        let index = index.checked_rem(wire.subscribers.len())?;
        let subscriber = &mut wire.subscribers[index];
        let (invalidation, before) = subscriber.queue.pop_front()?;
        let _ = subscriber.sender.send(Ok(invalidation.clone()));
        Some(Told { invalidation, before, to_the_oldest: index == 0 })
    }

    /// Sends what overtakes everything.
    pub fn send_first(&self, invalidation: Invalidation) {
        let mut wire = self.wire();
        let told = (invalidation, wire.changes);
        wire.subscribers
            .iter_mut()
            .for_each(|subscriber| subscriber.queue.push_front(told.clone()));
    }

    /// Returns whether anybody listens.
    pub fn is_subscribed(&self) -> bool {
        self.wire().subscribers.iter().any(|subscriber| !subscriber.sender.is_closed())
    }

    /// Returns whether all was delivered or lost.
    pub fn is_empty(&self) -> bool {
        self.wire().subscribers.iter().all(|subscriber| subscriber.queue.is_empty())
    }

    /// Ends the subscriptions with an error.
    pub fn lose(&self) {
        let mut wire = self.wire();
        for subscriber in wire.subscribers.drain(..) {
            let _ = subscriber.sender.send(Err(StoreError::new("the connection was cut")));
        }
    }
}

struct Receiver(mpsc::UnboundedReceiver<Result<Invalidation, StoreError>>);

#[async_trait]
impl InvalidationSource for ScriptedSource {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let mut wire = self.wire();
        if wire.away || wire.closed {
            return Err(StoreError::new("nobody is there"));
        }
        let (sender, receiver) = mpsc::unbounded_channel();
        wire.prune();
        wire.sessions += usize::from(wire.subscribers.is_empty());
        wire.subscriptions += 1;
        wire.subscribers.push(Subscriber { queue: VecDeque::new(), sender, is_mute: false });
        Ok(Box::new(Receiver(receiver)))
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        if self.wire().away {
            return Err(StoreError::new("nobody is there"));
        }
        self.send(Invalidation::Heartbeat(number));
        Ok(())
    }

    fn lifetime(&self) -> Option<Duration> {
        self.wire().lifetime
    }

    fn server_changed(&self) {
        self.wire().server_changes += 1;
    }
}

#[async_trait]
impl Subscription for Receiver {
    async fn next(&mut self) -> Result<Invalidation, StoreError> {
        let heard = self.0.recv().await;
        heard.unwrap_or_else(|| Err(StoreError::new("the source is gone")))
    }
}

/// Begins a cache whose times are those of the runtime.
pub fn cache<S>(store: S) -> CachedStoreBuilder<S> {
    CachedStore::builder(store).clock(RuntimeClock::start())
}

/// A record that `changes` changes.
pub fn next(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> Arc<KeyRecord> {
    let mut next = record.clone();
    next.set_revision(next.revision() + 1);
    change(&mut next);
    Arc::new(next)
}
