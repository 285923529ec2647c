//! [`MemoryStore`]: keys in memory.

mod events;
mod index;
mod records;
mod repository;
mod sorted;
mod usage;
mod usage_days;

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
use super::{KeyChanges, KeyRecord, KeyStore, StoreError, Token};
use crate::immediate::Immediate;
use crate::key::{KeyDigest, KeyId, TenantId};

/// Stores keys in memory, for tests, examples and programs with a handful of keys.
///
/// A [`KeyManager`](crate::KeyManager) issues, lists and revokes keys, as with any other store. Readers
/// take no lock. Writers take one, so changes of the same key are made one after the other. The next
/// request sees a change. Clones share the store. It keeps the last 10 000 audit events.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let issued = keys.issue(NewKey::named("reports").abilities(["reports:read"])).await?;
/// let revoked = keys.revoke(issued.record.id()).await?;
/// assert!(revoked.record.revoked_at().is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    records: Records,
    /// Where each record is. Writers and lists hold its lock.
    index: Mutex<Index>,
    uses: Mutex<Uses>,
    usage: Mutex<Usage>,
    /// The editions of the records that threads keep.
    editions: Editions,
    events: Mutex<events::Events>,
    /// Writers lock it, after the ids.
    suspended: Mutex<BTreeMap<TenantId, SystemTime>>,
    changes: KeyChanges,
}

/// When keys were last used.
type Uses = BTreeMap<KeyId, SystemTime>;

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a store of existing records, such as those of a configuration file.
    ///
    /// # Errors
    ///
    /// Returns an error if two records have the same id or the same digest.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::{ApiKeyLayer, KeyHasher, KeyRecord, MemoryStore};
    ///
    /// // The SHA-256 of the key, which is not in the file itself.
    /// let digest = KeyHasher::sha256().digest("a key of the settings");
    /// let record = KeyRecord::new("nightly".parse()?, digest, "nightly import", SystemTime::now());
    /// let layer = ApiKeyLayer::new(MemoryStore::from_records([record])?);
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_records<R>(records: impl IntoIterator<Item = R>) -> Result<Self, DuplicateRecord>
    where
        R: Into<Arc<KeyRecord>>,
    {
        let store = Self::new();
        let mut index = store.lock();
        for record in records {
            let record = store.own(record.into(), &mut index);
            if index.get(&record.id).is_some() || store.shared.records.has(&record.digest) {
                return Err(DuplicateRecord { id: record.id.clone() });
            }
            store.shared.records.insert(&record);
            index.add(&record);
        }
        drop(index);
        Ok(store)
    }

    /// Announces changes. From now on, threads do not serve the versions of these records that they keep.
    fn changing(&self, digests: &[KeyDigest]) -> Vec<Changing<'_>> {
        digests.iter().map(|digest| self.shared.editions.changing(digest)).collect()
    }

    /// Reports a change. Call it without the lock, because a listener may make a change, too.
    fn changed(&self, digest: &KeyDigest) {
        self.shared.changes.changed(digest);
    }

    /// Waits for the other writers.
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
        // Before the look-up, so that a change in between outdates the answer.
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
        f.debug_struct("MemoryStore").field("keys", &self.shared.records.len()).finish()
    }
}

/// The error of two [records](MemoryStore::from_records) with the same id or the same digest.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is another record with the id or the digest of {id}: leave one of them out")]
#[non_exhaustive]
pub struct DuplicateRecord {
    /// The id of the second one.
    pub id: KeyId,
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::key::KeyScheme;
    use crate::store::{CommitError, KeyChange, KeyRepository, NewKey};

    fn find(store: &MemoryStore, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        match store.find_now(digest) {
            Immediate::Answer(found) => found,
            Immediate::Ask => panic!("a memory store answers at once"),
        }
    }

    fn get(store: &MemoryStore, id: &KeyId) -> Option<Arc<KeyRecord>> {
        store.get(id).now_or_never().unwrap().unwrap().map(|key| key.record)
    }

    fn commit(store: &MemoryStore, changes: &[KeyChange]) -> Result<(), CommitError> {
        store.commit(changes, &[]).now_or_never().unwrap()
    }

    fn record() -> Arc<KeyRecord> {
        NewKey::named("test").generate(&KeyScheme::default()).unwrap().record
    }

    #[test]
    fn records_are_found_by_their_digests_and_their_ids() {
        let (one, other) = (record(), record());
        let store = MemoryStore::from_records([Arc::clone(&one), Arc::clone(&other)]).unwrap();
        for record in [one, other] {
            assert_eq!(find(&store, &record.digest).as_ref(), Some(&record));
            assert_eq!(get(&store, &record.id), Some(record));
        }
    }

    #[test]
    fn records_with_the_id_or_the_digest_of_another_are_refused() {
        let one = record();
        for change in [
            (|other, one| other.id = one.id.clone()) as fn(&mut KeyRecord, &KeyRecord),
            |other, one| other.digest = one.digest,
        ] {
            let mut other = KeyRecord::clone(&record());
            change(&mut other, &one);
            let id = other.id.clone();
            let refused = MemoryStore::from_records([Arc::clone(&one), other.into()]).unwrap_err();
            assert_eq!(refused, DuplicateRecord { id });
        }
    }

    #[test]
    fn a_removed_key_is_unknown() {
        let record = record();
        let store = MemoryStore::from_records([Arc::clone(&record)]).unwrap();
        commit(&store, &[KeyChange::Remove(Arc::clone(&record))]).unwrap();
        assert_eq!(find(&store, &record.digest), None);
        assert_eq!(get(&store, &record.id), None);
    }

    #[test]
    fn concurrent_changes_do_not_lose_a_revocation() {
        fn change(store: &MemoryStore, id: &KeyId, change: impl Fn(&mut KeyRecord)) {
            loop {
                let mut record = KeyRecord::clone(&get(store, id).unwrap());
                change(&mut record);
                record.revision += 1;
                if commit(store, &[KeyChange::Replace(record.into())]).is_ok() {
                    return;
                }
            }
        }
        fn revoke(record: &mut KeyRecord) {
            record.set_revoked_at(Some(SystemTime::now()));
        }
        fn rename(record: &mut KeyRecord) {
            record.set_name(format!("{}x", record.name()));
        }
        for _ in 0..100 {
            let record = record();
            let store = MemoryStore::from_records([Arc::clone(&record)]).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| change(&store, &record.id, revoke));
                for _ in 0..2 {
                    scope.spawn(|| change(&store, &record.id, rename));
                }
            });
            let record = get(&store, &record.id).unwrap();
            assert!(record.revoked_at().is_some());
            assert_eq!(record.name(), "testxx");
        }
    }

    #[test]
    fn debug_shows_no_record() {
        let store = MemoryStore::from_records([record()]).unwrap();
        assert_eq!(format!("{store:?}"), "MemoryStore { keys: 1 }");
    }
}
