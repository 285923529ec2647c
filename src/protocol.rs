//! [`Protocol`]: the protocol of the services inside a layer.

use http::Method;

use crate::head::RequestHead;

/// The protocol of the services inside an [`ApiKeyLayer`](crate::ApiKeyLayer). See
/// [`ApiKeyLayer::protocol`](crate::ApiKeyLayer::protocol).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP, gRPC or both. The default.
    ///
    /// A request that can be native gRPC is refused as gRPC requires: with HTTP status 200, and the
    /// refusal in `grpc-status`.
    #[default]
    Any,
    /// Only HTTP, and no gRPC.
    ///
    /// Every refusal has its HTTP status, whatever the request claims to be. An endpoint that
    /// [authorizes for a proxy](crate::reject#authorization-for-a-proxy) needs this.
    Http,
    /// Only gRPC and gRPC-Web.
    ///
    /// Requests are answered like those of `Any`, and every method but `POST` is refused, including
    /// CORS preflights. A gRPC server such as tonic ignores the method, so a key that may only `GET`
    /// could otherwise call every method.
    Grpc,
}

impl Protocol {
    /// Tells whether a service inside the layer accepts such a request.
    pub(crate) fn allows(self, head: &RequestHead<'_>) -> bool {
        self != Self::Grpc || head.method() == Method::POST
    }
}
