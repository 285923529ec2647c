//! [`KeyRepository`]: the contract between a key manager and a store of records.

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
/// Applications call a [`KeyManager`](crate::KeyManager), which has the rules. This trait is the small
/// part that differs between databases.
///
/// # Contract
///
/// In addition to that of [`KeyStore`]:
///
/// * **All or nothing.** A [`commit`](Self::commit) makes all its changes, and stores its events if the
///   repository stores any, or it makes none. This also applies to a dropped one.
/// * **Compared.** A change is made only to the revision that it was made for. Of two writers that read
///   the same revision, the second gets [`CommitError::Conflict`], and nothing of the first is lost.
/// * **Required.** A [`KeyChange::Require`] holds until the other changes are made: no other writer
///   changes its record in between. So nothing is done on behalf of a revoked key.
/// * **Bounded.** A [`KeyChange::Bound`] holds for the records as the commit leaves them, even if
///   others are inserted at the same time: two bounded commits never both take the last place.
/// * **In order.** A change sees the effect of those before it in the same commit.
/// * **Known.** An unknown kind of change is [`CommitError::Unsupported`], and none of the changes is
///   made, because it may be a condition of the others.
/// * **Irrevocable.** No change undoes a revocation, whatever its revision.
/// * **Suspended.** For a [suspended](Self::set_suspended) tenant, no key is inserted
///   ([`CommitError::Suspended`]). None is replaced, except by a record that is revoked, or that is
///   newly disabled, and none is required (both are [`CommitError::Conflict`]). All of that is checked
///   together with the change. A repository that cannot suspend tenants has no suspended ones.
/// * **Valid.** A query that is [not valid](KeyQuery::check), such as one with a text that does not parse,
///   is an error and lists nothing; so is an [`AuditQuery`].
/// * **Unique.** No two records have the same id or the same digest.
/// * **Acknowledged.** Every reader finds a committed change from then on.
///
/// The feature `testing` has a suite that checks a repository against this contract.
#[async_trait]
pub trait KeyRepository: KeyStore {
    /// Returns the key with this id.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository does not know whether the key exists.
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError>;

    /// Returns a page of the keys that the query [matches](KeyQuery::matches), newest first.
    ///
    /// It visits at most [`max_visited`](KeyQuery::max_visited) records, and returns the matching ones.
    /// If more are left, [`KeyPage::next`] is the place to continue, even if the page has few keys or
    /// none. So the time for a page does not grow with the number of keys. Lists leave capacity to
    /// look-ups and changes, so many concurrent lists wait for each other.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository fails.
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError>;

    /// Returns a page of the keys that the query [matches](EndedQuery::matches), which
    /// [`KeyManager::prune`](crate::KeyManager::prune) removes. Keys may be removed between two pages.
    ///
    /// By default it [lists](Self::list) all keys that no longer work. A repository with an index of
    /// the ends of keys uses it, so that the effort grows with the result and not with the number of
    /// keys.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository fails, or if the cursor is not of this repository.
    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        list_ended(query, async |page| self.list(page).await).await
    }

    /// Makes changes, and stores `events` with them if the repository stores any.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if a record is not at the expected revision, if an id or
    /// a digest is taken, or if a kind of change is not known. After [`CommitError::Store`] it is not
    /// known whether the changes were made.
    async fn commit(&self, changes: &[KeyChange], events: &[AuditEvent])
    -> Result<(), CommitError>;

    /// Suspends a tenant from a time on, or resumes it, and stores `events` with that if the repository
    /// stores any. Returns whether that changed anything; if not, no events are stored.
    ///
    /// From its return on, every look-up finds keys of a suspended tenant as
    /// [suspended](KeyRecord::set_suspended). Nothing else of their records changes. It is notified
    /// like other changes.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails. The default is [`CommitError::Unsupported`], for
    /// repositories that cannot suspend tenants.
    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let _ = (tenant, since, events);
        Err(CommitError::Unsupported)
    }

    /// Returns the suspended tenants, ordered by id. By default there are none.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository fails.
    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        Ok(Vec::new())
    }

    /// Returns a page of the stored events, or `None`, the default, if the repository stores none.
    ///
    /// An event that is being committed may later appear before events that were read already.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository fails.
    async fn audit_log(&self, query: &AuditQuery) -> Result<Option<AuditPage>, StoreError> {
        let _ = query;
        Ok(None)
    }

    /// Removes the oldest events before a time, up to a number, and returns how many it removed.
    /// `None`, the default, if the repository stores none.
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

    /// Finds the record with `digest` in the store itself, bypassing any cache.
    ///
    /// # Errors
    ///
    /// Like [`find`](KeyStore::find), which is the default.
    async fn find_stored(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.find(digest).await
    }

    /// Called with a record that [`get`](Self::get) has returned, before the caller gets it. A cache
    /// then drops an older record; the default does nothing.
    ///
    /// A [`KeyManager`](crate::KeyManager) calls it only if the caller may see the key, so that
    /// requests of others change nothing.
    fn record_changed(&self, record: &KeyRecord) {
        let _ = record;
    }

    /// Clears the caches of all nodes.
    ///
    /// Call it after a backup was restored, or after a failover to a server that has lost changes: lost
    /// changes are not notified.
    ///
    /// # Errors
    ///
    /// Returns an error if the nodes cannot be notified. This is the default, for repositories without
    /// notifications.
    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        Err(StoreError::new(
            "it cannot notify other nodes: restart those that cache keys, or wait until their records \
             are too old",
        ))
    }

    /// Returns the store of usage. By default there is none.
    fn usage_store(&self) -> Option<&dyn UsageStore> {
        None
    }

    /// Returns when other nodes that find keys through this repository apply a change.
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

            fn record_changed(&self, record: &KeyRecord) {
                (**self).record_changed(record);
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

/// When a change, such as a revocation, takes effect on other nodes. On this node it takes effect once
/// it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// At once: this repository caches nothing. A cache of another node in front of it applies the
    /// change as its own settings say.
    Immediate,
    /// When the notification arrives, which is at once while their subscriptions are alive, and within
    /// 250 ms over SQLite.
    Notified {
        /// The longest delay on a node that missed the notification, if it has the same settings.
        at_the_latest: Duration,
    },
    /// Other nodes are not notified.
    Within(Duration),
}

const _: Option<Arc<dyn KeyRepository>> = None;
