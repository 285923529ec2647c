//! [`RequireKind`]: requires secret or public keys.

use super::Guard;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::key::KeyKind;
use crate::reject::{Reason, Rejection};
use crate::verify::VerifiedKey;

/// Refuses requests whose key is of another kind, secret or public.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::post};
/// use tower_api_key::{ApiKeyLayer, KeyKind, MemoryStore, RequireKind};
///
/// // The widget's public keys are for its own routes.
/// let widget: Router = Router::new()
///     .route("/widget/chat", post(|| async { "…" }).layer(RequireKind::new(KeyKind::Public)))
///     .layer(ApiKeyLayer::new(MemoryStore::new()).accept_public_keys());
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct RequireKind(KeyKind);

impl RequireKind {
    /// Requires `kind`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{KeyKind, NewKey, RequestHead, RequireKind};
    ///
    /// let key = verified_key(NewKey::named("server"));
    /// let request = Request::get("/widget/chat").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(RequireKind::new(KeyKind::Secret).check(&key, &head).is_ok());
    /// assert!(RequireKind::new(KeyKind::Public).check(&key, &head).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub const fn new(kind: KeyKind) -> Self {
        Self(kind)
    }
}

impl Guard for RequireKind {
    fn check(&self, key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
        if key.kind() == self.0 { Ok(()) } else { Err(Rejection::not_allowed(Reason::KeyKind)) }
    }
}

guard_is_a_layer!(RequireKind);
