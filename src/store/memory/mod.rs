//! [`MemoryStore`]: keys in memory.

mod events;
mod index;
mod records;
mod repository;
mod sorted;
mod usage;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use thiserror::Error;

use self::index::Index;
use self::records::Records;
#[cfg(feature = "cache")]
pub(crate) use self::records::{ByDigest, FirstBytes};
use self::usage::Usage;
use super::editions::{Changing, Editions};
use super::{IssuedKey, KeyChanges, KeyRecord, KeyStore, NewKey, StoreError, Token};
use crate::immediate::Immediate;
use crate::key::{IssueError, KeyDigest, KeyId, KeyScheme, TenantId};

/// Keeps keys in memory, for tests, examples and programs with a handful of keys.
///
/// Readers take no lock. Writers take one, so that changes of the same key follow one another,
/// and a change is seen by the next request. A clone is the same store. Of the events of a
/// [`KeyManager`](crate::KeyManager), the last 10 000 are kept.
///
/// # Examples
///
/// ```
/// use tower_api_key::{MemoryStore, NewKey};
///
/// let keys = MemoryStore::new();
/// let issued = keys.issue(NewKey::named("reports").abilities(["reports:read"]))?;
/// assert!(keys.revoke(issued.record.id()));
/// assert!(keys.get(issued.record.id()).unwrap().revoked_at().is_some());
/// # Ok::<_, tower_api_key::key::IssueError>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    scheme: KeyScheme,
}

#[derive(Default)]
struct Shared {
    records: Records,
    /// Where each record is. Its lock is held by those who write, and by those who list.
    index: Mutex<Index>,
    uses: Mutex<Uses>,
    usage: Mutex<Usage>,
    /// What threads keep of the records.
    editions: Editions,
    events: Mutex<events::Events>,
    /// Writers lock it, after the ids.
    suspended: Mutex<BTreeMap<TenantId, SystemTime>>,
    changes: KeyChanges,
}

/// When keys were last used.
type Uses = BTreeMap<KeyId, SystemTime>;

impl MemoryStore {
    /// Makes an empty store of keys of the default [scheme](KeyScheme).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an empty store that issues keys of `scheme`, which the layer needs too.
    #[must_use]
    pub fn with_scheme(scheme: KeyScheme) -> Self {
        Self { scheme, ..Self::default() }
    }

    /// Issues a key and keeps its record.
    ///
    /// # Errors
    ///
    /// Returns an error if no key can be [generated](NewKey::generate).
    pub fn issue(&self, key: NewKey) -> Result<IssuedKey, IssueError> {
        let mut issued = key.generate(&self.scheme)?;
        // While the record is nobody else's, who would have the store keep a copy.
        self.lock().share(&mut issued.record);
        self.insert(Arc::clone(&issued.record));
        Ok(issued)
    }

    /// Keeps a record that was made elsewhere, in place of one with the same id.
    ///
    /// A record with the same digest and another id is replaced too: a key has one record. Nothing is
    /// compared: what is inserted counts, also if it was revoked before.
    pub fn insert(&self, record: impl Into<Arc<KeyRecord>>) {
        let record = record.into();
        let mut index = self.lock();
        let record = self.own(record, &mut index);
        let before = index.get(&record.id).map(|old| old.digest);
        let before = before.filter(|old| *old != record.digest);
        let touched: Vec<_> = before.iter().chain([&record.digest]).copied().collect();
        let changing = self.changing(&touched);
        if let Some(old) = before.and_then(|old| self.shared.records.remove(&old)) {
            index.remove(&old);
        }
        if let Some(old) = self.shared.records.insert(&record) {
            index.remove(&old);
        }
        index.add(&record);
        drop(changing);
        drop(index);
        touched.iter().for_each(|digest| self.changed(digest));
    }

    /// Returns the record with this id.
    #[must_use]
    pub fn get(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        self.lock().get(id).cloned()
    }

