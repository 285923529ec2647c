//! Where a request carries its key, and what else looks like one.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use http::HeaderMap;
use tower_api_key::extract::{FirstOf, Header, Query};
use tower_api_key::{ApiKeyLayer, NewKey, VerifiedKey};

use crate::common::MemoryKeys as _;
use crate::common::request::{RawRequest, request};
use crate::common::{CountingStore, RawResponse, http2_client, send_raw, serve, tell_kind};

/// A server with two keys, and a store that counts.
struct Server {
    address: SocketAddr,
    store: CountingStore,
    key: String,
    other: String,
}

impl Server {
    async fn new(settings: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer) -> Self {
        let store = CountingStore::default();
        let issue = |name: &str| {
            let issued = store.keys.issue(NewKey::named(name)).unwrap();
            issued.secret.reveal().to_owned()
        };
        let (key, other) = (issue("key"), issue("other"));
        let layer = settings(ApiKeyLayer::new(store.clone()));
        let app = Router::new().route("/", any(who)).layer(layer);
        Self { address: serve(tell_kind(app)).await, store, key, other }
    }

    /// The line that carries the key, and the one that carries the other key.
    fn lines(&self) -> [String; 2] {
        [&self.key, &self.other].map(|key| format!("x-api-key: {key}"))
    }

    async fn send(&self, request: &RawRequest) -> RawResponse {
        send_raw(self.address, request).await
    }

    /// Checks that every request is refused, and that none reaches the store.
    async fn stops(&self, expected: &str, requests: impl IntoIterator<Item = RawRequest>) {
        let before = self.store.asked();
        for request in requests {
            let response = self.send(&request).await;
            let kind = response.header("x-kind").unwrap_or("none");
            let answer = format!("{} {kind}", response.status);
            assert_eq!(answer, expected, "{request:?}");
            assert_eq!(self.store.asked(), before, "asked for {request:?}");
        }
    }

    /// Checks that every request is answered with this text.
    async fn answers(&self, expected: &str, requests: impl IntoIterator<Item = RawRequest>) {
        for request in requests {
            let response = self.send(&request).await;
            assert_eq!(response.text(), expected, "{request:?}");
            assert_eq!(response.status, 200, "{request:?}");
        }
    }
}

/// `GET /` with these lines.
fn get<const N: usize>(lines: [&str; N]) -> RawRequest {
    lines.into_iter().fold(request("GET /"), RawRequest::line)
}

/// Says whose key it is, and what was forwarded.
async fn who(key: Option<VerifiedKey>, headers: HeaderMap) -> String {
    let left = headers.get("x-api-key").or(headers.get("authorization"));
    let left = left.map(|value| format!(" beside {}", value.to_str().unwrap()));
    let name = key.as_ref().map_or("nobody", VerifiedKey::name);
    format!("{name}{}", left.unwrap_or_default())
}

#[tokio::test]
async fn a_key_is_found_in_its_header_and_as_bearer_and_is_not_forwarded() {
    let server = Server::new(|layer| layer).await;
    let key = &server.key;
    let requests = [
        get([&format!("x-api-key: {key}")]),
        get([&format!("X-API-KEY: {key}")]),
        get([&format!("x-api-key:{key}  ")]),
        get([&format!("authorization: Bearer {key}")]),
        request("GET /?x=1").line("accept: */*").line(format!("x-api-key: {key}")),
    ];
    server.answers("key", requests).await;
    assert_eq!(server.store.asked(), 5);
}

#[tokio::test]
async fn the_header_twice_is_ambiguous_and_the_store_is_not_asked() {
    let server = Server::new(|layer| layer).await;
    let [line, other] = &server.lines();
    let requests = [
        get([line, other]),
        get([other, line]),
        get([line, &format!("X-Api-Key: {}", server.key)]),
        get([line, "x-api-key: wrong"]),
        get(["x-api-key: wrong", line]),
        get([line, "x-api-key:"]),
        get(["x-api-key:", line]),
        get([line, "accept: */*", &format!("X-API-KEY: {}", server.other)]),
        get([line, line, line]),
        get(["x-api-key: a b", "x-api-key: \u{e4}"]),
    ];
    server.stops("400 ambiguous", requests).await;
}

#[tokio::test]
async fn the_header_twice_is_ambiguous_over_http2() {
    let server = Server::new(|layer| layer).await;
    let client = http2_client();
    let request = client.get(format!("http://{}/", server.address));
    let one = request.header("x-api-key", &server.key);
    let two = one.try_clone().unwrap();
    let two = two.header("x-api-key", &server.other).send().await.unwrap();
    assert_eq!(two.status(), 400);
    assert_eq!(two.headers()["x-kind"], "ambiguous");
    assert_eq!(server.store.asked(), 0);
    assert_eq!(one.send().await.unwrap().text().await.unwrap(), "key");
}

