//! Which path a request is judged by where routers are nested, and where a handler calls a router
//! with the extensions of the request that it serves.

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, NestedPath, OriginalUri, Request};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, any};
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::health_reporter;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, MemoryStore, NewKey, RequestHead, RequireStage, RequireTenant, VerifiedKey,
};

use crate::common::{in_time, issue, send_raw, serve, tell_kind};

/// Layers that each decide by the path that clients sent, and keys of which the first is for that
/// path only. Its first segment is their stage and their tenant.
struct Deciders {
    layers: [(&'static str, ApiKeyLayer); 6],
    bound: String,
    free: String,
}

impl Deciders {
    fn of(path: &str) -> Self {
        let keys = MemoryStore::new();
        let first = path.split('/').nth(1).filter(|first| !first.contains('%')).unwrap_or("none");
        let key = || NewKey::named("x").stage(first).tenant(first);
        let bound = issue(&keys, key().endpoints([path]));
        let free = issue(&keys, NewKey::named("x").stage(first).tenant(first));
        let layer = || ApiKeyLayer::new(keys.clone());
        let allow = AccessPolicy::builder().allow(path, Requirement::key()).build().unwrap();
        let public = AccessPolicy::builder().public(path, "a test").build().unwrap();
        let layers = [
            ("endpoints", layer()),
            ("policy", layer().policy(allow.clone())),
            ("guard", layer().guard(allow)),
            ("public", layer().policy(public)),
            ("stage", layer().guard(RequireStage::in_path_segment(0))),
            ("tenant", layer().guard(RequireTenant::in_path_segment(0))),
        ];
        Self { layers, bound, free }
    }

    /// Returns which of them let a request pass that goes to `path`, and from there to `to`.
    async fn passing(&self, app: &App<'_>, path: &str, to: &str) -> Vec<&'static str> {
        let mut passing = Vec::new();
        for (name, layer) in &self.layers {
            let key = match *name {
                "endpoints" => format!("\r\nx-api-key: {}", self.bound),
                "public" => String::new(),
                _ => format!("\r\nx-api-key: {}", self.free),
            };
            let address = serve(tell_kind(app(layer.clone()))).await;
            let request = format!("POST {path} HTTP/1.1\r\nto: {to}{key}");
            let response = in_time(send_raw(address, request)).await;
            match (response.status, response.header("x-kind")) {
                (200, None) => passing.push(*name),
                (401, Some("missing")) if *name == "public" => {}
                (403, Some("not_allowed" | "wrong_stage" | "wrong_tenant")) => {}
                _ => panic!("{name}: {path} to {to}: {response:?}"),
            }
        }
        passing
    }
}

/// Makes an application with a layer somewhere within.
type App<'a> = dyn Fn(ApiKeyLayer) -> Router + 'a;

const ALL: [&str; 6] = ["endpoints", "policy", "guard", "public", "stage", "tenant"];
const NONE: [&str; 0] = [];

/// What a handler keeps of the extensions of its request when it calls a router.
#[derive(Clone, Copy, Debug)]
enum Keep {
    All,
    /// With one that is left over, axum's `nest_service` panics where assertions are on.
    AllButMatchedPath,
    OriginalUri,
    Nothing,
}

/// A handler that calls `inner` with the URI in the header `to`.
fn call(inner: Router, keep: Keep) -> MethodRouter {
    any(async move |request: Request| -> Response {
        let (mut parts, _) = request.into_parts();
        parts.uri = parts.headers["to"].to_str().unwrap().parse().unwrap();
        let original: OriginalUri = parts.extensions.get().cloned().unwrap();
        match keep {
            Keep::All => {}
            Keep::AllButMatchedPath => drop(parts.extensions.remove::<MatchedPath>()),
            Keep::OriginalUri => {
                parts.extensions.clear();
                parts.extensions.insert(original);
            }
            Keep::Nothing => parts.extensions.clear(),
        }
        inner.oneshot(Request::from_parts(parts, Body::empty())).await.into_response()
    })
}

fn inside() -> MethodRouter {
    any(async || "in")
}

fn at(path: &str) -> Router {
    Router::new().route(path, inside())
}

fn anywhere() -> Router {
    Router::new().fallback(inside())
}

#[tokio::test]
async fn a_request_that_is_handed_on_is_not_judged_by_the_path_of_another() {
    let deciders = Deciders::of("/batch");
    for keep in [Keep::All, Keep::OriginalUri] {
        let app = |layer| Router::new().route("/batch", call(anywhere().layer(layer), keep));
        for to in ["/admin", "/admin/batch", "/batch/admin", "/", "/batch/", "/x?y=/batch"] {
            assert_eq!(deciders.passing(&app, "/batch", to).await, NONE, "{to} {keep:?}");
        }
        for to in ["/batch", "/batch?x", "http://other/batch"] {
            assert_eq!(deciders.passing(&app, "/batch?y", to).await, ALL, "{to} {keep:?}");
        }
    }
    // A request of its own is judged by its own path.
    let app = |layer| Router::new().route("/any", call(anywhere().layer(layer), Keep::Nothing));
    assert_eq!(deciders.passing(&app, "/any", "/batch").await, ALL);
    assert_eq!(deciders.passing(&app, "/any", "/admin").await, NONE);
}

#[tokio::test]
async fn what_nesting_leaves_of_another_path_is_not_taken_for_the_original() {
    let deciders = Deciders::of("/batch");
    let inner: [(&str, &App<'_>); 9] = [
        ("/admin/batch", &|l| Router::new().nest("/admin", at("/batch").layer(l))),
        ("/admin/batch", &|l| Router::new().nest("/{tenant}", at("/batch").layer(l))),
        ("/admin/batch", &|l| Router::new().nest_service("/admin", anywhere().layer(l))),
        ("/admin/batch", &|l| Router::new().nest_service("/{a}", l.layer(anywhere()))),
        ("/admin", &|l| Router::new().nest("/{tenant}", at("/").layer(l))),
        ("/admin", &|l| Router::new().nest_service("/{tenant}", anywhere().layer(l))),
        ("/admin/", &|l| Router::new().nest_service("/{tenant}", l.layer(anywhere()))),
        ("/admin/x/batch", &|l| Router::new().nest("/{a}/{b}", at("/batch").layer(l))),
        ("/admin/x", &|l| {
            Router::new().nest("/{a}", Router::new().nest_service("/{b}", l.layer(anywhere())))
        }),
    ];
    for (to, inner) in inner {
        for keep in [Keep::AllButMatchedPath, Keep::OriginalUri] {
            let app = |layer| Router::new().route("/batch", call(inner(layer), keep));
            assert_eq!(deciders.passing(&app, "/batch", to).await, NONE, "{to} {keep:?}");
            // As well where the outer route has captured what the original path is.
            let app = |layer| Router::new().route("/{tenant}", call(inner(layer), keep));
            assert_eq!(deciders.passing(&app, "/batch", to).await, NONE, "{to} {keep:?}");
        }
    }
}

#[tokio::test]
async fn a_nested_handler_that_calls_a_router_is_not_taken_for_another() {
    let deciders = Deciders::of("/v1/batch");
    let handler = |inner| Router::new().route("/batch", call(inner, Keep::AllButMatchedPath));
    let inner: [(&[&str], &App<'_>); 5] = [
        (&["/v1", "/v2/batch", "/admin", "/admin/batch", "/v1/batch/x"], &|l| anywhere().layer(l)),
        (&["/v1", "/v1/batch", "/v1/v1/batch"], &|l| {
            Router::new().nest("/v1", anywhere().layer(l))
        }),
        (&["/v1/batch", "/v2/batch"], &|l| {
            Router::new().nest("/{version}", at("/{batch}").layer(l))
        }),
        (&["/v2", "/v2/", "/batch/batch"], &|l| {
            Router::new().nest_service("/{version}", l.layer(anywhere()))
        }),
        (&["/admin/batch"], &|l| Router::new().nest("/admin", at("/batch").layer(l))),
    ];
    for (all, inner) in inner {
        for prefix in ["/v1", "/{version}"] {
            let app = |layer| Router::new().nest(prefix, handler(inner(layer)));
            for to in all {
                let passing = deciders.passing(&app, "/v1/batch", to).await;
                assert_eq!(passing, NONE, "{to} in {prefix}");
            }
        }
    }
    // A router that serves what the nested one serves, and one that serves the whole again.
    let app = |layer| Router::new().nest("/v1", handler(anywhere().layer(layer)));
    for to in ["/batch", "/v1/batch"] {
        assert_eq!(deciders.passing(&app, "/v1/batch", to).await, ALL, "{to}");
    }
}

#[tokio::test]
async fn a_nested_router_is_judged_by_the_path_that_the_client_sent() {
    let routes: [(&str, &str, &App<'_>); 19] = [
        ("/api/x", "/x", &|l| Router::new().nest("/api", at("/x").layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest("/api", at("/x").route_layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest("/api", at("/{x}").layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest("/api", anywhere().layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest("/api/", at("/x").layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest("/{version}", at("/x").layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest("/{version}", at("/{id}").layer(l))),
        ("/api/x", "/x", &|l| Router::new().nest_service("/api", l.layer(anywhere()))),
        ("/api/x", "/x", &|l| Router::new().nest_service("/{version}", l.layer(at("/{id}")))),
        ("/api/x", "/x", &|l| Router::new().merge(Router::new().nest("/api", at("/x").layer(l)))),
        ("/api/x", "/x", &|l| Router::new().nest("/api", at("/x")).layer(l)),
        ("/api/x", "/x", &|l| Router::new().fallback_service(l.layer(anywhere()))),
        ("/api/7/b/x", "/b/x", &|l| Router::new().nest("/api/{id}", at("/b/x").layer(l))),
        ("/api/7/b/x", "/x", &|l| {
            Router::new().nest("/api/{id}", Router::new().nest("/b", at("/x").layer(l)))
        }),
        ("/api/7/b/x", "/x", &|l| {
            let inner = Router::new().nest_service("/{b}", l.layer(at("/{c}")));
            Router::new().nest_service("/api/", Router::new().nest("/{id}/", inner))
        }),
        ("/api/7/b/x", "/x", &|l| {
            let inner = Router::new().nest("/{id}", Router::new().nest("/{b}", at("/x").layer(l)));
            Router::new().nest_service("/{id}", inner)
        }),
        ("/api/7/b/x", "/x", &|l| {
            let inner = Router::new().nest("/api/{id}/b", at("/{x}").layer(l));
            // axum refuses a router itself.
            let inner = ServiceBuilder::new().map_request(|all: Request| all).service(inner);
            Router::new().route_service("/{*all}", inner)
        }),
        ("/api/a%20b/x%C3%A4", "/x%C3%A4", &|l| {
            Router::new().nest("/api/{id}", at("/{x}").layer(l))
        }),
        ("/api/a%20b/x", "/x", &|l| Router::new().nest("/api/a%20b", at("/x").layer(l))),
    ];
    for (number, (whole, rest, app)) in routes.into_iter().enumerate() {
        let by_whole = Deciders::of(whole);
        for query in ["", "?", "?x=/y&z"] {
            let path = format!("{whole}{query}");
            assert_eq!(by_whole.passing(app, &path, "/").await, ALL, "{number}: {path}");
        }
        let by_rest = Deciders::of(rest);
        assert_eq!(by_rest.passing(app, whole, "/").await, NONE, "{number}: {rest}");
    }
}

#[tokio::test]
async fn the_root_of_a_nested_router_is_reached_by_its_own_path() {
    let routes: [(&str, &App<'_>); 8] = [
        ("/api", &|l| Router::new().nest("/api", at("/").layer(l))),
        ("/api", &|l| Router::new().nest("/{version}", at("/").layer(l))),
        ("/api", &|l| Router::new().nest("/api", anywhere().layer(l))),
        ("/api", &|l| Router::new().nest_service("/api", l.layer(anywhere()))),
        ("/api/", &|l| Router::new().nest("/api/", at("/").layer(l))),
        ("/api/", &|l| Router::new().nest_service("/api", l.layer(anywhere()))),
        ("/api/", &|l| Router::new().nest_service("/{version}", l.layer(anywhere()))),
        ("/api/b", &|l| Router::new().nest("/api", Router::new().nest("/b", at("/").layer(l)))),
    ];
    for (path, app) in routes {
        assert_eq!(Deciders::of(path).passing(app, path, "/").await, ALL, "{path}");
        let other = if path.ends_with('/') { "/api" } else { "/api/" };
        let by_segment = ["stage", "tenant"];
        assert_eq!(Deciders::of(other).passing(app, path, "/").await, by_segment, "{path}");
    }
}

#[tokio::test]
async fn grpc_services_in_routers_are_judged_by_the_whole_path() {
    let keys = MemoryStore::new();
    let key = |path: &str| issue(&keys, NewKey::named("x").endpoints([path]));
    let (at_root, nested) = (
        key("POST /grpc.health.v1.Health/Check"),
        key("POST /inner/grpc.health.v1.Health/{method}"),
    );
    let service = || ApiKeyLayer::new(keys.clone()).layer(health_reporter().1);
    let routes = || Routes::new(service()).into_axum_router();
    for (prefix, app, [by_root, by_nested]) in [
        ("", routes(), [true, false]),
        ("", Router::new().merge(routes()), [true, false]),
        ("", Router::new().fallback_service(routes()), [true, false]),
        ("/inner", Router::new().nest("/inner", routes()), [false, true]),
        ("/inner", Router::new().nest_service("/{any}", routes()), [false, true]),
    ] {
        let address = serve(app).await;
        for (key, passes) in [(&at_root, by_root), (&nested, by_nested)] {
            let url = format!("http://{address}");
            let channel = tonic::transport::Channel::from_shared(url.clone()).unwrap();
            let origin = format!("{url}{prefix}").parse().unwrap();
            let mut client = HealthClient::with_origin(channel.connect().await.unwrap(), origin);
            let mut request = tonic::Request::new(HealthCheckRequest::default());
            request.metadata_mut().insert("x-api-key", key.parse().unwrap());
            let answer = in_time(client.check(request)).await;
            assert_eq!(answer.is_ok(), passes, "{prefix}: {answer:?}");
        }
    }
}

/// What a guard of an application is told.
async fn seen(app: impl FnOnce(ApiKeyLayer) -> Router, path: &str, to: &str) -> String {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("x"));
    let tell = |_: &VerifiedKey, head: &RequestHead<'_>| {
        let segment = head.path_segment(0).unwrap_or("none");
        let seen = format!("{} {} {segment}", head.uri(), head.original_uri());
        Err(tower_api_key::Rejection::new(tower_api_key::RejectionKind::NotAllowed)
            .with_message(seen))
    };
    let layer = ApiKeyLayer::new(keys).guard(tell).responder(tower_api_key::Responder::text());
    let address = serve(app(layer)).await;
    let request = format!("GET {path} HTTP/1.1\r\nto: {to}\r\nx-api-key: {key}");
    send_raw(address, request).await.text().to_owned()
}

#[tokio::test]
async fn an_original_uri_that_is_not_known_is_an_asterisk() {
    let nested = |layer| Router::new().nest("/a", anywhere().layer(layer));
    assert_eq!(seen(nested, "/a/b?c", "/").await, "/b?c /a/b?c a");
    let batch = |layer| Router::new().route("/x", call(nested(layer), Keep::All));
    assert_eq!(seen(batch, "/x", "/a/b?c").await, "/b?c * none");
    let batch = |layer| Router::new().route("/x", call(nested(layer), Keep::Nothing));
    assert_eq!(seen(batch, "/x", "/a/b?c").await, "/b?c /a/b?c a");
}

#[tokio::test]
async fn middleware_that_changes_the_path_within_a_router_has_to_say_what_was_asked() {
    let deciders = Deciders::of("/new");
    let rewrite = |mut request: Request| {
        *request.uri_mut() = "/new".parse().unwrap();
        request
    };
    let inside = |layer: ApiKeyLayer| {
        let layers = ServiceBuilder::new().map_request(rewrite).layer(layer);
        Router::new().fallback_service(layers.service(anywhere()))
    };
    assert_eq!(deciders.passing(&inside, "/old", "/").await, NONE);
    let before = |layer: ApiKeyLayer| {
        let layers = ServiceBuilder::new().map_request(rewrite);
        Router::new().fallback_service(layers.service(anywhere().layer(layer)))
    };
    // The outer router has seen it all the same.
    assert_eq!(deciders.passing(&before, "/old", "/").await, NONE);
    let telling = |layer: ApiKeyLayer| {
        let tell = move |request| {
            let mut request = rewrite(request);
            let uri = OriginalUri(request.uri().clone());
            request.extensions_mut().remove::<NestedPath>();
            request.extensions_mut().insert(uri);
            request
        };
        let layers = ServiceBuilder::new().map_request(tell).layer(layer);
        Router::new().fallback_service(layers.service(anywhere()))
    };
    assert_eq!(deciders.passing(&telling, "/old", "/").await, ALL);
}
