//! The contract of stores: what its suite accepts, and every way to break it that it finds.

use std::collections::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tower_api_key::Immediate;
use tower_api_key::testing::check_key_store;
use tower_api_key::{
    KeyDigest, KeyHasher, KeyRecord, KeyScheme, KeyStore, MemoryStore, NewKey, StoreError,
};

use crate::common::CountingStore;

type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

/// Answers only when it is waited for, as `find` says.
struct Waited<F> {
    keys: MemoryStore,
    find: F,
}

#[async_trait]
impl<F: Fn(&MemoryStore, &KeyDigest) -> Found + Send + Sync> KeyStore for Waited<F> {
    async fn find(&self, digest: &KeyDigest) -> Found {
        tokio::task::yield_now().await;
        (self.find)(&self.keys, digest)
    }
}

fn look(keys: &MemoryStore, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
    let Immediate::Answer(found) = keys.find_now(digest) else { panic!("the store is in memory") };
    found
}

#[tokio::test]
async fn the_suite_accepts_the_store_in_memory_however_it_is_wrapped() {
    let keys = MemoryStore::new();
    let insert = async |record| keys.insert(record);
    check_key_store(&keys, insert).await;
    check_key_store(&Arc::new(keys.clone()), insert).await;
    check_key_store(&(Box::new(keys.clone()) as Box<dyn KeyStore>), insert).await;
    check_key_store(&(Arc::new(keys.clone()) as Arc<dyn KeyStore>), insert).await;
    let find = |keys: &MemoryStore, digest: &KeyDigest| Ok(look(keys, digest));
    check_key_store(&Waited { keys: keys.clone(), find }, insert).await;
    let counting = CountingStore::default();
    check_key_store(&counting, async |record| counting.keys.insert(record)).await;
    assert!(counting.asked() > 500, "the suite asked {} times only", counting.asked());
    let peppered =
        MemoryStore::with_scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(&[1; 32])));
    check_key_store(&peppered, async |record| peppered.insert(record)).await;
}

/// Checks that the suite panics over a store, and with which words.
async fn catches_in(store: &impl KeyStore, keys: &MemoryStore, words: &str) {
    let checked = check_key_store(store, async |record| keys.insert(record));
    let panic = AssertUnwindSafe(checked).catch_unwind().await.expect_err(words);
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or(panic.downcast_ref::<&str>().copied()).unwrap();
    assert!(message.contains(words), "{message}");
}

/// The same for a store that answers so.
async fn catches<F: Fn(&MemoryStore, &KeyDigest) -> Found + Send + Sync>(words: &str, find: F) {
    let store = Waited { keys: MemoryStore::new(), find };
    catches_in(&store, &store.keys, words).await;
}

#[tokio::test]
async fn the_suite_refuses_stores_that_match_loosely() {
    let words = "a digest matched that differs";
    type Alike = fn(&[u8; 32], &[u8; 32]) -> bool;
    let alike: [Alike; 4] = [
        |one, other| one[..31] == other[..31],
        |one, other| one[1..] == other[1..],
        |one, other| one.map(|byte| byte | 0x20) == other.map(|byte| byte | 0x20),
        |one, other| one[..8] == other[..8] && one[16..] == other[16..],
    ];
    for alike in alike {
        catches(words, move |keys, digest| {
            let is_alike =
                |record: &KeyRecord| alike(record.digest().as_bytes(), digest.as_bytes());
            Ok(keys.list().into_iter().find(|record| is_alike(record)))
        })
        .await;
    }
    catches(words, |keys, digest| Ok(look(keys, digest).or_else(|| keys.list().pop()))).await;
    let any = MemoryStore::new();
    let foreign = any.issue(NewKey::named("foreign")).unwrap().record;
    catches("found before it was inserted", move |_, _| Ok(Some(foreign.clone()))).await;
    catches("returned for another", |keys, digest| {
        let found = look(keys, digest);
        let is_taken = |record: &Arc<KeyRecord>| {
            found.as_ref().is_some_and(|found| found.name() == record.name())
        };
        Ok(keys.list().into_iter().rfind(is_taken))
    })
    .await;
}

