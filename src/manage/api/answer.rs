//! The answers to successful requests.

use std::time::SystemTime;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::key::{KeyId, Secret};
use crate::manage::{KeyView, RevokedKey, Usage, UsagePeriod, UsageView};
use crate::store::{KeyPage, StoredKey};

/// A page of keys.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyPage)]
pub(super) struct Page {
    success: bool,
    /// The keys, the newest first.
    data: Vec<KeyView>,
    /// The cursor of the next page; `null` if this is the last. A page with few or no keys can have one.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyAnswer)]
pub(super) struct One {
    success: bool,
    data: KeyView,
}

/// The usage of a key.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyUsageAnswer)]
pub(super) struct Used {
    success: bool,
    data: UsageView,
}

/// A new key, with its secret.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApiKeyAnswer)]
pub(super) struct New<'a> {
    success: bool,
    #[schema(inline)]
    data: WithSecret<'a>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyWithSecret)]
pub(super) struct WithSecret<'a> {
    #[serde(flatten)]
    key: KeyView,
    /// The secret of the key. It is not shown again.
    secret: &'a str,
}

/// A message, and the successors of the key if it was rotated.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeyRevoked)]
pub(super) struct Revoked {
    success: bool,
    #[schema(example = "API key revoked successfully")]
    message: &'static str,
    /// The ids of the successors that were revoked with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<String>)]
    revoked_successors: Vec<KeyId>,
    /// The ids of the successors that still work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<String>)]
    working_successors: Vec<KeyId>,
}

pub(super) fn page(page: &KeyPage, now: SystemTime) -> Response {
    let data = page.keys.iter().map(|key| KeyView::new(key, now)).collect();
    let next_cursor = page.next.as_ref().map(ToString::to_string);
    Json(Page { success: true, data, next_cursor }).into_response()
}

pub(super) fn one(key: &StoredKey, now: SystemTime) -> Response {
    Json(One { success: true, data: KeyView::new(key, now) }).into_response()
}

/// Answers with a new key and its `Location`, if that is known.
pub(super) fn created(
    key: &StoredKey,
    secret: &Secret,
    location: Option<&str>,
    now: SystemTime,
) -> Response {
    let data = WithSecret { key: KeyView::new(key, now), secret: secret.reveal() };
    let mut response = (StatusCode::CREATED, Json(New { success: true, data })).into_response();
    // The path of a request and a public id are values of headers.
    if let Some(Ok(location)) = location.map(HeaderValue::from_str) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

pub(super) fn usage(usage: &Usage, period: UsagePeriod) -> Response {
    Json(Used { success: true, data: UsageView::new(usage, period) }).into_response()
}

pub(super) fn revoked(key: RevokedKey) -> Response {
    let RevokedKey { revoked_successors, working_successors, .. } = key;
    let message = "API key revoked successfully";
    let revoked = Revoked { success: true, message, revoked_successors, working_successors };
    Json(revoked).into_response()
}
