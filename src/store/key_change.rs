//! [`KeyChange`]: one change of a commit.

use std::sync::Arc;
use std::time::SystemTime;

use super::{CommitError, KeyRecord};
use crate::key::TenantId;

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
///         KeyChange::Bound(_) => "SELECT count(*) …",
///         _ => return Err(CommitError::Unsupported),
///     })
/// }
/// # let key = tower_api_key::NewKey::named("x").generate(&tower_api_key::KeyScheme::default());
/// # assert!(statement(&KeyChange::Require(key.unwrap().record)).is_ok());
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
    /// Changes nothing. After the changes before it, no more keys [count](KeyRecord::counts) than the
    /// bound allows, or else the commit is [`CommitError::Full`]. Of several that are made at once,
    /// each counts what the others have left.
    Bound(KeyBound),
    /// Stands for a kind of a later version, by which the suite sees that unknown kinds are refused.
    #[doc(hidden)]
    Unknown(Arc<KeyRecord>),
}

/// How many keys of one tenant [count](KeyRecord::counts) at most.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeyBound {
    /// A record of the tenant whose keys are counted. The keys of no tenant are not bounded.
    pub record: Arc<KeyRecord>,
    /// How many they are at most.
    pub at_most: u64,
    /// The moment at which they count.
    pub at: SystemTime,
}

impl KeyBound {
    /// Bounds the keys of the tenant of `record`.
    #[must_use]
    pub const fn new(record: Arc<KeyRecord>, at_most: u64, at: SystemTime) -> Self {
        Self { record, at_most, at }
    }

    /// Tells whether a record is one of those that are counted.
    #[must_use]
    pub fn counts(&self, record: &KeyRecord) -> bool {
        record.tenant.is_some() && record.tenant == self.record.tenant && record.counts(self.at)
    }
}

impl KeyRecord {
    /// Tells whether the key counts at `time` where the number of keys is
    /// [bounded](crate::KeyManager::max_keys_per_tenant): it was not revoked and has not expired. One
    /// that is disabled counts, since it can be enabled again, and so does one that was rotated, for as
    /// long as it works on.
    #[must_use]
    pub fn counts(&self, time: SystemTime) -> bool {
        self.revoked_at().is_none() && self.expires_at().is_none_or(|expires_at| expires_at > time)
    }
}

impl KeyChange {
    /// Returns the record that is added, kept, removed or required, or whose tenant is bounded.
    #[must_use]
    pub const fn record(&self) -> &Arc<KeyRecord> {
        match self {
            Self::Insert(record)
            | Self::Replace(record)
            | Self::Remove(record)
            | Self::Require(record)
            | Self::Bound(KeyBound { record, .. })
            | Self::Unknown(record) => record,
        }
    }

    /// Tells whether it only compares, and changes nothing.
    #[must_use]
    pub const fn is_requirement(&self) -> bool {
        matches!(self, Self::Require(_) | Self::Bound(_))
    }

    /// Returns the record that there is after a change that is no [requirement](Self::Require).
    #[must_use]
    pub const fn after(&self) -> Option<&Arc<KeyRecord>> {
        match self {
            Self::Insert(record) | Self::Replace(record) => Some(record),
            Self::Remove(_) | Self::Require(_) | Self::Bound(_) | Self::Unknown(_) => None,
        }
    }

    /// Returns the tenants that must not be suspended for the change to be made, and what it is otherwise.
    ///
    /// `same` is the record with the same id and digest, if there is one.
    pub(crate) fn needed_tenants<'a>(
        &'a self,
        same: Option<&'a KeyRecord>,
    ) -> impl Iterator<Item = (&'a TenantId, CommitError)> {
        let takes_away = |new: &KeyRecord| {
            new.revoked_at().is_some() || (new.disabled && same.is_some_and(|old| !old.disabled))
        };
        let records = match self {
            Self::Insert(record) | Self::Require(record) => [Some(&**record), None],
            Self::Replace(record) if !takes_away(record) => [Some(&**record), same],
            Self::Replace(_) | Self::Remove(_) | Self::Bound(_) | Self::Unknown(_) => [None, None],
        };
        let is_new = matches!(self, Self::Insert(_));
        records.into_iter().flatten().filter_map(move |record| {
            let refusal = if is_new { CommitError::Suspended } else { CommitError::Conflict };
            Some((record.tenant.as_ref()?, refusal))
        })
    }

    /// Checks whether the change may be made, by the contract of a
    /// [`KeyRepository`](super::KeyRepository): for repositories that do not have their database check it.
    ///
    /// `same` is the record with the same id and digest, if there is one; `is_taken` tells whether
    /// there is one with either. Both have to be read in the transaction that makes the change, and after
    /// the changes before it were made. Whether [tenants are suspended](super::KeyRepository::set_suspended), and
    /// a [bound](Self::Bound), are to be checked besides.
    ///
    /// # Errors
    ///
    /// Returns why it may not be made. Nothing of the commit may be made then.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::store::{CommitError, KeyChange};
    /// use tower_api_key::{KeyHasher, KeyRecord};
    ///
    /// let digest = KeyHasher::sha256().digest("k");
    /// let mut kept = KeyRecord::new("17".parse()?, digest, "nightly import", SystemTime::now());
    /// kept.set_revoked_at(Some(SystemTime::now()));
    ///
    /// let insert = KeyChange::Insert(kept.clone().into());
    /// assert!(matches!(insert.check(Some(&kept), true), Err(CommitError::Exists)));
    /// assert!(insert.check(None, false).is_ok());
    ///
    /// let mut revived = kept.clone();
    /// revived.set_revoked_at(None);
    /// revived.set_revision(kept.revision() + 1);
    /// let replace = KeyChange::Replace(revived.into());
    /// assert!(matches!(replace.check(Some(&kept), true), Err(CommitError::Conflict)));
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self, same: Option<&KeyRecord>, is_taken: bool) -> Result<(), CommitError> {
        let may_be_made = match self {
            Self::Insert(_) if is_taken => return Err(CommitError::Exists),
            Self::Insert(_) => true,
            Self::Replace(new) => same.is_some_and(|old| {
                let takes_back = old.revoked_at().is_some() && new.revoked_at() != old.revoked_at();
                old.revision.checked_add(1) == Some(new.revision) && !takes_back
            }),
            Self::Remove(record) | Self::Require(record) => {
                same.is_some_and(|old| old.revision == record.revision)
            }
            // The store that keeps the records counts them.
            Self::Bound(_) | Self::Unknown(_) => return Err(CommitError::Unsupported),
        };
        may_be_made.then_some(()).ok_or(CommitError::Conflict)
    }
}
