//! [`KeyEnded`]: the end of a key, and its reason.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::key::KeyId;
use crate::reject::{Rejection, RejectionKind};
use crate::store::{KeyRecord, KeyState};

/// Why a key has ended, and what it opened with it.
///
/// # Examples
///
/// ```
/// use tower_api_key::EndReason;
///
/// assert_eq!(EndReason::Revoked.as_str(), "revoked");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// The key was revoked.
    Revoked,
    /// The key was disabled.
    Disabled,
    /// The tenant of the key was suspended.
    Suspended,
    /// The key has expired.
    Expired,
    /// The store does not have the key any more.
    Removed,
    /// The layer's policy, a guard of the layer or the key's own restrictions no longer allow the
    /// request.
    Reduced,
    /// The store did not answer for too long: whether the key is valid is not known.
    Unavailable,
}

impl EndReason {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 7] = [
        Self::Revoked,
        Self::Disabled,
        Self::Suspended,
        Self::Expired,
        Self::Removed,
        Self::Reduced,
        Self::Unavailable,
    ];

    /// Returns the name of the reason in events, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Suspended => "suspended",
            Self::Expired => "expired",
            Self::Removed => "removed",
            Self::Reduced => "reduced",
            Self::Unavailable => "unavailable",
        }
    }

    pub(super) const fn of_state(state: KeyState) -> Option<Self> {
        match state {
            KeyState::Active => None,
            KeyState::Disabled => Some(Self::Disabled),
            KeyState::Expired => Some(Self::Expired),
            KeyState::Revoked => Some(Self::Revoked),
            KeyState::Suspended => Some(Self::Suspended),
        }
    }

    /// Returns the kind of the refusal that a new request gets.
    const fn kind(self) -> RejectionKind {
        match self {
            Self::Revoked => RejectionKind::Revoked,
            Self::Disabled => RejectionKind::Disabled,
            Self::Suspended => RejectionKind::Suspended,
            Self::Expired => RejectionKind::Expired,
            Self::Removed => RejectionKind::Unknown,
            Self::Reduced => RejectionKind::NotAllowed,
            Self::Unavailable => RejectionKind::Unavailable,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The error of a request whose key has ended.
///
/// Response bodies that were cut off have this error, and
/// [`VerifiedKey::while_valid`](crate::VerifiedKey::while_valid) returns it. Its text may be shown to
/// clients, for example as the reason of a WebSocket's close frame: it does not tell whether the key
/// was revoked, disabled, suspended or removed, or has expired.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::{EndReason, KeyManager, MemoryStore, NewKey, RejectionKind};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let issued = keys.issue(NewKey::named("a device")).await?;
/// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
/// let admitted = keys.layer().verify(&mut request.into_parts().0).await?;
///
/// let ended = admitted.key().unwrap().ended();
/// keys.revoke(issued.record.id()).await?;
/// let ended = ended.await;
/// assert_eq!(ended.reason(), EndReason::Revoked);
/// assert_eq!(ended.key_id(), Some(issued.record.id()));
/// assert_eq!(ended.rejection().kind(), RejectionKind::Revoked);
/// assert_eq!(ended.to_string(), "the API key is not valid any more"); // for the client
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyEnded {
    reason: EndReason,
    rejection: Rejection,
}

impl KeyEnded {
    pub(super) fn new(reason: EndReason, key: &Arc<KeyRecord>) -> Self {
        Self { reason, rejection: Rejection::new(reason.kind()).of_key(key) }
    }

    pub(super) fn reduced(rejection: Rejection, key: &Arc<KeyRecord>) -> Self {
        Self { reason: EndReason::Reduced, rejection: rejection.of_key(key) }
    }

    /// Returns the reason, for the operator.
    #[must_use]
    pub const fn reason(&self) -> EndReason {
        self.reason
    }

    /// Returns the public id of the key.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        self.rejection.key_id()
    }

    /// Returns the refusal that a new request with the key would get.
    #[must_use]
    pub const fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl fmt::Debug for KeyEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEnded")
            .field("reason", &self.reason)
            .field("key_id", &self.key_id())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for KeyEnded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.reason {
            EndReason::Reduced => "the API key does not allow this any more",
            EndReason::Unavailable => "the API key cannot be verified at the moment",
            _ => "the API key is not valid any more",
        })
    }
}

/// It has no source, because hyper would use the reason of an `h2::Error` that it finds there.
impl Error for KeyEnded {}