#[tokio::test]
async fn two_credentials_are_ambiguous_and_the_store_is_not_asked() {
    let server = Server::new(|layer| layer).await;
    let [line, other] = &server.lines();
    let Server { key, other: other_key, .. } = &server;
    let bearer = &format!("authorization: Bearer {key}");
    let requests = [
        get([bearer, other]),
        get([other, bearer]),
        get([&format!("authorization: bearer {key}"), line]),
        get(["authorization: Bearer wrong", line]),
        get([bearer, "x-api-key: wrong"]),
        get([bearer, "x-api-key:"]),
        get([bearer, &format!("authorization: Bearer {other_key}")]),
        get([bearer, &format!("authorization: BEARER {key}")]),
        get([bearer, "authorization: Basic eDo="]),
        get(["authorization: Basic eDo=", bearer]),
    ];
    server.stops("400 ambiguous", requests).await;
}

#[tokio::test]
async fn authorization_with_another_scheme_is_left_to_others() {
    let server = Server::new(|layer| layer).await;
    for other in ["Basic eDo=", "Digest a=b", "Bearers K", "ApiKey K", "K"] {
        let request = get([&format!("authorization: {other}")]).key(&server.key);
        server.answers(&format!("key beside {other}"), [request]).await;
    }
}

#[tokio::test]
async fn an_empty_value_spaces_and_lists_are_malformed_and_the_store_is_not_asked() {
    for server in [Server::new(|layer| layer).await, Server::new(ApiKeyLayer::optional).await] {
        let Server { key, other, .. } = &server;
        let empty = ["", " ", "     ", "\t", " ,", " ;", " \"\""].map(str::to_owned);
        let lists = [
            format!(" {key},{other}"),
            format!(" {key}, {other}"),
            format!(" {key} {other}"),
            format!(" {key}\t{other}"),
            format!(" {key};{other}"),
            format!(" {key},{key}"),
            format!(" {key},"),
            format!(" ,{key}"),
            format!(" \"{key}\""),
        ];
        let requests =
            empty.into_iter().chain(lists).map(|value| get([&format!("x-api-key:{value}")]));
        server.stops("401 malformed", requests).await;
    }
}

#[tokio::test]
async fn bytes_that_no_key_has_never_reach_the_store() {
    let server = Server::new(|layer| layer).await;
    let (start, end) = server.key.split_at(20);
    let is_allowed = |byte: &u8| byte.is_ascii_graphic() && !b",;\"\\".contains(byte);
    for byte in (0..=u8::MAX).filter(|byte| !is_allowed(byte)) {
        for name in ["x-api-key: ", "authorization: Bearer "] {
            let request = format!("GET / HTTP/1.1\r\n{name}{start}");
            let request = [request.as_bytes(), &[byte], end.as_bytes()].concat();
            let response = send_raw(server.address, request).await;
            if byte.is_ascii_control() && byte != b'\t' {
                // hyper refuses it before any layer sees it.
                assert_eq!(response.status, 400, "{byte:#x}");
            } else {
                assert_eq!(response.status, 401, "{byte:#x}");
                assert_eq!(response.header("x-kind"), Some("malformed"));
            }
            assert_eq!(server.store.asked(), 0, "{byte:#x}");
        }
    }
}

#[tokio::test]
async fn a_value_far_too_long_is_malformed_also_where_a_cut_would_split_a_character() {
    let server = Server::new(|layer| layer).await;
    for length in [257, 1_000, 100_000] {
        let long = "a".repeat(length);
        let lines = [format!("x-api-key: {long}"), format!("authorization: Bearer {long}")];
        server.stops("401 malformed", lines.map(|line| get([&line]))).await;
    }
    for length in (0..12).chain(250..260) {
        let line = format!("x-api-key: {}\u{e4}\u{65e5}", "a".repeat(length));
        server.stops("401 malformed", [get([&line])]).await;
    }
    // The longest that may be a key is looked up.
    let longest = request("GET /").key(&"a".repeat(256));
    assert_eq!(server.send(&longest).await.status, 401);
    assert_eq!(server.store.asked(), 1);
}

#[tokio::test]
async fn the_scheme_is_case_insensitive_and_followed_by_exactly_one_token() {
    let server = Server::new(|layer| layer).await;
    let key = &server.key;
    let right = [
        format!("authorization: bearer {key}"),
        format!("authorization: BEARER {key}"),
        format!("AUTHORIZATION: bEaReR    {key} "),
    ];
    server.answers("key", right.map(|line| get([&line]))).await;
    let wrong = [
        format!("Bearer {key} extra"),
        format!("Bearer {key} {key}"),
        format!("Bearer {key}, Bearer {key}"),
        format!("Bearer {key},realm=x"),
        format!("Bearer {key};"),
        format!("Bearer {key}\u{a0}"),
        format!("Bearer Bearer {key}"),
        format!("Bearer\t{key}"),
        format!("Bearer \t{key}"),
        format!("Bearer \"{key}\""),
        format!("Bearer token=\"{key}\""),
        format!("Bearer ={key}"),
        format!("Bearer:{key}"),
        format!("Bearer,{key}"),
        format!("Bearer={key}"),
        "Bearer".to_owned(),
        "bearer  ".to_owned(),
    ];
    let authorization = |value| get([&format!("authorization: {value}")]);
    server.stops("401 malformed", wrong.map(authorization)).await;
    let other_schemes = [
        format!("Bearer{key}"),
        format!("Bearer-{key}"),
        format!("Bearer_ {key}"),
        format!("Bearers {key}"),
        format!("{key} Bearer"),
        key.clone(),
    ];
    server.stops("401 missing", other_schemes.map(authorization)).await;
    server.stops("401 missing", [get(["accept: */*"])]).await;
}

