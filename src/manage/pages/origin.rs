//! [`refuse_unknown`]: refuses requests without `Sec-Fetch-Site` and `Origin`.
//!
//! tower-http's [`CsrfLayer`](tower_http::csrf::CsrfLayer) refuses cross-site requests of browsers, but accepts
//! requests without both headers, which programs send. These pages are for browsers, and all browsers of recent
//! years send one of the headers with a request that changes something.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderName, Method, StatusCode, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Marks the answer to a cross-site request, or to a request of unknown origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct FromElsewhere;

/// Refuses a request that changes something and has neither header.
pub(super) async fn refuse_unknown(request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let headers = request.headers();
    // A proxy may have blanked a header. tower-http treats an empty header as missing.
    let says = |name| headers.get(name).is_some_and(|value| !value.is_empty());
    if is_safe || says(SEC_FETCH_SITE) || says(header::ORIGIN) {
        return next.run(request).await;
    }
    let mut response = StatusCode::FORBIDDEN.into_response();
    response.extensions_mut().insert(FromElsewhere);
    response
}
