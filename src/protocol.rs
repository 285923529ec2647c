//! [`Protocol`]: what the services within a layer speak.

use http::Method;

use crate::head::RequestHead;

/// What the services within an [`ApiKeyLayer`](crate::ApiKeyLayer) speak. See
/// [`ApiKeyLayer::protocol`](crate::ApiKeyLayer::protocol).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP, gRPC or both. The default.
    ///
    /// A request that can be one of native gRPC is refused in the way of gRPC: with HTTP status 200,
    /// and the refusal in `grpc-status`.
    #[default]
    Any,
    /// HTTP, and no gRPC.
    ///
    /// Every refusal has its HTTP status, whatever the request says that it is. An endpoint that
    /// [authorizes for a proxy](crate::reject#authorization-for-a-proxy) needs this.
    Http,
    /// gRPC and gRPC-Web, and nothing else.
    ///
    /// Requests are answered like those of `Any`, and every method but `POST` is refused, so CORS
    /// preflights are, too: a gRPC server such as tonic does not look at the method, and a key that
    /// may only `GET` could call what it may not.
    Grpc,
}

impl Protocol {
    /// Tells whether anything within the layer is for such a request.
    pub(crate) fn allows(self, head: &RequestHead<'_>) -> bool {
        self != Self::Grpc || head.method() == Method::POST
    }
}
