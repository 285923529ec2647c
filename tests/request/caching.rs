//! What caches on the way are told of responses.

use std::net::SocketAddr;

use axum::Router;
use axum::response::AppendHeaders;
use axum::routing::get;
use tower_api_key::extract::{Credential, Header, Query};
use tower_api_key::{
    ApiKeyLayer, JoinVary, MemoryStore, NewKey, Rejection, RequestHead, RequireAbility, Responder,
};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;

use crate::common::{RawResponse, get_raw, in_time, issue, serve};

const PRIVATE: Option<&str> = Some("private");
const NO_STORE: Option<&str> = Some("no-store");
const PUBLIC: Option<&str> = Some("public, max-age=60");
const KEYS: &[&str] = &["x-api-key, authorization"];

fn app(layer: ApiKeyLayer) -> Router {
    let public = ("cache-control", "public, max-age=60");
    let lines = [public, ("vary", "accept"), ("vary", "Origin, Authorization")];
    Router::new()
        .route("/", get(|| async { "in" }))
        .route("/empty", get(|| async {}))
        .route("/public", get(move || async move { ([public], "in") }))
        .route("/lines", get(move || async move { (AppendHeaders(lines), "in".repeat(32)) }))
        .route("/any", get(|| async { ([("vary", "accept, *")], "in") }))
        .route("/cdn", get(|| async { ([("cdn-cache-control", "max-age=60")], "in") }))
        .route("/no-store", get(|| async { ([("cache-control", "no-cache, no-store")], "in") }))
        .route("/guarded", get(|| async { "in" }).layer(RequireAbility::new("bots:read")))
        .layer(layer)
}

async fn ask(address: SocketAddr, path: &str, line: &str) -> RawResponse {
    in_time(get_raw(address, path, &[line])).await
}

fn told(response: &RawResponse) -> (Option<&str>, Vec<&str>) {
    let vary = response.headers.iter().filter(|(name, _)| name == "vary");
    (response.header("cache-control"), vary.map(|(_, value)| value.as_str()).collect())
}

#[tokio::test]
async fn a_response_to_a_key_is_private_unless_the_handler_says_otherwise_and_varies_by_keys() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let address = serve(app(ApiKeyLayer::new(keys))).await;
    for (path, cache, vary) in [
        ("/", PRIVATE, KEYS),
        ("/empty", PRIVATE, KEYS),
        ("/nowhere", PRIVATE, KEYS),
        ("/public", PUBLIC, KEYS),
        ("/lines", PUBLIC, &["accept, Origin, Authorization, x-api-key"]),
        ("/any", PRIVATE, &["*"]),
        ("/cdn", PRIVATE, KEYS),
        ("/no-store", Some("no-cache, no-store"), KEYS),
        ("/guarded", NO_STORE, KEYS),
    ] {
        for line in [format!("x-api-key: {key}"), format!("authorization: Bearer {key}")] {
            let response = ask(address, path, &line).await;
            assert_eq!(told(&response), (cache, vary.to_vec()), "{path} {line}");
        }
    }
    for (line, status) in
        [("x-api-key: wrong", 401), ("a: b", 401), ("x-api-key: a\r\nx-api-key: a", 400)]
    {
        let response = ask(address, "/public", line).await;
        assert_eq!((response.status, told(&response)), (status, (NO_STORE, KEYS.to_vec())));
    }
}

#[tokio::test]
async fn a_response_varies_by_keys_also_without_one() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let layer = ApiKeyLayer::new(keys).optional().responder(Responder::text()).realm("bots");
    let address = serve(app(layer)).await;
    for (path, line, cache) in [
        ("/", "a: b", None),
        ("/public", "a: b", PUBLIC),
        ("/public", &format!("x-api-key: {key}"), PUBLIC),
        ("/public", &format!("authorization: Bearer {key}"), PUBLIC),
        ("/public", "authorization: Bearer wrong", NO_STORE),
        ("/guarded", "a: b", NO_STORE),
    ] {
        let response = ask(address, path, line).await;
        assert_eq!(told(&response), (cache, KEYS.to_vec()), "{path} {line}");
    }
}

#[tokio::test]
async fn a_response_varies_by_where_the_extractor_looks() {
    fn ticket<'a>(head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let value = head.headers().get("ticket").map(|value| value.as_bytes());
        Ok(value.map(|value| Credential::in_header("ticket".parse().unwrap(), value)))
    }
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let layer = ApiKeyLayer::new(keys);
    for (layer, path, line, vary) in [
        (
            layer.clone().extractor(Header::new("x-acme-key")),
            "/",
            "x-acme-key",
            &["x-acme-key"][..],
        ),
        (layer.clone().extractor(ticket), "/", "ticket", &["ticket"]),
        (layer.clone().extractor(Query::new("k")), &*format!("/?k={key}"), "a", &[]),
    ] {
        let response = ask(serve(app(layer)).await, path, &format!("{line}: {key}")).await;
        assert_eq!((response.status, told(&response)), (200, (PRIVATE, vary.to_vec())), "{line}");
    }
}

#[tokio::test]
async fn an_application_can_tell_caches_itself() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let layer = ApiKeyLayer::new(keys).without_cache_headers().extractor(Header::x_api_key());
    let address = serve(app(layer.optional())).await;
    for (path, line, cache, vary) in [
        ("/", &*format!("x-api-key: {key}"), None, &[][..]),
        ("/lines", &*format!("x-api-key: {key}"), PUBLIC, &["accept", "Origin, Authorization"]),
        ("/", "a: b", None, &[]),
        ("/", "x-api-key: wrong", NO_STORE, &[]),
    ] {
        let response = ask(address, path, line).await;
        assert_eq!(told(&response), (cache, vary.to_vec()), "{path} {line}");
    }
}

#[tokio::test]
async fn layers_outside_add_lines_that_are_joined_to_one() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let outside = app(ApiKeyLayer::new(keys))
        .layer(CompressionLayer::new())
        .layer(CorsLayer::very_permissive());
    let line = format!("x-api-key: {key}\r\naccept-encoding: gzip");
    let response = ask(serve(outside.clone()).await, "/lines", &line).await;
    assert!(told(&response).1.len() > 1, "nothing is left to join: {response:?}");

    let address = serve(outside.layer(JoinVary)).await;
    let own = "accept, Origin, Authorization, x-api-key, accept-encoding, \
        access-control-request-method, access-control-request-headers";
    let response = ask(address, "/lines", &line).await;
    assert_eq!(response.header("content-encoding"), Some("gzip"));
    assert_eq!(told(&response), (PUBLIC, vec![own]));
    let refused = ask(address, "/lines", "x-api-key: wrong\r\naccept-encoding: gzip").await;
    let keys = "x-api-key, authorization, accept-encoding, origin, \
        access-control-request-method, access-control-request-headers";
    assert_eq!((refused.status, told(&refused)), (401, (NO_STORE, vec![keys])));
}
