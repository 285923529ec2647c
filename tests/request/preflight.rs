//! What passes as a CORS preflight, and so without a key: what browsers send, and nothing else.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use tonic::service::Routes;
use tonic_health::server::health_reporter;
use tower_api_key::extract::Header;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, Protocol, VerifiedKey};

use crate::common::{in_time, issue, send_raw_with_body, serve};
use crate::grpc::{CHECK, EMPTY_MESSAGE, send};

const PREFLIGHT: [(&str, &str); 2] =
    [("origin", "https://shop.example"), ("access-control-request-method", "POST")];

/// An application that counts what reaches it.
struct App {
    address: SocketAddr,
    reached: Arc<AtomicUsize>,
}

impl App {
    async fn serve(layer: ApiKeyLayer) -> Self {
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reached);
        let name = any(async move |key: Option<VerifiedKey>| {
            counter.fetch_add(1, Ordering::SeqCst);
            key.map_or("nobody".to_owned(), |key| key.name().to_owned())
        });
        let address = serve(Router::new().fallback(name).layer(layer)).await;
        Self { address, reached }
    }

    /// Tells whether an `OPTIONS` with these fields and this body reaches the application, which it
    /// has to do over both versions of HTTP or over none.
    async fn lets_pass(&self, path: &str, lines: &[(&str, &str)], body: &'static str) -> bool {
        let before = self.reached.load(Ordering::SeqCst);
        let over_2 = send(self.address, "OPTIONS", path, lines, body.as_bytes()).await;
        let text: String =
            lines.iter().map(|(name, value)| format!("\r\n{name}: {value}")).collect();
        let length = match body {
            "" => String::new(),
            body => format!("\r\ncontent-length: {}", body.len()),
        };
        let request = format!("OPTIONS {path} HTTP/1.1{text}{length}");
        let over_1 = in_time(send_raw_with_body(self.address, request, body)).await;
        let reached = self.reached.load(Ordering::SeqCst) - before;
        match (over_1.status, over_2.status, reached) {
            (200, 200, 2) => true,
            (401, 401, 0) => false,
            other => panic!("{path} {lines:?} {body:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_preflight_has_no_body_and_nothing_that_speaks_of_one() {
    let app = App::serve(ApiKeyLayer::new(MemoryStore::new()).forward_preflight()).await;
    assert!(app.lets_pass("/", &PREFLIGHT, "").await);
    let headers = ("access-control-request-headers", "x-api-key, content-type");
    assert!(app.lets_pass("/", &[PREFLIGHT[0], PREFLIGHT[1], headers], "").await);
    assert!(!app.lets_pass("/", &PREFLIGHT, "\0\0\0\0\0").await);
    for line in [
        ("content-type", "application/grpc"),
        ("content-type", "application/grpc-web+proto"),
        ("content-type", "application/json"),
        ("content-type", ""),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("origin", "https://evil.example"),
        ("access-control-request-method", "GET"),
    ] {
        let lines = [PREFLIGHT[0], PREFLIGHT[1], line];
        assert!(!app.lets_pass("/", &lines, "").await, "{line:?}");
        assert!(!app.lets_pass("/", &lines, "\0\0\0\0\0").await, "{line:?}");
    }
    assert!(!app.lets_pass("/", &PREFLIGHT[..1], "").await);
    assert!(!app.lets_pass("/", &PREFLIGHT[1..], "").await);
}

#[tokio::test]
async fn over_http_1_no_framing_hides_a_body() {
    let app = App::serve(ApiKeyLayer::new(MemoryStore::new()).forward_preflight()).await;
    let preflight = "OPTIONS / HTTP/1.1\r\norigin: https://shop.example\r\n\
        access-control-request-method: POST";
    for (line, body, status) in [
        ("content-length: 0", "", 200),
        ("content-length: 5", "\0\0\0\0\0", 401),
        ("transfer-encoding: chunked", "5\r\n\0\0\0\0\0\r\n0\r\n\r\n", 401),
        // An empty one, which no browser sends.
        ("transfer-encoding: chunked", "0\r\n\r\n", 401),
        ("upgrade: websocket", "", 401),
        ("upgrade: h2c", "", 401),
    ] {
        let request = format!("{preflight}\r\n{line}");
        let answer = in_time(send_raw_with_body(app.address, request, body)).await;
        assert_eq!(answer.status, status, "{line}");
    }
    assert_eq!(app.reached.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_forged_preflight_calls_no_grpc_method() {
    let health = || Routes::new(health_reporter().1).into_axum_router();
    let key_of = |keys: &MemoryStore| issue(keys, NewKey::named("robot"));
    let keys = MemoryStore::new();
    let key = key_of(&keys);
    let layer = ApiKeyLayer::new(keys).forward_preflight();
    let policy = || {
        let policy = AccessPolicy::builder().public("GET /healthz", "probes");
        policy.allow_grpc("grpc.health.v1.Health/*", Requirement::key()).build().unwrap()
    };
    for layer in [
        layer.clone(),
        layer.clone().optional().policy(policy()),
        layer.clone().policy(policy()),
        layer.clone().protocol(Protocol::Grpc),
        layer.optional().protocol(Protocol::Grpc),
    ] {
        let address = serve(health().layer(layer)).await;
        for content_type in [None, Some("application/grpc"), Some("text/plain")] {
            let mut lines = PREFLIGHT.to_vec();
            lines.extend(content_type.map(|content_type| ("content-type", content_type)));
            let answer = send(address, "OPTIONS", CHECK, &lines, EMPTY_MESSAGE).await;
            assert!(!answer.was_served(), "{content_type:?}");
            assert!([401, 403].contains(&answer.status), "{content_type:?}: {}", answer.status);
        }
        let call = [("content-type", "application/grpc"), ("te", "trailers"), ("x-api-key", &key)];
        assert!(send(address, "POST", CHECK, &call, EMPTY_MESSAGE).await.was_served());
    }
}

#[tokio::test]
async fn where_a_policy_is_a_preflight_passes_to_paths_that_it_knows_for_the_method() {
    let policy = AccessPolicy::builder()
        .public("GET /healthz", "probes")
        .allow("GET /users/{id}", Requirement::ability("users:read"))
        .allow("POST /users", Requirement::ability("users:write"))
        .allow("/any", Requirement::key())
        .allow_grpc("acme.Bots/*", Requirement::key());
    let policy = policy.build().unwrap();
    let layer = ApiKeyLayer::new(MemoryStore::new()).forward_preflight();
    let cases = [
        ("/users/7", "GET", true),
        ("/users/7?x=y", "GET", true),
        ("/users/7", "HEAD", true),
        ("/users/7", "DELETE", false),
        ("/users/7", "OPTIONS", false),
        ("/users/7", "get", false),
        ("/users/7", "FETCH", false),
        ("/users/7", "TRACE", false),
        ("/users", "POST", true),
        ("/users", "GET", false),
        ("/healthz", "GET", true),
        ("/healthz", "POST", false),
        ("/any", "PATCH", true),
        ("/any", "OPTIONS", true),
        ("/any", "PURGE", false),
        ("/acme.Bots/List", "POST", true),
        ("/acme.Bots/List", "GET", false),
        ("/nowhere", "GET", false),
        ("/users/../nowhere", "GET", false),
        ("//users/7", "GET", false),
        ("/%75sers/7", "GET", false),
    ];
    for layer in
        [layer.clone().policy(policy.clone()), layer.clone().optional().policy(policy.clone())]
    {
        let app = App::serve(layer).await;
        for (path, asked, passes) in cases {
            let lines = [PREFLIGHT[0], ("access-control-request-method", asked)];
            assert_eq!(app.lets_pass(path, &lines, "").await, passes, "{asked} {path}");
        }
        assert!(!app.lets_pass("/any", &PREFLIGHT, "x").await);
    }
    // One that is only tried decides nothing.
    let app = App::serve(layer.policy(policy.report_only())).await;
    for (path, asked, _) in cases {
        let lines = [PREFLIGHT[0], ("access-control-request-method", asked)];
        assert!(app.lets_pass(path, &lines, "").await, "{asked} {path}");
    }
    assert!(!app.lets_pass("/any", &PREFLIGHT, "x").await);
}

#[tokio::test]
async fn in_nested_routers_the_policy_is_asked_for_the_original_path() {
    let policy = AccessPolicy::builder().allow("POST /api/bots", Requirement::key());
    let layer = ApiKeyLayer::new(MemoryStore::new()).forward_preflight();
    let inner = Router::new()
        .route("/{*path}", any(async || "in"))
        .layer(layer.policy(policy.build().unwrap()));
    let app =
        Router::new().nest("/api", inner.clone()).nest("/x", Router::new().nest("/api", inner));
    let address = serve(app).await;
    for (path, status) in [("/api/bots", 200), ("/x/api/bots", 401), ("/api/api/bots", 401)] {
        let answer = send(address, "OPTIONS", path, &PREFLIGHT, b"").await;
        assert_eq!(answer.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_preflight_passes_without_the_key_that_an_outer_layer_verified() {
    let (outer, inner) = (MemoryStore::new(), MemoryStore::new());
    let key = issue(&outer, NewKey::named("outer"));
    let outer = ApiKeyLayer::new(outer).extractor(Header::new("x-outer-key"));
    let inner = ApiKeyLayer::new(inner).forward_preflight();
    let name = any(async |key: Option<VerifiedKey>| {
        key.map(|key| key.name().to_owned()).unwrap_or_default()
    });
    let address = serve(Router::new().fallback(name).layer(inner).layer(outer)).await;
    let lines = [PREFLIGHT[0], PREFLIGHT[1], ("x-outer-key", &key)];
    let answer = send(address, "OPTIONS", "/", &lines, b"").await;
    assert_eq!((answer.status, &*answer.body), (200, &b""[..]));
}
