//! Requests that call a gRPC method by another HTTP method than `POST`: tonic looks at the path and
//! the body, and at nothing else.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use tonic::service::Routes;
use tonic_health::server::health_reporter;
use tower::Layer as _;
use tower_api_key::guard::{Guard, RequirePost};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, MemoryStore, NewKey, Protocol, RejectionKind, RequireAbility,
};

use crate::common::{issue, serve};
use crate::grpc::{Answer, CHECK, EMPTY_MESSAGE, NATIVE, send};

const OTHER_METHODS: [&str; 7] = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "FETCH"];

/// The content types by which a call may hide.
const TYPES: [&[(&str, &str)]; 4] = [
    &NATIVE,
    &[],
    &[("content-type", "application/json")],
    &[("content-type", "text/plain"), ("content-type", "application/grpc-web")],
];

fn health() -> Router {
    Routes::new(health_reporter().1).into_axum_router()
}

/// Calls with a key, unless it is empty.
async fn call(address: SocketAddr, method: &str, key: &str, lines: &[(&str, &str)]) -> Answer {
    let mut lines = lines.to_vec();
    if !key.is_empty() {
        lines.push(("x-api-key", key));
    }
    send(address, method, CHECK, &lines, EMPTY_MESSAGE).await
}

/// Checks that a key calls the method by `POST` and by none of the others.
async fn assert_post_only(address: SocketAddr, key: &str, others: &[&str]) {
    assert!(call(address, "POST", key, &NATIVE).await.was_served());
    for method in others {
        for lines in TYPES {
            let answer = call(address, method, key, lines).await;
            assert!(!answer.was_served(), "{method} {lines:?}");
            assert_eq!(answer.status, 403, "{method} {lines:?}");
            assert_eq!(answer.grpc_status(), None);
        }
    }
}

#[tokio::test]
async fn a_layer_that_speaks_only_grpc_refuses_all_but_post() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot").abilities(["*"]));
    let layer = ApiKeyLayer::new(keys).protocol(Protocol::Grpc);
    assert_post_only(serve(health().layer(layer.clone())).await, &key, &OTHER_METHODS).await;
    // Nor does a request without a key or without a message.
    let optional = serve(health().layer(layer.optional().forward_preflight())).await;
    assert_post_only(optional, "", &OTHER_METHODS).await;
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "POST")];
    for lines in [&[][..], &preflight] {
        for method in OTHER_METHODS {
            let answer = send(optional, method, CHECK, lines, b"").await;
            assert_eq!(answer.status, 403, "{method}");
        }
    }
}

#[tokio::test]
async fn a_guard_keeps_other_methods_from_the_grpc_services_of_a_server_that_speaks_both() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("reader").abilities(["pages:read", "health:check"]));
    let guards = RequirePost::new().and(RequireAbility::new("health:check"));
    let page = get(async || "page").layer(RequireAbility::by_method("pages"));
    for guarded in [health().layer(RequirePost::new()), health().layer(GuardLayer::new(guards))] {
        let app = guarded.route("/page", page.clone()).layer(ApiKeyLayer::new(keys.clone()));
        let address = serve(app).await;
        assert_post_only(address, &key, &OTHER_METHODS).await;
        let answer = send(address, "GET", "/page", &[("x-api-key", &key)], b"").await;
        assert_eq!((answer.status, &*answer.body), (200, &b"page"[..]));
    }
}

