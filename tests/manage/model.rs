//! Every interleaving of what two nodes do with the keys of one store that a generator finds, also on
//! behalf of keys: after a revocation was acknowledged nothing is done on behalf of that key, nothing
//! is ever granted that its owner has not in that moment, and no change is lost.
//!
//! The code under test is the real one. Only who goes on next, and when, is the test's.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tower_api_key::manage::Owner;
use tower_api_key::store::RecordUses;
use tower_api_key::store::{
    Actor, AuditAction, AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, KeyUse, StoredKey,
};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    AbilitySet, Clock as _, IssuedKey, KeyDigest, KeyId, KeyManager, KeyRecord, KeyRepository,
    KeyStore, KeyUpdate, ManageError, MemoryStore, NewKey, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::meanwhile::try_verified;

const SECOND: Duration = Duration::from_secs(1);

/// How many keys there are in the beginning.
const KEYS: usize = 3;

/// What happens next. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    /// Something is begun on one of the nodes.
    Begin { node: usize, who: Who, what: What },
    /// A task goes on until it waits for the store, or for its answer.
    Go(usize),
    /// Whoever waits for a task goes away.
    Abandon(usize),
    /// Time passes.
    Pass,
}

#[derive(Clone, Debug)]
enum Who {
    /// The application, or an operator.
    App,
    /// A key, by its number.
    Key(usize),
}

#[derive(Clone, Debug)]
enum What {
    Issue(usize),
    Rename(usize),
    /// Sets the abilities, to others as well.
    Allow(usize, usize),
    /// Lets a key expire in some seconds, or never.
    Expire(usize, Option<u32>),
    Disable(usize),
    Enable(usize),
    Rotate(usize, u32),
    Revoke(usize),
}

fn abilities(number: usize) -> AbilitySet {
    let sets: [&[&str]; 5] = [
        &["*"],
        &["bots:*", "api-keys:write"],
        &["bots:read", "api-keys:write"],
        &["bots:*"],
        &["bots:read"],
    ];
    sets[number % sets.len()].iter().map(|ability| ability.parse().unwrap()).collect()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || 0..8usize;
    // Of the first keys mostly, so that they get in each other's way.
    let known = || prop_oneof![3 => 0..2usize, 1 => key()];
    let who = prop_oneof![2 => Just(Who::App), 3 => known().prop_map(Who::Key)];
    let what = prop_oneof![
        4 => (0..5usize).prop_map(What::Issue),
        2 => known().prop_map(What::Rename),
        3 => (known(), 0..5usize).prop_map(|(key, number)| What::Allow(key, number)),
        1 => (known(), prop::option::of(1..4u32)).prop_map(|(key, time)| What::Expire(key, time)),
        1 => known().prop_map(What::Disable),
        2 => known().prop_map(What::Enable),
        2 => (known(), 0..3u32).prop_map(|(key, grace)| What::Rotate(key, grace)),
        2 => known().prop_map(What::Revoke),
    ];
    let begin = (0..2usize, who, what);
    let step = prop_oneof![
        3 => begin.prop_map(|(node, who, what)| Step::Begin { node, who, what }),
        12 => any::<usize>().prop_map(Step::Go),
        1 => any::<usize>().prop_map(Step::Abandon),
        1 => Just(Step::Pass),
    ];
    prop::collection::vec(step, 1..120)
}

