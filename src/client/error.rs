//! [`AddApiKeyError`].

use std::convert::Infallible;

use thiserror::Error;

use crate::key::OriginError;

/// Why no key can be added to requests. It never holds the key's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddApiKeyError {
    /// No origin is written like that.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// The origin has a wildcard.
    #[error("a key is sent to whole origins, without wildcards")]
    Wildcard,
    /// The origin would be reached over the network without TLS.
    #[error("everybody on the way reads a key that is sent to `http://`; use `https://`")]
    PlainText,
    /// There is no origin.
    #[error("a key needs an origin that it is sent to")]
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
