//! Many keys at once: issued, and pruned.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tower_api_key::manage::Owner;
use tower_api_key::store::{
    AuditEvent, CommitError, EndedPage, EndedQuery, KeyChange, KeyPage, KeyQuery, StoredKey,
};
use tower_api_key::{
    KeyDigest, KeyId, KeyManager, KeyRecord, KeyRepository, KeyStore, KeyUpdate, ManageError,
    MemoryStore, NewKey, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::in_time;
use crate::meanwhile::{Meanwhile, verified};
use crate::stores::{Store, over_each_store};

over_each_store! {
    many_keys_are_issued_in_their_order
    a_wrong_key_issues_none
    what_ended_is_pruned_in_batches
    a_key_that_was_changed_meanwhile_stays
    a_prune_that_is_stopped_goes_on
    an_owner_prunes_its_own_keys
}

const MANY: usize = 1500;

fn named(number: usize) -> NewKey {
    NewKey::named(format!("till {number}")).tenant("acme")
}

/// A manager that waits as long as a busy machine needs.
fn manager(store: &Store) -> KeyManager {
    KeyManager::new(store.clone()).deadline(Duration::from_secs(100))
}

fn issued_ids(changes: &[KeyChange]) -> usize {
    changes.iter().filter(|change| matches!(change, KeyChange::Insert(_))).count()
}

async fn many_keys_are_issued_in_their_order(store: Store) {
    let events = Arc::<Mutex<Vec<AuditEvent>>>::default();
    let told = Arc::clone(&events);
    let keys =
        manager(&store).audit(move |event: &AuditEvent| told.lock().unwrap().push(event.clone()));
    let issued = keys.issue_all((0..MANY).map(named)).await.unwrap();
    assert_eq!(issued.len(), MANY);
    for (number, key) in issued.iter().enumerate() {
        assert_eq!(key.record.name(), format!("till {number}"));
    }
    for key in [&issued[0], &issued[MANY / 2], &issued[MANY - 1]] {
        assert_eq!(verified(&store, &key.secret).await.id(), key.record.id());
        assert_eq!(keys.get(key.record.id()).await.unwrap().record, key.record);
    }
    let secrets: BTreeSet<_> = issued.iter().map(|key| key.secret.reveal()).collect();
    assert_eq!(secrets.len(), MANY);
    let told: Vec<_> = events.lock().unwrap().iter().map(|event| event.after.clone()).collect();
    let records: Vec<_> = issued.iter().map(|key| Some(Arc::clone(&key.record))).collect();
    assert_eq!(told, records);
    assert!(keys.issue_all([]).await.unwrap().is_empty());
}

async fn a_wrong_key_issues_none(store: Store) {
    let keys = manager(&store);
    let wrong = || (0..MANY).map(named).chain([NewKey::named("x")]).chain([named(1)]);
    let error = keys.issue_all(wrong()).await.unwrap_err();
    assert!(matches!(error.source, ManageError::Name), "{error:?}");
    assert_eq!((error.index, error.issued.len(), error.uncertain.len()), (MANY, 0, 0));
    let alice = Owner::of_tenant("acme".parse().unwrap(), ["a:b"].try_into().unwrap(), "alice");
    let mightier = [named(1), named(2).abilities(["a:c"])];
    let error = keys.on_behalf_of(alice).issue_all(mightier).await.unwrap_err();
    assert!(matches!(error.source, ManageError::Exceeds(_)) && error.index == 1, "{error:?}");
    assert!(keys.list(&KeyQuery::new()).await.unwrap().keys.is_empty());
}

/// Issues keys of which all but the last ended, and waits until they have.
async fn ended(keys: &KeyManager, count: usize) -> Vec<Arc<KeyRecord>> {
    let soon = SystemTime::now() + Duration::from_secs(2);
    let expiring = keys.issue_all((0..count).map(|number| named(number).expires_at(soon)));
    let mut records: Vec<_> = expiring.await.unwrap().into_iter().map(|key| key.record).collect();
    for record in records.iter_mut().take(3) {
        *record = keys.revoke(record.id()).await.unwrap().record;
    }
    keys.issue(named(9999)).await.unwrap();
    let left = soon.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::time::sleep(left + Duration::from_millis(5)).await;
    records
}

async fn names(keys: &KeyManager) -> Vec<String> {
    let page = keys.list(&KeyQuery::new().limit(1000)).await.unwrap();
    page.keys.iter().map(|key| key.record.name().to_owned()).collect()
}

async fn what_ended_is_pruned_in_batches(store: Store) {
    let commits = Arc::new(Meanwhile::new(store.clone(), |_| async {}.boxed()));
    let keys = manager(&store);
    ended(&keys, MANY).await;
    let events = Arc::<Mutex<Vec<AuditEvent>>>::default();
    let told = Arc::clone(&events);
    let pruning = KeyManager::new(Arc::clone(&commits))
        .deadline(Duration::from_secs(100))
        .audit(move |event: &AuditEvent| told.lock().unwrap().push(event.clone()));
    let mut progress = Vec::new();
    let pruned = pruning.prune_with(SystemTime::now(), |so_far| {
        progress.push(so_far);
        ControlFlow::Continue(())
    });
    let pruned = pruned.await.unwrap();
    assert_eq!((pruned.removed, pruned.found), (MANY, MANY));
    assert_eq!(events.lock().unwrap().len(), MANY);
    assert!(commits.commits() <= MANY / 100, "{} commits", commits.commits());
    assert_eq!(progress.last().unwrap().removed, MANY);
    assert!(progress.len() >= 2 && progress.is_sorted_by_key(|so_far| so_far.removed));
    assert_eq!(names(&keys).await, ["till 9999"]);
    assert_eq!(keys.prune(SystemTime::now()).await.unwrap(), 0);
}

async fn a_key_that_was_changed_meanwhile_stays(store: Store) {
    let keys = manager(&store);
    let records = ended(&keys, 40).await;
    let (changing, expired) = (keys.clone(), records[20].id().clone());
    let id = expired.clone();
    let meanwhile = Meanwhile::new(store.clone(), move |before| {
        let (keys, id) = (changing.clone(), id.clone());
        async move {
            if before == 0 {
                let later = SystemTime::now() + Duration::from_secs(3600);
                keys.update(&id, &KeyUpdate::new().expires_at(later)).await.unwrap();
            }
        }
        .boxed()
    });
    let pruned = KeyManager::new(meanwhile).deadline(Duration::from_secs(100));
    let pruned = pruned.prune_with(SystemTime::now(), |_| ControlFlow::Continue(()));
    let pruned = pruned.await.unwrap();
    assert_eq!((pruned.removed, pruned.found), (39, 40));
    assert!(keys.get(&expired).await.is_ok(), "a key that works again was removed");
}

async fn a_prune_that_is_stopped_goes_on(store: Store) {
    let keys = manager(&store);
    ended(&keys, MANY).await;
    let mut stopped = 0;
    let first = keys.prune_with(SystemTime::now(), |so_far| {
        stopped = so_far.removed;
        if stopped > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let first = first.await.unwrap();
    assert!(first.removed == stopped && (1..MANY).contains(&stopped), "{first:?}");
    // A future that is dropped leaves no batch half done.
    let _ = tokio::time::timeout(Duration::from_millis(5), keys.prune(SystemTime::now())).await;
    in_time(async { while keys.prune(SystemTime::now()).await.unwrap() > 0 {} }).await;
    assert_eq!(names(&keys).await, ["till 9999"]);
}

async fn an_owner_prunes_its_own_keys(store: Store) {
    let keys = manager(&store);
    let foreign = keys.issue(NewKey::named("foreign").tenant("globex")).await.unwrap();
    keys.revoke(foreign.record.id()).await.unwrap();
    ended(&keys, 10).await;
    let alice = Owner::of_tenant("acme".parse().unwrap(), ["a:b"].try_into().unwrap(), "alice");
    let alice = keys.on_behalf_of(alice);
    assert_eq!(alice.prune(SystemTime::now()).await.unwrap(), 10);
    assert_eq!(names(&keys).await, ["till 9999", "foreign"]);
}

/// A repository that fails at one commit, before or after it made it.
struct Failing {
    store: MemoryStore,
    fails_at: usize,
    makes_it: bool,
    commits: Mutex<BTreeMap<usize, usize>>,
}

#[async_trait]
impl KeyStore for Failing {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        KeyStore::find(&self.store, digest).await
    }
}

#[async_trait]
impl KeyRepository for Failing {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        KeyRepository::get(&self.store, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.store, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let number = {
            let mut commits = self.commits.lock().unwrap();
            let number = commits.len();
            commits.insert(number, issued_ids(changes));
            number
        };
        let fails = number == self.fails_at;
        if !fails || self.makes_it {
            self.store.commit(changes, events).await?;
        }
        if fails { Err(StoreError::new("the connection was lost").into()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn when_a_batch_fails_no_secret_of_those_before_is_lost() {
    for makes_it in [false, true] {
        let store = MemoryStore::new();
        let commits = Mutex::default();
        let failing = Failing { store: store.clone(), fails_at: 1, makes_it, commits };
        let keys = KeyManager::new(failing);
        let error = keys.issue_all((0..MANY).map(named)).await.unwrap_err();
        assert!(matches!(error.source, ManageError::Store(_)), "{error:?}");
        let (issued, uncertain) = (error.issued.len(), error.uncertain.len());
        assert!(issued > 0 && uncertain > 0 && error.index == issued, "{error:?}");
        for key in &error.issued {
            assert!(store.record(key.record.id()).is_some());
        }
        for key in &error.uncertain {
            assert_eq!(store.record(key.record.id()).is_some(), makes_it);
        }
        let there = issued + if makes_it { uncertain } else { 0 };
        assert_eq!(store.records().len(), there, "a key is there that nobody was told of");
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains(error.issued[0].secret.reveal()), "{shown}");
    }
}

#[tokio::test]
async fn each_batch_is_handed_out_and_may_be_the_last() {
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone());
    let mut handed_out = Vec::new();
    let count = keys.issue_all_with((0..MANY).map(named), |batch| {
        handed_out.extend(batch);
        if handed_out.len() < MANY / 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    let count = count.await.unwrap();
    assert!(count == handed_out.len() && count < MANY && count == store.records().len(), "{count}");
}

#[tokio::test]
async fn a_repository_without_an_index_of_ends_lists_its_keys() {
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone());
    ended(&keys, 300).await;
    let commits = Mutex::default();
    let plain = Failing { store: store.clone(), fails_at: usize::MAX, makes_it: true, commits };
    let mut query = EndedQuery::before(SystemTime::now()).limit(7);
    let mut found = BTreeSet::new();
    loop {
        let EndedPage { keys, next, .. } = plain.ended(&query).await.unwrap();
        for record in keys {
            assert!(found.insert(record.id().clone()), "found twice");
        }
        let Some(next) = next else { break };
        query = query.after(next);
    }
    assert_eq!(found.len(), 300);
    assert_eq!(KeyManager::new(plain).prune(SystemTime::now()).await.unwrap(), 300);
    assert_eq!(names(&keys).await, ["till 9999"]);
}
