//! [`KeyChange`]: one change of a commit.

use std::sync::Arc;

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

    /// Returns the tenants that must not be suspended for the change to be made, and what it is otherwise.
    ///
    /// `same` is the record with the same id and digest, if there is one.
    pub(crate) fn needed_tenants<'a>(
        &'a self,
        same: Option<&'a KeyRecord>,
    ) -> impl Iterator<Item = (&'a TenantId, CommitError)> {
        let takes_away = |new: &KeyRecord| {
            new.revoked_at.is_some() || (new.disabled && same.is_some_and(|old| !old.disabled))
        };
        let records = match self {
            Self::Insert(record) | Self::Require(record) => [Some(&**record), None],
            Self::Replace(record) if !takes_away(record) => [Some(&**record), same],
            Self::Replace(_) | Self::Remove(_) | Self::Unknown(_) => [None, None],
        };
        let is_new = matches!(self, Self::Insert(_));
        records.into_iter().flatten().filter_map(move |record| {
            let refusal = if is_new { CommitError::Suspended } else { CommitError::Conflict };
            Some((record.tenant.as_ref()?, refusal))
        })
    }

    /// Tells whether the change may be made, for repositories that have no database to ask.
    ///
    /// `same` is the record with the same id and digest, if there is one; `is_taken` tells whether
    /// there is one with either. Whether tenants are suspended is [asked for](Self::needed_tenants) besides.
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
