//! [`AddApiKeyError`]: why no key can be added to requests.

use std::convert::Infallible;

use thiserror::Error;

use crate::key::OriginError;

/// Why no key can be added to requests. It never holds the key's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddApiKeyError {
    /// The text is not an origin.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The origin has a wildcard.
    #[error("an origin for a key has no wildcard: list each origin")]
    Wildcard,
    /// The origin would be reached over the network without TLS.
    #[error("everyone on the way can read a key that is sent to `http://`: use `https://`")]
    PlainText,
    /// No origin is given.
    #[error("no origin is given: name those that the key is sent to")]
    NoOrigin,
    /// The key has characters that the header does not allow.
    #[error("the key has characters that the header does not allow")]
    Characters,
}

impl From<Infallible> for AddApiKeyError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
