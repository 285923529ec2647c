//! An application with policies, and what it answers.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use tower_api_key::policy::{AccessPolicy, AccessPolicyBuilder, Requirement};
use tower_api_key::{ApiKeyLayer, GuardLayer, KeyKind, NewKey, VerifiedKey};

use crate::common::request::{RawRequest, request};
use crate::common::{in_time, send_raw, serve, tell_kind};

/// Says who calls.
pub(crate) async fn name(key: Option<VerifiedKey>) -> String {
    key.map_or("nobody".to_owned(), |key| key.name().to_owned())
}

/// An application that answers to every path and method.
pub(crate) fn app() -> Router {
    Router::new().fallback(any(name))
}

/// Lists three routes of it.
pub(crate) fn policy() -> AccessPolicyBuilder {
    AccessPolicy::builder()
        .public("GET /healthz", "the load balancer asks without a key")
        .allow("GET /admin", Requirement::ability("admin:read"))
        .allow("GET /users/{id}", Requirement::key())
}

pub(crate) fn on_layer(layer: ApiKeyLayer, policy: AccessPolicyBuilder) -> Router {
    app().layer(layer.policy(policy.build().unwrap()))
}

/// The policy on the layer, as a guard of the layer, and as a guard of the router.
pub(crate) async fn serve_mounted(layer: ApiKeyLayer, policy: AccessPolicy) -> [SocketAddr; 3] {
    let on_layer = app().layer(layer.clone().policy(policy.clone()));
    let as_guard = app().layer(layer.clone().guard(policy.clone()));
    let around = app().layer(GuardLayer::new(policy)).layer(layer);
    [start(on_layer).await, start(as_guard).await, start(around).await]
}

pub(crate) async fn start(app: Router) -> SocketAddr {
    serve(tell_kind(app)).await
}

/// Checks that all of these requests with a key are answered with this status, and with who was
/// served or why it was refused.
pub(crate) async fn expect(
    answer: &str,
    address: SocketAddr,
    key: &str,
    all: impl IntoIterator<Item: Into<RawRequest>>,
) {
    for request in all {
        let request = request.into().key(key);
        let response = in_time(send_raw(address, &request)).await;
        let text = response.header("x-kind").unwrap_or_else(|| response.text());
        let answered = format!("{} {text}", response.status);
        assert_eq!(answered.trim_end(), answer, "{request}");
    }
}

pub(crate) fn gets(
    paths: impl IntoIterator<Item = &'static str>,
) -> impl Iterator<Item = RawRequest> {
    paths.into_iter().map(|path| request(format!("GET {path}")))
}

pub(crate) fn root() -> NewKey {
    NewKey::named("root").abilities(["*"])
}

/// A public key, whose site is `https://shop.example`.
pub(crate) fn public() -> NewKey {
    let key = NewKey::named("public").abilities(["*"]).kind(KeyKind::Public);
    key.origins(["https://shop.example"])
}

pub(crate) const OF_SHOP: &str = "origin: https://shop.example";