/// Waits until the task goes on.
async fn stop() {
    let mut went_on = false;
    poll_fn(|_| match std::mem::replace(&mut went_on, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// A memory store that stops before and after all that it does, and judges what is done.
#[derive(Clone)]
struct Stopping {
    store: MemoryStore,
    model: Arc<Mutex<Model>>,
}

/// What is known of the keys whatever the managers say.
#[derive(Default)]
struct Model {
    /// When keys were revoked.
    revoked: HashMap<KeyId, SystemTime>,
    /// The keys whose revocation was acknowledged.
    acknowledged: HashSet<KeyId>,
    /// How often each record was changed.
    revisions: HashMap<KeyId, u64>,
}

/// How often something was seen that the test is for.
#[derive(Default)]
struct Seen {
    by_keys: AtomicUsize,
    refused: AtomicUsize,
    conflicts: AtomicUsize,
    after_revocation: AtomicUsize,
}

static SEEN: Seen = Seen {
    by_keys: AtomicUsize::new(0),
    refused: AtomicUsize::new(0),
    conflicts: AtomicUsize::new(0),
    after_revocation: AtomicUsize::new(0),
};

fn count(seen: &AtomicUsize) {
    seen.fetch_add(1, Ordering::Relaxed);
}

impl Model {
    /// Judges a change that was made to the records before it.
    fn judge(&mut self, event: &AuditEvent, record: impl Fn(&KeyId) -> Option<Arc<KeyRecord>>) {
        let id = event.key_id().unwrap();
        assert_eq!(record(id), event.before, "a change of another record than the one that is");
        if let Actor::Key(owner) = &event.actor {
            count(&SEEN.by_keys);
            assert!(!self.acknowledged.contains(owner), "{owner} did it after its revocation");
            let Some(owner) = record(owner) else { panic!("{owner} is gone") };
            self.judge_owner(&owner, event);
        }
        let Some(after) = &event.after else { panic!("nothing is removed") };
        let revisions = self.revisions.entry(id.clone()).or_default();
        assert_eq!(after.revision(), *revisions, "a change is lost");
        *revisions += 1;
        if let Some(revoked_at) = self.revoked.get(id) {
            assert_eq!(after.revoked_at().as_ref(), Some(revoked_at), "a revocation is taken back");
        }
        self.revoked.extend(after.revoked_at().map(|at| (id.clone(), at)));
    }

    fn judge_owner(&self, owner: &KeyRecord, event: &AuditEvent) {
        assert!(owner.revoked_at().is_none() && !owner.is_disabled(), "{owner:?} did {event:?}");
        assert!(owner.abilities().can("api-keys:write"), "{owner:?} did {event:?}");
        let granted = match event.action {
            AuditAction::Disabled | AuditAction::Revoked => return,
            // The successor is the same.
            AuditAction::Rotated => event.before.as_ref(),
            _ => event.after.as_ref(),
        };
        let granted = granted.unwrap();
        assert!(owner.abilities().covers(granted.abilities()), "{owner:?} granted {granted:?}");
        let is_in_time = |expires_at| granted.expires_at().is_some_and(|at| at <= expires_at);
        assert!(owner.expires_at().is_none_or(is_in_time), "{owner:?} granted {granted:?}");
        assert_eq!(owner.tenant(), granted.tenant());
    }
}

#[async_trait]
impl KeyStore for Stopping {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.store.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Stopping {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        stop().await;
        let got = KeyRepository::get(&self.store, id).await;
        stop().await;
        got
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.store, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        stop().await;
        // Nothing else happens until the next stop.
        let before: HashMap<_, _> =
            self.store.records().into_iter().map(|r| (r.id().clone(), r)).collect();
        let committed = self.store.commit(changes, events).await;
        match &committed {
            Ok(()) => {
                let mut model = self.model.lock().unwrap();
                events.iter().for_each(|event| model.judge(event, |id| before.get(id).cloned()));
            }
            Err(CommitError::Conflict) => count(&SEEN.conflicts),
            Err(error) => panic!("{error}"),
        }
        stop().await;
        committed
    }
}

#[async_trait]
impl RecordUses for Stopping {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }
}

/// What a task has to tell: a key that there is now, or one that was revoked.
enum Told {
    Nothing,
    Issued(IssuedKey),
    Revoked(KeyId),
}

struct Task {
    future: BoxFuture<'static, Result<Told, ManageError>>,
    is_of_app: bool,
}

struct World {
    store: Stopping,
    clock: Arc<FakeClock>,
    nodes: [KeyManager; 2],
    /// The keys that there are, and on whose behalf something can be done.
    keys: Vec<(KeyId, Option<Owner>)>,
    tasks: Vec<Task>,
}

impl World {
    async fn new() -> Self {
        let store = Stopping { store: MemoryStore::new(), model: Arc::default() };
        let clock = Arc::new(FakeClock::at(SystemTime::UNIX_EPOCH + 1_000_000 * SECOND));
        let node = || KeyManager::new(store.clone()).clock(Arc::clone(&clock));
        let nodes = [node(), node()];
        let mut world = Self { store, clock, nodes, keys: Vec::new(), tasks: Vec::new() };
        for _ in 0..KEYS {
            world.begin(0, &Who::App, &What::Issue(0));
            world.finish().await;
        }
        world
    }

    fn key(&self, number: usize) -> KeyId {
        self.keys[number % self.keys.len()].0.clone()
    }

    fn begin(&mut self, node: usize, who: &Who, what: &What) {
        let keys = match who {
            Who::App => self.nodes[node].clone(),
            Who::Key(number) => match &self.keys[number % self.keys.len()] {
                (_, Some(owner)) => self.nodes[node].on_behalf_of(owner.clone()),
                (_, None) => return,
            },
        };
        let future: BoxFuture<'static, _> = match *what {
            What::Issue(number) => {
                let key = NewKey::named("issued").abilities(abilities(number).iter().cloned());
                let key = if matches!(who, Who::App) { key.tenant("acme") } else { key };
                async move { keys.issue(key).await.map(Told::Issued) }.boxed()
            }
            What::Rename(number) => {
                self.update(keys, number, KeyUpdate::new().name(format!("name {number}")))
            }
            What::Allow(number, set) => {
                self.update(keys, number, KeyUpdate::new().abilities(abilities(set)))
            }
            What::Expire(number, seconds) => {
                let expires_at = seconds.map(|seconds| self.clock.now() + seconds * SECOND);
                self.update(keys, number, KeyUpdate::new().expires_at(expires_at))
            }
            What::Disable(number) => {
                let id = self.key(number);
                async move { keys.disable(&id).await.map(|_| Told::Nothing) }.boxed()
            }
            What::Enable(number) => {
                let id = self.key(number);
                async move { keys.enable(&id).await.map(|_| Told::Nothing) }.boxed()
            }
            What::Rotate(number, grace) => {
                let id = self.key(number);
                async move {
                    let rotated = keys.rotate(&id, grace * SECOND).await?;
                    // Without grace, rotating is revoking.
                    let is_revoked = rotated.predecessor.revoked_at().is_some();
                    Ok(if is_revoked { Told::Revoked(id) } else { Told::Nothing })
                }
                .boxed()
            }
            What::Revoke(number) => {
                let id = self.key(number);
                async move {
                    keys.revoke(&id).await.map(|changed| Told::Revoked(changed.record.id().clone()))
                }
                .boxed()
            }
        };
        self.tasks.push(Task { future, is_of_app: matches!(who, Who::App) });
    }

    fn update(
        &self,
        keys: KeyManager,
        number: usize,
        update: KeyUpdate,
    ) -> BoxFuture<'static, Result<Told, ManageError>> {
        let id = self.key(number);
        async move { keys.update(&id, &update).await.map(|_| Told::Nothing) }.boxed()
    }

    /// Lets a task go on. Returns whether it ended.
    async fn go(&mut self, task: usize) -> bool {
        let Some(number) = task.checked_rem(self.tasks.len()) else { return false };
        let task = &mut self.tasks[number];
        let polled = task.future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(told) = polled else { return false };
        let is_of_app = self.tasks.swap_remove(number).is_of_app;
        match told {
            Ok(Told::Nothing) => {}
            Ok(Told::Issued(issued)) => {
                let repository: Arc<dyn KeyRepository> = Arc::new(self.store.clone());
                let verified = try_verified(&repository, &issued.secret).await;
                let needed: AbilitySet = ["api-keys:write"].try_into().unwrap();
                let owner = verified.map(|key| Owner::of_key(&key).requiring(needed));
                let id = issued.record.id().clone();
                assert!(self.store.store.record(&id).is_some(), "what was issued is lost");
                self.keys.push((id, owner));
            }
            Ok(Told::Revoked(id)) => {
                let record = self.store.store.record(&id).unwrap();
                assert!(record.revoked_at().is_some(), "a revocation is lost");
                self.store.model.lock().unwrap().acknowledged.insert(id);
            }
            // A key that may not do it, or not any more.
            Err(ManageError::Exceeds(_)) => {
                assert!(!is_of_app);
                count(&SEEN.refused);
            }
            Err(ManageError::State(_) | ManageError::Rotated(_) | ManageError::Conflict) => {}
            Err(ManageError::Expiry) => {}
            Err(error) => panic!("{error}"),
        }
        true
    }

    /// Lets all tasks end, in turn.
    async fn finish(&mut self) {
        for round in 0.. {
            assert!(round < 10_000, "a task does not end");
            for task in (0..self.tasks.len()).rev() {
                self.go(task).await;
            }
            if self.tasks.is_empty() {
                return;
            }
            // Somebody may have decided to try again later.
            tokio::time::advance(Duration::from_micros(100)).await;
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Begin { node, who, what } => {
                if let Who::Key(number) = &who
                    && self.store.model.lock().unwrap().acknowledged.contains(&self.key(*number))
                {
                    count(&SEEN.after_revocation);
                }
                self.begin(node, &who, &what);
            }
            Step::Go(task) => drop(self.go(task).await),
            Step::Abandon(task) => {
                if let Some(task) = task.checked_rem(self.tasks.len()) {
                    drop(self.tasks.swap_remove(task));
                }
            }
            Step::Pass => self.clock.advance(SECOND),
        }
    }

    /// Checks what there is in the end.
    fn check(&self) {
        let model = self.store.model.lock().unwrap();
        for record in self.store.store.records() {
            assert_eq!(record.revision() + 1, model.revisions[record.id()], "a change is lost");
            assert_eq!(record.revoked_at().as_ref(), model.revoked.get(record.id()));
        }
        for id in &model.acknowledged {
            assert!(model.revoked.contains_key(id), "a revocation is lost");
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        for step in steps {
            world.step(step).await;
        }
        world.finish().await;
        world.check();
    });
}

#[test]
fn nothing_is_done_on_behalf_of_a_key_that_it_may_not_do_in_that_moment() {
    let config = Config { cases: 600, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&steps(), |steps| {
        run(steps);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // It was about something.
    for seen in [&SEEN.by_keys, &SEEN.refused, &SEEN.conflicts, &SEEN.after_revocation] {
        assert!(seen.load(Ordering::Relaxed) > 50, "{}", seen.load(Ordering::Relaxed));
    }
}
