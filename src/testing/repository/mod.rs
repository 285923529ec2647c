//! [`check_key_repository`]: a conformance suite for [`KeyRepository`].

mod bounds;
mod lists;
mod many;
mod required;
mod suspended;
mod usage;
mod usage_days;
mod uses;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{join, join_all};

pub use self::usage::check_usage_store;
use super::conformance::{check_key_store_without, full_record, kept, moment};
use crate::key::{KeyId, TenantId};
use crate::store::{
    CommitError, KeyChange, KeyQuery, KeyRecord, KeyRepository, RecordField, RecordUses, StoredKey,
};

/// The number of concurrent writers.
const WRITERS: usize = 8;

/// Checks a repository against the contract of [`KeyRepository`], which includes
/// [`KeyStore`](crate::KeyStore): a conformance suite for tests.
///
/// A repository need not support suspended tenants: if it answers [`CommitError::Unsupported`], the
/// suite skips them. The repository may hold other records; the suite uses ids and tenants of its own.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::testing::check_key_repository;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_key_repository(&MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_key_repository<R>(repository: &R)
where
    R: KeyRepository + ?Sized,
{
    check_key_repository_without(repository, &[]).await;
}

/// Checks a repository over a table without columns for some fields, like [`check_key_repository`].
///
/// The records of the suite leave these fields empty. The suite also checks that the repository
/// [refuses](RecordField) a record with one of them.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::store::RecordField;
/// use tower_api_key::testing::check_key_repository_without;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // As over a table with a column for each field.
/// check_key_repository_without(&MemoryStore::new(), &[] as &[RecordField]).await;
/// # }
/// ```
pub async fn check_key_repository_without<R>(repository: &R, fields: &[RecordField])
where
    R: KeyRepository + ?Sized,
{
    let suite = Suite { repository, without: fields };
    check_key_store_without(repository, fields, async |record| suite.put(record).await).await;
    suite.what_is_not_kept_is_refused().await;
    suite.a_key_is_got_by_its_id().await;
    suite.ids_and_digests_are_unique().await;
    suite.a_change_is_made_to_its_revision_only().await;
    suite.all_changes_are_made_or_none().await;
    suite.a_revocation_is_never_taken_back().await;
    suite.of_two_writers_one_wins().await;
    suite.no_revocation_is_lost().await;
    suite.a_removed_key_is_gone().await;
    suite.what_is_removed_can_be_inserted_in_one_commit().await;
    suite.what_is_required_is_compared_and_not_changed().await;
    suite.without_what_is_required_nothing_is_changed().await;
    suite.a_requirement_finds_what_the_changes_before_it_left().await;
    suite.nothing_is_made_for_what_was_revoked().await;
    suite.a_kind_of_change_that_is_not_known_is_refused().await;
    suite.many_changes_are_made_or_none().await;
    suite.pages_follow_one_another().await;
    suite.keys_that_ended_are_found().await;
    suite.lists_are_filtered().await;
    suite.every_filter_lists_what_the_query_matches().await;
    suite.a_query_that_is_not_valid_lists_nothing().await;
    suite.a_list_goes_on_where_a_page_has_visited_enough().await;
    suite.those_keys_are_counted_that_work_or_may_work_again().await;
    suite.those_who_insert_at_once_keep_to_the_bound().await;
    suite.a_dropped_commit_is_whole().await;
    if suite.can_suspend().await {
        suite.keys_of_a_suspended_tenant_are_found_as_such().await;
        suite.keys_of_a_suspended_tenant_can_only_be_taken_out_of_use().await;
        suite.nothing_is_inserted_once_a_tenant_is_suspended().await;
    }
}