#[tokio::test]
async fn a_guard_by_method_takes_a_get_with_a_body_for_one_that_writes() {
    let keys = MemoryStore::new();
    let key =
        |abilities: &[&'static str]| issue(&keys, NewKey::named("x").abilities(abilities.to_vec()));
    let (reader, writer, both) = (key(&["a:read"]), key(&["a:write"]), key(&["a:*"]));
    let layer = ApiKeyLayer::new(keys.clone());
    let by_method = RequireAbility::by_method("a");
    for app in [
        health().layer(layer.clone().guard(by_method.clone())),
        health().layer(by_method).layer(layer),
    ] {
        let address = serve(app).await;
        for method in ["GET", "HEAD"] {
            for lines in TYPES {
                for key in [&reader, &writer] {
                    let answer = call(address, method, key, lines).await;
                    assert!(!answer.was_served(), "{method} {lines:?}");
                    assert_eq!(answer.status, 403, "{method} {lines:?}");
                }
                // A served `HEAD` would have a body, which HTTP/2 forbids.
                if method == "GET" {
                    assert!(call(address, method, &both, lines).await.was_served(), "{lines:?}");
                }
            }
            // Without a message, but with its type.
            let lines = [NATIVE[0], ("x-api-key", &*reader)];
            assert_eq!(send(address, method, CHECK, &lines, b"").await.status, 403);
        }
        assert!(call(address, "POST", &writer, &NATIVE).await.was_served());
    }
}

#[tokio::test]
async fn a_guard_by_method_lets_a_reader_get_over_both_versions_of_http() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("x").abilities(["a:read"]));
    let page = get(async || "page").layer(RequireAbility::by_method("a"));
    let app = Router::new().route("/", page).layer(ApiKeyLayer::new(keys));
    let address = serve(app).await;
    for client in [reqwest::Client::new(), crate::common::http2_client()] {
        for request in
            [client.get(format!("http://{address}/")), client.head(format!("http://{address}/"))]
        {
            let answer = request.header("x-api-key", &key).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    }
    for line in ["accept: */*", "content-length: 0", "content-type: application/json"] {
        let request = format!("GET / HTTP/1.1\r\nx-api-key: {key}\r\n{line}");
        assert_eq!(crate::common::send_raw(address, request).await.status, 200, "{line}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_that_it_is_empty_counts_as_one() {
    async fn hide(request: Request) -> Request {
        request.map(|body| Body::from_stream(body.into_data_stream()))
    }
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("x").abilities(["a:read"]));
    let app = Router::new().route("/", get(async || "page"));
    let layer = ApiKeyLayer::new(keys).forward_preflight().guard(RequireAbility::by_method("a"));
    let hiding = || axum::middleware::map_request(hide);
    let outside = serve(app.clone().layer(layer.clone()).layer(hiding())).await;
    let inside = serve(app.layer(hiding()).layer(layer)).await;
    let lines = [("x-api-key", &*key)];
    assert_eq!(send(outside, "GET", "/", &lines, b"").await.status, 403);
    assert_eq!(send(inside, "GET", "/", &lines, b"").await.status, 200);
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    assert_eq!(send(outside, "OPTIONS", "/", &preflight, b"").await.status, 401);
    assert_eq!(send(inside, "OPTIONS", "/", &preflight, b"").await.status, 405);
}

#[tokio::test]
async fn a_rule_for_get_calls_no_grpc_method() {
    let keys = MemoryStore::new();
    let key = |name, abilities: &[&'static str]| {
        issue(&keys, NewKey::named(name).abilities(abilities.to_vec()))
    };
    let (reader, root) = (key("reader", &["pages:read"]), key("root", &["*"]));
    let policy = || {
        AccessPolicy::builder()
            .allow("GET /*", Requirement::ability("pages:read"))
            .allow("OPTIONS /*", Requirement::ability("pages:read"))
    };
    let listed =
        policy().allow_grpc("grpc.health.v1.Health/Check", Requirement::ability("health:check"));
    // This one leaves the service to the rule for pages.
    let unlisted = policy().allow_grpc("acme.Other/*", Requirement::key());
    let layer = || ApiKeyLayer::new(keys.clone());
    for (policy, is_listed) in [(listed.build().unwrap(), true), (unlisted.build().unwrap(), false)]
    {
        for app in [
            health().layer(layer().policy(policy.clone())),
            health().layer(layer().guard(policy.clone())),
            health().layer(GuardLayer::new(policy)).layer(layer()),
        ] {
            let app = app.route("/page", get(async || "page"));
            let address = serve(app).await;
            for key in [&reader, &root] {
                for method in OTHER_METHODS {
                    for lines in TYPES {
                        let answer = call(address, method, key, lines).await;
                        assert!(!answer.was_served(), "{method} {lines:?}");
                        assert_eq!(answer.status, 403, "{method} {lines:?}");
                    }
                }
            }
            assert_eq!(call(address, "POST", &root, &NATIVE).await.was_served(), is_listed);
            assert!(!call(address, "POST", &reader, &NATIVE).await.was_served());
        }
    }
}

#[tokio::test]
async fn a_public_rule_for_get_lets_no_stranger_call_a_grpc_method() {
    let policy = AccessPolicy::builder().public("GET /*", "a site").build().unwrap();
    let layer = ApiKeyLayer::new(MemoryStore::new()).policy(policy);
    let app = health().route("/page", get(async || "page")).layer(layer);
    let address = serve(app).await;
    for method in ["GET", "HEAD"] {
        for lines in TYPES {
            let answer = call(address, method, "", lines).await;
            assert_eq!((answer.was_served(), answer.status), (false, 401), "{method} {lines:?}");
        }
    }
    assert_eq!(send(address, "GET", "/page", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_rule_for_every_method_judges_a_get_with_a_body_as_the_post_that_it_may_be() {
    let keys = MemoryStore::new();
    let key =
        |abilities: &[&'static str]| issue(&keys, NewKey::named("x").abilities(abilities.to_vec()));
    let (reader, both) = (key(&["a:read"]), key(&["a:*"]));
    let policy = AccessPolicy::builder()
        .allow(CHECK, Requirement::ability("a:read"))
        .allow(&format!("POST {CHECK}"), Requirement::ability("a:write"));
    let layer = ApiKeyLayer::new(keys).policy(policy.build().unwrap());
    let address = serve(health().layer(layer)).await;
    for lines in TYPES {
        for method in ["GET", "OPTIONS"] {
            assert_eq!(call(address, method, &reader, lines).await.status, 403, "{lines:?}");
            assert!(call(address, method, &both, lines).await.was_served(), "{lines:?}");
        }
    }
    let lines = [("x-api-key", &*reader)];
    assert_eq!(send(address, "GET", CHECK, &lines, b"").await.status, 200, "it has no message");
}

#[tokio::test]
async fn a_policy_on_trial_reports_a_get_that_may_be_a_post() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("x").abilities(["a:read"]));
    let reported = Arc::new(Mutex::new(Vec::new()));
    let reports = Arc::clone(&reported);
    let policy = AccessPolicy::builder()
        .allow(&format!("GET {CHECK}"), Requirement::ability("a:read"))
        .on_report(move |report| reports.lock().unwrap().push(report.rejection().kind()));
    let layer = ApiKeyLayer::new(keys).policy(policy.build().unwrap().report_only());
    let address = serve(health().layer(layer)).await;
    assert!(call(address, "GET", &key, &NATIVE).await.was_served());
    assert_eq!(*reported.lock().unwrap(), [RejectionKind::NotAllowed]);
    let lines = [("x-api-key", &*key)];
    assert_eq!(send(address, "GET", CHECK, &lines, b"").await.status, 200);
    assert_eq!(reported.lock().unwrap().len(), 1, "it is what it says");
}

#[tokio::test]
async fn a_key_that_may_only_get_calls_no_grpc_method() {
    let keys = MemoryStore::new();
    let key =
        |endpoints: &[&'static str]| issue(&keys, NewKey::named("x").endpoints(endpoints.to_vec()));
    let (reader, poster, both) = (key(&["GET /*"]), key(&["POST /*"]), key(&["/*"]));
    let app = health().route("/page", get(async || "page")).layer(ApiKeyLayer::new(keys.clone()));
    let address = serve(app).await;
    for method in ["GET", "HEAD", "OPTIONS"] {
        for lines in TYPES {
            for key in [&reader, &poster] {
                let answer = call(address, method, key, lines).await;
                assert_eq!(
                    (answer.was_served(), answer.status),
                    (false, 403),
                    "{method} {lines:?}"
                );
            }
            if method != "HEAD" {
                assert!(call(address, method, &both, lines).await.was_served(), "{lines:?}");
            }
        }
    }
    assert!(call(address, "POST", &poster, &NATIVE).await.was_served());
    let answer = send(address, "GET", "/page", &[("x-api-key", &*reader)], b"").await;
    assert_eq!(answer.status, 200);
}

/// The guard on a tonic service, as `add_service` takes it.
#[tokio::test]
async fn the_guard_for_post_is_a_layer_of_tonic() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let service = RequirePost::new().layer(health_reporter().1);
    let service = ApiKeyLayer::new(keys).layer(service);
    let server = tonic::transport::Server::builder().add_service(service);
    let address = crate::common::serve_tonic(server).await;
    assert_post_only(address, &key, &OTHER_METHODS).await;
    crate::common::health(address, &key).await.unwrap();
}
