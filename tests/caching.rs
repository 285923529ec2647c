//! What caches on the way are told of responses to keys.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use axum::Router;
use axum::routing::get;
use tower_api_key::extract::{Header, Query};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequireAbility};

use self::common::{RawResponse, get_raw, in_time, issue, serve};

async fn ask(layer: ApiKeyLayer, path: &str, line: &str) -> RawResponse {
    let public = [("cache-control", "public, max-age=60"), ("vary", "accept")];
    let app = Router::new()
        .route("/", get(|| async { "in" }))
        .route("/public", get(move || async move { (public, "in") }))
        .route("/guarded", get(|| async { "in" }).layer(RequireAbility::new("bots:read")));
    let address = serve(app.layer(layer)).await;
    in_time(get_raw(address, path, &[line])).await
}

fn told(response: &RawResponse) -> (Option<&str>, Vec<&str>) {
    let vary = response.headers.iter().filter(|(name, _)| name == "vary");
    (response.header("cache-control"), vary.map(|(_, value)| value.as_str()).collect())
}

#[tokio::test]
async fn a_response_to_a_key_outside_of_authorization_is_private() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let layer = ApiKeyLayer::new(keys);
    let (header, bearer) = (format!("x-api-key: {key}"), format!("authorization: Bearer {key}"));
    let own = format!("x-acme-key: {key}");
    let own_layer = layer.clone().extractor(Header::new("x-acme-key"));
    let query = layer.clone().extractor(Query::new("k"));
    for (layer, path, line, cache, vary) in [
        (&layer, "/", &header, Some("private"), &["x-api-key"][..]),
        (&layer, "/nowhere", &header, Some("private"), &["x-api-key"]),
        (&layer, "/public", &header, Some("public, max-age=60"), &["accept", "x-api-key"]),
        (&layer, "/", &bearer, None, &[]),
        (&layer, "/public", &bearer, Some("public, max-age=60"), &["accept"]),
        (&own_layer, "/", &own, Some("private"), &["x-acme-key"]),
        (&query, &format!("/?k={key}"), &"a: b".to_owned(), Some("private"), &[]),
        (&layer, "/guarded", &header, Some("no-store"), &[]),
        (&layer, "/guarded", &bearer, Some("no-store"), &[]),
        (&layer.clone().without_cache_fields(), "/", &header, None, &[]),
        (&layer, "/", &"x-api-key: wrong".to_owned(), Some("no-store"), &[]),
    ] {
        let response = ask(layer.clone(), path, line).await;
        assert_eq!(told(&response), (cache, vary.to_vec()), "{path} {line}");
    }
}

#[tokio::test]
async fn a_response_without_a_key_varies_by_the_headers_of_keys() {
    let layer = ApiKeyLayer::new(MemoryStore::new()).optional();
    let response = ask(layer.clone(), "/", "a: b").await;
    assert_eq!(told(&response), (None, vec!["x-api-key", "authorization"]));
    let response = ask(layer.without_cache_fields(), "/", "a: b").await;
    assert_eq!(told(&response), (None, vec![]));
}
