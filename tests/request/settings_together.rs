//! Settings of the layer that meet: copies, several lines of a header, several layers.

use std::net::SocketAddr;
use std::sync::mpsc;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::routing::any;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::HeaderMap;
use http::header::HeaderName;
use tower::Layer as _;
use tower_api_key::extract::{
    AuthorizationScheme, Basic, Bearer, Credential, Extract, FirstOf, Header, Query, extract_fn,
};
use tower_api_key::{
    ApiKeyLayer, MemoryStore, NewKey, Rejection, RejectionKind, RequestHead, RequireAbility,
    RequireTenant, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::request::{RawRequest, request};
use crate::common::{CountingStore, get_raw, issue, send_raw, serve, tell_kind};

/// Says whose key it is, and what credentials were forwarded.
async fn show(key: Option<VerifiedKey>, headers: HeaderMap) -> String {
    let mut shown = key.map_or("nobody".to_owned(), |key| key.name().to_owned());
    for (name, value) in &headers {
        if !["host", "connection", "accept"].contains(&name.as_str()) {
            let mark = if value.is_sensitive() { "sensitive " } else { "" };
            shown += &format!(" with {mark}{name}: {}", value.to_str().unwrap());
        }
    }
    shown
}

/// A server with a key, at whose every path is the same handler.
struct Server {
    address: SocketAddr,
    store: CountingStore,
    key: String,
}

impl Server {
    async fn new(settings: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer) -> Self {
        let store = CountingStore::default();
        let key = issue(&store.keys, NewKey::named("key"));
        let layer = settings(ApiKeyLayer::new(store.clone()));
        let guarded = any(show).layer(RequireTenant::fixed("acme"));
        let app = Router::new().route("/guarded", guarded).fallback(any(show)).layer(layer);
        Self { address: serve(tell_kind(app)).await, store, key }
    }

    /// Returns the status, and the reason or the text.
    async fn answer(&self, request: impl Into<RawRequest>) -> String {
        let response = send_raw(self.address, request.into()).await;
        let text = response.header("x-kind").unwrap_or_else(|| response.text());
        format!("{} {text}", response.status)
    }

    async fn challenge(&self, request: impl Into<RawRequest>) -> String {
        let response = send_raw(self.address, request.into()).await;
        response.header("www-authenticate").unwrap().to_owned()
    }
}

fn header(key: &str) -> RawRequest {
    request("GET /").line(format!("x-api-key: {key}"))
}

fn bearer(key: &str) -> RawRequest {
    request("GET /").line(format!("authorization: Bearer {key}"))
}

fn basic(key: &str) -> RawRequest {
    let encoded = BASE64_STANDARD.encode(format!("{key}:"));
    request("GET /").line(format!("authorization: Basic {encoded}"))
}

fn token(key: &str) -> RawRequest {
    request("GET /").line(format!("authorization: tOKEN {key}"))
}

fn query(key: &str) -> RawRequest {
    request(format!("GET /?api_key={key}"))
}

#[tokio::test]
async fn optional_keys_make_requests_without_one_anonymous_and_refuse_wrong_ones() {
    for (optional, without) in [(true, "200 nobody"), (false, "401 missing")] {
        let server = Server::new(|layer| if optional { layer.optional() } else { layer }).await;
        let key = &server.key;
        assert_eq!(server.answer("GET /").await, without);
        assert_eq!(server.answer("GET /guarded").await, "401 missing");
        assert_eq!(server.answer(request("GET /").key(key)).await, "200 key");
        assert_eq!(server.answer(request("GET /guarded").key(key)).await, "403 wrong_tenant");
        for start in ["GET /", "GET /guarded"] {
            let unknown = request(start).key(&format!("{key}x"));
            assert_eq!(server.answer(unknown).await, "401 unknown");
            assert_eq!(server.answer(request(start).key("a b")).await, "401 malformed");
        }
        assert!(server.store.keys.revoke(server.store.keys.records()[0].id()));
        assert_eq!(server.answer(request("GET /").key(key)).await, "401 revoked");
    }
}

fn last_ticket<'a>(head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
    let ticket = head.headers().get_all("ticket").iter().next_back();
    let name = HeaderName::from_static("ticket");
    Ok(ticket.map(|ticket| Credential::in_header(name, ticket.as_bytes())))
}

