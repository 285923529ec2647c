//! Which refusals have HTTP status 200: those of what can be native gRPC, and no others.

use std::net::SocketAddr;
use std::task::Poll;

use axum::Router;
use axum::routing::any;
use bytes::Bytes;
use http::{Response, StatusCode};
use tonic::Code;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;
use tonic_web::{GrpcWebClientLayer, GrpcWebLayer};
use tower::ServiceBuilder;
use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, KeyManager, MemoryStore, NewKey, Protocol, Rejection, RejectionKind,
    RequestHead, RequireAbility, Responder, StoreError, VerifiedKey,
};

use crate::common::{OddStore, in_time, issue, send_raw, serve};
use crate::grpc::{Answer, CHECK, EMPTY_MESSAGE, NATIVE, send};

const TYPE: &str = "content-type";

/// A refusal: how it is come by, and what it is.
struct Case {
    address: SocketAddr,
    path: &'static str,
    key: String,
    status: u16,
    code: &'static str,
}

impl Case {
    fn new(
        address: SocketAddr,
        path: &'static str,
        key: &str,
        status: u16,
        code: &'static str,
    ) -> Self {
        Self { address, path, key: key.to_owned(), status, code }
    }

    async fn send(&self, method: &str, lines: &[(&str, &str)]) -> Answer {
        let mut lines = lines.to_vec();
        if !self.key.is_empty() {
            lines.push(("x-api-key", &self.key));
        }
        send(self.address, method, self.path, &lines, EMPTY_MESSAGE).await
    }
}

fn limited(_: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
    Err(RejectionKind::RateLimited.into())
}

async fn handler() -> &'static str {
    "in"
}

/// Refuses in every place where something refuses.
async fn cases(set: impl Fn(ApiKeyLayer) -> ApiKeyLayer) -> Vec<Case> {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let layer = set(ApiKeyLayer::new(keys.clone()));
    let routes = Router::new()
        .route("/any", any(handler))
        .route("/ability", any(handler).layer(RequireAbility::new("bots:read")))
        .route("/limited", any(handler).layer(GuardLayer::new(limited)))
        .nest("/manage", KeyRoutes::new(KeyManager::new(keys), KeyOwner::default()).into_router());
    let strict = serve(routes.clone().layer(layer.clone())).await;
    let extractor = Router::new().route("/extractor", any(async |_: VerifiedKey| "in"));
    let optional = serve(routes.merge(extractor).layer(layer.clone().optional())).await;
    let down = || Poll::Ready(Err(StoreError::new("down")));
    let down = set(ApiKeyLayer::new(OddStore { answer: down, at_once: false }));
    let down = serve(Router::new().fallback(handler).layer(down)).await;
    vec![
        Case::new(strict, "/any", "", 401, "16"),
        Case::new(strict, "/any", "ak_unknown", 401, "16"),
        Case::new(strict, "/ability", &key, 403, "7"),
        Case::new(strict, "/limited", &key, 429, "8"),
        Case::new(strict, "/manage/api-keys", &key, 403, "7"),
        Case::new(optional, "/ability", "", 401, "16"),
        Case::new(optional, "/extractor", "", 401, "16"),
        Case::new(optional, "/manage/api-keys", "", 401, "16"),
        Case::new(down, "/any", &key, 503, "14"),
    ]
}