#[tokio::test]
async fn the_suite_refuses_stores_that_are_stale() {
    let seen = Mutex::new(HashMap::new());
    catches("a change was not seen at once", move |keys, digest| {
        let mut seen = seen.lock().unwrap();
        let cached = seen.get(digest.as_bytes()).cloned();
        let found = cached.or_else(|| look(keys, digest));
        Ok(found.inspect(|record| drop(seen.insert(*digest.as_bytes(), Arc::clone(record)))))
    })
    .await;
    let unknown = Mutex::new(HashSet::new());
    catches("not found right after it was inserted", move |keys, digest| {
        let mut unknown = unknown.lock().unwrap();
        let found = look(keys, digest).filter(|_| !unknown.contains(digest.as_bytes()));
        if found.is_none() {
            unknown.insert(*digest.as_bytes());
        }
        Ok(found)
    })
    .await;
}

#[tokio::test]
async fn the_suite_refuses_stores_that_are_not_whole_or_not_honest() {
    let words = "a change was not seen at once";
    let judges: [fn(&KeyRecord) -> bool; 3] = [
        |record| !record.is_disabled(),
        |record| record.revoked_at().is_none(),
        |record| record.expires_at().is_none_or(|end| end > SystemTime::now()),
    ];
    for judge in judges {
        catches(words, move |keys, digest| Ok(look(keys, digest).filter(|record| judge(record))))
            .await;
    }
    let losses: [fn(&mut KeyRecord); 6] = [
        |record| record.set_metadata(Default::default()),
        |record| {
            record.set_name(record.name().replace(|character: char| !character.is_ascii(), ""))
        },
        |record| record.set_created_at(SystemTime::UNIX_EPOCH),
        |record| record.set_tenant(None),
        |record| record.set_kind(Default::default()),
        |record| record.set_abilities(Default::default()),
    ];
    for lose in losses {
        catches("not returned as it was inserted", move |keys, digest| {
            let mut found = look(keys, digest);
            found.iter_mut().for_each(|record| lose(Arc::make_mut(record)));
            Ok(found)
        })
        .await;
    }
    catches("`find` failed", |keys, digest| {
        look(keys, digest).map(Some).ok_or_else(|| StoreError::new("no such row"))
    })
    .await;
}

#[tokio::test]
async fn the_suite_refuses_stores_that_write_when_they_read() {
    let uses = AtomicUsize::new(0);
    catches("finding a record changed it", move |keys, digest| {
        let found = look(keys, digest);
        // As a counter that is written back now and then.
        let count = |record: &mut KeyRecord| record.set_name(format!("{}+", record.name()));
        let written = found.as_ref().filter(|_| uses.fetch_add(1, Ordering::SeqCst) > 4);
        written.map(|record| keys.update(record.id(), count).unwrap());
        Ok(found)
    })
    .await;
}

/// Takes a record out while it is found.
struct TakesOut(MemoryStore);

#[async_trait]
impl KeyStore for TakesOut {
    async fn find(&self, digest: &KeyDigest) -> Found {
        let taken = look(&self.0, digest).and_then(|record| self.0.remove(record.id()));
        tokio::task::yield_now().await;
        taken.iter().for_each(|record| self.0.insert(Arc::clone(record)));
        Ok(taken)
    }
}

/// Knows nothing at once, though it does when waited for.
struct Contradicts(MemoryStore);

#[async_trait]
impl KeyStore for Contradicts {
    async fn find(&self, digest: &KeyDigest) -> Found {
        self.0.find(digest).await
    }

    fn find_now(&self, _: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        Immediate::Answer(None)
    }
}

#[tokio::test]
async fn the_suite_refuses_stores_that_contradict_themselves_or_cannot_be_dropped() {
    let keys = MemoryStore::new();
    let words = "a dropped `find` disturbed the next";
    catches_in(&TakesOut(keys.clone()), &keys, words).await;
    let words = "`find_now` and `find` answer differently";
    catches_in(&Contradicts(keys.clone()), &keys, words).await;
}
