//! A new store in front of an old one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use tower_api_key::store::{KeyChanges, KeyStoreExt as _};
use tower_api_key::testing::check_key_store;
use tower_api_key::{Immediate, KeyDigest, KeyRecord, KeyStore, MemoryStore, NewKey, StoreError};

use crate::common::MemoryKeys as _;

/// A store that counts what it is asked, tells of no changes, answers only when it is waited for, and can
/// fail.
#[derive(Clone, Default)]
struct Plain(Arc<Inner>);

#[derive(Default)]
struct Inner {
    keys: MemoryStore,
    asked: AtomicUsize,
    fails: AtomicBool,
}

#[async_trait]
impl KeyStore for Plain {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        if self.0.fails.load(Ordering::SeqCst) {
            return Err(StoreError::new("out of order"));
        }
        self.0.keys.find(digest).await
    }
}

fn issue(keys: &MemoryStore) -> Arc<KeyRecord> {
    keys.issue(NewKey::named("a key")).unwrap().record
}

fn revoke(keys: &MemoryStore, record: &KeyRecord) {
    keys.update(record.id(), |record| record.set_revoked_at(Some(SystemTime::now()))).unwrap();
}

#[tokio::test]
async fn it_keeps_the_contract_of_stores_whichever_has_the_keys() {
    let new = MemoryStore::new();
    check_key_store(&new.clone().or(MemoryStore::new()), async |record| new.insert(record)).await;
    let old = MemoryStore::new();
    check_key_store(&MemoryStore::new().or(old.clone()), async |record| old.insert(record)).await;
    let old = Plain::default();
    let both = Plain::default().or(old.clone());
    check_key_store(&both, async |record| old.0.keys.insert(record)).await;
}

#[tokio::test]
async fn the_old_store_is_asked_only_for_what_the_new_one_does_not_have() {
    let (new, old) = (Plain::default(), Plain::default());
    let (moved, left) = (issue(&new.0.keys), issue(&old.0.keys));
    // The same digest in both: the new store is believed.
    let mut outdated = KeyRecord::clone(&moved);
    outdated.set_name("outdated");
    old.0.keys.insert(outdated);
    let both = new.clone().or(old.clone());
    assert_eq!(both.find(&moved.digest()).await.unwrap(), Some(moved.clone()));
    assert_eq!(old.0.asked.load(Ordering::SeqCst), 0);
    assert_eq!(both.find(&left.digest()).await.unwrap(), Some(left.clone()));
    assert_eq!(old.0.asked.load(Ordering::SeqCst), 1);
    let unknown = KeyDigest::from_bytes([7; 32]);
    let found = both.find_many(&[left.digest(), unknown, moved.digest()]).await.unwrap();
    assert_eq!(found, [Some(left), None, Some(moved)]);
    assert_eq!(old.0.asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_is_revoked_in_the_new_store_is_not_found_in_the_old_one() {
    let (new, old) = (MemoryStore::new(), MemoryStore::new());
    let record = issue(&old);
    new.insert(KeyRecord::clone(&record));
    revoke(&new, &record);
    let both = new.or(old);
    let digest = record.digest();
    let is_revoked = |found: Option<Arc<KeyRecord>>| found.unwrap().revoked_at().is_some();
    assert!(is_revoked(both.find(&digest).await.unwrap()));
    assert!(is_revoked(both.find_now(&digest).answer().unwrap()));
    assert!(is_revoked(both.find_many(&[digest]).await.unwrap().remove(0)));
}

#[tokio::test]
async fn while_the_new_store_fails_nothing_is_found() {
    let (new, old) = (Plain::default(), Plain::default());
    let record = issue(&old.0.keys);
    let both = new.clone().or(old.clone());
    new.0.fails.store(true, Ordering::SeqCst);
    assert!(both.find(&record.digest()).await.is_err());
    assert!(both.find_many(&[record.digest()]).await.is_err());
    assert_eq!(old.0.asked.load(Ordering::SeqCst), 0);
    new.0.fails.store(false, Ordering::SeqCst);
    old.0.fails.store(true, Ordering::SeqCst);
    assert!(both.find(&record.digest()).await.is_err());
    assert!(both.find_many(&[record.digest()]).await.is_err());
}

#[tokio::test]
async fn it_answers_at_once_only_if_both_can() {
    let (memory, plain) = (MemoryStore::new(), Plain::default());
    let (known, unknown) = (issue(&memory).digest(), KeyDigest::from_bytes([7; 32]));
    let asks = |answer| matches!(answer, Immediate::Ask);
    let new_in_memory = memory.clone().or(plain.clone());
    assert!(!asks(new_in_memory.find_now(&known)));
    assert!(asks(new_in_memory.find_now(&unknown)));
    // The new store may have revoked it.
    let old_in_memory = plain.or(memory.clone());
    assert!(asks(old_in_memory.find_now(&known)));
    let both = MemoryStore::new().or(memory);
    assert!(matches!(both.find_now(&unknown), Immediate::Answer(None)));
}

#[tokio::test]
async fn whichever_store_tells_of_changes_is_heard() {
    let tells = |keys: &dyn KeyStore| keys.changes().map(|changes| format!("{changes:?}"));
    let (memory, plain) = (MemoryStore::new(), Plain::default());
    let says =
        |told: Option<String>, all: bool| told.unwrap().contains(&format!("tells_all: {all}"));
    assert!(says(tells(&memory.clone().or(MemoryStore::new())), true));
    // What the other one changes is not told, so streams ask in a period, too.
    assert!(says(tells(&memory.clone().or(plain.clone())), false));
    assert!(says(tells(&plain.clone().or(memory)), false));
    assert!(tells(&plain.clone().or(plain)).is_none());
    let _: Option<&KeyChanges> = MemoryStore::new().changes();
}
