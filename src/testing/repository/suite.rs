//! [`Suite`]: what all checks of a repository use.

use std::sync::Arc;

use crate::key::{KeyId, TenantId};
use crate::store::{CommitError, KeyChange, KeyRecord, KeyRepository, RecordField, StoredKey};
use crate::testing::conformance::{full_record, kept};

/// The number of concurrent writers.
pub(super) const WRITERS: usize = 8;

/// A repository that is checked.
pub(super) struct Suite<'a, R: ?Sized> {
    pub(super) repository: &'a R,
    pub(super) without: &'a [RecordField],
}

pub(super) fn insert(record: &KeyRecord) -> KeyChange {
    KeyChange::Insert(Arc::new(record.clone()))
}

pub(super) fn replace(record: &KeyRecord) -> KeyChange {
    KeyChange::Replace(Arc::new(record.clone()))
}

pub(super) fn remove(record: &KeyRecord) -> KeyChange {
    KeyChange::Remove(Arc::new(record.clone()))
}

/// Makes the record of the next revision.
pub(super) fn changed(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> KeyRecord {
    let mut record = record.clone();
    record.revision += 1;
    change(&mut record);
    record
}

pub(super) fn tenant_of_its_own() -> TenantId {
    let id = KeyId::generate().unwrap_or_else(|error| panic!("{error}"));
    id.as_str().parse().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
pub(super) fn assert_conflict(result: Result<(), CommitError>, what: &str) {
    match result {
        Err(CommitError::Conflict) => {}
        other => panic!("{what}: expected a conflict, got {other:?}"),
    }
}

#[track_caller]
pub(super) fn assert_exists(result: Result<(), CommitError>, what: &str) {
    match result {
        Err(CommitError::Exists) => {}
        other => panic!("{what}: expected `Exists`, got {other:?}"),
    }
}

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    pub(super) fn full_record(&self) -> KeyRecord {
        kept(full_record(), self.without)
    }

    pub(super) async fn commit(&self, changes: &[KeyChange]) -> Result<(), CommitError> {
        self.repository.commit(changes, &[]).await
    }

    pub(super) async fn committed(&self, changes: &[KeyChange]) {
        let result = self.commit(changes).await;
        result.unwrap_or_else(|error| panic!("`commit` failed: {error}"));
    }

    pub(super) async fn inserted(&self) -> KeyRecord {
        let record = self.full_record();
        self.committed(&[insert(&record)]).await;
        record
    }

    pub(super) async fn put(&self, record: KeyRecord) {
        let change = match self.get(&record.id).await {
            Some(_) => replace(&record),
            None => insert(&record),
        };
        self.committed(&[change]).await;
    }

    pub(super) async fn get(&self, id: &KeyId) -> Option<StoredKey> {
        let got = self.repository.get(id).await;
        got.unwrap_or_else(|error| panic!("`get` failed: {error}"))
    }

    /// Asserts that a record is as expected, by every way to read it.
    pub(super) async fn assert_is(&self, record: &KeyRecord, what: &str) {
        let got = self.get(&record.id).await.map(|key| key.record);
        assert_eq!(got.as_deref(), Some(record), "{what}");
        let found = self.repository.find(&record.digest).await;
        let found = found.unwrap_or_else(|error| panic!("`find` failed: {error}"));
        assert_eq!(found.as_deref(), Some(record), "{what}");
    }

    pub(super) async fn assert_is_gone(&self, record: &KeyRecord, what: &str) {
        assert_eq!(self.get(&record.id).await, None, "{what}");
        let found = self.repository.find(&record.digest).await;
        let found = found.unwrap_or_else(|error| panic!("`find` failed: {error}"));
        assert_eq!(found, None, "{what}");
    }
}
