//! [`KeyRepository`]: the contract between the rules for keys and whatever keeps the records.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::list_ended::list_ended;
use super::{
    AuditEvent, AuditPage, AuditQuery, CommitError, EndedPage, EndedQuery, KeyChange, KeyPage,
    KeyQuery, KeyRecord, KeyStore, StoreError, StoredKey, SuspendedTenant, UsageStore,
};
use crate::key::{KeyDigest, KeyId, TenantId};

/// A store whose records can be listed and changed.
///
/// Applications call a [`KeyManager`](crate::KeyManager), which holds the rules; this is the
/// small part that differs from one database to the next.
///
/// # Contract
///
/// Besides that of [`KeyStore`]:
///
/// * **All or nothing.** A [`commit`](Self::commit) makes all its changes, and keeps its events if
///   the repository keeps any, or it makes none. One that was dropped has done either.
/// * **Compared.** A change is made only to the revision that it was made for. Of two writers
///   that read the same revision, the second gets [`CommitError::Conflict`] and nothing of the
///   first is lost.
/// * **Required.** A [`KeyChange::Require`] holds in the moment of the others: from then until they
///   are made, nobody changes the record that it names. So what is done on behalf of a key that was
///   revoked is not done.
/// * **Bounded.** A [`KeyChange::Bound`] holds for the records as the commit leaves them, also if
///   others are inserted at the same time: two commits that are bounded do not both take the last
///   place.
/// * **In order.** A change finds what those before it in the same commit have left.
/// * **Known.** A kind of change that the repository does not know is [`CommitError::Unsupported`]:
///   it may be a condition of the others, none of which is made then.
/// * **Irrevocable.** No change takes back a revocation, whatever its revision.
/// * **Suspended.** Of a [suspended](Self::set_suspended) tenant, no key is inserted
///   ([`CommitError::Suspended`]); none is replaced, but by a record that is revoked, or that is disabled
///   and was not; and none is required (both are [`CommitError::Conflict`]). All of that holds in the
///   moment of the change. A repository that cannot suspend tenants has none that is.
/// * **Valid.** A query that is [not valid](KeyQuery::check), because a text in it was not, is an error, and nothing is
///   listed by it; the same goes for an [`AuditQuery`].
/// * **Unique.** No two records have the same id or the same digest.
/// * **Acknowledged.** What was committed is found by whoever asks from then on.
///
/// The feature `testing` has a suite that checks a repository against this contract.
#[async_trait]
pub trait KeyRepository: KeyStore {
    /// Returns the key with this id.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository cannot tell whether there is one.
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError>;

    /// Returns a page of the keys that the query [matches](KeyQuery::matches), the newest first.
    ///
    /// It visits at most [so many](KeyQuery::max_visited) records, and returns those of them that match.
    /// If that is not all, [`KeyPage::next`] is where to go on, also if the page has few keys or none.
    /// So a page takes no longer where there are more keys. Lists leave look-ups and changes room, so
    /// many of them at once wait for each other.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository cannot tell.
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError>;

    /// Returns a page of the keys that the query [matches](EndedQuery::matches): what
    /// [`KeyManager::prune`](crate::KeyManager::prune) removes. Keys may be removed between two pages.
    ///
    /// By default all keys are [listed](Self::list) that do not work. A repository that has an index of
    /// when keys end goes by that, so that the effort grows with what is found and not with what is
    /// kept.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository cannot tell, or if the cursor is not of this repository.
    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        list_ended(query, async |page| self.list(page).await).await
    }

    /// Makes changes, and keeps `events` with them if the repository keeps any.
    ///
    /// # Errors
    ///
    /// Returns an error, and has changed nothing, if a record is not at the revision that its
    /// change was made for, if an id or a digest is taken, or if a kind of change is not known. After
    /// [`CommitError::Store`] it is not known whether the changes were made.
    async fn commit(&self, changes: &[KeyChange], events: &[AuditEvent])
    -> Result<(), CommitError>;

    /// Suspends a tenant since a time, or resumes it, and keeps `events` with that if the repository keeps
    /// any. Returns whether that changed anything; if not, no events are kept.
    ///
    /// From its return on, keys of a suspended tenant are found as [such](KeyRecord::set_suspended), by
    /// whichever way; nothing else of their records changes. It is told as changes are.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails, and, which is the default, [`CommitError::Unsupported`] if the
    /// repository cannot suspend tenants.
    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let _ = (tenant, since, events);
        Err(CommitError::Unsupported)
    }

    /// Returns the suspended tenants, in the order of their ids. By default there are none.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository cannot tell.
    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns a page of the events that the repository has kept, or nothing if it keeps none, as by
    /// default.
    ///
    /// What is being committed meanwhile may come to be before events that were read already.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository cannot tell.
    async fn audit_log(&self, query: &AuditQuery) -> Result<Option<AuditPage>, StoreError> {
        let _ = query;
        Ok(None)
    }

    /// Removes the oldest events from before a time, so many at most, and returns how many those were.
    /// Nothing, if the repository keeps none, as by default.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository fails.
    async fn prune_audit_log(
        &self,
        before: SystemTime,
        at_most: usize,
    ) -> Result<Option<usize>, StoreError> {
        let _ = (before, at_most);
        Ok(None)
    }

    /// Finds the record with `digest` in the store itself, past any cache.
    ///
    /// # Errors
    ///
    /// As [`find`](KeyStore::find), which is asked by default.
    async fn find_stored(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.find(digest).await
    }

    /// Takes note of a record that [`get`](Self::get) has returned, before its caller is told of it. A
    /// cache forgets what it knew otherwise; by default there is nothing to do.
    ///
    /// A [`KeyManager`](crate::KeyManager) calls it for who may see the key, and not for others: what
    /// they ask for changes nothing.
    fn heed(&self, record: &KeyRecord) {
        let _ = record;
    }

    /// Has all nodes that cache keys forget all that they know.
    ///
    /// For after a backup was restored, or another server took over that has lost changes: what was
    /// undone there is not notified by itself.
    ///
    /// # Errors
    ///
    /// Returns an error if the nodes cannot be told, and by default: a repository that notifies
    /// nobody of changes has no way to.
    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        Err(StoreError::new(
            "it notifies no nodes: restart those that cache keys, or wait until what they know is \
             too old for them",
        ))
    }

    /// Returns what keeps how often keys were used. By default nothing does.
    fn usage_store(&self) -> Option<&dyn UsageStore> {
        None
    }

    /// Returns when others that find keys through this repository heed a change.
    fn propagation(&self) -> Propagation {
        Propagation::Immediate
    }
}

