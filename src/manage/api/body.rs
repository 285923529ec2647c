//! [`RequestBody`]: the JSON in the body of a request.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::ApiError;
use super::json::Json;

/// The body of a request, or the error of reading it.
///
/// The error is returned only after the caller was identified and the key was found, so that it reveals nothing
/// to others.
pub(super) struct RequestBody(pub(super) Result<Bytes, ApiError>);

impl RequestBody {
    /// Parses the body, which is JSON.
    pub(super) fn json(self, headers: &HeaderMap) -> Result<Value, ApiError> {
        parse(headers, &self.0?)
    }

    /// Like [`json`](Self::json), but the body is optional, except for browsers.
    ///
    /// Another site can make a browser send a request without JSON, with the cookies of its user and without a
    /// preflight. Such a request has an `Origin`.
    pub(super) fn optional_json(self, headers: &HeaderMap) -> Result<Option<Value>, ApiError> {
        let body = self.0?;
        let is_needed = !body.is_empty() || headers.contains_key(header::ORIGIN);
        is_needed.then(|| parse(headers, &body)).transpose()
    }
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Value, ApiError> {
    if !is_json(headers) {
        let message = "The body is not JSON: set `Content-Type: application/json`";
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
