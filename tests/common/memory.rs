//! [`MemoryKeys`]: what tests do to the keys of a memory store, in a line each.

use std::sync::Arc;
use std::time::SystemTime;

use futures_util::FutureExt as _;
use tower_api_key::key::IssueError;
use tower_api_key::store::{CommitError, KeyChange, KeyQuery};
use tower_api_key::{
    IssuedKey, KeyId, KeyRecord, KeyRepository as _, KeyScheme, KeyStore as _, MemoryStore, NewKey,
};

/// Short forms for tests, over what every repository offers. They need no runtime, since what is in memory is
/// answered at once, and keep no rules: those are a [`KeyManager`](tower_api_key::KeyManager)'s.
pub trait MemoryKeys {
    /// Issues a key of the default scheme.
    fn issue(&self, key: NewKey) -> Result<IssuedKey, IssueError> {
        self.issue_by(&KeyScheme::default(), key)
    }

    /// Issues a key of a scheme.
    fn issue_by(&self, scheme: &KeyScheme, key: NewKey) -> Result<IssuedKey, IssueError> {
        let issued = key.generate(scheme)?;
        self.insert(Arc::clone(&issued.record));
        Ok(issued)
    }

    /// Keeps a record, in place of those with the same id or digest.
    fn insert(&self, record: impl Into<Arc<KeyRecord>>);

    fn record(&self, id: &KeyId) -> Option<Arc<KeyRecord>>;

    /// Returns all records, by id.
    fn records(&self) -> Vec<Arc<KeyRecord>>;

    /// Changes a record, and returns the new one.
    fn update(&self, id: &KeyId, change: impl Fn(&mut KeyRecord)) -> Option<Arc<KeyRecord>>;

    /// Revokes a key, if there is one with this id.
    fn revoke(&self, id: &KeyId) -> bool {
        let revoked_at = |record: &KeyRecord| record.revoked_at().unwrap_or_else(SystemTime::now);
        self.update(id, |record| record.set_revoked_at(Some(revoked_at(record)))).is_some()
    }

    /// Takes a key out of use or puts it into use again, if there is one with this id.
    fn set_disabled(&self, id: &KeyId, disabled: bool) -> bool {
        self.update(id, |record| record.set_disabled(disabled)).is_some()
    }

    /// Removes a record, and returns it.
    fn remove(&self, id: &KeyId) -> Option<Arc<KeyRecord>>;
}

impl MemoryKeys for MemoryStore {
    fn insert(&self, record: impl Into<Arc<KeyRecord>>) {
        let record = record.into();
        let of_digest = now(self.find(&record.digest())).unwrap();
        let mut old = Vec::from_iter(self.record(record.id()).into_iter().chain(of_digest));
        old.dedup_by(|one, other| one.id() == other.id());
        let removed = old.into_iter().map(KeyChange::Remove);
        commit(self, removed.chain([KeyChange::Insert(record)])).unwrap();
    }

    fn record(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        now(self.get(id)).unwrap().map(|key| key.record)
    }

    fn records(&self) -> Vec<Arc<KeyRecord>> {
        let (mut records, mut query) = (Vec::new(), KeyQuery::new().limit(1000));
        loop {
            let page = now(self.list(&query)).unwrap();
            records.extend(page.keys.into_iter().map(|key| key.record));
            if page.next.is_none() {
                records.sort_by(|one, other| one.id().cmp(other.id()));
                return records;
            }
            query = query.after(page.next);
        }
    }

    fn update(&self, id: &KeyId, change: impl Fn(&mut KeyRecord)) -> Option<Arc<KeyRecord>> {
        loop {
            let old = self.record(id)?;
            let mut new = KeyRecord::clone(&old);
            change(&mut new);
            new.set_revision(old.revision() + 1);
            let new = Arc::new(new);
            match commit(self, [KeyChange::Replace(Arc::clone(&new))]) {
                Ok(()) => return Some(new),
                // Another thread was faster.
                Err(_) if self.record(id)? != old => {}
                Err(error) => panic!("{id} is not changed: {error}"),
            }
        }
    }

    fn remove(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        let removed = self.record(id)?;
        commit(self, [KeyChange::Remove(Arc::clone(&removed))]).unwrap();
        Some(removed)
    }
}

fn commit(
    store: &MemoryStore,
    changes: impl IntoIterator<Item = KeyChange>,
) -> Result<(), CommitError> {
    now(store.commit(&Vec::from_iter(changes), &[]))
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("a memory store answers at once")
}
