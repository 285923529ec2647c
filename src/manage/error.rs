//! [`ManageError`]: why a key was not issued or changed.

use std::time::Duration;

use thiserror::Error;

use super::Excess;
use crate::key::{InvalidFields, IssueError, KeyId};
use crate::store::{CommitError, KeyState, StoreError};

/// The error of a key that was not issued or changed.
///
/// Unless it is [`Store`](Self::Store) or [`Deadline`](Self::Deadline), nothing was changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManageError {
    /// Fields of the new key, the change or the query are not valid: these.
    #[error("it is not valid: {0}")]
    Invalid(#[from] InvalidFields),
    /// There is no such key, or it is another tenant's.
    #[error("there is no such key")]
    NotFound,
    /// The name does not say what the key is for.
    #[error("a name has 3 to 100 characters, not only spaces, and no control characters")]
    Name,
    /// The key would be expired already.
    #[error("a key cannot expire in the past")]
    Expiry,
    /// An ability of the key is not in the [catalogue](crate::KeyManager::abilities).
    #[error("there is no such ability: it is misspelt, or missing in the catalogue of abilities")]
    UnknownAbility,
    /// The [owner](super::Owner) that acts may not do this, or the key would be allowed more than
    /// it.
    #[error("a key cannot grant more than it has: {0}")]
    Exceeds(Excess),
    /// The key is in a state in which this cannot be done.
    #[error("the key is {0}")]
    State(KeyState),
    /// The key was rotated already.
    #[error("the key was rotated already; its successor is {0}")]
    Rotated(KeyId),
    /// The tenant is [suspended](crate::KeyManager::suspend): its keys can only be taken out of use.
    #[error("the tenant is suspended: resume it first")]
    Suspended,
    /// No format has the prefix of the key that is to be rotated.
    #[error("no format has the prefix of the key: set the format of its successor's secret")]
    Format,
    /// The [scheme](crate::KeyScheme) has no format for the key or several, or no secret could be
    /// made.
    #[error(transparent)]
    Issue(IssueError),
    /// The tenant has as many keys as it [may have](crate::KeyManager::max_keys_per_tenant).
    #[error(
        "the number of keys is bounded by {0}, and there are as many: revoke one that is not needed"
    )]
    TooManyKeys(u64),
    /// Other nodes changed the key again and again, or others that of the [owner](super::Owner).
    #[error("the key, or that of who calls, was changed by others again and again: try again")]
    Conflict,
    /// The repository keeps no [events](crate::KeyManager::audit_log).
    #[error(
        "this store keeps no audit events: give the manager a sink, such as `JsonLinesAudit` or the \
         option `--audit-file`"
    )]
    NoAuditLog,
    /// The repository keeps no usage of keys.
    #[error("usage is not kept: use a store that is a `UsageStore`")]
    UsageNotKept,
    /// The time of which usage is asked for is too long, for so many keys, or beyond the year 9999.
    #[error(
        "usage can be asked for of at most 10000 hours or days, of all keys together, until the year 9999: ask for \
         fewer keys, a shorter time, or by the day"
    )]
    UsageRange,
    /// It was not done within the [deadline](crate::KeyManager::deadline). If a change was about to
    /// be made, it is not known whether it was. Nothing is half done.
    #[error(
        "it was not done within {0:?}, and it is not known whether a change was made: look at the \
         key, or try again"
    )]
    Deadline(Duration),
    /// The store failed. If it was about to make a change, it is not known whether it did.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IssueError> for ManageError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Invalid(invalid) => Self::Invalid(invalid),
            error => Self::Issue(error),
        }
    }
}

impl From<Excess> for ManageError {
    fn from(excess: Excess) -> Self {
        Self::Exceeds(excess)
    }
}

impl From<CommitError> for ManageError {
    fn from(error: CommitError) -> Self {
        match error {
            // A new id and a new digest are random, so what exists is a change made at once.
            CommitError::Conflict | CommitError::Exists => Self::Conflict,
            CommitError::Full(at_most) => Self::TooManyKeys(at_most),
            CommitError::Suspended => Self::Suspended,
            CommitError::Unsupported => Self::Store(StoreError::new(error)),
            CommitError::Store(error) => Self::Store(error),
        }
    }
}
