//! [`KeyChange`]: one change of a commit.

use std::sync::Arc;
use std::time::SystemTime;

use super::{CommitError, KeyRecord};
use crate::key::TenantId;

/// One change of a record in a commit, or a condition for the other changes.
///
/// Later versions can add kinds. A repository refuses a commit with a kind that it does not know:
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
    /// Replaces the record with the same id and digest, which must be at the previous revision.
    Replace(Arc<KeyRecord>),
    /// Removes a record that is at this revision.
    Remove(Arc<KeyRecord>),
    /// Changes nothing. The record with the same id and digest must be at this revision; otherwise
    /// the commit fails with [`CommitError::Conflict`].
    Require(Arc<KeyRecord>),
    /// Changes nothing. After the changes before it, no more keys may [count](KeyRecord::counts) than
    /// the bound allows; otherwise the commit fails with [`CommitError::Full`]. Of concurrent commits,
    /// each counts the records that the others have left.
    Bound(KeyBound),
    /// Stands for a kind of a later version: the suite tests with it that unknown kinds are refused.
    #[doc(hidden)]
    Unknown(Arc<KeyRecord>),
}

/// The maximum number of keys of one tenant that [count](KeyRecord::counts).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeyBound {
    /// A record of the tenant whose keys are counted. Keys without a tenant are not bounded.
    pub record: Arc<KeyRecord>,
    /// The maximum number.
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

    /// Tells whether a record is counted.
    #[must_use]
    pub fn counts(&self, record: &KeyRecord) -> bool {
        record.tenant.is_some() && record.tenant == self.record.tenant && record.counts(self.at)
    }
}

impl KeyRecord {
    /// Tells whether the key counts at `time` towards the
    /// [maximum number of keys](crate::KeyManager::max_keys_per_tenant): it is neither revoked nor expired.
    ///
    /// A disabled key counts, because it can be enabled again. So does a rotated key, while it still works.
    #[must_use]
    pub fn counts(&self, time: SystemTime) -> bool {
        self.revoked_at().is_none() && self.expires_at().is_none_or(|expires_at| expires_at > time)
    }
}

impl KeyChange {
    /// Returns the record that is inserted, replaced, removed or required, or whose tenant is bounded.
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

    /// Tells whether it is a condition, which changes nothing.
    #[must_use]
    pub const fn is_requirement(&self) -> bool {
        matches!(self, Self::Require(_) | Self::Bound(_))
    }

    /// Returns the record after an insertion or a replacement.
    #[must_use]
    pub const fn after(&self) -> Option<&Arc<KeyRecord>> {
        match self {
            Self::Insert(record) | Self::Replace(record) => Some(record),
            Self::Remove(_) | Self::Require(_) | Self::Bound(_) | Self::Unknown(_) => None,
        }
    }

    /// Returns the tenants that must not be suspended, each with the error of the change if it is.
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

    /// Checks whether the contract of [`KeyRepository`](super::KeyRepository) allows the change. Use it in a
    /// repository whose database does not check this.
    ///
    /// `same` is the record with the same id and digest, if there is one; `is_taken` tells whether any record
    /// has either. Read both in the transaction that makes the change, after the changes before it.
    /// [Suspended tenants](super::KeyRepository::set_suspended) and a [bound](Self::Bound) need checks of
    /// their own.
    ///
    /// # Errors
    ///
    /// Returns why the change is not allowed. Then no change of the commit may be made.
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
