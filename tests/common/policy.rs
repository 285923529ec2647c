//! Helpers of the tests of policies.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses some of them"
)]

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use tower_api_key::policy::{AccessPolicy, AccessPolicyBuilder, Requirement};
use tower_api_key::{ApiKeyLayer, GuardLayer, KeyKind, NewKey, VerifiedKey};

use super::{in_time, send_raw, serve, tell_kind};

/// Says who calls.
pub async fn name(key: Option<VerifiedKey>) -> String {
    key.map_or("nobody".to_owned(), |key| key.name().to_owned())
}

/// An application that answers to every path and method.
pub fn app() -> Router {
    Router::new().fallback(any(name))
}

/// Lists three routes of it.
pub fn policy() -> AccessPolicyBuilder {
    AccessPolicy::builder()
        .public("GET /healthz", "the load balancer asks without a key")
        .allow("GET /admin", Requirement::ability("admin:read"))
        .allow("GET /users/{id}", Requirement::key())
}

pub fn on_layer(layer: ApiKeyLayer, policy: AccessPolicyBuilder) -> Router {
    app().layer(layer.policy(policy.build().unwrap()))
}

/// The policy on the layer, as a guard of the layer, and as a guard of the router.
pub async fn serve_mounted(layer: ApiKeyLayer, policy: AccessPolicy) -> [SocketAddr; 3] {
    let on_layer = app().layer(layer.clone().policy(policy.clone()));
    let as_guard = app().layer(layer.clone().guard(policy.clone()));
    let around = app().layer(GuardLayer::new(policy)).layer(layer);
    [start(on_layer).await, start(as_guard).await, start(around).await]
}

pub async fn start(app: Router) -> SocketAddr {
    serve(tell_kind(app)).await
}

/// Returns the status, and who was served or why it was refused. A request is like
/// `GET / > header: value | header: value`.
async fn send(address: SocketAddr, key: &str, request: &str) -> String {
    let (start, lines) = request.split_once(" > ").unwrap_or((request, "accept: */*"));
    let key = if key.is_empty() { String::new() } else { format!("\r\nx-api-key: {key}") };
    let request = format!("{start} HTTP/1.1\r\n{}{key}", lines.replace(" | ", "\r\n"));
    let response = in_time(send_raw(address, request)).await;
    let text = response.header("x-kind").unwrap_or_else(|| response.text());
    format!("{} {text}", response.status).trim_end().to_owned()
}

pub async fn expect<R: AsRef<str>>(
    answer: &str,
    address: SocketAddr,
    key: &str,
    all: impl IntoIterator<Item = R>,
) {
    for request in all {
        let request = request.as_ref();
        assert_eq!(send(address, key, request).await, answer, "{request}");
    }
}

pub fn gets(paths: &str) -> impl Iterator<Item = String> {
    paths.split_whitespace().map(|path| format!("GET {path}"))
}

pub fn root() -> NewKey {
    NewKey::named("root").abilities(["*"])
}

/// A public key, whose site is `https://shop.example`.
pub fn public() -> NewKey {
    let key = NewKey::named("public").abilities(["*"]).kind(KeyKind::Public);
    key.origins(["https://shop.example"])
}

pub const OF_SHOP: &str = " > origin: https://shop.example";
