//! Every interleaving of loads, revocations, notifications, losses and the passing of time that a
//! generator finds: no request that begins after a change was acknowledged gets what was before.
//!
//! The code under test is the real one. Only who goes on next, and when, is the test's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use proptest::prelude::*;
use tokio::time::Instant;
use tower_api_key::store::{
    Actor, AuditAction, AuditEvent, Invalidation, KeyChange, SuspendedTenant, Token,
};
use tower_api_key::{
    CachedStore, Immediate, KeyDigest, KeyHasher, KeyRecord, KeyRepository, KeyStore as _, TenantId,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{
    Answered, GatedStore, RuntimeClock, ScriptedSource, advance, next, settle,
};

const TTL: Duration = Duration::from_secs(1);
const NEGATIVE_TTL: Duration = Duration::from_secs(1);
const MAX_STALENESS: Duration = Duration::from_secs(3);
const HEARTBEAT: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_millis(1500);

/// How many threads keep the record in front of the cache.
const THREADS: usize = 2;

/// For how long a subscription is used where it is renewed.
const LIFETIME: Duration = Duration::from_millis(600);

/// What happens next. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    /// A request asks for the key, on one of the threads.
    Begin(usize),
    /// The task of a request goes on.
    Poll(usize),
    /// A client goes away.
    Abandon(usize),
    /// A lookup reads the database, or a commit writes it.
    Act(usize),
    /// A lookup or a commit ends.
    Answer(usize, Answered),
    /// This node changes the record.
    ChangeHere,
    /// Another node changes the record.
    ChangeElsewhere,
    /// This node suspends the tenant of the key, or resumes it.
    SuspendHere,
    /// Another node does.
    SuspendElsewhere,
    /// Somebody who may see the key reads its record.
    Read,
    /// Somebody is told what was read.
    Tell,
    /// A subscription hears what was sent first.
    Deliver(usize),
    /// Each hears all that was sent.
    DeliverAll,
    /// The subscription fails.
    Lose,
    /// The subscriptions hear nothing any more, also if new ones do.
    Mute,
    /// Time passes.
    Pass(Duration),
    /// Other keys push this one out of memory.
    Evict,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = 0usize..4;
    let answered = prop_oneof![
        8 => Just(Answered::Honestly),
        1 => Just(Answered::WithAnError),
        1 => Just(Answered::WithAPanic),
    ];
    let step = prop_oneof![
        8 => (0..THREADS).prop_map(Step::Begin),
        4 => any.clone().prop_map(Step::Poll),
        1 => any.clone().prop_map(Step::Abandon),
        6 => any.clone().prop_map(Step::Act),
        6 => (any, answered).prop_map(|(call, answered)| Step::Answer(call, answered)),
        3 => Just(Step::ChangeHere),
        3 => Just(Step::ChangeElsewhere),
        3 => Just(Step::SuspendHere),
        3 => Just(Step::SuspendElsewhere),
        2 => Just(Step::Read),
        2 => Just(Step::Tell),
        3 => (0usize..2).prop_map(Step::Deliver),
        4 => Just(Step::DeliverAll),
        1 => Just(Step::Lose),
        1 => Just(Step::Mute),
        4 => prop_oneof![0u64..400, 0u64..1600, 0u64..2500]
            .prop_map(|time| Step::Pass(Duration::from_millis(time))),
        1 => Just(Step::Evict),
    ];
    prop::collection::vec(step, 1..80)
}

struct Model {
    store: GatedStore,
    /// What the store holds is revision 0, or nothing.
    digest: KeyDigest,
    cached: CachedStore<GatedStore>,
    source: Option<ScriptedSource>,
    requests: Vec<Request>,
    /// What each thread keeps, as the layer does.
    kept: [Option<(Arc<KeyRecord>, Token)>; THREADS],
    tenant: TenantId,
    /// How often the tenant was to be suspended or resumed.
    wanted: u64,
    /// What was changed elsewhere, and when.
    elsewhere: Vec<(Version, Instant)>,
    /// What was read of the record by who was not told of it yet, and how often the tenant was changed
    /// before.
    read: Option<(Arc<KeyRecord>, usize)>,
    /// What was notified of, in that order.
    sent: Vec<Version>,
    /// What every request that begins now has to see.
    acknowledged: Arc<std::sync::Mutex<Version>>,
    /// How often the cache had subscribed anew when it was last live.
    listened: usize,
}

