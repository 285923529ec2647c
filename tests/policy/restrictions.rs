//! What the record of a key allows, where servers are put together of others.

use axum::Router;
use axum::routing::get;
use tonic::Code;
use tonic::transport::Server;
use tower::Layer as _;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, MemoryStore, NewKey, RequireStage, RequireTenant, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{get_raw, health, in_time, issue, serve, serve_tonic};

#[tokio::test]
async fn endpoints_are_compared_with_the_path_that_the_client_sent() {
    let keys = MemoryStore::new();
    let outer = issue(&keys, NewKey::named("outer").endpoints(["GET /v1/users/{id}"]));
    let inner = issue(&keys, NewKey::named("inner").endpoints(["GET /users/{id}", "GET /{id}"]));
    let layer = ApiKeyLayer::new(keys);
    let users =
        || Router::new().route("/{id}", get(async |key: VerifiedKey| key.name().to_owned()));
    let around = Router::new().nest("/v1", Router::new().nest("/users", users()));
    let within =
        Router::new().nest("/v1", Router::new().nest("/users", users().layer(layer.clone())));
    for app in [around.layer(layer), within] {
        let address = serve(app).await;
        let ask = async |key: &str, path: &str| {
            in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await.status
        };
        assert_eq!(ask(&outer, "/v1/users/7").await, 200);
        assert_eq!(ask(&inner, "/v1/users/7").await, 403);
        assert_eq!(ask(&outer, "/v1/users/7;x").await, 403);
    }
}

#[tokio::test]
async fn keys_policies_and_guards_know_the_same_paths() {
    let keys = MemoryStore::new();
    let layer = || ApiKeyLayer::new(keys.clone());
    let pattern = "GET /v1/files/{name}";
    let policy = || AccessPolicy::builder().allow(pattern, Requirement::key()).build().unwrap();
    let free = || NewKey::named("x").stage("v1").tenant("files");
    let (bound, free) = (issue(&keys, free().endpoints([pattern])), issue(&keys, free()));
    let stage = RequireStage::in_path_segment(0);
    let tenant = RequireTenant::in_path_segment(1);
    let all = || Router::new().fallback(get(async || "in"));
    let (long, longer) = (format!("/v1/files/{}", "x".repeat(8182)), "x".repeat(8183));
    let longer = format!("/v1/files/{longer}");
    for (key, app) in [
        (&bound, all().layer(layer())),
        (&free, all().layer(layer().policy(policy()))),
        (&free, all().layer(GuardLayer::new(policy())).layer(layer())),
        (&free, all().layer(layer().guard(stage))),
        (&free, all().layer(layer().guard(tenant))),
    ] {
        let address = serve(app).await;
        let ask = async |path: &str| {
            in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await.status
        };
        for path in ["a", "a.b", "..a", "a%20b", "%61", "caf%C3%A9", "%f0%9f%98%80", "a+b", "a~"] {
            assert_eq!(ask(&format!("/v1/files/{path}")).await, 200, "{path}");
        }
        for path in [
            "%ff",
            "caf%e9",
            "%c0%ae%c0%af",
            "%c0%ae%c0%ae",
            "%e0%80%af",
            "%ed%a0%80",
            "%C3",
            "%2e%2E",
            "a%2fb",
            "a%5Cb",
            "a;b",
            "a%3bb",
            "a%00",
            "a%",
            "a%zz",
            "%252e",
        ] {
            assert_eq!(ask(&format!("/v1/files/{path}")).await, 403, "{path}");
        }
        assert_eq!((long.len(), longer.len()), (8192, 8193));
        assert_eq!((ask(&long).await, ask(&longer).await), (200, 403));
    }
}

#[tokio::test]
async fn a_key_can_be_bound_to_the_methods_of_a_grpc_service() {
    let keys = MemoryStore::new();
    let (_, service) = tonic_health::server::health_reporter();
    let layer = ApiKeyLayer::new(keys.clone());
    let address = serve_tonic(Server::builder().add_service(layer.layer(service))).await;
    for (endpoint, allowed) in [
        ("POST /grpc.health.v1.Health/Check", true),
        ("/grpc.health.v1.Health/*", true),
        ("POST /grpc.health.v1.Health/Watch", false),
        ("GET /grpc.health.v1.Health/Check", false),
    ] {
        let key = issue(&keys, NewKey::named("bound").endpoints([endpoint]));
        match health(address, &key).await {
            Ok(()) => assert!(allowed, "{endpoint}"),
            Err(status) => {
                assert!(!allowed, "{endpoint}");
                assert_eq!(status.code(), Code::PermissionDenied);
                assert_eq!(status.message(), "The API key does not work on this endpoint");
            }
        }
    }
}

#[tokio::test]
async fn a_restriction_holds_from_the_next_request_on() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("free")).unwrap();
    let line = format!("x-api-key: {}", issued.secret.reveal());
    let app = Router::new().route("/", get(|| async {})).layer(ApiKeyLayer::new(keys.clone()));
    let address = serve(app).await;
    let ask = async || in_time(get_raw(address, "/", &[&line])).await.status;
    assert_eq!(ask().await, 200);
    let restrict = |endpoints: &[&str]| {
        let parsed: Vec<_> = endpoints.iter().map(|endpoint| endpoint.parse().unwrap()).collect();
        keys.update(issued.record.id(), |record| {
            let mut restrictions = record.restrictions().clone();
            restrictions.endpoints = Some(parsed.clone().into());
            record.set_restrictions(restrictions);
        })
    };
    for (endpoints, status) in [(&["POST /"][..], 403), (&["POST /", "GET /"], 200), (&[], 403)] {
        restrict(endpoints).unwrap();
        assert_eq!(ask().await, status, "{endpoints:?}");
    }
}
