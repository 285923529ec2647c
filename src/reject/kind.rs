//! [`RejectionKind`]: the reasons of refusals.

use std::fmt;

use http::StatusCode;

/// Why a request was refused.
///
/// # Examples
///
/// ```
/// use http::StatusCode;
/// use tower_api_key::RejectionKind;
///
/// assert_eq!(RejectionKind::MissingAbility.as_str(), "missing_ability");
/// assert_eq!(RejectionKind::MissingAbility.status(), StatusCode::FORBIDDEN);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionKind {
    /// The request has no credential.
    Missing,
    /// The request has more than one credential.
    Ambiguous,
    /// The credential cannot be a key, or its format is wrong.
    Malformed,
    /// No record has the key's digest.
    Unknown,
    /// The key is disabled. It can be enabled again.
    Disabled,
    /// The key was revoked, which is permanent.
    Revoked,
    /// The key has expired.
    Expired,
    /// The tenant of the key is suspended. It can be resumed.
    Suspended,
    /// The store failed, timed out or panicked: whether the key is valid is not known.
    Unavailable,
    /// The key is for another stage.
    WrongStage,
    /// The key is for another tenant.
    WrongTenant,
    /// The key lacks an ability.
    MissingAbility,
    /// The key does not allow this request for another reason.
    NotAllowed,
    /// The session does not exist, or another key opened it.
    UnknownSession,
    /// The key exceeded a rate limit, or the client presented too many wrong keys.
    RateLimited,
    /// A guard saw no verified key, because there is no `ApiKeyLayer` around it.
    MissingLayer,
}

impl RejectionKind {
    pub(crate) const ALL: [Self; 16] = [
        Self::Missing,
        Self::Ambiguous,
        Self::Malformed,
        Self::Unknown,
        Self::Disabled,
        Self::Revoked,
        Self::Expired,
        Self::Suspended,
        Self::Unavailable,
        Self::WrongStage,
        Self::WrongTenant,
        Self::MissingAbility,
        Self::NotAllowed,
        Self::UnknownSession,
        Self::RateLimited,
        Self::MissingLayer,
    ];

    /// The kinds of keys that are not valid, which clients must not be able to distinguish.
    pub(crate) const INVALID: [Self; 6] = [
        Self::Malformed,
        Self::Unknown,
        Self::Disabled,
        Self::Revoked,
        Self::Expired,
        Self::Suspended,
    ];

    /// Returns the name that events carry, such as `missing_ability`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Suspended => "suspended",
            Self::Unavailable => "unavailable",
            Self::WrongStage => "wrong_stage",
            Self::WrongTenant => "wrong_tenant",
            Self::MissingAbility => "missing_ability",
            Self::NotAllowed => "not_allowed",
            Self::UnknownSession => "unknown_session",
            Self::RateLimited => "rate_limited",
            Self::MissingLayer => "missing_layer",
        }
    }

    /// Returns the default status of a responder.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Ambiguous => StatusCode::BAD_REQUEST,
            Self::Missing
            | Self::Malformed
            | Self::Unknown
            | Self::Disabled
            | Self::Revoked
            | Self::Expired
            | Self::Suspended => StatusCode::UNAUTHORIZED,
            Self::WrongStage | Self::WrongTenant | Self::MissingAbility | Self::NotAllowed => {
                StatusCode::FORBIDDEN
            }
            Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::MissingLayer => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Returns the default message of a responder.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Missing => "An API key is required",
            Self::Ambiguous => "More than one API key was given",
            Self::Malformed
            | Self::Unknown
            | Self::Disabled
            | Self::Revoked
            | Self::Expired
            | Self::Suspended => "The API key is not valid",
            Self::WrongStage => "The API key is for another stage",
            Self::WrongTenant => "The API key is for another tenant",
            Self::MissingAbility => "The API key lacks an ability",
            Self::NotAllowed => "The API key does not allow this request",
            Self::UnknownSession => "There is no such session",
            Self::RateLimited => "The API key was used too often",
            Self::Unavailable => "API keys cannot be verified at the moment",
            // Developers without the layer read this first. Users of a release learn nothing.
            Self::MissingLayer if cfg!(debug_assertions) => {
                "The server is misconfigured: a guard or an extractor saw no verified key. Mount \
                 ApiKeyLayer outside of it; in axum, by `Router::layer` after the routes. (Builds \
                 without debug assertions do not say this.)"
            }
            Self::MissingLayer => "The server is misconfigured",
        }
    }
}

impl fmt::Display for RejectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_is_in_the_order_of_the_kinds() {
        for (index, kind) in RejectionKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn clients_cannot_tell_the_invalid_kinds_apart() {
        for kind in RejectionKind::INVALID {
            assert_eq!(kind.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(kind.message(), RejectionKind::Unknown.message());
        }
    }
}
