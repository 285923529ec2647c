//! The access of an application as one table: on the layer, as a guard, and around a router.

use std::panic::catch_unwind;
use std::time::SystemTime;

use axum::Router;
use axum::routing::any;
use tonic::Code;
use tonic::transport::Server;
use tonic_health::server::health_reporter;
use tower::Layer as _;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::testing::assert_policy_covers;
use tower_api_key::{ApiKeyLayer, GuardLayer, KeyKind, MemoryStore, NewKey};

use crate::app::{
    OF_SHOP, app, expect, gets, name, on_layer, policy, public, root, serve_mounted, start,
};
use crate::common::request::{RawRequest, request};
use crate::common::{ODD_PATHS, health, in_time, issue, serve_tonic};

/// Paths that are nearly on the list.
const NEAR: [&str; 39] = [
    "/",
    "/admin/",
    "/admin/x",
    "/x/admin",
    "/adminx",
    "/healthz-admin",
    "/health/detailed",
    "/healthz/",
    "/HEALTHZ",
    "//healthz",
    "/%68ealthz",
    "/healthz%2f",
    "/healthz%3f",
    "/healthz;x",
    "/healthz/..;/admin",
    "/x/../healthz",
    "/healthz/../admin",
    "/healthz.json",
    "/x?y=/healthz",
    "/?/healthz",
    "/healthz%00",
    "/users",
    "/users/",
    "/users/7/",
    "/users//7",
    "/users/7/keys",
    "/Users/7",
    "/users/..",
    "/users/%2e%2e",
    "/users/a%2Fb",
    "/users/a%5cb",
    "/users/7;x",
    "/users/%252e",
    "/users/%ff",
    "/users/%c0%ae%c0%af",
    "/users/../admin",
    "/users/x/../7",
    "//users/7",
    "/users?/7",
];

#[tokio::test]
async fn what_is_not_exactly_on_the_list_is_refused_wherever_the_policy_is_mounted() {
    let keys = MemoryStore::new();
    let (root, user) = (issue(&keys, root()), issue(&keys, NewKey::named("user")));
    let policy = policy().build().unwrap();
    let listed = ["/admin", "/admin?x=//y", "http://other/admin"];
    for address in serve_mounted(ApiKeyLayer::new(keys), policy).await {
        expect("200 root", address, &root, gets(["/users/7", "/users/me?x", "/healthz"])).await;
        expect("200 root", address, &root, gets(listed)).await;
        expect("403 missing_ability", address, &user, gets(listed)).await;
        expect("200 user", address, &user, gets(["/users/7", "/users/%20", "/healthz"])).await;
        for key in [&root, &user] {
            expect("403 not_allowed", address, key, gets(ODD_PATHS).chain(gets(NEAR))).await;
        }
        let all = gets(ODD_PATHS).chain(gets(NEAR)).chain(gets(listed)).chain(gets(["/users/7"]));
        expect("401 missing", address, "", all).await;
    }
}

#[tokio::test]
async fn methods_are_exactly_those_on_the_list_and_overrides_are_ignored() {
    let keys = MemoryStore::new();
    let root = issue(&keys, root());
    let policy = policy().allow("PUT /any", Requirement::key());
    let policy = policy.allow("/any", Requirement::key()).build().unwrap();
    for address in serve_mounted(ApiKeyLayer::new(keys), policy).await {
        expect("200", address, &root, ["HEAD /admin", "HEAD /users/7", "HEAD /healthz"]).await;
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "Head", "FETCH", "HEALTHZ",
        ] {
            for path in ["/admin", "/users/7", "/healthz"] {
                let plain = request(format!("{method} {path}"));
                let requests = [
                    plain.clone(),
                    plain
                        .clone()
                        .line("x-http-method-override: GET")
                        .line("x-http-method: GET")
                        .line("x-method-override: GET")
                        .line("x-original-method: GET"),
                    request(format!("{method} {path}?_method=GET")),
                    plain
                        .line("origin: https://a.example")
                        .line("access-control-request-method: GET"),
                ];
                expect("403 not_allowed", address, &root, requests.clone()).await;
                expect("401 missing", address, "", requests).await;
            }
        }
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            expect("200 root", address, &root, [format!("{method} /any")]).await;
        }
        expect("403 not_allowed", address, &root, ["TRACE /any", "FETCH /any"]).await;
        expect("403 not_allowed", address, &root, ["OPTIONS *"]).await;
        for (path, claimed) in [("/x", "/admin"), ("/x", "/healthz"), ("/admin", "/healthz")] {
            let request = request(format!("GET {path}"))
                .line(format!("x-original-url: {claimed}"))
                .line(format!("x-rewrite-url: {claimed}"))
                .line(format!("x-forwarded-uri: {claimed}"))
                .line(format!("x-forwarded-prefix: {claimed}"))
                .line(format!("x-forwarded-path: {claimed}"));
            let answer = if path == "/x" { "403 not_allowed" } else { "200 root" };
            expect(answer, address, &root, [request.clone()]).await;
            expect("401 missing", address, "", [request]).await;
        }
    }
}

