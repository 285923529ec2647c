//! Where the layer looks for the key, and what of it the application sees.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::HeaderName;
use tower_api_key::extract::{
    AuthorizationScheme, Basic, Bearer, Credential, FirstOf, Header, Query,
};
use tower_api_key::key::StoredHash;
use tower_api_key::{
    ApiKeyLayer, KeyHasher, KeyRecord, KeyScheme, MemoryStore, NewKey, Rejection, RequestHead,
};

use crate::common::MemoryKeys as _;
use crate::common::{RawResponse, echo, http2_client, in_time, issue, serve};

async fn start(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().route("/", get(echo)).layer(layer)).await
}

fn robot() -> (MemoryStore, String) {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    (keys, key)
}

async fn ask(address: SocketAddr, path: &str, lines: &[&str]) -> RawResponse {
    in_time(crate::common::get_raw(address, path, lines)).await
}

/// Returns the first word of `echo`.
fn name(response: &RawResponse) -> Option<&str> {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text().split(' ').next()
}

#[tokio::test]
async fn a_key_in_a_header_is_removed_or_marked_sensitive() {
    let (keys, key) = robot();
    let removing = start(ApiKeyLayer::new(keys.clone())).await;
    let keeping = start(ApiKeyLayer::new(keys).keep_credential()).await;
    for (header, other) in [("x-api-key", "authorization: Basic dTpw"), ("authorization", "x: y")] {
        let scheme = if header == "x-api-key" { "" } else { "Bearer " };
        let lines = [&*format!("{header}: {scheme}{key}"), other];
        let removed = ask(removing, "/", &lines).await;
        assert_eq!(name(&removed), Some("robot"));
        assert!(!removed.text().contains(&format!("{header:?}")), "{}", removed.text());
        assert!(removed.text().contains(other.split(' ').next_back().unwrap()));
        let kept = ask(keeping, "/", &lines).await;
        assert!(kept.text().contains(&format!("{header:?}: Sensitive")), "{}", kept.text());
        assert!(!kept.text().contains(&key) && !removed.text().contains(&key));
    }
}

#[tokio::test]
async fn a_key_in_the_query_is_removed_from_every_uri_or_kept() {
    let (keys, key) = robot();
    let layer = ApiKeyLayer::new(keys).extractor(Query::new("k"));
    let inner = Router::new().route("/x", get(echo));
    let nest = |layer| serve(Router::new().nest("/v1", inner.clone().layer(layer)));
    let (removing, keeping) = (nest(layer.clone()).await, nest(layer.keep_credential()).await);
    let path = format!("/v1/x?a=%20&k={key}&b");
    let removed = ask(removing, &path, &[]).await;
    assert_eq!(removed.text().split(" {").next(), Some("robot /x?a=%20&b /v1/x?a=%20&b"));
    let kept = ask(keeping, &path, &[]).await;
    assert_eq!(kept.text().split(" {").next(), Some(&*format!("robot {} {path}", &path[3..])));
    let request = http2_client().get(format!("http://{removing}{path}")).send();
    let body = in_time(in_time(request).await.unwrap().text()).await.unwrap();
    assert!(body.starts_with("robot ") && !body.contains(&key), "{body}");
}

/// Finds the key in the last line of `ticket: v1/<key>`.
fn ticket<'a>(head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
    let tickets = head.headers().get_all("ticket").into_iter();
    let key = tickets.filter_map(|line| line.as_bytes().strip_prefix(b"v1/")).next_back();
    Ok(key.map(|key| Credential::in_header(HeaderName::from_static("ticket"), key)))
}

#[tokio::test]
async fn the_key_is_found_where_the_extractor_looks_and_nowhere_else() {
    let (keys, key) = robot();
    let layer = ApiKeyLayer::new(keys);
    let token = layer.clone().extractor(AuthorizationScheme::new("Token"));
    let places = FirstOf::new(Header::new("x-acme-key"), Basic).or(Query::new("k"));
    let (places, ticket) = (layer.clone().extractor(places), layer.extractor(ticket));
    let basic = format!("authorization: basic {}", BASE64_STANDARD.encode(format!("{key}:")));
    let [line, other, acme, tickets, query] =
        ["authorization: token ", "authorization: Bearer ", "x-acme-key: ", "ticket: v1/", "/?k="]
            .map(|start| format!("{start}{key}"));
    for (layer, path, line, status) in [
        (&token, "/", &line, 200),
        (&token, "/", &other, 401),
        (&places, "/", &basic, 200),
        (&places, &query, &other, 200),
        (&places, &query, &acme, 400),
        (&places, &query, &basic, 400),
        (&places, "/", &other, 401),
        (&ticket, "/", &tickets, 200),
        (&ticket, &query, &acme, 401),
    ] {
        let address = start(layer.clone()).await;
        assert_eq!(ask(address, path, &[line]).await.status, status, "{path} {line}");
    }
}

#[tokio::test]
async fn every_line_of_a_kept_header_is_marked_sensitive() {
    let (keys, key) = robot();
    let layer = ApiKeyLayer::new(keys).extractor(ticket).keep_credential();
    let lines = ["ticket: v0/x", &format!("ticket: v1/{key}")];
    let kept = ask(start(layer).await, "/", &lines).await;
    assert!(kept.text().contains("Sensitive") && !kept.text().contains(&key), "{}", kept.text());
}

#[tokio::test]
async fn a_bearer_token_may_have_a_bar_where_that_is_set() {
    let keys = MemoryStore::new();
    // As Laravel Sanctum hashes it: the secret only, which is of no use with another id.
    let hash: StoredHash = KeyHasher::sha256().digest("a-secret").to_string().parse().unwrap();
    let id = "12".parse().unwrap();
    let digest = hash.of_secret_after("12");
    keys.insert(KeyRecord::new(id, digest, "of Sanctum", std::time::SystemTime::now()));
    let layer = ApiKeyLayer::new(keys)
        .scheme(KeyScheme::default().hasher(KeyHasher::sha256().or_sha256_after_id()));
    let strict = start(layer.clone()).await;
    let lenient = start(layer.extractor(Bearer.with_any_key_characters())).await;
    let status = async |address, key: &str| {
        ask(address, "/", &[&format!("authorization: Bearer {key}")]).await.status
    };
    assert_eq!(status(lenient, "12|a-secret").await, 200);
    for wrong in ["13|a-secret", "a-secret", "12|a-secre", "12|12|a-secret", "|a-secret"] {
        assert_eq!(status(lenient, wrong).await, 401, "{wrong}");
    }
    assert_eq!(status(strict, "12|a-secret").await, 401);
}
