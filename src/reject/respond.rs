//! [`Respond`]: the form of refusals.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;

use super::Rejection;
use crate::head::RequestHead;

/// Turns a [`Rejection`] into a response.
///
/// The layer adds what the protocol requires: `WWW-Authenticate` (unless the response has one),
/// `Cache-Control: no-store`, `Retry-After`, and the state of the key's limits. It omits the body for
/// `HEAD`, and answers [gRPC requests](crate::reject#grpc) itself. Closures and functions implement it.
///
/// A client must not learn from the response whether a wrong key was ever valid: give the kinds
/// `Malformed`, `Unknown`, `Disabled`, `Revoked` and `Expired` the same response.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, Rejection, RejectionKind, RequestHead, Respond};
///
/// fn as_xml(rejection: &Rejection, _: &RequestHead<'_>) -> Response<Bytes> {
///     let mut response = Response::new(format!("<error>{}</error>", rejection.message()).into());
///     *response.status_mut() = rejection.kind().status();
///     response
/// }
/// let layer = ApiKeyLayer::new(MemoryStore::new()).responder(as_xml);
///
/// let request = Request::get("/").body(())?;
/// let rejection = Rejection::new(RejectionKind::Missing);
/// let response = as_xml.respond(&rejection, &RequestHead::new(&request));
/// assert_eq!(response.body(), "<error>An API key is required</error>");
/// assert_eq!(as_xml.message(&rejection), "An API key is required"); // for gRPC
/// assert!(!as_xml.depends_on_rejection_only());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Respond: Send + Sync {
    /// Makes the response.
    fn respond(&self, rejection: &Rejection, head: &RequestHead<'_>) -> Response<Bytes>;

    /// Returns the message of a gRPC refusal. The default is [`Rejection::message`].
    fn message<'a>(&'a self, rejection: &'a Rejection) -> Cow<'a, str> {
        rejection.message()
    }

    /// Tells whether equal rejections always get equal responses, whatever the request is.
    ///
    /// The layer then builds the most frequent responses in advance. The default is no.
    fn depends_on_rejection_only(&self) -> bool {
        false
    }
}

impl<F> Respond for F
where
    F: Fn(&Rejection, &RequestHead<'_>) -> Response<Bytes> + Send + Sync,
{
    fn respond(&self, rejection: &Rejection, head: &RequestHead<'_>) -> Response<Bytes> {
        self(rejection, head)
    }
}

const _: Option<Arc<dyn Respond>> = None;