#[tokio::test]
async fn every_line_of_the_credentials_header_is_removed_or_marked() {
    let two = |key: &str| request("GET /").line("ticket: other").line(format!("ticket: {key}"));
    let removes = Server::new(|layer| layer.extractor(last_ticket)).await;
    assert_eq!(removes.answer(two(&removes.key)).await, "200 key");
    let keeps = Server::new(|layer| layer.extractor(last_ticket).keep_credential()).await;
    let key = &keeps.key;
    let kept = format!("200 key with sensitive ticket: other with sensitive ticket: {key}");
    assert_eq!(keeps.answer(two(key)).await, kept);
}

#[tokio::test]
async fn the_parameter_is_cut_out_of_the_uri_and_of_the_original_one_unless_it_is_kept() {
    let uris = async |OriginalUri(original): OriginalUri, request: Request| {
        format!("{} {original}", request.uri())
    };
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("key"));
    for keep in [false, true] {
        let layer = ApiKeyLayer::new(keys.clone()).extractor(Query::new("api_key"));
        let layer = if keep { layer.keep_credential() } else { layer };
        let leaf = Router::new().route("/q", any(uris));
        let within = Router::new().nest("/api", leaf.clone().layer(layer.clone()));
        let outside = Router::new().nest("/api", leaf.clone()).layer(layer.clone());
        let around = layer.layer(Router::new().nest("/api", leaf));
        let around = Router::new().fallback_service(around);
        for address in [serve(within).await, serve(outside).await, serve(around).await] {
            for (sent, left) in [
                (format!("?api_key={key}"), ""),
                (format!("?a=%20+&api_key={key}&b&&c=%46"), "?a=%20+&b&&c=%46"),
                (format!("?api_key={key}&x=api_key"), "?x=api_key"),
                (format!("?api%5Fkey={key}"), ""),
            ] {
                let left = if keep { &sent } else { left };
                let response = get_raw(address, &format!("/api/q{sent}"), &[]).await;
                assert_eq!(response.text(), format!("/q{left} /api/q{left}"), "{sent}");
            }
        }
    }
}

