//! [`judge`]: sends a request through the layer that servers use.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use tower::{ServiceExt as _, service_fn};
use tower_api_key::{ApiKeyLayer, KeyId, Rejection, RejectionKind, VerifiedKey};
use tower_layer::Layer as _;

/// The decision of the layer: the key, or the rejection.
pub(crate) type Verdict = Result<VerifiedKey, Rejection>;

/// Sends a request through a layer to a handler that does nothing.
///
/// It has no side effects: without an observer, the layer records no use of the key, and its limiter counts in the
/// memory of this process, where one request is within any limit.
pub(crate) async fn judge(layer: &ApiKeyLayer, request: Request<Empty<Bytes>>) -> Verdict {
    let handler = service_fn(async |request: Request<Empty<Bytes>>| {
        let mut response = Response::new(());
        if let Some(key) = request.extensions().get::<VerifiedKey>() {
            response.extensions_mut().insert(key.clone());
        }
        Ok::<_, Infallible>(response)
    });
    let Ok(mut response) = layer.layer(handler).oneshot(request).await;
    let rejection = response.extensions_mut().remove();
    let key = response.extensions_mut().remove();
    match (rejection, key) {
        (None, Some(key)) => Ok(key),
        (rejection, _) => Err(rejection.unwrap_or(RejectionKind::Unavailable.into())),
    }
}

/// Returns the key, if its record was found.
pub(crate) fn key_id(verdict: &Verdict) -> Option<&KeyId> {
    match verdict {
        Ok(key) => Some(key.id()),
        Err(rejection) => rejection.key_id(),
    }
}