/// Checks a repository against the contract of [`RecordUses`].
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::testing::check_record_uses;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_record_uses(&MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_record_uses<R>(repository: &R)
where
    R: KeyRepository + RecordUses + ?Sized,
{
    check_record_uses_without(repository, &[]).await;
}

/// Checks a repository over a table without columns for some fields, like [`check_record_uses`].
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::store::RecordField;
/// use tower_api_key::testing::check_record_uses_without;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // As over a table with a column for each field.
/// check_record_uses_without(&MemoryStore::new(), &[] as &[RecordField]).await;
/// # }
/// ```
pub async fn check_record_uses_without<R>(repository: &R, fields: &[RecordField])
where
    R: KeyRepository + RecordUses + ?Sized,
{
    let suite = Suite { repository, without: fields };
    suite.uses_only_go_forward().await;
    suite.a_use_changes_no_record().await;
    suite.a_removed_key_leaves_no_uses().await;
    suite.lists_are_filtered_by_uses().await;
}

struct Suite<'a, R: ?Sized> {
    repository: &'a R,
    without: &'a [RecordField],
}

fn insert(record: &KeyRecord) -> KeyChange {
    KeyChange::Insert(Arc::new(record.clone()))
}

fn replace(record: &KeyRecord) -> KeyChange {
    KeyChange::Replace(Arc::new(record.clone()))
}

fn remove(record: &KeyRecord) -> KeyChange {
    KeyChange::Remove(Arc::new(record.clone()))
}

