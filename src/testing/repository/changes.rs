//! Checks of single changes: each is made whole, to the revision that it names, or not at all.

use std::sync::Arc;

use futures_util::future::join_all;

use super::suite::{
    Suite, WRITERS, assert_conflict, assert_exists, changed, insert, remove, replace,
};
use crate::store::{KeyQuery, KeyRecord, KeyRepository, RecordField, StoredKey};
use crate::testing::conformance::{full_record, kept, moment};

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    /// A lost field might have restricted the key.
    pub(super) async fn what_is_not_kept_is_refused(&self) {
        // Those are descriptive.
        let is_needed =
            |field: &&RecordField| ![RecordField::Hint, RecordField::CreatedBy].contains(field);
        for field in self.without.iter().filter(is_needed) {
            let others: Vec<_> =
                self.without.iter().copied().filter(|other| other != field).collect();
            let mut record = kept(full_record(), &others);
            record.disabled = *field == RecordField::Disabled;
            let result = self.commit(&[insert(&record)]).await;
            assert!(result.is_err(), "a record was inserted without its `{field}`");
            self.assert_is_gone(&record, "a record that was refused was inserted").await;
            let old = self.inserted().await;
            let (id, digest) = (old.id.clone(), old.digest);
            let record = KeyRecord { id, digest, revision: old.revision + 1, ..record };
            let result = self.commit(&[replace(&record)]).await;
            assert!(result.is_err(), "a record was kept without its `{field}`");
            self.assert_is(&old, "a change that was refused was made").await;
        }
    }

    pub(super) async fn a_key_is_got_by_its_id(&self) {
        let record = self.full_record();
        assert_eq!(self.get(&record.id).await, None, "a key was got before it was inserted");
        self.committed(&[insert(&record)]).await;
        self.assert_is(&record, "a key was not got as it was inserted").await;
        let key = self.get(&record.id).await;
        assert_eq!(key.and_then(|key| key.last_used_at), None, "a new key was used");
    }

    pub(super) async fn ids_and_digests_are_unique(&self) {
        let record = self.inserted().await;
        let mut same_id = self.full_record();
        same_id.id = record.id.clone();
        let mut same_digest = self.full_record();
        same_digest.digest = record.digest;
        for taken in [&record, &same_id, &same_digest] {
            assert_exists(self.commit(&[insert(taken)]).await, "an id or a digest is taken");
        }
        self.assert_is(&record, "a refused insertion changed a record").await;
        assert_eq!(self.get(&same_digest.id).await, None, "a digest has two records");

        let digest = self.full_record().digest;
        let rivals: Vec<_> =
            (0..WRITERS).map(|_| KeyRecord { digest, ..self.full_record() }).collect();
        let tried = rivals.iter().map(|rival| async { self.commit(&[insert(rival)]).await });
        let (won, lost): (Vec<_>, Vec<_>) =
            join_all(tried).await.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "one of those who insert the same digest at once wins");
        for result in lost {
            assert_exists(result, "the others of those who insert the same digest at once");
        }
    }

    pub(super) async fn a_change_is_made_to_its_revision_only(&self) {
        let record = self.inserted().await;
        let renamed = changed(&record, |record| record.set_name("renamed".to_owned()));
        self.committed(&[replace(&renamed)]).await;
        self.assert_is(&renamed, "a change was not made").await;
        let same = changed(&record, |record| record.set_name("again".to_owned()));
        assert_conflict(self.commit(&[replace(&same)]).await, "the revision was changed already");
        let later = KeyRecord { revision: renamed.revision + 2, ..renamed.clone() };
        assert_conflict(self.commit(&[replace(&later)]).await, "a revision was left out");
        let unknown = changed(&self.full_record(), |_| {});
        assert_conflict(self.commit(&[replace(&unknown)]).await, "there is no such record");
        self.assert_is_gone(&unknown, "a replacement inserted a record").await;
        let digest = changed(&renamed, |record| record.digest = self.full_record().digest);
        assert_conflict(self.commit(&[replace(&digest)]).await, "the digest is another");
        let id = changed(&renamed, |record| record.id = self.full_record().id);
        assert_conflict(self.commit(&[replace(&id)]).await, "the id is another");
        let id = remove(&KeyRecord { revision: renamed.revision, ..id });
        assert_conflict(self.commit(&[id]).await, "the id is another");
        self.assert_is(&renamed, "a conflict changed a record").await;
    }

    pub(super) async fn all_changes_are_made_or_none(&self) {
        let (old, other) = (self.inserted().await, self.inserted().await);
        let new = self.full_record();
        let renamed = changed(&old, |record| record.set_name("renamed".to_owned()));
        let stale = KeyRecord { revision: other.revision + 7, ..other.clone() };
        let changes = [insert(&new), replace(&renamed), replace(&stale)];
        assert_conflict(self.commit(&changes).await, "the last of three changes");
        let changes = [replace(&renamed), insert(&new), insert(&other)];
        assert_exists(self.commit(&changes).await, "the last of three changes");
        self.assert_is(&old, "a part of a commit that failed was made").await;
        self.assert_is_gone(&new, "a part of a commit that failed was made").await;

        let rotated = changed(&old, |record| record.set_name("rotated".to_owned()));
        self.committed(&[replace(&rotated), insert(&new)]).await;
        self.assert_is(&rotated, "a part of a commit was not made").await;
        self.assert_is(&new, "a part of a commit was not made").await;
    }

    pub(super) async fn a_revocation_is_never_taken_back(&self) {
        let record = self.inserted().await;
        let revoked = changed(&record, |record| record.set_revoked_at(Some(moment(1_700_000_000))));
        self.committed(&[replace(&revoked)]).await;
        for revoked_at in [None, Some(moment(1_800_000_000))] {
            let change = changed(&revoked, |record| record.set_revoked_at(revoked_at));
            let result = self.commit(&[replace(&change)]).await;
            assert_conflict(result, "a change that takes back a revocation");
        }
        self.assert_is(&revoked, "a revocation was taken back").await;
        let renamed = changed(&revoked, |record| record.set_name("a revoked key".to_owned()));
        self.committed(&[replace(&renamed)]).await;
        self.assert_is(&renamed, "a change that leaves the revocation was not made").await;
    }

    pub(super) async fn a_removed_key_is_gone(&self) {
        let record = self.inserted().await;
        let renamed = changed(&record, |record| record.set_name("renamed".to_owned()));
        self.committed(&[replace(&renamed)]).await;
        assert_conflict(
            self.commit(&[remove(&record)]).await,
            "the record was changed before the removal",
        );
        let removal = remove(&renamed);
        self.committed(std::slice::from_ref(&removal)).await;
        self.assert_is_gone(&record, "a removed key is still there").await;
        let tenant = record.tenant.clone().into();
        assert!(!self.listed(&KeyQuery { tenant, ..KeyQuery::new() }).await.contains(&record.id));
        assert_conflict(self.commit(&[removal]).await, "there is nothing to remove");
        self.committed(&[insert(&record)]).await;
        let key = self.get(&record.id).await;
        assert_eq!(key, Some(StoredKey::new(Arc::new(record), None)), "a removed key left traces");
    }

    pub(super) async fn what_is_removed_can_be_inserted_in_one_commit(&self) {
        let old = self.inserted().await;
        let same_id = KeyRecord { id: old.id.clone(), ..self.full_record() };
        self.committed(&[remove(&old), insert(&same_id)]).await;
        self.assert_is(&same_id, "an id was not given to another record").await;
        let found = self.repository.find(&old.digest).await;
        assert_eq!(found.ok(), Some(None), "the digest of a removed record is found");
        let same_digest = KeyRecord { digest: same_id.digest, ..self.full_record() };
        self.committed(&[remove(&same_id), insert(&same_digest)]).await;
        self.assert_is(&same_digest, "a digest was not given to another record").await;
        let again = KeyRecord { id: same_digest.id.clone(), ..self.full_record() };
        self.committed(&[remove(&same_digest), insert(&again), remove(&again)]).await;
        self.assert_is_gone(&same_digest, "a removed key is found by its digest").await;
        assert_eq!(self.get(&same_id.id).await, None, "the id of a removed record is found");
    }
}
