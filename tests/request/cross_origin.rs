//! Secret keys do not work in a browser's cross-origin calls: on the wire, in HTTP/1.1 and
//! HTTP/2.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::any;
use tower_api_key::{
    ApiKeyLayer, KeyKind, MemoryStore, NewKey, RefuseCrossOrigin, Responder, VerifiedKey,
};

use crate::common::{http2_client, in_time, issue, send_raw, serve, tell_kind};

/// Header lines, in which `{host}` stands for the host of the request, and whether they pass.
const REQUESTS: [(&[&str], bool); 26] = [
    (&[], true),
    (&["referer: https://evil.example/"], true),
    // What the browser says of the site decides, whatever the origin.
    (&["sec-fetch-site: same-origin"], true),
    (&["sec-fetch-site: none"], true),
    (&["sec-fetch-site: same-origin", "origin: https://evil.example"], true),
    (&["sec-fetch-site: same-site"], false),
    (&["sec-fetch-site: cross-site"], false),
    (&["sec-fetch-site: cross-site", "origin: http://{host}"], false),
    (&["sec-fetch-site: Same-Origin"], false),
    (&["sec-fetch-site: next-door"], false),
    (&["sec-fetch-site:"], false),
    (&["sec-fetch-site: none", "sec-fetch-site: none"], false),
    (&["sec-fetch-site: same-origin", "sec-fetch-site: cross-site"], false),
    // If it says nothing, the origin is compared with the host.
    (&["origin: http://{host}"], true),
    (&["origin: https://{host}"], true),
    (&["origin: https://evil.example"], false),
    (&["origin: http://127.0.0.1"], false),
    (&["origin: http://{host}.evil.example"], false),
    (&["origin: http://{host}@evil.example"], false),
    (&["origin: http://{host}/"], false),
    (&["origin: {host}"], false),
    (&["origin: null"], false),
    (&["origin:"], false),
    (&["origin: http://{host} http://evil.example"], false),
    (&["origin: http://{host}", "origin: http://{host}"], false),
    (&["origin: http://{host}", "origin: https://evil.example"], false),
];

const REFUSED: &str = "403 Secret API keys do not work in cross-origin calls";

struct Keys {
    secret: String,
    public: String,
}

fn app() -> (Router, Keys) {
    let keys = MemoryStore::new();
    let secret = issue(&keys, NewKey::named("secret"));
    let public = NewKey::named("public").kind(KeyKind::Public).origins(["https://shop.example"]);
    let public = issue(&keys, public);
    let layer = ApiKeyLayer::new(keys).responder(Responder::text()).accept_public_keys();
    let layer = layer.guard(RefuseCrossOrigin::new());
    let name = async |key: VerifiedKey| key.name().to_owned();
    let guarded = Router::new().fallback(any(name)).layer(layer);
    (
        tell_kind(Router::new().nest("/v1", guarded.clone()).fallback_service(guarded)),
        Keys { secret, public },
    )
}

/// Sends a request over HTTP/1.1, with `Host: localhost` after the given lines.
async fn send_http1(address: SocketAddr, target: &str, lines: &[&str], key: &str) -> String {
    let lines: String = lines.iter().map(|line| format!("\r\n{line}")).collect();
    let lines = lines.replace("{host}", "localhost");
    let request = format!("GET {target} HTTP/1.1\r\nx-api-key: {key}{lines}");
    let response = in_time(send_raw(address, request)).await;
    let kind = response.header("x-kind").unwrap_or("accepted");
    assert_eq!(kind, if response.status == 200 { "accepted" } else { "not_allowed" });
    format!("{} {}", response.status, response.text())
}

/// Sends a request over HTTP/2, where the host is in `:authority`.
async fn send_http2(address: SocketAddr, path: &str, lines: &[&str], key: &str) -> String {
    let mut request =
        http2_client().get(format!("http://{address}{path}")).header("x-api-key", key);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        request = request.header(name, value.trim_start().replace("{host}", &address.to_string()));
    }
    let response = in_time(request.send()).await.unwrap();
    assert_eq!(response.version(), http::Version::HTTP_2);
    let status = response.status().as_u16();
    format!("{status} {}", response.text().await.unwrap())
}

#[tokio::test]
async fn a_secret_key_passes_on_its_own_origin_only() {
    let (app, keys) = app();
    let address = serve(app).await;
    for (lines, passes) in REQUESTS {
        let expected = if passes { "200 secret" } else { REFUSED };
        for path in ["/", "/v1/bots"] {
            let http1 = send_http1(address, path, lines, &keys.secret).await;
            assert_eq!(http1, expected, "HTTP/1.1 {path} {lines:?}");
            let http2 = send_http2(address, path, lines, &keys.secret).await;
            assert_eq!(http2, expected, "HTTP/2 {path} {lines:?}");
        }
    }
}

#[tokio::test]
async fn a_public_key_passes_on_its_own_site_whatever_site_the_server_is() {
    let (app, keys) = app();
    let address = serve(app).await;
    for site in ["cross-site", "same-site", "same-origin"] {
        let lines = [&*format!("sec-fetch-site: {site}"), "origin: https://shop.example"];
        assert_eq!(send_http1(address, "/", &lines, &keys.public).await, "200 public", "{site}");
        assert_eq!(send_http2(address, "/", &lines, &keys.public).await, "200 public", "{site}");
    }
}

#[tokio::test]
async fn the_target_names_the_host_before_the_header_does() {
    let (app, keys) = app();
    let address = serve(app).await;
    for (target, lines, expected) in [
        ("http://api.example/", ["origin: https://api.example"], "200 secret"),
        ("http://API.example:443/v1/bots", ["origin: https://api.example"], "200 secret"),
        ("http://api.example/", ["origin: http://localhost"], REFUSED),
        ("http://api.example:8443/", ["origin: https://api.example"], REFUSED),
        ("http://evil.example/", ["origin: https://api.example"], REFUSED),
    ] {
        let answer = send_http1(address, target, &lines, &keys.secret).await;
        assert_eq!(answer, expected, "{target} {lines:?}");
    }
}

#[tokio::test]
async fn a_second_host_or_a_byte_that_is_no_text_is_refused() {
    let (app, keys) = app();
    let address = serve(app).await;
    let lines = ["host: localhost", "origin: http://localhost"];
    assert_eq!(send_http1(address, "/", &lines, &keys.secret).await, REFUSED);
    for line in ["origin: http://loc\u{e4}lhost", "sec-fetch-site: n\u{f6}ne"] {
        assert_eq!(send_http1(address, "/", &[line], &keys.secret).await, REFUSED, "{line}");
        assert_eq!(send_http2(address, "/", &[line], &keys.secret).await, REFUSED, "{line}");
    }
}

#[tokio::test]
async fn the_guard_is_a_layer_of_a_route_too() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("secret"));
    let name = async |key: VerifiedKey| key.name().to_owned();
    let app = Router::new()
        .route("/guarded", any(name).layer(RefuseCrossOrigin::new()))
        .route("/open", any(name))
        .layer(ApiKeyLayer::new(keys).responder(Responder::text()));
    let address = serve(tell_kind(app)).await;
    let lines = ["sec-fetch-site: cross-site"];
    assert_eq!(send_http1(address, "/guarded", &lines, &key).await, REFUSED);
    assert_eq!(send_http1(address, "/open", &lines, &key).await, "200 secret");
    assert_eq!(send_http1(address, "/guarded", &[], &key).await, "200 secret");
}
