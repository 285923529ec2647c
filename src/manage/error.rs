//! [`ManageError`]: the error of a [`KeyManager`](crate::KeyManager).

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::Excess;
use crate::key::{Ability, AbilitySet, InvalidFields, IssueError, KeyId};
use crate::secrecy::looks_like_secret;
use crate::store::{CommitError, KeyState, StoreError};

/// The error of a call of a [`KeyManager`](crate::KeyManager).
///
/// Nothing was changed, unless it is [`Store`](Self::Store) or [`Deadline`](Self::Deadline): then it is not known.
#[derive(Error)]
#[non_exhaustive]
pub enum ManageError {
    /// Fields of the new key, the change or the query are not valid: these.
    #[error("it is not valid: {0}")]
    Invalid(#[from] InvalidFields),
    /// There is no such key, or it belongs to another tenant.
    #[error("there is no such key")]
    NotFound,
    /// The name is too short, too long, or not one line.
    #[error("invalid name: use 3 to 100 characters on one line, without control characters")]
    Name,
    /// The expiry is in the past.
    #[error("the expiry is in the past: set a later time")]
    Expiry,
    /// These abilities of the key are not in the [catalogue](crate::KeyManager::abilities).
    ///
    /// The text names them, unless one could be a secret in the wrong place.
    #[error(
        "unknown ability: {}: correct the spelling, or add it to the catalogue of abilities",
        named(.0)
    )]
    UnknownAbility(AbilitySet),
    /// The [owner](super::Owner) may not do this, or the key would be allowed more than the owner.
    #[error("an owner cannot grant more than it has: {0}")]
    Exceeds(Excess),
    /// The state of the key, such as revoked, does not allow this.
    #[error("the key is {0}")]
    State(KeyState),
    /// The key was rotated already.
    #[error("the key was rotated already: use its successor, {0}")]
    Rotated(KeyId),
    /// The tenant is [suspended](crate::KeyManager::suspend): its keys can only be disabled, revoked and removed.
    #[error("the tenant is suspended: resume it first")]
    Suspended,
    /// No format of the [scheme](crate::KeyScheme) has the prefix of the key to rotate.
    #[error("no format has the prefix of the key: add that format to the scheme")]
    Format,
    /// The [scheme](crate::KeyScheme) has no format for the key, or several, or the random generator failed.
    #[error(transparent)]
    Issue(IssueError),
    /// The tenant has as many keys as it [may have](crate::KeyManager::max_keys_per_tenant).
    #[error("the limit of keys of the tenant, {0}, is reached: revoke one that is not needed")]
    TooManyKeys(u64),
    /// Other nodes kept changing the key, or that of the [owner](super::Owner).
    #[error("other nodes kept changing the key, or the key of the caller: try again")]
    Conflict,
    /// The repository keeps no [audit log](crate::KeyManager::audit_log).
    #[error(
        "this store keeps no audit log: add a sink such as `JsonLinesAudit` to the manager, or use the \
         option `--audit-file`"
    )]
    NoAuditLog,
    /// The repository keeps no usage.
    #[error("this store keeps no usage: use one that implements `UsageStore`")]
    UsageNotKept,
    /// The range of usage is too long for so many keys, or ends after the year 9999.
    #[error(
        "the range of usage is longer than 10000 hours or days, has too many of all keys together, or ends after \
         the year 9999: ask for fewer keys, a shorter time, or days"
    )]
    UsageRange,
    /// The call took longer than the [deadline](crate::KeyManager::deadline). It is not known whether a change
    /// was made. Nothing is half done.
    #[error(
        "no answer within {0:?}, and it is not known whether the change was made: look at the key, or try again"
    )]
    Deadline(Duration),
    /// The store failed. It is not known whether a change was made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Names abilities. What could be a secret is not repeated.
fn named(abilities: &AbilitySet) -> String {
    let shown = |ability: &Ability| match looks_like_secret(ability.as_str()) {
        true => "[hidden, because it may be a secret]".to_owned(),
        false => format!("`{ability}`"),
    };
    abilities.iter().map(shown).collect::<Vec<_>>().join(", ")
}

/// The text and the source: a `main` that returns an error prints this.
impl fmt::Debug for ManageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut error = f.debug_tuple("ManageError");
        error.field(&format_args!("{self}"));
        if let Some(source) = self.source() {
            error.field(&source);
        }
        error.finish()
    }
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
