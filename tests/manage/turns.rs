//! Changes of one key at once: whose turn it is, and who holds up whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::{Mutex, Semaphore};
use tower_api_key::manage::Owner;
use tower_api_key::store::{
    AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, KeyState, KeyUse, RecordUses, StoredKey,
};
use tower_api_key::{
    AbilitySet, KeyDigest, KeyId, KeyManager, KeyRecord, KeyRepository, KeyStore, KeyUpdate,
    ManageError, MemoryStore, NewKey, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::settle;
use crate::common::in_time;

const MINUTE: Duration = Duration::from_secs(60);

/// A store that counts commits and their conflicts, and for which a commit can be held up.
struct Counting {
    store: MemoryStore,
    commits: AtomicUsize,
    conflicts: AtomicUsize,
    /// Lets commits pass.
    gate: Semaphore,
    /// The actors of the events, in the order of the commits.
    actors: Mutex<Vec<String>>,
}

#[async_trait]
impl KeyStore for Counting {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.store.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Counting {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        tokio::task::yield_now().await;
        let read = KeyRepository::get(&self.store, id).await;
        tokio::task::yield_now().await;
        read
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.store, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let _pass = self.gate.acquire().await.unwrap();
        tokio::task::yield_now().await;
        let committed = self.store.commit(changes, events).await;
        tokio::task::yield_now().await;
        match &committed {
            Ok(()) => {
                let actors = events.iter().map(|event| event.actor.to_string());
                self.actors.lock().await.extend(actors);
            }
            Err(_) => drop(self.conflicts.fetch_add(1, Ordering::SeqCst)),
        }
        committed
    }
}

#[async_trait]
impl RecordUses for Counting {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.store.record_uses(uses).await
    }
}

/// A key of `acme`, and the manager of the application.
struct World {
    repository: Arc<Counting>,
    keys: KeyManager,
    id: KeyId,
}

impl World {
    /// With so many commits that may be under way at once; more are held up.
    fn new(passes: usize) -> Self {
        let store = MemoryStore::new();
        let id =
            store.issue(NewKey::named("contended").tenant("acme")).unwrap().record.id().clone();
        let repository = Arc::new(Counting {
            store,
            commits: AtomicUsize::new(0),
            conflicts: AtomicUsize::new(0),
            gate: Semaphore::new(passes),
            actors: Mutex::default(),
        });
        let keys = KeyManager::new(Arc::clone(&repository) as Arc<dyn KeyRepository>);
        Self { repository, keys, id }
    }

    /// Returns a manager for somebody of a tenant.
    fn of(&self, tenant: &str, name: &str) -> KeyManager {
        let everything: AbilitySet = ["*"].try_into().unwrap();
        self.keys.on_behalf_of(Owner::of_tenant(tenant.parse().unwrap(), everything, name))
    }

    fn record(&self) -> Arc<KeyRecord> {
        self.repository.store.record(&self.id).unwrap()
    }

    fn counts(&self) -> (usize, usize) {
        let count = |counter: &AtomicUsize| counter.load(Ordering::SeqCst);
        (count(&self.repository.commits), count(&self.repository.conflicts))
    }

    /// Starts to rename the key.
    fn rename(&self, keys: KeyManager, name: &str) -> tokio::task::JoinHandle<Changed> {
        let (id, update) = (self.id.clone(), KeyUpdate::new().name(name));
        tokio::spawn(async move { keys.update(&id, &update).await.map(drop) })
    }
}

type Changed = Result<(), ManageError>;

#[tokio::test]
async fn changes_of_a_key_at_once_cost_about_as_many_commits_as_they_are() {
    const CHANGES: usize = 300;

    let world = World::new(Semaphore::MAX_PERMITS);
    // Operators and owners have one queue.
    let owner = world.of("acme", "alice");
    let changes = (0..CHANGES).map(|number| {
        let keys = if number % 2 == 0 { &world.keys } else { &owner };
        world.rename(keys.clone(), &format!("name {number}"))
    });
    for change in join_all(changes).await {
        change.unwrap().unwrap();
    }
    let (commits, conflicts) = world.counts();
    assert_eq!(world.record().revision(), CHANGES as u64, "no change is lost");
    assert!(commits <= CHANGES + CHANGES / 10, "{commits} commits, {conflicts} of them in vain");
}

