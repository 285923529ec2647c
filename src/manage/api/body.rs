//! [`read_json`]: the body of a request.

use std::error::Error;

use axum::body::Body;
use axum::extract::Request;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::Value;

use super::ApiError;
use super::json::Json;

/// The longest body that is read, in bytes.
pub(super) const MAX_BODY: usize = 64 * 1024;

/// Reads a body of JSON.
pub(super) async fn read_json(request: Request) -> Result<Value, ApiError> {
    let (parts, body) = request.into_parts();
    parse(&parts.headers, &read(body).await?)
}

/// Does as [`read_json`], where the body may be left out, but not by a browser.
///
/// Other sites can have it send a request without JSON, and with the cookies of its user, before it
/// asks whether they may. It sends their `Origin` then.
pub(super) async fn read_optional_json(request: Request) -> Result<Option<Value>, ApiError> {
    let (parts, body) = request.into_parts();
    let body = read(body).await?;
    let is_needed = !body.is_empty() || parts.headers.contains_key(header::ORIGIN);
    is_needed.then(|| parse(&parts.headers, &body)).transpose()
}

async fn read(body: Body) -> Result<bytes::Bytes, ApiError> {
    let body = Limited::new(body, MAX_BODY).collect().await;
    Ok(body.map_err(|error| unread(&*error))?.to_bytes())
}

fn unread(error: &(dyn Error + 'static)) -> ApiError {
    // The limit of another layer is an error within another.
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    if causes.any(|error| error.is::<LengthLimitError>()) {
        return ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long");
    }
    ApiError::new(StatusCode::BAD_REQUEST, "The body cannot be read")
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    if !is_json(headers) {
        let message = "The body has to be of the type `application/json`";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    // The error of the parser may repeat what it read.
    let read = serde_json::from_slice(body).map(|Json(value)| value);
    read.map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = "The body is not JSON, or has a field twice";
        let message = format!("{message}, in line {line} at column {column}");
        ApiError::new(StatusCode::BAD_REQUEST, message)
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let subtype = essence.strip_prefix(b"application/".as_slice());
    subtype.is_some_and(|subtype| subtype == b"json" || subtype.ends_with(b"+json"))
}