#[tokio::test]
async fn the_realm_and_a_generic_challenge_are_written_whatever_the_order_of_the_settings() {
    let layers: [&dyn Fn(ApiKeyLayer) -> ApiKeyLayer; 3] = [
        &|layer| layer.realm("my bots").extractor(Bearer).generic_challenge(),
        &|layer| layer.generic_challenge().extractor(Bearer).realm("my bots"),
        &|layer| layer.extractor(Bearer).realm("other").generic_challenge().realm("my bots"),
    ];
    let invalid = r#"Bearer realm="my bots", error="invalid_token""#;
    for layer in layers {
        let server = Server::new(layer).await;
        assert_eq!(server.challenge("GET /").await, invalid);
        assert_eq!(server.challenge(bearer("x")).await, invalid);
    }
    let server = Server::new(|layer| layer.realm("my bots").extractor(Bearer)).await;
    assert_eq!(server.challenge("GET /").await, r#"Bearer realm="my bots""#);
    assert_eq!(server.challenge(bearer("x")).await, invalid);
}

#[tokio::test]
async fn guards_and_other_settings_of_a_clone_are_its_own() {
    let mut original = None;
    let guarded = Server::new(|layer| {
        original = Some(layer.clone());
        layer.guard(RequireAbility::new("bots:read")).realm("b").optional()
    })
    .await;
    assert_eq!(guarded.answer(header(&guarded.key)).await, "403 missing_ability");
    assert_eq!(guarded.answer("GET /").await, "200 nobody");
    let app = Router::new().fallback(any(show)).layer(original.unwrap());
    let original = Server { address: serve(tell_kind(app)).await, ..guarded };
    assert_eq!(original.answer(header(&original.key)).await, "200 key");
    assert_eq!(original.challenge("GET /").await, r#"Bearer realm="api""#);
}

/// Makes a request that carries a key somewhere.
type Place = fn(&str) -> RawRequest;

/// Checks in which places a key is found and in which not, and which scheme the challenge asks for.
async fn finds(
    extractor: impl Extract + 'static,
    scheme: &str,
    found: &[Place],
    not_found: &[Place],
) {
    let server = Server::new(|layer| layer.extractor(extractor)).await;
    for place in found {
        let request = place(&server.key);
        assert_eq!(server.answer(request.clone()).await, "200 key", "{request}");
    }
    for place in not_found {
        let request = place(&server.key);
        assert_eq!(server.answer(request.clone()).await, "401 missing", "{request}");
    }
    assert_eq!(server.challenge("GET /").await, format!("{scheme} realm=\"api\""));
    let wrong = server.challenge(found[0]("x")).await;
    let error = if scheme == "Basic" { "" } else { ", error=\"invalid_token\"" };
    assert_eq!(wrong, format!("{scheme} realm=\"api\"{error}"));
}

#[tokio::test]
async fn keys_are_found_where_the_extractor_looks_and_its_scheme_is_asked_for() {
    finds(FirstOf::default(), "Bearer", &[header, bearer], &[basic, query, token]).await;
    finds(Header::x_api_key(), "ApiKey", &[header], &[bearer, basic, query]).await;
    finds(
        Header::new("X-Acme"),
        "ApiKey",
        &[|key| request("GET /").line(format!("x-acme: {key}"))],
        &[header, bearer],
    )
    .await;
    finds(AuthorizationScheme::new("Token"), "Token", &[token], &[header, bearer]).await;
    finds(Basic, "Basic", &[basic], &[header, bearer, query]).await;
    finds(
        Query::new("api_key"),
        "ApiKey",
        &[query],
        &[header, bearer, |key| request(format!("GET /?key={key}"))],
    )
    .await;
    finds(FirstOf::new(Bearer, Basic), "Bearer", &[bearer, basic], &[header, query]).await;
    let three = FirstOf::new(Query::new("api_key"), Basic).or(Bearer);
    finds(three, "Basic", &[basic, query, bearer], &[header]).await;
    finds(
        last_ticket,
        "ApiKey",
        &[|key| request("GET /").line(format!("ticket: {key}"))],
        &[header, bearer],
    )
    .await;
    let name = "key".to_owned();
    let in_path = extract_fn(move |head| {
        let key = head.uri().path().strip_prefix(&*format!("/{name}/"));
        Ok(key.map(|key| Credential::elsewhere(key.as_bytes().to_vec())))
    });
    let (path, other): (Place, Place) =
        (|key| request(format!("GET /key/{key}")), |key| request(format!("GET /other/{key}")));
    finds(in_path, "ApiKey", &[path], &[other, header, bearer]).await;
}

#[tokio::test]
async fn an_outer_layer_reads_the_rejection_from_the_response() {
    let (sender, seen) = mpsc::channel();
    let spy = move |response: axum::response::Response| {
        let rejection = response.extensions().get::<Rejection>().cloned();
        sender.send(rejection).unwrap();
        async { response }
    };
    let keys = MemoryStore::new();
    let guarded = any(show).layer(RequireAbility::new("bots:read"));
    let app = Router::new().route("/guarded", guarded).fallback(any(show));
    let app = app.layer(ApiKeyLayer::new(keys.clone()));
    let address = serve(app.layer(axum::middleware::map_response(spy))).await;
    let issued = keys.issue(NewKey::named("key")).unwrap();
    let (id, line) = (issued.record.id(), format!("x-api-key: {}", issued.secret.reveal()));
    for (path, line, kind, key_id) in [
        ("/", "accept: */*", RejectionKind::Missing, None),
        ("/", "x-api-key: unknown", RejectionKind::Unknown, None),
        ("/guarded", &line, RejectionKind::MissingAbility, Some(id)),
    ] {
        get_raw(address, path, &[line]).await;
        let rejection = seen.try_recv().unwrap().unwrap();
        assert_eq!((rejection.kind(), rejection.key_id()), (kind, key_id));
        let missing = usize::from(kind == RejectionKind::MissingAbility);
        assert_eq!(rejection.abilities().len(), missing);
    }
    assert_eq!(get_raw(address, "/", &[&line]).await.text(), "key");
    assert!(seen.try_recv().unwrap().is_none());
    assert!(keys.set_disabled(id, true));
    get_raw(address, "/", &[&line]).await;
    let rejection = seen.try_recv().unwrap().unwrap();
    assert_eq!((rejection.kind(), rejection.key_id()), (RejectionKind::Disabled, Some(id)));
}
