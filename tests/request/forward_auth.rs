//! A layered endpoint as the judge of a proxy: what opens nginx's `auth_request`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::any;
use http::StatusCode;
use tower_api_key::{
    ApiKeyLayer, GuardLayer, MemoryStore, NewKey, Protocol, Rejection, RequestHead, VerifiedKey,
};

use crate::common::{in_time, issue, send_raw_with_body};
use crate::grpc::send;
use crate::nginx::AuthRequest;

/// What a client says that it sends.
const TYPES: [&str; 9] = [
    "",
    "application/json",
    "application/grpc",
    "application/grpc+proto",
    "APPLICATION/GRPC;x=y",
    "application/grpc-web",
    "application/grpc-web+proto",
    "application/grpc-web-text",
    "text/plain, application/grpc",
];

/// What else it says, to be taken for something else.
const OTHERS: [&[(&str, &str)]; 9] = [
    &[],
    &[("te", "trailers")],
    &[("te", "trailers"), ("grpc-timeout", "1S"), ("grpc-encoding", "identity")],
    &[("te", "trailers"), ("x-http-method-override", "POST"), ("x-original-method", "POST")],
    &[("origin", "https://a.example"), ("access-control-request-method", "GET")],
    &[("x-forwarded-method", "OPTIONS"), ("x-forwarded-proto", "h2"), ("x-original-uri", "/open")],
    &[("x-auth-request-redirect", "/"), ("grpc-status", "0"), ("status", "200")],
    &[("x-api-key", "ak_unknown"), ("te", "trailers")],
    &[("authorization", "Basic YTpi"), ("te", "trailers")],
];

const METHODS: [&str; 4] = ["GET", "POST", "DELETE", "OPTIONS"];

const VERSIONS: [&str; 3] = ["HTTP/1.0", "HTTP/1.1", "HTTP/2"];

/// nginx, the application behind it, and the key that opens it.
struct Gate {
    nginx: AuthRequest,
    reached: Arc<AtomicUsize>,
    key: String,
}

impl Gate {
    /// Makes a judge of a layer.
    async fn new(judge: impl FnOnce(Router, ApiKeyLayer) -> Router) -> Self {
        let keys = MemoryStore::new();
        let key = issue(&keys, NewKey::named("robot"));
        let yes = Router::new().fallback(any(async || StatusCode::NO_CONTENT));
        let judge = judge(yes, ApiKeyLayer::new(keys));
        let reached = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&reached);
        let application = Router::new().fallback(any(async move || {
            counter.fetch_add(1, Ordering::SeqCst);
            "in"
        }));
        Self { nginx: AuthRequest::start(judge, application).await, reached, key }
    }

    /// Sends every combination to a path, and returns those that reached the application.
    async fn opened_by(&self, path: &str, others: &[&[(&str, &str)]]) -> Vec<String> {
        let mut opened = Vec::new();
        for content_type in TYPES {
            for others in others {
                let mut lines = others.to_vec();
                if !content_type.is_empty() {
                    lines.push(("content-type", content_type));
                }
                for method in METHODS {
                    for version in VERSIONS {
                        let before = self.reached.load(Ordering::SeqCst);
                        let status = self.send(version, method, path, &lines).await;
                        let reached = self.reached.load(Ordering::SeqCst) > before;
                        assert_eq!(reached, status == 200, "{version} {method} {path} {lines:?}");
                        if reached {
                            opened.push(format!("{version} {method} {lines:?}"));
                        }
                    }
                }
            }
        }
        opened
    }

    async fn send(&self, version: &str, method: &str, path: &str, lines: &[(&str, &str)]) -> u16 {
        if version == "HTTP/2" {
            return send(self.nginx.http2(), method, path, lines, &[0; 5]).await.status;
        }
        let lines: String =
            lines.iter().map(|(name, value)| format!("\r\n{name}: {value}")).collect();
        let request = format!("{method} {path} {version}{lines}\r\ncontent-length: 5");
        in_time(send_raw_with_body(self.nginx.http1(), request, "\0\0\0\0\0")).await.status
    }
}

/// Checks that nothing but the key opens these paths.
async fn assert_shut(gate: &Gate, paths: &[&str]) {
    for path in paths {
        assert_eq!(gate.opened_by(path, &OTHERS).await, [""; 0], "{path}");
        let key = ("x-api-key", &*gate.key);
        let opened = gate.opened_by(path, &[&[key], &[key, ("te", "trailers")]]).await;
        assert_eq!(opened.len(), TYPES.len() * 2 * METHODS.len() * VERSIONS.len(), "{path}");
    }
}

const ALL: [&str; 3] = ["/page", "/method/page", "/http2/page"];

#[tokio::test]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn no_header_of_a_client_opens_a_judge_that_speaks_no_grpc() {
    let http = |layer: ApiKeyLayer| layer.protocol(Protocol::Http);
    assert_shut(&Gate::new(|yes, layer| yes.layer(http(layer))).await, &ALL).await;
}

#[tokio::test]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn guards_and_the_extractor_judge_by_the_setting_of_the_layer() {
    fn anything(_: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
        Ok(())
    }
    let optional = |layer: ApiKeyLayer| layer.optional().protocol(Protocol::Http);
    let guard = |yes: Router, layer| yes.layer(GuardLayer::new(anything)).layer(optional(layer));
    assert_shut(&Gate::new(guard).await, &["/method/page"]).await;
    let extractor = |_: Router, layer| {
        let yes = any(async |_: VerifiedKey| StatusCode::NO_CONTENT);
        Router::new().fallback(yes).layer(optional(layer))
    };
    assert_shut(&Gate::new(extractor).await, &["/method/page"]).await;
}

/// A judge that forwards preflights says yes to them, so only they open it.
#[tokio::test]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn a_forged_preflight_with_a_body_does_not_open_a_judge_that_forwards_preflights() {
    let gate =
        Gate::new(|yes, layer| yes.layer(layer.protocol(Protocol::Http).forward_preflight()));
    let gate = gate.await;
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    for version in VERSIONS {
        for content_type in ["application/grpc", "application/grpc-web", "text/plain"] {
            let lines = [&preflight[..], &[("content-type", content_type)]].concat();
            let status = gate.send(version, "OPTIONS", "/method/page", &lines).await;
            assert_eq!(status, 401, "{version} {content_type}");
        }
    }
    assert_eq!(gate.reached.load(Ordering::SeqCst), 0);
}

/// nginx asks a judge by HTTP/1, or by `GET`.
#[tokio::test]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn no_header_of_a_client_opens_a_judge_of_nginx_that_was_told_nothing() {
    assert_shut(&Gate::new(|yes, layer| yes.layer(layer)).await, &ALL).await;
}
