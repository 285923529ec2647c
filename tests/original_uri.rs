//! That the original URI of a request is not known is logged once in a process, which this is.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod common;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use tower::ServiceExt as _;
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequestHead, VerifiedKey};

use self::common::{get_raw, issue, logged, serve, start_log};

#[tokio::test]
async fn an_original_uri_that_is_not_known_is_logged_once() {
    start_log();
    let keys = MemoryStore::new();
    let line = format!("x-api-key: {}", issue(&keys, NewKey::named("x")));
    let is_unknown = |_: &VerifiedKey, head: &RequestHead<'_>| {
        assert_eq!(head.original_uri(), "*");
        Ok(())
    };
    let layer = ApiKeyLayer::new(keys).guard(is_unknown);
    let inner = Router::new().nest("/a", Router::new().fallback(async || "in").layer(layer));
    // Hands the request on with all that is known of its own path.
    let hand_on = any(async move |mut request: Request<Body>| -> Response {
        *request.uri_mut() = "/a/b?c".parse().unwrap();
        inner.oneshot(request).await.into_response()
    });
    let address = serve(Router::new().route("/x", hand_on)).await;
    for _ in 0..3 {
        assert_eq!(get_raw(address, "/x", &[&line]).await.text(), "in");
    }
    let lines = logged("the original URI of a request is not known");
    assert!(lines.len() == 1 && lines[0].contains(" WARN "), "{lines:?}");
}
