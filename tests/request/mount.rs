//! One value of the layer on everything that it is meant for, over sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;
use tower::{Layer as _, ServiceBuilder};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequireAbility, VerifiedKey};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::trace::TraceLayer;

use crate::common::MemoryKeys as _;
use crate::common::{RawResponse, http2_client, in_time, send_raw, serve, serve_hyper};

/// Has the layer as a field.
struct Api {
    layer: ApiKeyLayer,
    key: String,
    weak_key: String,
}

/// The one value that all tests of this file mount.
static API: LazyLock<Api> = LazyLock::new(|| {
    let keys = MemoryStore::new();
    let issue = |key| keys.issue(key).unwrap().secret.reveal().to_owned();
    Api {
        key: issue(NewKey::named("robot").abilities(["health:read"])),
        weak_key: issue(NewKey::named("a robot that may nothing")),
        layer: ApiKeyLayer::new(keys),
    }
});

fn layer() -> ApiKeyLayer {
    API.layer.clone()
}

/// Answers with more than the 32 bytes from which on tower-http compresses.
fn greeting(key: &VerifiedKey) -> String {
    format!("hello {}, what can I do for you today?", key.name())
}

fn router() -> Router {
    Router::new().route("/", get(async |key: VerifiedKey| greeting(&key)))
}

async fn plain(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let key = request.extensions().get::<VerifiedKey>().unwrap();
    Ok(Response::new(greeting(key).into()))
}