    /// Returns all records, by id.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<KeyRecord>> {
        self.lock().all().cloned().collect()
    }

    /// Changes the record with this id, and returns the new one.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if there is no such record, or if `change` would
    /// give it another id or digest or take back a revocation.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{MemoryStore, NewKey};
    ///
    /// let keys = MemoryStore::new();
    /// let issued = keys.issue(NewKey::named("reports"))?;
    /// let record = keys.update(issued.record.id(), |record| record.set_disabled(true))?;
    /// assert!(record.is_disabled());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn update(
        &self,
        id: &KeyId,
        change: impl FnOnce(&mut KeyRecord),
    ) -> Result<Arc<KeyRecord>, UpdateError> {
        let mut index = self.lock();
        let old = index.get(id).cloned().ok_or(UpdateError::NotFound)?;
        let mut new = KeyRecord::clone(&old);
        change(&mut new);
        if new.id != old.id || new.digest != old.digest {
            return Err(UpdateError::Identity);
        }
        if old.revoked_at().is_some() && new.revoked_at() != old.revoked_at() {
            return Err(UpdateError::Revoked);
        }
        new.revision = old.revision.saturating_add(1);
        let new = self.own(Arc::new(new), &mut index);
        let changing = self.shared.editions.changing(&new.digest);
        index.remove(&old);
        index.add(&new);
        self.shared.records.insert(&new);
        drop(changing);
        drop(index);
        self.changed(&new.digest);
        Ok(new)
    }

    /// Revokes a key for good: the next request with it is refused.
    ///
    /// Returns whether there is such a key. Revoking it again changes nothing.
    #[must_use = "an id that is not found revokes nothing"]
    pub fn revoke(&self, id: &KeyId) -> bool {
        self.update(id, |record| {
            let revoked_at = record.revoked_at().unwrap_or_else(SystemTime::now);
            record.set_revoked_at(Some(revoked_at));
        })
        .is_ok()
    }

    /// Takes a key out of use or puts it into use again.
    ///
    /// Returns whether there is such a key.
    #[must_use = "an id that is not found disables nothing"]
    pub fn set_disabled(&self, id: &KeyId, disabled: bool) -> bool {
        self.update(id, |record| record.disabled = disabled).is_ok()
    }

    /// Forgets a key, and returns its record.
    ///
    /// The next request with it is refused as unknown. Prefer [`revoke`](Self::revoke), which
    /// leaves a trace.
    #[expect(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn remove(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        let mut index = self.lock();
        let digest = index.get(id)?.digest;
        let changing = self.shared.editions.changing(&digest);
        let removed = self.shared.records.remove(&digest);
        if let Some(removed) = &removed {
            index.remove(removed);
        }
        self.uses().remove(id);
        drop(changing);
        drop(index);
        self.changed(&digest);
        removed
    }

    /// Announces changes. Until they are over, and from then on, what threads keep of these records is not
    /// served.
    fn changing(&self, digests: &[KeyDigest]) -> Vec<Changing<'_>> {
        digests.iter().map(|digest| self.shared.editions.changing(digest)).collect()
    }

    /// Tells of a change that was made. Without the lock, since who is told may change something, too.
    fn changed(&self, digest: &KeyDigest) {
        self.shared.changes.changed(digest);
    }

    /// Waits for the other writers.
    ///
    /// A writer that panicked, in the closure of `update`, had changed nothing yet.
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.shared.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        Ok(self.shared.records.get(digest))
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        Immediate::Answer(self.shared.records.get(digest))
    }

    fn find_to_keep(
        &self,
        digest: &KeyDigest,
    ) -> Immediate<(Option<Arc<KeyRecord>>, Option<Token>)> {
        // Before it is looked up: what is changed meanwhile outdates the answer.
        let edition = self.shared.editions.current(digest);
        let token = edition.map(|edition| Token::new([edition, 0]));
        self.find_now(digest).map(|found| (found, token))
    }

    #[inline]
    fn still_holds(&self, digest: &KeyDigest, token: Token) -> bool {
        let [edition, _] = token.numbers();
        self.shared.editions.is_current(digest, edition)
    }

    fn changes(&self) -> Option<&KeyChanges> {
        Some(&self.shared.changes)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("keys", &self.shared.records.len())
            .field("scheme", &self.scheme)
            .finish()
    }
}