#[tokio::test]
async fn a_wrong_key_never_becomes_anonymous_where_keys_are_optional() {
    let server = Server::new(ApiKeyLayer::optional).await;
    let key = &server.key;
    server.answers("nobody", [get([])]).await;
    server.answers("key", [request("GET /").key(key)]).await;
    let both = request("GET /").key(key).line(format!("authorization: Bearer {key}"));
    server.stops("400 ambiguous", [both]).await;
    for name in ["x-api-key:", "authorization: Bearer"] {
        for wrong in ["wrong", &format!("{key}x"), &format!("key_{key}"), "null", "undefined"] {
            let response = server.send(&get([&format!("{name} {wrong}")])).await;
            assert_eq!(response.status, 401, "{name} {wrong}");
            assert_eq!(response.header("x-kind"), Some("unknown"));
        }
    }
}

#[tokio::test]
async fn a_wrong_key_never_becomes_anonymous_in_a_preflight() {
    let server = Server::new(ApiKeyLayer::forward_preflight).await;
    let preflight =
        request("OPTIONS /").line("origin: http://a").line("access-control-request-method: GET");
    server.answers("nobody", [preflight.clone()]).await;
    let wrong = server.send(&preflight.key("wrong")).await;
    assert_eq!(wrong.status, 401, "answered {:?}", wrong.text());
}

#[tokio::test]
async fn a_query_parameter_is_decoded_without_a_panic() {
    let places = FirstOf::new(Query::new("token"), Header::x_api_key());
    let server = Server::new(|layer| layer.extractor(places)).await;
    let key = &server.key;
    let token = |value: &str| request(format!("GET /?token={value}"));
    let malformed =
        ["%FF", "%ff%fe", "%00", "%ED%A0%80", "%C3", "%C3%A4", "%F0%9F", "%20", "%22", "+", "&a"];
    server.stops("401 malformed", malformed.map(token)).await;
    let malformed = [format!("{key}%0A"), format!("{key}%2C{key}")];
    server.stops("401 malformed", malformed.map(|value| token(&value))).await;
    let ambiguous = [
        format!("{key}&token={key}"),
        format!("{key}&tok%65n=x"),
        format!("&token={key}"),
        format!("%FF&token={key}"),
        format!("{key}&token"),
    ];
    server.stops("400 ambiguous", ambiguous.map(|value| token(&value))).await;
    server.stops("400 ambiguous", [token(key).key(&server.other)]).await;
    let others = ["TOKEN", "xtoken", "token%00", "token[]", "a=token", "x-api-key"];
    server.stops("401 missing", others.map(|name| request(format!("GET /?{name}={key}")))).await;
    server.answers("key", [request(format!("GET /?a=b&token={key}"))]).await;
}

#[tokio::test]
async fn only_the_exact_name_of_the_header_counts() {
    let server = Server::new(|layer| layer).await;
    let Server { key, other, .. } = &server;
    for name in [
        "x_api_key",
        "x-api_key",
        "x-apikey",
        "api-key",
        "apikey",
        "x-api-key-",
        "x-api-key2",
        "xx-api-key",
        "x.api.key",
        "x--api-key",
        "http_x_api_key",
        "proxy-authorization",
        "cookie",
        "x-authorization",
    ] {
        let alone = [
            format!("{name}: {key}"),
            format!("{name}: Bearer {key}"),
            format!("{name}: x-api-key={key}"),
        ];
        server.stops("401 missing", alone.map(|line| get([&line]))).await;
        // Beside the real one it neither harms nor helps.
        let before = get([&format!("{name}: {other}")]).key(key);
        let behind = request("GET /").key(key).line(format!("{name}: wrong"));
        server.answers("key", [before, behind]).await;
        let response = server.send(&get([&format!("{name}: {key}"), "x-api-key: wrong"])).await;
        assert_eq!(response.header("x-kind"), Some("unknown"), "{name}");
    }
}

#[tokio::test]
async fn lines_that_servers_read_differently_never_pass() {
    let server = Server::new(|layer| layer).await;
    let key = &server.key;
    let requests = [
        get([&format!("x-api-key : {key}")]),
        get([&format!("x-api-key\t: {key}")]),
        get([&format!("x-api-key: {key}"), " folded"]),
        get(["x-api-key:", &format!("\t{key}")]),
        get(["x-api-key", key]),
        get([&format!("x-api-key\0: {key}")]),
        get([&format!("\u{ff58}-api-key: {key}")]),
    ];
    server.stops("400 none", requests).await;
}