/// Sends a request with the key and others without, by both versions of HTTP.
async fn assert_guarded(address: SocketAddr) {
    let url = format!("http://{address}/");
    let clients = [(reqwest::Client::new(), Version::HTTP_11), (http2_client(), Version::HTTP_2)];
    for (client, version) in clients {
        let accepted = client.get(&url).header("x-api-key", &API.key).send();
        let accepted = in_time(accepted).await.unwrap();
        assert_eq!(accepted.status(), StatusCode::OK);
        assert_eq!(accepted.version(), version);
        let body = in_time(accepted.text()).await.unwrap();
        assert_eq!(body, "hello robot, what can I do for you today?");

        let refused = in_time(client.get(&url).send()).await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(refused.version(), version);
        assert_eq!(refused.headers()["www-authenticate"], r#"Bearer realm="api""#);
        let body = in_time(refused.text()).await.unwrap();
        assert!(body.contains("An API key is required"), "{body}");

        let wrong = client.get(&url).bearer_auth("nobody").send();
        let wrong = in_time(wrong).await.unwrap();
        assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    }
}

async fn send(address: SocketAddr, start: &str, lines: &[&str]) -> RawResponse {
    let lines: String = lines.iter().map(|line| format!("\r\n{line}")).collect();
    in_time(send_raw(address, format!("{start} HTTP/1.1{lines}"))).await
}

fn key_line() -> String {
    format!("x-api-key: {}", API.key)
}

#[tokio::test]
async fn an_axum_router_takes_the_field_of_a_struct() {
    let address = serve(router().layer(API.layer.clone())).await;
    assert_guarded(address).await;
    // The fallback is within the layer, too.
    assert_eq!(send(address, "GET /nowhere", &[]).await.status, 401);
    let key = key_line();
    assert_eq!(send(address, "GET /nowhere", &[&key]).await.status, 404);
}

#[tokio::test]
async fn a_route_layer_takes_what_a_function_returned() {
    let address = serve(router().route_layer(layer())).await;
    assert_guarded(address).await;
    assert_eq!(send(address, "GET /nowhere", &[]).await.status, 404);
}

#[tokio::test]
async fn a_method_router_is_guarded_and_the_route_beside_it_is_not() {
    let guarded = get(async |key: VerifiedKey| greeting(&key)).layer(layer());
    let app = Router::new().route("/", guarded);
    let address = serve(app.route("/open", get(async || "open"))).await;
    assert_guarded(address).await;
    assert_eq!(send(address, "GET /open", &[]).await.text(), "open");
}

#[tokio::test]
async fn tracing_and_compression_may_be_outside_or_inside() {
    let outside = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(CompressionLayer::new())
        .layer(layer());
    let inside = ServiceBuilder::new()
        .layer(layer())
        .layer(CompressionLayer::new())
        .layer(TraceLayer::new_for_http());
    let key = key_line();
    let gzip = "accept-encoding: gzip";
    for (app, refusals_are_compressed) in
        [(router().layer(outside), true), (router().layer(inside), false)]
    {
        let address = serve(app).await;
        assert_guarded(address).await;
        let accepted = send(address, "GET /", &[gzip, &key]).await;
        assert_eq!(accepted.header("content-encoding"), Some("gzip"));
        let refused = send(address, "GET /", &[gzip]).await;
        assert_eq!(refused.status, 401);
        let compressed = refused.header("content-encoding").is_some();
        assert_eq!(compressed, refusals_are_compressed);
    }
}

#[tokio::test]
async fn a_hyper_service_is_guarded() {
    let service = layer().layer(tower::service_fn(plain));
    assert_guarded(serve_hyper(service).await).await;
}

#[tokio::test]
async fn a_hyper_service_is_guarded_between_other_layers() {
    let service = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(layer())
        .layer(CompressionLayer::new())
        .service_fn(plain);
    assert_guarded(serve_hyper(service).await).await;
}

async fn incoming() -> (TcpIncoming, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

/// Asks the health service over a channel of its own.
async fn check(address: SocketAddr, key: Option<&str>) -> Result<(), Status> {
    let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
    let channel = in_time(endpoint.connect()).await.unwrap();
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if let Some(key) = key {
        let metadata = request.metadata_mut();
        metadata.insert("x-api-key", key.parse().unwrap());
    }
    in_time(HealthClient::new(channel).check(request)).await?;
    Ok(())
}

async fn assert_grpc_guarded(address: SocketAddr) {
    check(address, Some(&API.key)).await.unwrap();
    let missing = check(address, None).await.unwrap_err();
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert_eq!(missing.message(), "An API key is required");
    let wrong = check(address, Some("nobody")).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!(wrong.message(), "The API key is not valid");
}

#[tokio::test]
async fn a_tonic_server_is_guarded() {
    let (incoming, address) = incoming().await;
    let (_reporter, health) = health_reporter();
    let server = Server::builder().layer(layer()).add_service(health);
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_grpc_guarded(address).await;
    check(address, Some(&API.weak_key)).await.unwrap();
}

#[tokio::test]
async fn a_tonic_service_keeps_its_name_within_the_layer() {
    let (incoming, address) = incoming().await;
    let (_reporter, health) = health_reporter();
    let server = Server::builder().add_service(layer().layer(health));
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_grpc_guarded(address).await;
}

async fn assert_ability_required(address: SocketAddr) {
    assert_grpc_guarded(address).await;
    let weak = check(address, Some(&API.weak_key)).await.unwrap_err();
    assert_eq!(weak.code(), Code::PermissionDenied);
    assert_eq!(weak.message(), "Missing ability: health:read");
}

#[tokio::test]
async fn a_tonic_service_has_a_guard_within_the_servers_layer() {
    let (incoming, address) = incoming().await;
    let (_reporter, health) = health_reporter();
    let guarded = RequireAbility::new("health:read").layer(health);
    let server = Server::builder().layer(layer()).add_service(guarded);
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_ability_required(address).await;
}

#[tokio::test]
async fn a_tonic_service_has_a_guard_and_the_layer_around_itself() {
    let (incoming, address) = incoming().await;
    let (_reporter, health) = health_reporter();
    let guarded = RequireAbility::new("health:read").layer(health);
    let server = Server::builder().add_service(layer().layer(guarded));
    tokio::spawn(server.serve_with_incoming(incoming));
    assert_ability_required(address).await;
}

const ORIGIN: &str = "origin: https://shop.example";
const ASKS: &str = "access-control-request-method: GET";

#[tokio::test]
async fn a_cors_layer_outside_answers_preflights_and_marks_refusals() {
    let stack = ServiceBuilder::new().layer(CorsLayer::permissive()).layer(layer());
    let address = serve(router().layer(stack)).await;
    assert_guarded(address).await;
    let preflight = send(address, "OPTIONS /", &[ORIGIN, ASKS]).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-methods"), Some("*"));
    // Without it, a page's script could not read why it was refused.
    let refused = send(address, "GET /", &[ORIGIN]).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn only_real_preflights_are_forwarded_to_a_cors_layer_inside() {
    let stack =
        ServiceBuilder::new().layer(layer().forward_preflight()).layer(CorsLayer::permissive());
    let address = serve(router().layer(stack)).await;
    assert_guarded(address).await;
    let preflight = send(address, "OPTIONS /", &[ORIGIN, ASKS]).await;
    assert_eq!(preflight.status, 200);
    assert_eq!(preflight.header("access-control-allow-methods"), Some("*"));
    for lines in [&[][..], &[ORIGIN], &[ASKS]] {
        let plain = send(address, "OPTIONS /", lines).await;
        assert_eq!(plain.status, 401, "{lines:?}");
    }
    let with_a_wrong_key = [ORIGIN, ASKS, "x-api-key: nobody"];
    assert_eq!(send(address, "OPTIONS /", &with_a_wrong_key).await.status, 401);
    for start in ["GET /", "HEAD /", "POST /"] {
        let disguised = send(address, start, &[ORIGIN, ASKS]).await;
        assert_eq!(disguised.status, 401, "{start}");
    }
}

#[tokio::test]
async fn a_preflight_is_refused_unless_it_is_to_be_forwarded() {
    let stack = ServiceBuilder::new().layer(layer()).layer(CorsLayer::permissive());
    let address = serve(router().layer(stack)).await;
    let preflight = send(address, "OPTIONS /", &[ORIGIN, ASKS]).await;
    assert_eq!(preflight.status, 401);
}
