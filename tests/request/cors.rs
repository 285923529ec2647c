//! A CORS layer outside and inside of the key layer: what pages of a shop are told over a socket.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::post;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use tower_api_key::{ApiKeyLayer, KeyKind, NewKey, RequireKind};
use tower_http::cors::CorsLayer;

use crate::common::{CountingStore, RawResponse, in_time, issue, send_raw, serve};

const SHOP: &str = "https://shop.example";
const EVIL: &str = "https://evil.example";
const PREFLIGHT: &str =
    "access-control-request-method: POST\r\naccess-control-request-headers: x-api-key";

/// Lets pages of the shop call with a key, and read the answers and when to come back.
fn cors() -> CorsLayer {
    closed_cors().expose_headers([RETRY_AFTER, HeaderName::from_static("ratelimit")])
}

/// Does so with none but the fields that pages may always read.
fn closed_cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin([HeaderValue::from_static(SHOP)])
        .allow_methods([http::Method::POST])
        .allow_headers([HeaderName::from_static("x-api-key")])
}

/// The recommended order.
fn cors_outside(router: Router, layer: ApiKeyLayer) -> Router {
    router.layer(layer).layer(cors())
}

fn cors_inside(router: Router, layer: ApiKeyLayer) -> Router {
    router.layer(cors()).layer(layer.forward_preflight())
}

fn cors_inside_unheard(router: Router, layer: ApiKeyLayer) -> Router {
    router.layer(cors()).layer(layer)
}

struct Server {
    address: SocketAddr,
    store: CountingStore,
    /// The shop's public key, good for one request.
    key: String,
    /// The public key of another shop.
    other_key: String,
    secret_key: String,
}

impl Server {
    async fn start(mount: fn(Router, ApiKeyLayer) -> Router) -> Self {
        let store = CountingStore::default();
        let public =
            |name, origin| NewKey::named(name).kind(KeyKind::Public).origins([origin as &str]);
        let chat = post(async || "hello").layer(RequireKind::new(KeyKind::Public));
        let router = Router::new().route("/widget/v1/chat", chat);
        let layer = ApiKeyLayer::new(store.clone()).accept_public_keys();
        Self {
            address: serve(mount(router, layer)).await,
            key: issue(&store.keys, public("shop", SHOP).limit("1 per hour")),
            other_key: issue(&store.keys, public("other", "https://other.example")),
            secret_key: issue(&store.keys, NewKey::named("secret")),
            store,
        }
    }

    async fn send(&self, method: &str, origin: &str, lines: &str) -> RawResponse {
        let line_end = if lines.is_empty() { "" } else { "\r\n" };
        let request =
            format!("{method} /widget/v1/chat HTTP/1.1\r\norigin: {origin}{line_end}{lines}");
        in_time(send_raw(self.address, request)).await
    }

    /// Calls the API as a page does whose preflight was answered.
    async fn call(&self, origin: &str, key: &str) -> RawResponse {
        let line = if key.is_empty() { String::new() } else { format!("x-api-key: {key}") };
        self.send("POST", origin, &line).await
    }
}

/// Returns the origin whose pages may read the response.
fn reader(response: &RawResponse) -> Option<&str> {
    response.header("access-control-allow-origin")
}

/// Returns the names in all `Vary` of a response.
fn vary(response: &RawResponse) -> Vec<&str> {
    let lines = response.headers.iter().filter(|(name, _)| name == "vary");
    lines.flat_map(|(_, names)| names.split(',').map(str::trim)).collect()
}

#[tokio::test]
async fn outside_preflights_are_answered_without_asking_for_a_key() {
    let server = Server::start(cors_outside).await;
    for lines in [PREFLIGHT, &format!("{PREFLIGHT}\r\nx-api-key: nobody")] {
        let allowed = server.send("OPTIONS", SHOP, lines).await;
        assert_eq!((allowed.status, reader(&allowed)), (200, Some(SHOP)));
        assert_eq!(allowed.header("access-control-allow-methods"), Some("POST"));
        assert_eq!(allowed.header("access-control-allow-headers"), Some("x-api-key"));
        let other = server.send("OPTIONS", EVIL, lines).await;
        assert_eq!((other.status, reader(&other)), (200, None));
    }
    // tower-http takes every OPTIONS for a preflight, so none comes to the key layer.
    assert_eq!(server.send("OPTIONS", SHOP, "").await.status, 200);
    assert_eq!(server.store.asked(), 0);
}

#[tokio::test]
async fn outside_a_page_of_the_shop_can_read_every_answer() {
    let server = Server::start(cors_outside).await;
    for (key, status) in [
        (&*server.key, 200),
        ("", 401),
        ("nobody", 401),
        (&server.other_key, 403),
        // The guard of the route refuses it, and the layer does the others.
        (&server.secret_key, 403),
        (&server.key, 429),
    ] {
        let response = server.call(SHOP, key).await;
        assert_eq!((response.status, reader(&response)), (status, Some(SHOP)));
        let exposed = response.header("access-control-expose-headers");
        assert_eq!(exposed, Some("retry-after,ratelimit"), "{status}");
    }
}