/// How much was changed: of the record, and by suspending and resuming its tenant.
#[derive(Clone, Copy, Debug, Default)]
struct Version {
    record: u64,
    tenant: usize,
}

impl Version {
    fn max(self, other: Self) -> Self {
        Self { record: self.record.max(other.record), tenant: self.tenant.max(other.tenant) }
    }
}

/// What a request found: the version of the record, and whether its tenant is suspended.
type Found = (u64, Option<bool>);

fn found(record: Option<&KeyRecord>) -> Found {
    let version = record.map_or(0, |record| record.revision() + 1);
    (version, record.map(KeyRecord::is_suspended))
}

struct Request {
    future: BoxFuture<'static, Option<Found>>,
    acknowledged: Version,
}

static HITS: AtomicUsize = AtomicUsize::new(0);
static KEPT: AtomicUsize = AtomicUsize::new(0);

impl Model {
    fn new(notified: bool, renewed: bool) -> Self {
        let store = GatedStore::default();
        let digest = KeyHasher::sha256().digest("the key");
        store.hold(&digest);
        let source = notified.then(ScriptedSource::default);
        let mut builder = CachedStore::builder(store.clone())
            .clock(RuntimeClock::start())
            .capacity(1)
            .ttl(TTL)
            .negative_ttl(NEGATIVE_TTL)
            .max_staleness(MAX_STALENESS)
            .heartbeat(HEARTBEAT);
        if let Some(source) = &source {
            source.set_slow(true);
            if renewed {
                source.set_lifetime(LIFETIME);
            }
            builder = builder.invalidated_by(source.clone());
        }
        Self {
            store,
            digest,
            cached: builder.build(),
            source,
            requests: Vec::new(),
            kept: [const { None }; THREADS],
            tenant: "acme".parse().unwrap(),
            wanted: 0,
            elsewhere: Vec::new(),
            read: None,
            sent: Vec::new(),
            acknowledged: Arc::default(),
            listened: 0,
        }
    }

    /// Returns the number of changes of the record, the first of which adds it.
    fn version(&self) -> Version {
        let record = match self.store.keys.find_now(&self.digest) {
            Immediate::Answer(record) => record,
            Immediate::Ask => unreachable!(),
        };
        let record = record.map_or(0, |record| record.revision() + 1);
        Version { record, tenant: self.store.suspensions() }
    }

    fn change(&self) -> KeyChange {
        match self.store.keys.find_now(&self.digest) {
            Immediate::Answer(Some(record)) => KeyChange::Replace(next(&record, |_| ())),
            _ => {
                let id = "key_1".parse().unwrap();
                let mut record = KeyRecord::new(id, self.digest, "the key", SystemTime::now());
                record.set_tenant(Some(self.tenant.clone()));
                KeyChange::Insert(Arc::new(record))
            }
        }
    }

    fn acknowledge(&self, version: Version) {
        let mut acknowledged = self.acknowledged.lock().unwrap();
        *acknowledged = acknowledged.max(version);
    }

    /// Returns the version that a request has to see that begins now.
    fn acknowledged(&self) -> Version {
        // Nothing that was missed is served: everybody asks the store.
        if !self.cached.is_live() {
            self.acknowledge(self.version());
        }
        let bound = if self.source.is_some() { PATIENCE } else { MAX_STALENESS };
        for (version, at) in &self.elsewhere {
            if at.elapsed() >= bound {
                self.acknowledge(*version);
            }
        }
        *self.acknowledged.lock().unwrap()
    }