/// The error of a change that was not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum UpdateError {
    /// There is no record with this id.
    #[error("there is no key with this id")]
    NotFound,
    /// The change would have given the record another id or digest.
    #[error("the id and the digest of a key cannot be changed")]
    Identity,
    /// The change would have taken back a revocation.
    #[error("a revoked key stays revoked")]
    Revoked,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHasher;

    fn find(store: &MemoryStore, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        match store.find_now(digest) {
            Immediate::Answer(found) => found,
            Immediate::Ask => panic!("a memory store answers at once"),
        }
    }

    fn issue(store: &MemoryStore) -> Arc<KeyRecord> {
        store.issue(NewKey::named("test")).unwrap().record
    }

    #[test]
    fn an_issued_key_is_found_by_its_digest_and_its_id() {
        let store =
            MemoryStore::with_scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(&[7; 32])));
        let issued = store.issue(NewKey::named("test")).unwrap();
        let digest = KeyHasher::hmac_sha256(&[7; 32]).digest(issued.secret.reveal());
        assert_eq!(find(&store, &digest), Some(Arc::clone(&issued.record)));
        assert_eq!(store.get(&issued.record.id), Some(Arc::clone(&issued.record)));
        assert_eq!(store.list(), [issued.record]);
    }

    #[test]
    fn a_revocation_cannot_be_taken_back() {
        let store = MemoryStore::new();
        let record = issue(&store);
        assert!(store.revoke(&record.id));
        let revoked_at = store.get(&record.id).unwrap().revoked_at();
        assert!(store.revoke(&record.id));
        let change = store.update(&record.id, |record| record.set_revoked_at(None));
        assert_eq!(change, Err(UpdateError::Revoked));
        assert_eq!(store.get(&record.id).unwrap().revoked_at(), revoked_at);
    }

    #[test]
    fn the_identity_of_a_key_cannot_be_changed() {
        let store = MemoryStore::new();
        let (one, other) = (issue(&store), issue(&store));
        let change = store.update(&one.id, |record| record.digest = other.digest);
        assert_eq!(change, Err(UpdateError::Identity));
        let change = store.update(&one.id, |record| record.id = other.id.clone());
        assert_eq!(change, Err(UpdateError::Identity));
        assert_eq!(find(&store, &other.digest), Some(other));
    }

    #[test]
    fn an_unknown_id_changes_nothing() {
        let store = MemoryStore::new();
        let id = KeyId::generate().unwrap();
        assert!(!store.revoke(&id));
        assert!(!store.set_disabled(&id, true));
        assert_eq!(store.remove(&id), None);
        assert_eq!(store.get(&id), None);
    }

    #[test]
    fn a_removed_key_is_unknown() {
        let store = MemoryStore::new();
        let record = issue(&store);
        assert_eq!(store.remove(&record.id), Some(Arc::clone(&record)));
        assert_eq!(find(&store, &record.digest), None);
        assert_eq!(store.list(), []);
    }

    #[test]
    fn a_record_replaces_those_with_its_id_or_its_digest() {
        let store = MemoryStore::new();
        let (one, other) = (issue(&store), issue(&store));
        let mut record = KeyRecord::clone(&one);
        record.digest = other.digest;
        store.insert(record.clone());
        assert_eq!(find(&store, &one.digest), None);
        assert_eq!(store.list(), [Arc::new(record)]);
    }

    #[test]
    fn a_change_that_panics_leaves_the_store_usable() {
        let store = MemoryStore::new();
        let record = issue(&store);
        let panicking = store.clone();
        let id = record.id.clone();
        let thread = std::thread::spawn(move || panicking.update(&id, |_| panic!("on purpose")));
        assert!(thread.join().is_err());
        assert_eq!(store.get(&record.id), Some(record));
    }

    #[test]
    fn concurrent_changes_do_not_lose_a_revocation() {
        let store = MemoryStore::new();
        for _ in 0..100 {
            let record = issue(&store);
            std::thread::scope(|scope| {
                scope.spawn(|| store.revoke(&record.id));
                for _ in 0..2 {
                    scope.spawn(|| {
                        store.update(&record.id, |record| {
                            record.set_name(format!("{}x", record.name()))
                        })
                    });
                }
            });
            let record = store.get(&record.id).unwrap();
            assert!(record.revoked_at().is_some());
            assert_eq!(record.name(), "testxx");
        }
    }

    #[test]
    fn debug_shows_no_record() {
        let store = MemoryStore::new();
        let _ = issue(&store);
        assert!(format!("{store:?}").starts_with("MemoryStore { keys: 1, scheme:"));
    }
}