#[tokio::test]
async fn in_nested_routers_and_fallbacks_the_original_path_counts() {
    let keys = MemoryStore::new();
    let root = issue(&keys, root());
    let layer = || ApiKeyLayer::new(keys.clone());
    let inner = || Router::new().route("/{id}", any(name));
    let nest = |app: Router| Router::new().nest("/a", Router::new().nest("/b", app));
    // To the inner routers, the path would be one of the others.
    for (prefix, answer, public) in [
        ("/a/b", "200 root", "200 nobody"),
        ("/b", "403 not_allowed", "401 missing"),
        ("", "403 not_allowed", "401 missing"),
    ] {
        let policy = AccessPolicy::builder()
            .allow(&format!("GET {prefix}/{{id}}"), Requirement::key())
            .public(&format!("GET {prefix}/open"), "a test");
        let policy = policy.build().unwrap();
        let (on_layer, around) = (layer().policy(policy.clone()), GuardLayer::new(policy.clone()));
        for (app, opens) in [
            (nest(inner()).layer(on_layer.clone()), true),
            (nest(inner().layer(on_layer.clone())), true),
            (Router::new().nest("/a/b", app().layer(on_layer.clone())), true),
            (Router::new().nest_service("/a/b", on_layer.clone().layer(app())), true),
            (Router::new().fallback_service(on_layer.layer(nest(inner()))), true),
            (nest(inner().layer(layer().guard(policy))), false),
            (nest(inner().layer(around.clone())).layer(layer()), false),
            (Router::new().nest("/a/b", app().layer(around)).layer(layer()), false),
        ] {
            let address = start(app).await;
            expect(answer, address, &root, gets(["/a/b/7", "/a/b/7?x", "/a/b/open"])).await;
            expect("401 missing", address, "", gets(["/a/b/7"])).await;
            let public = if opens { public } else { "401 missing" };
            expect(public, address, "", gets(["/a/b/open"])).await;
        }
    }
}

#[tokio::test]
async fn a_public_route_needs_no_key_and_refuses_a_wrong_one() {
    let keys = MemoryStore::new();
    let right = issue(&keys, NewKey::named("right"));
    let expired = issue(&keys, NewKey::named("expired").expires_at(SystemTime::UNIX_EPOCH));
    // Where keys are optional, no more passes without one.
    for layer in [
        ApiKeyLayer::new(keys.clone()),
        ApiKeyLayer::new(keys.clone()).optional(),
        ApiKeyLayer::new(keys.clone()).accept_public_keys(),
    ] {
        let address = start(on_layer(layer, policy())).await;
        for (key, get, head, post) in [
            ("", "200 nobody", "200", "401 missing"),
            (&*right, "200 right", "200", "403 not_allowed"),
            ("ak_unknown", "401 unknown", "401 unknown", "401 unknown"),
            ("a b", "401 malformed", "401 malformed", "401 malformed"),
            (&*expired, "401 expired", "401 expired", "401 expired"),
        ] {
            expect(get, address, key, gets(["/healthz", "/healthz?x", "http://a/healthz"])).await;
            expect(head, address, key, ["HEAD /healthz"]).await;
            expect(post, address, key, ["POST /healthz", "OPTIONS /healthz"]).await;
        }
        let two = request("GET /healthz").line(format!("authorization: Bearer {right}"));
        expect("400 ambiguous", address, &right, [two]).await;
        expect(
            "401 missing",
            address,
            "",
            gets(["/admin", "/users/7", "/nowhere"]).chain(gets(NEAR)),
        )
        .await;
    }
}

