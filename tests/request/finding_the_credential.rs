//! Where a request carries its key, and what else looks like one.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use http::HeaderMap;
use tower_api_key::extract::{FirstOf, Header, Query};
use tower_api_key::{ApiKeyLayer, NewKey, VerifiedKey};

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

    /// Sends `GET /`, or what `request` has before a `>`, with header lines between bars; `$1`
    /// and `$2` are the keys.
    async fn send(&self, request: &str) -> RawResponse {
        let request = request.replace("$1", &self.key);
        let request = request.replace("$2", &self.other);
        let (start, lines) = request.split_once(" > ").unwrap_or(("GET /", &request));
        let lines: Vec<_> = lines.split(" | ").collect();
        let request = format!("{start} HTTP/1.1\r\n{}", lines.join("\r\n"));
        send_raw(self.address, request).await
    }

    /// Checks that every request of a table is refused, and that none reaches the store.
    async fn stops(&self, expected: &str, table: &str) {
        let before = self.store.asked();
        for request in requests(table) {
            let response = self.send(request).await;
            let kind = response.header("x-kind").unwrap_or("none");
            let answer = format!("{} {kind}", response.status);
            assert_eq!(answer, expected, "{request:?}");
            assert_eq!(self.store.asked(), before, "asked for {request:?}");
        }
    }

    /// Checks that every request of a table is answered with this text.
    async fn answers(&self, expected: &str, table: &str) {
        for request in requests(table) {
            let response = self.send(request).await;
            assert_eq!(response.text(), expected, "{request:?}");
            assert_eq!(response.status, 200, "{request:?}");
        }
    }
}

/// The requests of a table: one a line, or several with tildes between them.
fn requests(table: &str) -> impl Iterator<Item = &str> {
    let requests = table.split(['\n', '~']).map(str::trim_start);
    requests.filter(|request| !request.is_empty())
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
    let table = "
        x-api-key: $1 ~ X-API-KEY: $1 ~ x-api-key:$1\x20\x20 ~ authorization: Bearer $1
        GET /?x=1 > accept: */* | x-api-key: $1";
    server.answers("key", table).await;
    assert_eq!(server.store.asked(), 5);
}

#[tokio::test]
async fn the_header_twice_is_ambiguous_and_the_store_is_not_asked() {
    let server = Server::new(|layer| layer).await;
    let table = "
        x-api-key: $1 | x-api-key: $2 ~ x-api-key: $2 | x-api-key: $1
        x-api-key: $1 | X-Api-Key: $1 ~ x-api-key: $1 | x-api-key: wrong
        x-api-key: wrong | x-api-key: $1 ~ x-api-key: $1 | x-api-key:
        x-api-key: | x-api-key: $1 ~ x-api-key: $1 | accept: */* | X-API-KEY: $2
        x-api-key: $1 | x-api-key: $1 | x-api-key: $1 ~ x-api-key: a b | x-api-key: \u{e4}";
    server.stops("400 ambiguous", table).await;
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
    let table = "
        authorization: Bearer $1 | x-api-key: $2
        x-api-key: $2 | authorization: Bearer $1
        authorization: bearer $1 | x-api-key: $1
        authorization: Bearer wrong | x-api-key: $1
        authorization: Bearer $1 | x-api-key: wrong ~ authorization: Bearer $1 | x-api-key:
        authorization: Bearer $1 | authorization: Bearer $2
        authorization: Bearer $1 | authorization: BEARER $1
        authorization: Bearer $1 | authorization: Basic eDo=
        authorization: Basic eDo= | authorization: Bearer $1";
    server.stops("400 ambiguous", table).await;
}

#[tokio::test]
async fn authorization_with_another_scheme_is_left_to_others() {
    let server = Server::new(|layer| layer).await;
    for other in ["Basic eDo=", "Digest a=b", "Bearers K", "ApiKey K", "K"] {
        let request = format!("authorization: {other} | x-api-key: $1");
        let answer = format!("key beside {other}");
        server.answers(&answer, &request).await;
    }
}

#[tokio::test]
async fn an_empty_value_spaces_and_lists_are_malformed_and_the_store_is_not_asked() {
    let server = Server::new(|layer| layer).await;
    let table = "
        x-api-key: ~ x-api-key:\x20 ~ x-api-key:\x20\x20\x20\x20\x20 ~ x-api-key:\t
        x-api-key: , ~ x-api-key: ; ~ x-api-key: \"\" ~ x-api-key: $1,$2
        x-api-key: $1, $2 ~ x-api-key: $1 $2 ~ x-api-key: $1\t$2
        x-api-key: $1;$2 ~ x-api-key: $1,$1 ~ x-api-key: $1, ~ x-api-key: ,$1 ~ x-api-key: \"$1\"";
    server.stops("401 malformed", table).await;
    let optional = Server::new(ApiKeyLayer::optional).await;
    optional.stops("401 malformed", table).await;
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
        let table = format!("x-api-key: {long}\nauthorization: Bearer {long}");
        server.stops("401 malformed", &table).await;
    }
    for length in (0..12).chain(250..260) {
        let table = format!("x-api-key: {}\u{e4}\u{65e5}", "a".repeat(length));
        server.stops("401 malformed", &table).await;
    }
    // The longest that may be a key is looked up.
    let longest = format!("x-api-key: {}", "a".repeat(256));
    assert_eq!(server.send(&longest).await.status, 401);
    assert_eq!(server.store.asked(), 1);
}