type Pending<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

macro_rules! forward_to_the_inner_repository {
    ($pointer:ident) => {
        // By hand, because `#[async_trait]` would box the futures a second time.
        impl<T: KeyRepository + ?Sized> KeyRepository for $pointer<T> {
            fn get<'a, 'b, 'c>(&'a self, id: &'b KeyId) -> Pending<'c, Option<StoredKey>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).get(id)
            }

            fn list<'a, 'b, 'c>(&'a self, query: &'b KeyQuery) -> Pending<'c, KeyPage>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).list(query)
            }

            fn ended<'a, 'b, 'c>(&'a self, query: &'b EndedQuery) -> Pending<'c, EndedPage>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).ended(query)
            }

            fn commit<'a, 'b, 'c, 'd>(
                &'a self,
                changes: &'b [KeyChange],
                events: &'c [AuditEvent],
            ) -> Pending<'d, (), CommitError>
            where
                'a: 'd,
                'b: 'd,
                'c: 'd,
                Self: 'd,
            {
                (**self).commit(changes, events)
            }

            fn audit_log<'a, 'b, 'c>(
                &'a self,
                query: &'b AuditQuery,
            ) -> Pending<'c, Option<AuditPage>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).audit_log(query)
            }

            fn set_suspended<'a, 'b, 'c, 'd>(
                &'a self,
                tenant: &'b TenantId,
                since: Option<SystemTime>,
                events: &'c [AuditEvent],
            ) -> Pending<'d, bool, CommitError>
            where
                'a: 'd,
                'b: 'd,
                'c: 'd,
                Self: 'd,
            {
                (**self).set_suspended(tenant, since, events)
            }

            fn suspended<'a, 'b>(&'a self) -> Pending<'b, Vec<SuspendedTenant>>
            where
                'a: 'b,
                Self: 'b,
            {
                (**self).suspended()
            }

            fn prune_audit_log<'a, 'b>(
                &'a self,
                before: SystemTime,
                at_most: usize,
            ) -> Pending<'b, Option<usize>>
            where
                'a: 'b,
                Self: 'b,
            {
                (**self).prune_audit_log(before, at_most)
            }

            fn find_stored<'a, 'b, 'c>(
                &'a self,
                digest: &'b KeyDigest,
            ) -> Pending<'c, Option<Arc<KeyRecord>>>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).find_stored(digest)
            }

            fn heed(&self, record: &KeyRecord) {
                (**self).heed(record);
            }

            fn invalidate_everywhere<'a, 'b>(&'a self) -> Pending<'b, ()>
            where
                'a: 'b,
                Self: 'b,
            {
                (**self).invalidate_everywhere()
            }

            fn usage_store(&self) -> Option<&dyn UsageStore> {
                (**self).usage_store()
            }

            fn propagation(&self) -> Propagation {
                (**self).propagation()
            }
        }
    };
}

forward_to_the_inner_repository!(Arc);
forward_to_the_inner_repository!(Box);

/// When a change, such as a revocation, is heeded. This node heeds it from the moment it was
/// acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// Every node that asks the same store heeds it too: this repository caches nothing. A cache in
    /// front of it that was not asked for the change heeds it as it is told.
    Immediate,
    /// Other nodes are notified, and act on it at once while their subscriptions live; over SQLite, within
    /// 250 ms.
    Notified {
        /// After which time a node heeds it that was not notified, if it has the same settings as
        /// this one.
        at_the_latest: Duration,
    },
    /// Other nodes are not notified.
    Within(Duration),
}

const _: Option<Arc<dyn KeyRepository>> = None;