/// Makes the record of the next revision.
fn changed(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> KeyRecord {
    let mut record = record.clone();
    record.revision += 1;
    change(&mut record);
    record
}

async fn is_done_after_a_poll(future: &mut (impl Future + Unpin)) -> bool {
    poll_fn(|cx| Poll::Ready(future.poll_unpin(cx).is_ready())).await
}

fn tenant_of_its_own() -> TenantId {
    let id = KeyId::generate().unwrap_or_else(|error| panic!("{error}"));
    id.as_str().parse().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn assert_conflict(result: Result<(), CommitError>, what: &str) {
    match result {
        Err(CommitError::Conflict) => {}
        other => panic!("{what}: expected a conflict, got {other:?}"),
    }
}

#[track_caller]
fn assert_exists(result: Result<(), CommitError>, what: &str) {
    match result {
        Err(CommitError::Exists) => {}
        other => panic!("{what}: expected `Exists`, got {other:?}"),
    }
}

impl<R: KeyRepository + ?Sized> Suite<'_, R> {
    fn full_record(&self) -> KeyRecord {
        kept(full_record(), self.without)
    }

    /// A lost field might have restricted the key.
    async fn what_is_not_kept_is_refused(&self) {
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

    async fn commit(&self, changes: &[KeyChange]) -> Result<(), CommitError> {
        self.repository.commit(changes, &[]).await
    }

    async fn committed(&self, changes: &[KeyChange]) {
        let result = self.commit(changes).await;
        result.unwrap_or_else(|error| panic!("`commit` failed: {error}"));
    }

    async fn inserted(&self) -> KeyRecord {
        let record = self.full_record();
        self.committed(&[insert(&record)]).await;
        record
    }

    async fn put(&self, record: KeyRecord) {
        let change = match self.get(&record.id).await {
            Some(_) => replace(&record),
            None => insert(&record),
        };
        self.committed(&[change]).await;
    }

    async fn get(&self, id: &KeyId) -> Option<StoredKey> {
        let got = self.repository.get(id).await;
        got.unwrap_or_else(|error| panic!("`get` failed: {error}"))
    }

    /// Asserts that a record is as expected, by every way to read it.
    async fn assert_is(&self, record: &KeyRecord, what: &str) {
        let got = self.get(&record.id).await.map(|key| key.record);
        assert_eq!(got.as_deref(), Some(record), "{what}");
        let found = self.repository.find(&record.digest).await;
        let found = found.unwrap_or_else(|error| panic!("`find` failed: {error}"));
        assert_eq!(found.as_deref(), Some(record), "{what}");
    }

    async fn assert_is_gone(&self, record: &KeyRecord, what: &str) {
        assert_eq!(self.get(&record.id).await, None, "{what}");
        let found = self.repository.find(&record.digest).await;
        let found = found.unwrap_or_else(|error| panic!("`find` failed: {error}"));
        assert_eq!(found, None, "{what}");
    }

    async fn a_key_is_got_by_its_id(&self) {
        let record = self.full_record();
        assert_eq!(self.get(&record.id).await, None, "a key was got before it was inserted");
        self.committed(&[insert(&record)]).await;
        self.assert_is(&record, "a key was not got as it was inserted").await;
        let key = self.get(&record.id).await;
        assert_eq!(key.and_then(|key| key.last_used_at), None, "a new key was used");
    }

    async fn ids_and_digests_are_unique(&self) {
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

    async fn a_change_is_made_to_its_revision_only(&self) {
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

    async fn all_changes_are_made_or_none(&self) {
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

    async fn a_revocation_is_never_taken_back(&self) {
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

    async fn of_two_writers_one_wins(&self) {
        let record = self.inserted().await;
        let renamed =
            |number| changed(&record, |record| record.set_name(format!("writer {number}")));
        let changes: Vec<_> = (0..WRITERS).map(renamed).collect();
        let tried = changes.iter().map(|change| async { self.commit(&[replace(change)]).await });
        let results = join_all(tried).await;
        let won: Vec<_> =
            changes.iter().zip(&results).filter(|(_, result)| result.is_ok()).collect();
        assert_eq!(won.len(), 1, "one of those who change the same revision wins");
        self.assert_is(won[0].0, "the change of another writer than the winner was made").await;
        for result in results.into_iter().filter(Result::is_err) {
            assert_conflict(result, "the others of those who change the same revision");
        }
    }

    async fn no_revocation_is_lost(&self) {
        for _ in 0..5 {
            let record = self.inserted().await;
            let updates = (0..WRITERS).map(|number| {
                let id = &record.id;
                self.until_made(id, move |record| record.set_name(format!("update {number}")))
            });
            let revocation = self.until_made(&record.id, |record| {
                let revoked_at = record.revoked_at().unwrap_or_else(|| moment(1_700_000_000));
                record.set_revoked_at(Some(revoked_at));
            });
            join(join_all(updates), revocation).await;
            let key = self.get(&record.id).await.map(|key| key.record);
            let revoked_at = key.as_ref().and_then(|record| record.revoked_at());
            assert_eq!(revoked_at, Some(moment(1_700_000_000)), "a revocation was lost");
            let revision = key.map(|record| record.revision);
            assert_eq!(revision, Some(WRITERS as u64 + 1), "a change was lost");
        }
    }

    /// Changes a record, and retries until no other writer interferes.
    async fn until_made(&self, id: &KeyId, change: impl Fn(&mut KeyRecord)) {
        for _ in 0..100 * WRITERS {
            let Some(key) = self.get(id).await else { panic!("a key was lost") };
            match self.commit(&[replace(&changed(&key.record, &change))]).await {
                Ok(()) => return,
                Err(CommitError::Conflict) => {}
                Err(error) => panic!("`commit` failed: {error}"),
            }
        }
        panic!("a writer never had its turn");
    }

    async fn a_removed_key_is_gone(&self) {
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

    async fn what_is_removed_can_be_inserted_in_one_commit(&self) {
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

    async fn a_dropped_commit_is_whole(&self) {
        for polls in 1..6 {
            let (old, new) = (self.inserted().await, self.full_record());
            let abilities = ["changed:too"].try_into().unwrap_or_default();
            let rotated = changed(&old, |record| record.abilities = abilities);
            let changes = [replace(&rotated), insert(&new)];
            let mut commit = Box::pin(self.commit(&changes));
            for _ in 0..polls {
                if is_done_after_a_poll(&mut commit).await {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            drop(commit);
            // It may still be running. Later changes of the same record come after it.
            self.until_made(&old.id, |record| record.set_name("after".to_owned())).await;
            let old = self.get(&old.id).await.map(|key| key.record);
            let was_rotated = old.is_some_and(|record| record.abilities == rotated.abilities);
            let was_inserted = self.get(&new.id).await.is_some();
            assert_eq!(was_rotated, was_inserted, "a dropped commit was made in part");
        }
    }
}
