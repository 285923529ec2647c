//! [`refuse_unknown`]: requests of which nobody says from which page they come.
//!
//! tower-http's [`CsrfLayer`](tower_http::csrf::CsrfLayer) refuses what other sites have browsers send, and
//! lets through what says neither `Sec-Fetch-Site` nor `Origin`, as programs do. These pages are for browsers,
//! and each of the last years says one of both with what changes something.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, Method, StatusCode, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Marks an answer to a request that came from elsewhere, or from nobody knows where.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromElsewhere;

/// Refuses what would change something, and does not say from which page it comes.
pub(super) async fn refuse_unknown(request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let headers = request.headers();
    let says = |name| headers.contains_key(name);
    if is_safe || says(SEC_FETCH_SITE) || says(header::ORIGIN) {
        return next.run(request).await;
    }
    let mut response = StatusCode::FORBIDDEN.into_response();
    response.extensions_mut().insert(FromElsewhere);
    response
}
