//! [`KeyRepository`]: the contract between the rules for keys and whatever keeps the records.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use thiserror::Error;

use super::{AuditEvent, KeyPage, KeyQuery, KeyRecord, KeyStore, StoreError, StoredKey};
use crate::key::{KeyDigest, KeyId};

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
/// * **In order.** A change finds what those before it in the same commit have left.
/// * **Known.** A kind of change that the repository does not know is [`CommitError::Unsupported`]:
///   it may be a condition of the others, none of which is made then.
/// * **Irrevocable.** No change takes back a revocation, whatever its revision.
/// * **Unique.** No two records have the same id or the same digest.
/// * **Acknowledged.** What was committed is found by whoever asks from then on.
/// * **Apart.** When a key was used is kept beside its record: [`record_uses`](Self::record_uses)
///   changes no record and no revision, and times only go forward.
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
    /// # Errors
    ///
    /// Returns an error if the repository cannot tell.
    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError>;

    /// Makes changes, and keeps `events` with them if the repository keeps any.
    ///
    /// # Errors
    ///
    /// Returns an error, and has changed nothing, if a record is not at the revision that its
    /// change was made for, if an id or a digest is taken, or if a kind of change is not known. After
    /// [`CommitError::Store`] it is not known whether the changes were made.
    async fn commit(&self, changes: &[KeyChange], events: &[AuditEvent])
    -> Result<(), CommitError>;

    /// Notes when keys were used, unless a later use of them is known. Unknown ids are ignored.
    ///
    /// The future may be dropped, and the same uses may come again.
    ///
    /// # Errors
    ///
    /// Returns an error if not all could be noted.
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;

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

    /// Has every node that is notified of changes forget all keys that it has in memory, such as after a
    /// backup was restored: what it knows is of another past.
    ///
    /// By default there is nothing to do, as for a repository that notifies nobody.
    ///
    /// # Errors
    ///
    /// Returns an error if nodes may not have been notified.
    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        Ok(())
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

            fn record_uses<'a, 'b, 'c>(&'a self, uses: &'b [KeyUse]) -> Pending<'c, ()>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).record_uses(uses)
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

            fn propagation(&self) -> Propagation {
                (**self).propagation()
            }
        }
    };
}

forward_to_the_inner_repository!(Arc);
forward_to_the_inner_repository!(Box);

/// One change of the records, or a condition of the others.
///
/// More kinds can come with a later version. A repository that does not know one refuses the whole
/// commit:
///
/// ```
/// use tower_api_key::store::{CommitError, KeyChange};
///
/// fn statement(change: &KeyChange) -> Result<&'static str, CommitError> {
///     Ok(match change {
///         KeyChange::Insert(_) => "INSERT …",
///         KeyChange::Replace(_) => "UPDATE …",
///         KeyChange::Remove(_) => "DELETE …",
///         KeyChange::Require(_) => "SELECT … FOR NO KEY UPDATE",
///         _ => return Err(CommitError::Unsupported),
///     })
/// }
/// # assert!(statement(&KeyChange::Require(tower_api_key::MemoryStore::new()
/// #     .issue(tower_api_key::NewKey::named("x")).unwrap().record)).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum KeyChange {
    /// Adds a record.
    Insert(Arc<KeyRecord>),
    /// Keeps a record in place of the one with the same id and digest, whose revision is the one
    /// before.
    Replace(Arc<KeyRecord>),
    /// Removes a record that is at this revision.
    Remove(Arc<KeyRecord>),
    /// Changes nothing. The record with the same id and digest has to be at this revision, or else
    /// the commit is [`CommitError::Conflict`].
    Require(Arc<KeyRecord>),
    /// Stands for a kind of a later version, by which the suite sees that unknown kinds are refused.
    #[doc(hidden)]
    Unknown(Arc<KeyRecord>),
}

impl KeyChange {
    /// Returns the record that is added, kept, removed or required.
    #[must_use]
    pub const fn record(&self) -> &Arc<KeyRecord> {
        match self {
            Self::Insert(record)
            | Self::Replace(record)
            | Self::Remove(record)
            | Self::Require(record)
            | Self::Unknown(record) => record,
        }
    }

    /// Tells whether it only compares.
    pub(crate) const fn is_requirement(&self) -> bool {
        matches!(self, Self::Require(_))
    }

    /// Returns the record that there is after a change that is no [requirement](Self::Require).
    pub(crate) const fn after(&self) -> Option<&Arc<KeyRecord>> {
        match self {
            Self::Insert(record) | Self::Replace(record) => Some(record),
            Self::Remove(_) | Self::Require(_) | Self::Unknown(_) => None,
        }
    }

    /// Tells whether the change may be made, for repositories that have no database to ask.
    ///
    /// `same` is the record with the same id and digest, if there is one; `is_taken` tells whether
    /// there is one with either.
    pub(crate) fn check(
        &self,
        same: Option<&KeyRecord>,
        is_taken: bool,
    ) -> Result<(), CommitError> {
        let may_be_made = match self {
            Self::Insert(_) if is_taken => return Err(CommitError::Exists),
            Self::Insert(_) => true,
            Self::Replace(new) => same.is_some_and(|old| {
                let takes_back = old.revoked_at.is_some() && new.revoked_at != old.revoked_at;
                old.revision.checked_add(1) == Some(new.revision) && !takes_back
            }),
            Self::Remove(record) | Self::Require(record) => {
                same.is_some_and(|old| old.revision == record.revision)
            }
            Self::Unknown(_) => return Err(CommitError::Unsupported),
        };
        may_be_made.then_some(()).ok_or(CommitError::Conflict)
    }
}

/// When a key was used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUse {
    /// The key.
    pub id: KeyId,
    /// When.
    pub at: SystemTime,
}

impl KeyUse {
    /// Says that a key was used.
    #[must_use]
    pub const fn new(id: KeyId, at: SystemTime) -> Self {
        Self { id, at }
    }
}

/// When a change, such as a revocation, is heeded. This node heeds it from the moment it was
/// acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Propagation {
    /// Every node that asks the same store heeds it too: this repository caches nothing. A cache in
    /// front of it that was not asked for the change heeds it as it is told.
    Immediate,
    /// Other nodes are notified, and heed it at once while their subscriptions live.
    Notified {
        /// After which time a node heeds it that was not notified, if it has the same settings as
        /// this one.
        at_the_latest: Duration,
    },
    /// Other nodes are not notified.
    Within(Duration),
}

/// The error of changes that were not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A record is at another revision, or is not there any more.
    #[error("the key was changed by somebody else in the meantime")]
    Conflict,
    /// There is a record with this id or this digest.
    #[error("there is a key with this id or digest already")]
    Exists,
    /// The repository does not know a kind of change. It has made none of them.
    #[error("the repository does not know this kind of change: update it")]
    Unsupported,
    /// The store failed. Whether the changes were made is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const _: Option<Arc<dyn KeyRepository>> = None;
