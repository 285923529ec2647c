//! [`CredentialPlace`]: where an extractor looks for a key.

use std::borrow::Cow;

use http::HeaderName;

use super::items::{COOKIES, SUBPROTOCOLS};

/// A static, so that it can be borrowed.
pub(super) static AUTHORIZATION: HeaderName = http::header::AUTHORIZATION;

/// A place in which an [`Extract`](super::Extract) looks for a key.
///
/// It determines the layer's `WWW-Authenticate` and `Vary` and, with the feature `openapi`, the
/// security schemes of a document.
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
    /// `Sec-WebSocket-Protocol`, in the item with this prefix, such as `key.`.
    Subprotocol(Cow<'static, str>),
}

impl CredentialPlace {
    /// Returns the header in which the key is.
    pub(crate) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Authorization(_) => Some(&AUTHORIZATION),
            Self::Cookie(_) => Some(&COOKIES.name),
            Self::Subprotocol(_) => Some(&SUBPROTOCOLS.name),
            Self::Query(_) => None,
        }
    }

    /// Returns the HTTP authentication scheme of the place.
    pub(crate) fn scheme(&self) -> Option<&str> {
        match self {
            Self::Authorization(scheme) => Some(scheme),
            Self::Header(_) | Self::Query(_) | Self::Cookie(_) | Self::Subprotocol(_) => None,
        }
    }
}
