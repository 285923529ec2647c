//! [`RequireKind`]: whether the key is a secret.

use super::Guard;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::key::KeyKind;
use crate::reject::{Rejection, RejectionKind};
use crate::verify::VerifiedKey;

/// Lets pass keys of one kind.
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
    pub const fn new(kind: KeyKind) -> Self {
        Self(kind)
    }
}

impl Guard for RequireKind {
    fn check(&self, key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
        if key.kind() == self.0 { Ok(()) } else { Err(RejectionKind::NotAllowed.into()) }
    }
}

guard_is_a_layer!(RequireKind);
