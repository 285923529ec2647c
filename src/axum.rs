//! The feature `axum`: [`VerifiedKey`] as an extractor.

use std::fmt;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;

use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind, Rejector};
use crate::verify::{Anonymous, VerifiedKey};

/// Extracts the verified key for a handler.
///
/// A handler that takes `VerifiedKey` refuses a request without one: with 401, in the form of the
/// layer, if the layer accepted it without a key; with 500 if there is no layer.
///
/// An extractor does not see the body, which then stays unread. For uploads, mount a
/// [guard](crate::guard) on the route, which [reads it](crate::ApiKeyLayer::drain_refused).
impl<S: Send + Sync> FromRequestParts<S> for VerifiedKey {
    type Rejection = VerifiedKeyRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, VerifiedKeyRejection> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| VerifiedKeyRejection::new(parts))
    }
}

/// Extracts the verified key for a handler that also serves requests without a key.
///
/// Without a layer it is still an error: an unprotected route must not look like one without a key.
impl<S: Send + Sync> OptionalFromRequestParts<S> for VerifiedKey {
    type Rejection = VerifiedKeyRejection;

    async fn from_request_parts(
        parts: &mut Parts,
        _: &S,
    ) -> Result<Option<Self>, VerifiedKeyRejection> {
        match parts.extensions.get::<Self>() {
            Some(key) => Ok(Some(key.clone())),
            None if parts.extensions.get::<Anonymous>().is_some() => Ok(None),
            None => Err(VerifiedKeyRejection::new(parts)),
        }
    }
}

/// The rejection of a request without a [`VerifiedKey`] that its handler needs.
#[derive(Debug)]
pub struct VerifiedKeyRejection {
    rejection: Rejection,
    response: http::Response<Bytes>,
}

impl VerifiedKeyRejection {
    fn new(parts: &Parts) -> Self {
        let head = RequestHead::from_parts(parts);
        let (kind, response) = match parts.extensions.get() {
            Some(Anonymous(rejector)) => {
                (RejectionKind::Missing, rejector.reject(RejectionKind::Missing.into(), &head))
            }
            None => {
                let kind = RejectionKind::MissingLayer;
                (kind, Rejector::without_layer().reject(kind.into(), &head))
            }
        };
        Self { rejection: kind.into(), response }
    }

    /// Returns the rejection.
    #[must_use]
    pub fn rejection(&self) -> &Rejection {
        &self.rejection
    }
}

impl IntoResponse for VerifiedKeyRejection {
    fn into_response(self) -> Response {
        self.response.map(axum::body::Body::from)
    }
}

impl fmt::Display for VerifiedKeyRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.rejection.kind() {
            RejectionKind::MissingLayer => {
                "no ApiKeyLayer has seen the request: mount it outside of the handler"
            }
            _ => "the request came without an API key",
        })
    }
}

impl std::error::Error for VerifiedKeyRejection {}