#[tokio::test]
async fn what_can_be_native_grpc_is_refused_in_the_way_of_grpc() {
    for protocol in [Protocol::Any, Protocol::Grpc] {
        for case in cases(|layer| layer.protocol(protocol)).await {
            for content_type in
                ["application/grpc", "Application/gRPC+proto", "application/grpc; x"]
            {
                let answer = case.send("POST", &[(TYPE, content_type), ("te", "trailers")]).await;
                assert_eq!((answer.status, answer.grpc_status()), (200, Some(case.code)));
                assert_eq!(answer.header(TYPE), Some("application/grpc"));
                assert_eq!(answer.header("cache-control"), Some("no-store"));
                assert!(answer.body.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_native_grpc_keeps_its_http_status() {
    let te = ("te", "trailers");
    for case in cases(|layer| layer).await {
        // A call of gRPC all the same, or one of gRPC-Web: the status is there twice.
        for lines in [
            &[(TYPE, "application/grpc")][..],
            &[(TYPE, "application/grpc+proto"), ("te", "gzip")],
            &[(TYPE, "application/grpc-web"), te],
            &[(TYPE, "application/grpc-web+proto"), te],
            &[(TYPE, "application/grpc-web-text"), te],
        ] {
            let answer = case.send("POST", lines).await;
            assert_eq!(answer.status, case.status, "{} {lines:?}", case.path);
            assert_eq!(answer.grpc_status(), Some(case.code), "{lines:?}");
            assert!(answer.headers.contains_key("grpc-message"));
            assert!(lines[0].1.starts_with(answer.header(TYPE).unwrap()));
            let challenged = answer.headers.contains_key("www-authenticate");
            assert_eq!(challenged, matches!(case.status, 401 | 403));
            assert!(answer.body.is_empty());
        }
        // Nothing that gRPC knows.
        for lines in [
            &[te][..],
            &[(TYPE, "application/json"), te],
            &[(TYPE, "application/grpcx"), te],
            &[(TYPE, "text/plain, application/grpc"), te],
            &[(TYPE, "application/grpc"), (TYPE, "application/grpc"), te],
            &[(TYPE, "application/grpc"), (TYPE, "text/plain"), te],
            &[("accept", "application/grpc"), ("grpc-timeout", "1S"), te],
            &[("x-http-method-override", "POST"), te],
        ] {
            let answer = case.send("POST", lines).await;
            assert_eq!(answer.status, case.status, "{} {lines:?}", case.path);
            assert_eq!(answer.header(TYPE), Some("application/problem+json"));
            assert_eq!(answer.grpc_status(), None);
        }
        for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post"] {
            let answer = case.send(method, &NATIVE).await;
            // axum knows which methods the management API has.
            let unknown = case.path == "/manage/api-keys" && answer.status == 405;
            assert!(answer.status == case.status || unknown, "{method} {}", case.path);
            assert_eq!(answer.grpc_status(), None);
        }
    }
}

#[tokio::test]
async fn over_http_1_nothing_is_native_grpc() {
    for case in cases(|layer| layer).await {
        let key = if case.key.is_empty() { "" } else { "\r\nx-api-key: " };
        for (method, content_type, is_call) in [
            ("POST", "application/grpc", true),
            ("POST", "application/grpc-web+proto", true),
            ("GET", "application/grpc", false),
            ("GET", "application/grpc-web-text", false),
        ] {
            for version in ["1.0", "1.1"] {
                let request = format!(
                    "{method} {} HTTP/{version}\r\nte: trailers\r\ncontent-length: 0\r\n\
                     content-type: {content_type}{key}{}",
                    case.path, case.key
                );
                let answer = in_time(send_raw(case.address, request)).await;
                assert_eq!(answer.status, case.status, "{method} {}", case.path);
                assert_eq!(answer.header("grpc-status"), is_call.then_some(case.code));
            }
        }
    }
}

#[tokio::test]
async fn where_no_grpc_is_spoken_no_header_makes_a_200_of_a_refusal() {
    for case in cases(|layer| layer.protocol(Protocol::Http)).await {
        for content_type in ["application/grpc", "application/grpc+proto", "application/grpc-web"] {
            let answer = case.send("POST", &[(TYPE, content_type), ("te", "trailers")]).await;
            assert_eq!(answer.status, case.status, "{} {content_type}", case.path);
            assert_eq!(answer.grpc_status(), None);
            assert_eq!(answer.header(TYPE), Some("application/problem+json"));
        }
    }
}

/// The settings that make the answers of a layer anew may come in any order.
#[tokio::test]
async fn the_protocol_is_kept_whatever_else_is_set() {
    let layer = || ApiKeyLayer::new(MemoryStore::new());
    for layer in [
        layer().protocol(Protocol::Http).responder(Responder::json()).realm("a"),
        layer().responder(Responder::json()).generic_challenge().protocol(Protocol::Http),
        layer()
            .protocol(Protocol::Grpc)
            .protocol(Protocol::Http)
            .extractor(tower_api_key::extract::Bearer),
    ] {
        let address = serve(Router::new().fallback(handler).layer(layer)).await;
        assert_eq!(send(address, "POST", "/", &NATIVE, b"").await.status, 401);
    }
}

#[tokio::test]
async fn a_guard_without_a_layer_is_never_a_200() {
    let guarded = any(handler).layer(RequireAbility::new("bots:read"));
    let extracted = any(async |_: VerifiedKey| "in");
    let routes = Router::new().route("/guard", guarded).route("/extractor", extracted);
    let address = serve(routes).await;
    for path in ["/guard", "/extractor"] {
        let answer = send(address, "POST", path, &NATIVE, EMPTY_MESSAGE).await;
        assert_eq!((answer.status, answer.grpc_status()), (500, Some("13")));
    }
}

#[tokio::test]
async fn the_status_of_a_responder_stands_beside_that_of_grpc() {
    let table = Responder::json().answer(RejectionKind::Missing, StatusCode::NOT_FOUND, "Nothing");
    let closure = |_: &Rejection, _: &RequestHead<'_>| {
        let mut response = Response::new(Bytes::from_static(b"{}"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert("content-length", 2.into());
        response
    };
    let layer = || ApiKeyLayer::new(MemoryStore::new());
    for (layer, message) in [
        (layer().responder(table), "Nothing"),
        (layer().responder(closure), "An API key is required"),
    ] {
        let address = serve(Router::new().fallback(handler).layer(layer)).await;
        let answer = send(address, "POST", "/", &[(TYPE, "application/grpc-web")], b"").await;
        assert_eq!((answer.status, answer.grpc_status()), (404, Some("16")));
        assert_eq!(answer.header("grpc-message"), Some(message));
        assert!(answer.body.is_empty());
    }
}

/// Calls the health service by gRPC-Web over HTTP/1.1.
async fn web_health(address: SocketAddr, key: &str) -> Result<i32, (Code, String)> {
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new());
    let client =
        ServiceBuilder::new().layer(GrpcWebClientLayer::new()).service(client.build_http());
    let mut client =
        HealthClient::with_origin(client, format!("http://{address}").parse().unwrap());
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if !key.is_empty() {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    match in_time(client.check(request)).await {
        Ok(response) => Ok(response.into_inner().status),
        Err(status) => Err((status.code(), status.message().to_owned())),
    }
}

#[tokio::test]
async fn grpc_web_works_with_its_layer_outside_and_inside() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot").abilities(["health:read"]));
    let weak = issue(&keys, NewKey::named("a robot that may nothing"));
    let layer = ApiKeyLayer::new(keys).guard(RequireAbility::new("health:read"));
    let health = || Routes::new(health_reporter().1).into_axum_router();
    let outside = health().layer(layer.clone()).layer(GrpcWebLayer::new());
    let inside = health().layer(GrpcWebLayer::new()).layer(layer.clone());
    let only_grpc = health().layer(layer.protocol(Protocol::Grpc)).layer(GrpcWebLayer::new());
    for app in [outside, inside, only_grpc] {
        let address = serve(app).await;
        assert_eq!(web_health(address, &key).await, Ok(1));
        let refusals = [
            ("", Code::Unauthenticated, "An API key is required"),
            ("ak_unknown", Code::Unauthenticated, "The API key is not valid"),
            (&weak, Code::PermissionDenied, "Missing ability: health:read"),
        ];
        for (key, code, message) in refusals {
            assert_eq!(web_health(address, key).await, Err((code, message.to_owned())));
            // What is native to tonic gets through the layer for gRPC-Web as it is.
            let mut lines = NATIVE.to_vec();
            if !key.is_empty() {
                lines.push(("x-api-key", key));
            }
            let native = send(address, "POST", CHECK, &lines, EMPTY_MESSAGE).await;
            let code = (code as i32).to_string();
            assert_eq!((native.status, native.grpc_status()), (200, Some(&*code)));
        }
        // The HTTP status of a call that a browser makes is a refusal, too.
        for content_type in ["application/grpc-web+proto", "application/grpc-web-text"] {
            let request = format!(
                "POST {CHECK} HTTP/1.1\r\ncontent-length: 0\r\ncontent-type: {content_type}"
            );
            let answer = in_time(send_raw(address, request)).await;
            assert_eq!((answer.status, answer.header("grpc-status")), (401, Some("16")));
            assert!(answer.header("content-type").unwrap().starts_with("application/grpc-web"));
        }
    }
}