#[tokio::test]
async fn the_scheme_is_case_insensitive_and_followed_by_exactly_one_token() {
    let server = Server::new(|layer| layer).await;
    let right = "
        authorization: bearer $1 ~ authorization: BEARER $1
        AUTHORIZATION: bEaReR    $1\x20";
    server.answers("key", right).await;
    let wrong = "
        authorization: Bearer $1 extra ~ authorization: Bearer $1 $1
        authorization: Bearer $1, Bearer $1 ~ authorization: Bearer $1,realm=x
        authorization: Bearer $1; ~ authorization: Bearer $1\u{a0}
        authorization: Bearer Bearer $1 ~ authorization: Bearer\t$1
        authorization: Bearer \t$1 ~ authorization: Bearer \"$1\"
        authorization: Bearer token=\"$1\" ~ authorization: Bearer =$1
        authorization: Bearer:$1 ~ authorization: Bearer,$1 ~ authorization: Bearer=$1
        authorization: Bearer ~ authorization: bearer\x20\x20";
    server.stops("401 malformed", wrong).await;
    let other_schemes = "
        authorization: Bearer$1 ~ authorization: Bearer-$1 ~ authorization: Bearer_ $1
        authorization: Bearers $1 ~ authorization: $1 Bearer ~ authorization: $1 ~ accept: */*";
    server.stops("401 missing", other_schemes).await;
}

#[tokio::test]
async fn a_wrong_key_never_becomes_anonymous_where_keys_are_optional() {
    let server = Server::new(ApiKeyLayer::optional).await;
    server.answers("nobody", "accept: */*").await;
    server.answers("key", "x-api-key: $1").await;
    let both = "x-api-key: $1 | authorization: Bearer $1";
    server.stops("400 ambiguous", both).await;
    for name in ["x-api-key:", "authorization: Bearer"] {
        for wrong in ["wrong", "$1x", "key_$1", "null", "undefined"] {
            let response = server.send(&format!("{name} {wrong}")).await;
            assert_eq!(response.status, 401, "{name} {wrong}");
            assert_eq!(response.header("x-kind"), Some("unknown"));
        }
    }
}

#[tokio::test]
async fn a_wrong_key_never_becomes_anonymous_in_a_preflight() {
    let server = Server::new(ApiKeyLayer::forward_preflight).await;
    let preflight = "OPTIONS / > origin: http://a | access-control-request-method: GET";
    server.answers("nobody", preflight).await;
    let wrong = format!("{preflight} | x-api-key: wrong");
    let wrong = server.send(&wrong).await;
    assert_eq!(wrong.status, 401, "answered {:?}", wrong.text());
}

#[tokio::test]
async fn a_query_parameter_is_decoded_without_a_panic() {
    let places = FirstOf::new(Query::new("token"), Header::x_api_key());
    let server = Server::new(|layer| layer.extractor(places)).await;
    let malformed = "%FF %ff%fe %00 %ED%A0%80 %C3 %C3%A4 %F0%9F %20 %22 + $1%0A $1%2C$1 &a";
    let ambiguous = "$1&token=$1 $1&tok%65n=x &token=$1 %FF&token=$1 $1&token";
    for (expected, values) in [("401 malformed", malformed), ("400 ambiguous", ambiguous)] {
        for value in values.split(' ') {
            let request = format!("GET /?token={value} > accept: */*");
            server.stops(expected, &request).await;
        }
    }
    let both = "GET /?token=$1 > x-api-key: $2";
    server.stops("400 ambiguous", both).await;
    for name in "TOKEN xtoken token%00 token[] a=token x-api-key".split(' ') {
        let request = format!("GET /?{name}=$1 > accept: */*");
        server.stops("401 missing", &request).await;
    }
    let right = "GET /?a=b&token=$1 > accept: */*";
    server.answers("key", right).await;
}

#[tokio::test]
async fn only_the_exact_name_of_the_header_counts() {
    let server = Server::new(|layer| layer).await;
    let names = "x_api_key x-api_key x-apikey api-key apikey x-api-key- x-api-key2 xx-api-key \
                 x.api.key x--api-key http_x_api_key proxy-authorization cookie x-authorization";
    for name in names.split_whitespace() {
        let alone = format!("{name}: $1\n{name}: Bearer $1\n{name}: x-api-key=$1");
        server.stops("401 missing", &alone).await;
        // Beside the real one it neither harms nor helps.
        let beside = format!("{name}: $2 | x-api-key: $1\nx-api-key: $1 | {name}: wrong");
        server.answers("key", &beside).await;
        let response = server.send(&format!("{name}: $1 | x-api-key: wrong")).await;
        assert_eq!(response.header("x-kind"), Some("unknown"), "{name}");
    }
}

#[tokio::test]
async fn lines_that_servers_read_differently_never_pass() {
    let server = Server::new(|layer| layer).await;
    let table = "
        x-api-key : $1 ~ x-api-key\t: $1 ~ x-api-key: $1 |  folded ~ x-api-key: | \t$1
        x-api-key | $1 ~ x-api-key\0: $1 ~ \u{ff58}-api-key: $1";
    server.stops("400 none", table).await;
}