    fn begin(&mut self, thread: usize) {
        let acknowledged = self.acknowledged();
        let suspensions = self.store.suspensions();
        if let Some((record, token)) = &self.kept[thread]
            && self.cached.still_holds(&self.digest, *token)
        {
            KEPT.fetch_add(1, Ordering::Relaxed);
            check(found(Some(record)), acknowledged, suspensions);
            // Others may have pushed it out of the cache, but nothing else is known.
            if let Immediate::Answer(answer) = self.cached.find_now(&self.digest) {
                assert_eq!(
                    answer.as_ref(),
                    Some(record),
                    "a thread serves what the cache does not"
                );
            }
            return;
        }
        if let Immediate::Answer((record, token)) = self.cached.find_to_keep(&self.digest) {
            HITS.fetch_add(1, Ordering::Relaxed);
            check(found(record.as_deref()), acknowledged, suspensions);
            self.kept[thread] = record.zip(token);
            return;
        }
        let (cached, digest) = (self.cached.clone(), self.digest);
        let future = Box::pin(async move {
            let record = cached.find(&digest).await.ok()?;
            Some(found(record.as_deref()))
        });
        self.requests.push(Request { future, acknowledged });
        self.poll(self.requests.len() - 1);
    }

    fn poll(&mut self, request: usize) {
        let Some(request) = request.checked_rem(self.requests.len()) else { return };
        let Request { future, acknowledged } = &mut self.requests[request];
        if let Poll::Ready(found) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            // An error says nothing of the key.
            if let Some(found) = found {
                check(found, *acknowledged, self.store.suspensions());
            }
            drop(self.requests.swap_remove(request));
        }
    }

    fn change_here(&mut self) {
        let (cached, change) = (self.cached.clone(), self.change());
        let version = Version { record: self.version().record + 1, tenant: 0 };
        let acknowledged = Arc::clone(&self.acknowledged);
        tokio::spawn(async move {
            if cached.commit(&[change], &[]).await.is_ok() {
                let mut acknowledged = acknowledged.lock().unwrap();
                *acknowledged = acknowledged.max(version);
            }
        });
    }

    async fn change_elsewhere(&mut self) {
        let keys = &self.store.keys;
        // Past the rules: plain SQL may change the keys of a suspended tenant, too.
        let suspended = keys.suspended().await.unwrap();
        for SuspendedTenant { tenant, .. } in &suspended {
            keys.set_suspended(tenant, None, &[]).await.unwrap();
        }
        match self.change() {
            KeyChange::Insert(record) => keys.insert(record),
            change => drop(keys.update(change.record().id(), |_| ()).unwrap()),
        }
        for SuspendedTenant { tenant, since, .. } in &suspended {
            keys.set_suspended(tenant, Some(*since), &[]).await.unwrap();
        }
        self.changed_elsewhere(Invalidation::Key(self.digest));
    }

    fn changed_elsewhere(&mut self, invalidation: Invalidation) {
        // It tells of one of the two: the other may have been changed here, by a call that has not
        // returned yet.
        let version = match &invalidation {
            Invalidation::Key(_) => Version { tenant: 0, ..self.version() },
            _ => Version { record: 0, ..self.version() },
        };
        self.elsewhere.push((version, Instant::now()));
        if let Some(source) = &self.source {
            source.send(invalidation);
            self.sent.push(version);
        }
    }

    /// Returns what is to be done with the tenant next, and the event by which that is known again.
    fn suspension(&mut self) -> (Option<SystemTime>, AuditEvent) {
        self.wanted += 1;
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(self.wanted);
        let is_suspended = self.store.suspensions() % 2 == 1;
        let action = if is_suspended { AuditAction::Resumed } else { AuditAction::Suspended };
        let event = AuditEvent::of_tenant(at, Actor::System, action, self.tenant.clone());
        ((!is_suspended).then_some(at), event)
    }

    fn suspend_here(&mut self) {
        let (since, event) = self.suspension();
        let (cached, store, tenant) =
            (self.cached.clone(), self.store.clone(), self.tenant.clone());
        let acknowledged = Arc::clone(&self.acknowledged);
        tokio::spawn(async move {
            let at = event.at;
            if cached.set_suspended(&tenant, since, &[event]).await.is_ok_and(|changed| changed) {
                let mut acknowledged = acknowledged.lock().unwrap();
                let tenant = store.suspensions_until(at).unwrap();
                *acknowledged = acknowledged.max(Version { record: 0, tenant });
            }
        });
    }

    async fn suspend_elsewhere(&mut self) {
        let (since, event) = self.suspension();
        self.store.suspend_now(&self.tenant, since, &event).await;
        self.changed_elsewhere(Invalidation::Tenant(self.tenant.clone()));
    }

    async fn deliver(&mut self, subscription: usize) -> bool {
        let told = self.source.as_ref().and_then(|source| source.deliver_to(subscription));
        let Some(told) = told else { return false };
        settle().await;
        match told.invalidation {
            Invalidation::Key(_) | Invalidation::Tenant(_) => {
                self.acknowledge(self.sent[told.before]);
            }
            // The subscription that is relied on has told of all that was changed before.
            Invalidation::Heartbeat(_) if told.to_the_oldest => {
                let versions = &self.sent[..told.before];
                versions.iter().for_each(|version| self.acknowledge(*version));
            }
            _ => {}
        }
        true
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Begin(thread) => self.begin(thread),
            Step::Poll(request) => self.poll(request),
            Step::Abandon(request) => {
                if let Some(request) = request.checked_rem(self.requests.len()) {
                    drop(self.requests.swap_remove(request));
                }
            }
            Step::Act(call) => {
                if let Some(call) = call.checked_rem(self.store.waiting().len()) {
                    self.store.act(call);
                }
            }
            Step::Answer(call, answered) => {
                if let Some(call) = call.checked_rem(self.store.waiting().len()) {
                    self.store.answer(call, answered);
                }
            }
            Step::ChangeHere => self.change_here(),
            Step::ChangeElsewhere => self.change_elsewhere().await,
            Step::SuspendHere => self.suspend_here(),
            Step::SuspendElsewhere => self.suspend_elsewhere().await,
            Step::Read => {
                let found = self.cached.get(&"key_1".parse().unwrap()).await.unwrap();
                self.read = found.map(|key| (key.record, self.store.suspensions()));
            }
            Step::Tell => {
                if let Some((record, tenant)) = self.read.take() {
                    self.cached.record_changed(&record);
                    self.acknowledge(Version { record: record.revision() + 1, tenant });
                }
            }
            Step::Deliver(subscription) => drop(self.deliver(subscription).await),
            // The new one first, since the old one may then be at its end.
            Step::DeliverAll => while self.deliver(1).await || self.deliver(0).await {},
            Step::Lose => {
                self.source.iter().for_each(ScriptedSource::lose);
                settle().await;
                assert!(self.source.is_none() || !self.cached.is_live());
            }
            Step::Mute => self.source.iter().for_each(ScriptedSource::mute),
            Step::Pass(time) => advance(time).await,
            Step::Evict => {
                for other in ["a", "b", "c", "d"] {
                    let other = KeyHasher::sha256().digest(other);
                    let _ = self.cached.find(&other).await;
                }
            }
        }
        settle().await;
        self.observe();
    }

    /// Notes from when on the cache lives again.
    fn observe(&mut self) {
        let Some(source) = &self.source else { return };
        let sessions = source.sessions();
        if sessions != self.listened && self.cached.is_live() {
            self.listened = sessions;
            self.acknowledge(self.version());
        }
    }
}

/// Checks what is served now that the tenant was changed `made` times.
fn check((record, is_suspended): Found, acknowledged: Version, made: usize) {
    let known = acknowledged.record;
    assert!(record >= known, "served version {record} after {known} was known");
    let Some(is_suspended) = is_suspended else { return };
    // Each change of the tenant is the other of the two, and the first one suspends it.
    let mut may_be = (acknowledged.tenant..=made).map(|changes| changes % 2 == 1);
    assert!(
        may_be.any(|may_be| may_be == is_suspended),
        "served a key whose tenant is suspended: {is_suspended}, after {} changes of it were known",
        acknowledged.tenant
    );
}

fn run(notified: bool, renewed: bool, steps: Vec<Step>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut model = Model::new(notified, renewed);
        settle().await;
        for step in steps {
            model.step(step).await;
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_outdated_is_served_to_who_is_notified(steps in steps()) {
        run(true, false, steps);
    }

    #[test]
    fn nothing_outdated_is_served_while_subscriptions_are_renewed(steps in steps()) {
        run(true, true, steps);
    }

    #[test]
    fn nothing_outdated_is_served_beyond_the_maximal_staleness(steps in steps()) {
        run(false, false, steps);
    }
}