#[tokio::test]
async fn outside_a_page_of_another_site_is_refused_and_cannot_read_why() {
    let server = Server::start(cors_outside).await;
    for (key, status) in [("", 401), ("nobody", 401), (&*server.key, 403), (&server.other_key, 403)]
    {
        let response = server.call(EVIL, key).await;
        assert_eq!((response.status, reader(&response)), (status, None));
    }
    // What was refused did not spend the shop's only request.
    assert_eq!(server.call(SHOP, &server.key).await.status, 200);
}

#[tokio::test]
async fn outside_a_page_reads_how_its_limits_stand_if_the_fields_are_exposed() {
    fn closed(router: Router, layer: ApiKeyLayer) -> Router {
        router.layer(layer).layer(closed_cors())
    }
    for (mount, exposed) in
        [(cors_outside as fn(_, _) -> _, Some("retry-after,ratelimit")), (closed, None)]
    {
        let server = Server::start(mount).await;
        let served = server.call(SHOP, &server.key).await;
        assert_eq!(served.header("ratelimit"), Some(r#""hourly";r=0;t=3600"#));
        let limited = server.call(SHOP, &server.key).await;
        assert_eq!(limited.status, 429);
        assert!(limited.header("ratelimit").unwrap().starts_with(r#""hourly";r=0;t="#));
        let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
        assert!((3590..=3600).contains(&wait), "{wait}");
        assert_eq!(limited.json()["violated-policies"], serde_json::json!(["hourly"]));
        for response in [served, limited] {
            assert_eq!(response.header("access-control-expose-headers"), exposed);
        }
    }
}

#[tokio::test]
async fn inside_preflights_are_refused_unless_they_are_forwarded() {
    let server = Server::start(cors_inside_unheard).await;
    let refused = server.send("OPTIONS", SHOP, PREFLIGHT).await;
    assert_eq!((refused.status, reader(&refused)), (401, None));

    let server = Server::start(cors_inside).await;
    let forwarded = server.send("OPTIONS", SHOP, PREFLIGHT).await;
    assert_eq!((forwarded.status, reader(&forwarded)), (200, Some(SHOP)));
    assert_eq!(forwarded.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(forwarded.header("access-control-allow-headers"), Some("x-api-key"));
    let other = server.send("OPTIONS", EVIL, PREFLIGHT).await;
    assert_eq!((other.status, reader(&other)), (200, None));
    assert_eq!(server.store.asked(), 0);
}

#[tokio::test]
async fn inside_a_page_cannot_read_what_the_key_layer_refuses() {
    let server = Server::start(cors_inside).await;
    for (key, status, reads) in [
        (&*server.key, 200, Some(SHOP)),
        ("", 401, None),
        ("nobody", 401, None),
        (&server.other_key, 403, None),
        (&server.key, 429, None),
        // This one comes from the guard of the route, within the CORS layer.
        (&server.secret_key, 403, Some(SHOP)),
    ] {
        let response = server.call(SHOP, key).await;
        assert_eq!((response.status, reader(&response)), (status, reads));
        assert_eq!(response.header("access-control-expose-headers").is_some(), reads.is_some());
    }
}

#[tokio::test]
async fn inside_what_is_no_preflight_is_judged_like_any_request() {
    let server = Server::start(cors_inside).await;
    let with_key = |key: &str| format!("{PREFLIGHT}\r\nx-api-key: {key}");
    for (lines, status) in [
        // No method is asked for.
        ("", 401),
        ("access-control-request-headers: x-api-key", 401),
        // Browsers send preflights without credentials.
        (&with_key("nobody"), 401),
        (&with_key(&server.other_key), 403),
    ] {
        let response = server.send("OPTIONS", SHOP, lines).await;
        assert_eq!((response.status, reader(&response)), (status, None), "{lines}");
    }
    let without_origin = format!("OPTIONS /widget/v1/chat HTTP/1.1\r\n{PREFLIGHT}");
    assert_eq!(in_time(send_raw(server.address, without_origin)).await.status, 401);
    for method in ["GET", "HEAD", "POST"] {
        assert_eq!(server.send(method, SHOP, PREFLIGHT).await.status, 401, "{method}");
    }

    let lines = with_key(&server.key);
    assert_eq!(server.send("OPTIONS", EVIL, &lines).await.status, 403);
    let accepted = server.send("OPTIONS", SHOP, &lines).await;
    assert_eq!((accepted.status, reader(&accepted)), (200, Some(SHOP)));
    assert_eq!(accepted.header("ratelimit"), Some(r#""hourly";r=0;t=3600"#), "it is counted");
    assert_eq!(server.send("OPTIONS", SHOP, &lines).await.status, 429);
}

#[tokio::test]
async fn a_cache_learns_that_both_the_origin_and_the_key_decide() {
    for mount in [cors_outside as fn(_, _) -> _, cors_inside] {
        let server = Server::start(mount).await;
        let served = server.call(SHOP, &server.key).await;
        assert_eq!(served.status, 200);
        for name in ["origin", "x-api-key"] {
            let found = vary(&served).iter().filter(|found| **found == name).count();
            assert_eq!(found, 1, "{name}: {served:?}");
        }
        assert_eq!(served.header("cache-control"), Some("private"));
        let limited = server.call(SHOP, &server.key).await;
        assert_eq!((limited.status, limited.header("cache-control")), (429, Some("no-store")));
    }
}