#[tokio::test]
async fn public_keys_work_exactly_where_the_policy_says_so() {
    let keys = MemoryStore::new();
    let (public, root) = (issue(&keys, public()), issue(&keys, root()));
    let policy = || {
        policy()
            .allow("GET /widget", Requirement::key().kind(KeyKind::Public))
            .allow("GET /chat", Requirement::ability("chat:read").kind(KeyKind::Public))
            .allow("GET /both", Requirement::key().any_kind())
    };
    let layer = || ApiKeyLayer::new(keys.clone());
    fn at_site<const N: usize>(paths: [&'static str; N]) -> impl Iterator<Item = RawRequest> {
        gets(paths).map(|request| request.line(OF_SHOP))
    }
    for layer in [layer(), layer().accept_public_keys()] {
        let address = start(on_layer(layer, policy())).await;
        expect("200 public", address, &public, at_site(["/widget", "/chat", "/both", "/healthz"]))
            .await;
        expect("403 not_allowed", address, &public, at_site(["/admin", "/users/7", "/nowhere"]))
            .await;
        expect("200 root", address, &root, gets(["/both", "/admin", "/users/7", "/healthz"])).await;
        expect("403 not_allowed", address, &root, at_site(["/widget", "/chat"])).await;
        // Elsewhere it works on no route.
        let all = gets(["/widget", "/chat", "/both", "/healthz"]);
        expect("403 not_allowed", address, &public, all).await;
    }
    // As a guard, the policy says what a key may do, and the layer which keys there are.
    let [_, as_guard, around] = serve_mounted(layer(), policy().build().unwrap()).await;
    let all = ["/widget", "/chat", "/both", "/healthz", "/admin"];
    expect("403 not_allowed", as_guard, &public, at_site(all)).await;
    expect("403 not_allowed", around, &public, at_site(all)).await;
}

#[tokio::test]
async fn grpc_methods_are_on_the_list_as_well() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("key"));
    let refused = Some((Code::PermissionDenied, "The API key does not allow this endpoint"));
    let missing = Some((Code::Unauthenticated, "An API key is required"));
    let policy = AccessPolicy::builder;
    let any = Requirement::key;
    for (policy, with_key, without) in [
        (policy().allow_grpc("grpc.health.v1.Health/Check", any()), None, missing),
        (policy().allow_grpc("grpc.health.v1.Health/*", any()), None, missing),
        (policy().public("POST /grpc.health.v1.Health/Check", "probes"), None, None),
        (policy().allow_grpc("grpc.health.v1.Health/Watch", any()), refused, missing),
        (policy().allow_grpc("grpc.health.v2.Health/Check", any()), refused, missing),
        (policy().allow("GET /grpc.health.v1.Health/Check", any()), refused, missing),
    ] {
        let layer = ApiKeyLayer::new(keys.clone()).policy(policy.build().unwrap());
        let service = layer.layer(health_reporter().1);
        let address = serve_tonic(Server::builder().add_service(service)).await;
        for (key, refusal) in [(&*key, with_key), ("", without)] {
            let status = in_time(health(address, key)).await.err();
            let told = status.as_ref().map(|status| (status.code(), status.message()));
            assert_eq!(told, refusal);
        }
    }
}

#[tokio::test]
async fn a_test_can_check_that_every_route_has_a_rule() {
    const ROUTES: [&str; 3] = ["/healthz", "/admin", "/users/{user}"];
    let keys = MemoryStore::new();
    let root = issue(&keys, root());
    let policy = || policy().build().unwrap();
    let gets_of = |routes: &[&str]| routes.iter().map(|route| format!("GET {route}")).collect();
    let mut routes: Vec<String> = gets_of(&ROUTES);
    assert_policy_covers(&policy(), &routes);
    let app = ROUTES.into_iter().fold(Router::new(), |app, route| app.route(route, any(name)));
    let app = app.route("/forgotten", any(name));
    let address = start(app.layer(ApiKeyLayer::new(keys).policy(policy()))).await;
    for route in &routes {
        expect("200 root", address, &root, [route.replace("{user}", "7")]).await;
    }
    expect("403 not_allowed", address, &root, gets(["/forgotten"])).await;
    routes.push("GET /forgotten".to_owned());
    let panic = catch_unwind(|| assert_policy_covers(&policy(), &routes)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert_eq!(message, "no rule of the policy covers:\n- GET /forgotten");
}

#[tokio::test]
async fn an_encoded_letter_leads_past_no_rule() {
    use axum::extract::Path;
    use tower_api_key::policy::{AccessPolicy, Requirement};

    let policy = AccessPolicy::builder()
        .public("GET /files/*", "everybody may read them")
        .allow("GET /files/payroll", Requirement::ability("payroll:read"))
        .allow("GET /users/{id}", Requirement::key())
        .allow("GET /users/root", Requirement::ability("users:admin"))
        .allow("GET /users/a:b", Requirement::ability("users:admin"))
        .build()
        .unwrap();
    let keys = tower_api_key::MemoryStore::new();
    let key = crate::common::issue(&keys, tower_api_key::NewKey::named("plain"));
    let show = || axum::routing::get(async |Path(name): Path<String>| name);
    let app = axum::Router::new().route("/files/{*name}", show()).route("/users/{id}", show());
    let layer = tower_api_key::ApiKeyLayer::new(keys).policy(policy);
    let address = crate::common::serve(app.layer(layer)).await;
    for (path, without, with) in [
        ("/files/a/b", 200, 200),
        ("/files/a%20b", 200, 200),
        ("/files/caf%C3%A9", 200, 200),
        ("/files/payroll", 401, 403),
        ("/files/%70ayroll", 401, 403),
        ("/files/payrol%6c", 401, 403),
        ("/files/payroll%3Fx", 401, 403),
        ("/files/%FF", 401, 403),
        ("/users/7", 401, 200),
        ("/users/root", 401, 403),
        ("/users/%72oot", 401, 403),
        ("/users/%72%6F%6F%74", 401, 403),
        ("/users/a%3Ab", 401, 403),
        ("/users/a%3ac", 401, 200),
    ] {
        assert_eq!(crate::common::get_raw(address, path, &[]).await.status, without, "{path}");
        let line = format!("x-api-key: {key}");
        assert_eq!(crate::common::get_raw(address, path, &[&line]).await.status, with, "{path}");
    }
}