#[tokio::test]
async fn revoking_a_foreign_key_does_not_get_in_the_way_of_its_owner() {
    let world = World::new(Semaphore::MAX_PERMITS);
    let (stranger, alice) = (world.of("globex", "mallory"), world.of("acme", "alice"));
    let ends = Arc::new(AtomicBool::new(false));
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let (keys, id, ends) = (stranger.clone(), world.id.clone(), Arc::clone(&ends));
            tokio::spawn(async move {
                while !ends.load(Ordering::SeqCst) {
                    let refused = keys.revoke(&id).await;
                    assert!(matches!(refused, Err(ManageError::NotFound)), "{refused:?}");
                }
            })
        })
        .collect();
    for number in 0..100 {
        let update = KeyUpdate::new().name(format!("name {number}"));
        alice.update(&world.id, &update).await.unwrap();
    }
    world.keys.disable(&world.id).await.unwrap();
    ends.store(true, Ordering::SeqCst);
    for stranger in strangers {
        stranger.await.unwrap();
    }
    assert_eq!(world.counts(), (101, 0));
}

#[tokio::test]
async fn a_revocation_goes_first_and_then_what_takes_a_key_out_of_use() {
    let world = World::new(0);
    let holder = world.of("acme", "the holder");
    let mut changes = Vec::new();
    for number in 0..5 {
        changes.push(world.rename(holder.clone(), &format!("name {number}")));
        settle().await;
    }
    let disable = |name: &str| {
        let (keys, id) = (world.keys.acting_as(name), world.id.clone());
        tokio::spawn(
            async move { keys.update(&id, &KeyUpdate::new().disabled(true)).await.map(drop) },
        )
    };
    let first_disable = disable("first");
    settle().await;
    let revocation = tokio::spawn({
        let (keys, id) = (world.keys.acting_as("the operator"), world.id.clone());
        async move { keys.revoke(&id).await.map(drop) }
    });
    settle().await;
    let second_disable = disable("second");
    settle().await;
    assert_eq!(world.counts().0, 1, "the others wait");
    world.repository.gate.add_permits(1);
    in_time(changes.remove(0)).await.unwrap().unwrap();
    in_time(revocation).await.unwrap().unwrap();
    for late in changes.into_iter().chain([first_disable, second_disable]) {
        let late = in_time(late).await.unwrap();
        assert!(matches!(late, Err(ManageError::State(KeyState::Revoked))), "{late:?}");
    }
    assert_eq!(*world.repository.actors.lock().await, ["name:the holder", "name:the operator"]);

    let world = World::new(0);
    let holder = world.of("acme", "the holder");
    let first = world.rename(holder.clone(), "first");
    settle().await;
    let second = world.rename(holder, "second");
    settle().await;
    let disable = tokio::spawn({
        let (keys, id) = (world.keys.acting_as("the operator"), world.id.clone());
        async move { keys.disable(&id).await.map(drop) }
    });
    settle().await;
    world.repository.gate.add_permits(1);
    for change in [first, second, disable] {
        in_time(change).await.unwrap().unwrap();
    }
    let actors = world.repository.actors.lock().await;
    assert_eq!(*actors, ["name:the holder", "name:the operator", "name:the holder"]);
}

#[tokio::test]
async fn a_revocation_is_not_held_up_by_a_holder_that_never_stops_to_change_the_key() {
    let world = World::new(Semaphore::MAX_PERMITS);
    let holder = world.of("acme", "the holder");
    let flood: Vec<_> = (0..50)
        .map(|number| {
            let (keys, id) = (holder.clone(), world.id.clone());
            tokio::spawn(async move {
                for change in 0.. {
                    let update = KeyUpdate::new().name(format!("name {number} {change}"));
                    match keys.update(&id, &update).await {
                        Ok(_) => {}
                        Err(error) => return assert!(matches!(error, ManageError::State(_))),
                    }
                }
            })
        })
        .collect();
    for _ in 0..500 {
        tokio::task::yield_now().await;
    }
    let before = world.counts().0;
    in_time(world.keys.revoke(&world.id)).await.unwrap();
    let commits = world.counts().0 - before;
    assert!(commits <= 3, "{commits} changes were begun before the revocation was made");
    for flood in flood {
        in_time(flood).await.unwrap();
    }
}

#[tokio::test]
async fn a_change_that_is_given_up_lets_the_next_have_its_turn() {
    let world = World::new(0);
    let first = world.rename(world.keys.clone(), "first");
    settle().await;
    let second = world.rename(world.keys.clone(), "second");
    settle().await;
    let third = world.rename(world.keys.clone(), "third");
    settle().await;
    // The one whose turn it is, and one that waits.
    first.abort();
    second.abort();
    settle().await;
    world.repository.gate.add_permits(1);
    in_time(third).await.unwrap().unwrap();
    assert_eq!((world.record().name(), world.record().revision()), ("third", 1));
    assert_eq!(
        in_time(world.keys.rotate(&world.id, MINUTE)).await.unwrap().predecessor.revision(),
        2
    );
}
