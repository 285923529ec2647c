//! [`CommitError`]: why changes were not made.

use thiserror::Error;

use super::StoreError;

/// The error of changes that were not made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// A record is at another revision, or was removed.
    #[error("the key was changed by somebody else in the meantime")]
    Conflict,
    /// A record has this id or this digest already.
    #[error("there is a key with this id or digest already")]
    Exists,
    /// The tenant would have more keys than the [bound](super::KeyChange::Bound) allows.
    #[error("the tenant has {0} keys, as many as it may have: revoke one that is not needed")]
    Full(u64),
    /// The tenant of a new key is suspended.
    #[error("the tenant is suspended: resume it first")]
    Suspended,
    /// The repository does not know a kind of change. No change was made.
    #[error("the repository does not know this kind of change: update it")]
    Unsupported,
    /// The store failed. Whether the changes were made is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}
