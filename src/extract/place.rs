//! [`CredentialPlace`]: where a key is looked for.

use std::borrow::Cow;

use http::HeaderName;

use super::items::{COOKIES, SUBPROTOCOLS};

/// A static, so that it can be lent.
pub(super) static AUTHORIZATION: HeaderName = http::header::AUTHORIZATION;

/// A place in which an [`Extract`](super::Extract) looks for a key.
///
/// The layer's `WWW-Authenticate`, its `Vary` and, with the feature `openapi`, the security schemes
/// of a document follow from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialPlace {
    /// A header of its own, such as `x-api-key`.
    Header(HeaderName),
    /// `Authorization`, after the name of this scheme, such as `Bearer`.
    Authorization(Cow<'static, str>),
    /// The query parameter of this name.
    Query(Cow<'static, str>),
    /// The cookie of this name.
    Cookie(Cow<'static, str>),
    /// `Sec-WebSocket-Protocol`, in the item that begins with this prefix, such as `key.`.
    Subprotocol(Cow<'static, str>),
}

impl CredentialPlace {
    /// Returns the header in which it is.
    pub(crate) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Authorization(_) => Some(&AUTHORIZATION),
            Self::Cookie(_) => Some(&COOKIES.name),
            Self::Subprotocol(_) => Some(&SUBPROTOCOLS.name),
            Self::Query(_) => None,
        }
    }

    /// Returns the scheme by which HTTP knows it.
    pub(crate) fn scheme(&self) -> Option<&str> {
        match self {
            Self::Authorization(scheme) => Some(scheme),
            Self::Header(_) | Self::Query(_) | Self::Cookie(_) | Self::Subprotocol(_) => None,
        }
    }
}
