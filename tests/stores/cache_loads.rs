//! How a cache asks its store: once for all who wait, again in the background, and what becomes of
//! loads and commits that are cut short.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tower_api_key::store::{CommitError, KeyChange};
use tower_api_key::{
    CachedStore, Immediate, KeyDigest, KeyManager, KeyRecord, KeyRepository, KeyStore, MemoryStore,
    NewKey, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{Answered, GatedStore, advance, cache, next, settle};

const SECOND: Duration = Duration::from_secs(1);

type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

struct Test {
    store: GatedStore,
    record: Arc<KeyRecord>,
    cached: CachedStore<GatedStore>,
}

/// A cache of a store with one key, for which calls wait.
fn held() -> Test {
    let store = GatedStore::default();
    let record = store.keys.issue(NewKey::named("robot")).unwrap().record;
    store.hold(&record.digest());
    let cached = cache(store.clone()).ttl(30 * SECOND).max_staleness(60 * SECOND).build();
    Test { store, record, cached }
}

impl Test {
    fn digest(&self) -> KeyDigest {
        self.record.digest()
    }

    async fn find(&self) -> JoinHandle<Found> {
        let (cached, digest) = (self.cached.clone(), self.digest());
        let found = tokio::spawn(async move { cached.find(&digest).await });
        settle().await;
        found
    }

    /// Revokes the key past the gate, as another node does.
    fn revoke_elsewhere(&self) {
        assert!(self.store.keys.revoke(self.record.id()));
    }

    fn revocation(&self) -> KeyChange {
        KeyChange::Replace(next(&self.record, |next| next.set_revoked_at(Some(SystemTime::now()))))
    }

    /// Whether the key that is known is revoked.
    fn known(&self) -> Option<bool> {
        match self.cached.find_now(&self.digest()) {
            Immediate::Answer(found) => Some(found.unwrap().revoked_at().is_some()),
            Immediate::Ask => None,
        }
    }

    /// Loads the key.
    async fn warm_up(&self) {
        let found = self.find().await;
        self.store.answer(0, Answered::Honestly);
        assert!(!is_revoked(found).await);
        assert_eq!((self.known(), self.store.asked()), (Some(false), 1));
    }
}

async fn is_revoked(found: JoinHandle<Found>) -> bool {
    found.await.unwrap().unwrap().unwrap().revoked_at().is_some()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_wait_for_a_key_ask_once() {
    let test = held();
    let waiting = join_all((0..1000).map(|_| test.find())).await;
    assert_eq!((test.store.asked(), test.store.waiting().len()), (1, 1));
    test.store.answer(0, Answered::Honestly);
    for found in waiting {
        assert_eq!(found.await.unwrap().unwrap().as_ref(), Some(&test.record));
    }
    assert_eq!(test.store.asked(), 1);
    assert!(format!("{:?}", test.cached).contains("loads: 0"));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_is_joined_is_no_older_than_the_maximal_staleness() {
    let store = GatedStore::default();
    let record = store.keys.issue(NewKey::named("robot")).unwrap().record;
    store.hold(&record.digest());
    let millisecond = Duration::from_millis(1);
    let cached = cache(store.clone())
        .ttl(50 * millisecond)
        .negative_ttl(50 * millisecond)
        .max_staleness(50 * millisecond)
        .build();
    let find = || {
        let (cached, digest) = (cached.clone(), record.digest());
        tokio::spawn(async move { cached.find(&digest).await })
    };
    let _early = find();
    settle().await;
    advance(100 * millisecond).await;
    let _late = find();
    settle().await;
    assert_eq!(store.asked(), 2, "whoever comes later asks anew");
}

#[tokio::test]
async fn threads_that_ask_at_once_ask_once() {
    for _ in 0..200 {
        let store = GatedStore::default();
        let digest = store.keys.issue(NewKey::named("robot")).unwrap().record.digest();
        let cached = CachedStore::new(store.clone());
        let start = std::sync::Barrier::new(4);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    start.wait();
                    let asked = async { cached.find(&digest).await.unwrap() };
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    assert!(runtime.block_on(asked).is_some());
                });
            }
        });
        assert_eq!(store.asked(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_was_under_way_when_a_revocation_was_found_to_be_made_is_not_kept() {
    let test = held();
    let before = test.find().await;
    test.store.act(0);
    settle().await;
    // Another node was faster, and this one says so.
    test.revoke_elsewhere();
    let keys = KeyManager::new(test.cached.clone());
    assert!(keys.revoke(test.record.id()).await.unwrap().record.revoked_at().is_some());
    test.store.answer(0, Answered::Honestly);
    assert!(!is_revoked(before).await, "it was asked for before");
    assert_eq!(test.known(), None);

    // Also if what is known is right already, and an older load comes late.
    let test = held();
    let early = test.find().await;
    test.store.act(0);
    settle().await;
    test.revoke_elsewhere();
    advance(2 * SECOND).await;
    let late = test.find().await;
    test.store.answer(1, Answered::Honestly);
    assert!(is_revoked(late).await);
    let keys = KeyManager::new(test.cached.clone());
    keys.revoke(test.record.id()).await.unwrap();
    test.store.answer(0, Answered::Honestly);
    assert!(!is_revoked(early).await);
    assert_ne!(test.known(), Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_load_that_was_under_way_when_a_key_was_revoked_is_served_to_nobody_after() {
    let test = held();
    let before = test.find().await;
    test.store.act(0);
    settle().await;
    let revoke = tokio::spawn({
        let (cached, change) = (test.cached.clone(), test.revocation());
        async move { cached.commit(&[change], &[]).await }
    });
    settle().await;
    test.store.answer(1, Answered::Honestly);
    revoke.await.unwrap().unwrap();
    // The old load is still under way: whoever comes now does not join it.
    let after = test.find().await;
    assert_eq!(test.store.waiting(), [false, false]);
    test.store.answer(0, Answered::Honestly);
    assert!(!is_revoked(before).await, "it came before");
    assert_eq!(test.known(), None);
    test.store.answer(0, Answered::Honestly);
    assert!(is_revoked(after).await);
    assert_eq!(test.known(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn of_two_loads_the_one_that_began_later_is_kept() {
    let test = held();
    let first = test.find().await;
    test.store.act(0);
    advance(2 * SECOND).await;
    test.revoke_elsewhere();
    let second = test.find().await;
    test.store.answer(1, Answered::Honestly);
    assert!(is_revoked(second).await);
    test.store.answer(0, Answered::Honestly);
    assert!(!is_revoked(first).await);
    assert_eq!(test.known(), Some(true), "who was refused once is not let in again");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_holds_up_only_those_who_came_within_a_second() {
    let test = held();
    let mut hanging = vec![test.find().await];
    advance(SECOND - Duration::from_millis(1)).await;
    hanging.push(test.find().await);
    assert_eq!(test.store.asked(), 1);
    advance(Duration::from_millis(1)).await;
    let next = test.find().await;
    assert_eq!(test.store.asked(), 2);
    test.store.answer(1, Answered::Honestly);
    assert!(!is_revoked(next).await);
    settle().await;
    assert!(hanging.iter().all(|found| !found.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_without_who_began_it_and_not_without_anybody() {
    let test = held();
    let [first, second] = [test.find().await, test.find().await];
    first.abort();
    settle().await;
    assert_eq!(test.store.waiting().len(), 1);
    test.store.answer(0, Answered::Honestly);
    assert!(!is_revoked(second).await);

    test.cached.invalidate(&test.digest());
    let [first, second] = [test.find().await, test.find().await];
    first.abort();
    second.abort();
    settle().await;
    assert_eq!(test.store.waiting().len(), 0, "nobody waits for it");
    assert!(format!("{:?}", test.cached).contains("loads: 0"));
    let third = test.find().await;
    test.store.answer(0, Answered::Honestly);
    assert!(!is_revoked(third).await);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_panics_fails_those_who_wait_and_nobody_after() {
    for (answered, message) in
        [(Answered::WithAnError, "is away"), (Answered::WithAPanic, "it panicked: the store")]
    {
        let test = held();
        let waiting = [test.find().await, test.find().await];
        test.store.answer(0, answered);
        for found in waiting {
            let error = found.await.unwrap().unwrap_err();
            assert!(error.source().unwrap().to_string().contains(message), "{error}");
        }
        assert_eq!(test.known(), None, "errors are not kept");
        let found = test.find().await;
        test.store.answer(0, Answered::Honestly);
        assert!(!is_revoked(found).await);
    }
}

#[tokio::test(start_paused = true)]
async fn an_aging_record_is_served_and_loaded_again_by_one() {
    let test = held();
    test.warm_up().await;
    advance(30 * SECOND).await;
    test.revoke_elsewhere();
    for _ in 0..100 {
        assert_eq!(test.known(), Some(false));
    }
    settle().await;
    assert_eq!(test.store.asked(), 2);
    assert_eq!(test.known(), Some(false), "while it is loaded");
    test.store.answer(0, Answered::Honestly);
    settle().await;
    assert_eq!((test.known(), test.store.asked()), (Some(true), 2));
}

#[tokio::test(start_paused = true)]
async fn an_aging_record_that_is_gone_is_unknown() {
    let test = held();
    test.warm_up().await;
    advance(30 * SECOND).await;
    test.store.keys.remove(test.record.id()).unwrap();
    assert_eq!(test.known(), Some(false));
    settle().await;
    test.store.answer(0, Answered::Honestly);
    settle().await;
    assert_eq!(test.cached.find_now(&test.digest()), Immediate::Answer(None));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_is_bridged_until_the_maximal_staleness_and_not_overrun() {
    let test = held();
    test.warm_up().await;
    advance(30 * SECOND).await;
    for _ in 0..10 {
        for _ in 0..100 {
            assert_eq!(test.known(), Some(false));
            settle().await;
            if !test.store.waiting().is_empty() {
                test.store.answer(0, Answered::WithAnError);
            }
        }
        advance(SECOND).await;
    }
    assert!((5..=12).contains(&test.store.asked()), "asked {} times", test.store.asked());
    advance(20 * SECOND).await;
    assert_eq!(test.known(), None);
    let found = test.find().await;
    test.store.answer(test.store.waiting().len() - 1, Answered::WithAnError);
    assert!(found.await.unwrap().is_err());
}

#[test]
fn without_a_runtime_an_aging_record_is_loaded_at_once() {
    let clock = tower_api_key::testing::FakeClock::new();
    let database = MemoryStore::new();
    let digest = database.issue(NewKey::named("robot")).unwrap().record.digest();
    let cached = CachedStore::builder(database).clock(clock.clone()).build();
    let find = || cached.find(&digest).now_or_never().unwrap().unwrap();
    assert!(find().is_some() && cached.find_now(&digest).answer().is_some());
    clock.advance(31 * SECOND);
    assert!(cached.find_now(&digest).answer().is_none());
    assert!(find().is_some() && cached.find_now(&digest).answer().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_nobody_waits_for_is_made_and_applied() {
    let test = held();
    test.warm_up().await;
    let (cached, change) = (test.cached.clone(), test.revocation());
    let revoke = tokio::spawn(async move { cached.commit(&[change], &[]).await });
    settle().await;
    revoke.abort();
    settle().await;
    assert_eq!((test.known(), test.store.waiting()), (Some(false), vec![true]));
    test.store.answer(0, Answered::Honestly);
    settle().await;
    assert_eq!(test.known(), None);
    let found = test.find().await;
    test.store.answer(0, Answered::Honestly);
    assert!(is_revoked(found).await);
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_which_nobody_knows_what_became_is_applied() {
    for answered in [Answered::WithAnError, Answered::WithAPanic] {
        let test = held();
        test.warm_up().await;
        let (cached, change) = (test.cached.clone(), test.revocation());
        let revoke = tokio::spawn(async move { cached.commit(&[change], &[]).await });
        settle().await;
        test.store.answer(0, answered);
        assert!(matches!(revoke.await.unwrap(), Err(CommitError::Store(_))));
        assert_eq!(test.known(), None);
    }
}
