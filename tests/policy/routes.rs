//! Which requests a guard means, however their paths and methods are written.

use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::{MethodRouter, any, get, post};
use serde_json::{Value, json};
use tower::Layer as _;
use tower_api_key::key::IssueError;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, KeyKind, KeyRecord, KeyScheme, MemoryStore, NewKey, Rejection,
    RequestHead, RequireAbility, RequireKind, RequireStage, RequireTenant, VerifiedKey,
};

use crate::app::gets;
use crate::common::MemoryKeys as _;
use crate::common::request::{RawRequest, request};
use crate::common::{ODD_PATHS, errors, issue, logged, send_raw, serve, start_log, tell_kind};

/// A server, its keys, and how often its handlers were called.
struct Server {
    address: SocketAddr,
    keys: MemoryStore,
    calls: Arc<AtomicUsize>,
}

impl Server {
    /// Serves what `app` makes of a handler, for any method, and a layer.
    async fn new(app: impl FnOnce(MethodRouter, ApiKeyLayer) -> Router) -> Self {
        let (keys, calls) = (MemoryStore::new(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&calls);
        let handler = move || {
            counter.fetch_add(1, Ordering::SeqCst);
            async { "in" }
        };
        let app = app(any(handler), ApiKeyLayer::new(keys.clone()));
        Self { address: serve(tell_kind(app)).await, keys, calls }
    }

    /// Sends a request with a key, and returns the status and the reason or the text.
    async fn send(&self, key: &str, request: impl Into<RawRequest>) -> String {
        let request = request.into().key(key);
        let before = self.calls.load(Ordering::SeqCst);
        let response = send_raw(self.address, &request).await;
        let called = self.calls.load(Ordering::SeqCst) - before;
        assert_eq!(called > 0, response.status == 200, "{request}: called {called} times");
        let text = response.header("x-kind").unwrap_or_else(|| response.text());
        format!("{} {text}", response.status).trim_end().to_owned()
    }

    /// Checks that all of these requests are answered so.
    async fn expect(
        &self,
        answer: &str,
        key: &str,
        all: impl IntoIterator<Item: Into<RawRequest>>,
    ) {
        for request in all {
            let request = request.into();
            assert_eq!(self.send(key, request.clone()).await, answer, "{request}");
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_exactly_a_known_route_is_denied() {
    let server = Server::new(|handler, layer| {
        let guarded = handler.layer(RequireAbility::new("admin:all"));
        Router::new().route("/admin", guarded).layer(layer)
    })
    .await;
    let key = issue(&server.keys, NewKey::named("root").abilities(["*"]));
    server
        .expect("200 in", &key, gets(["/admin", "/admin?x=//y", "/admin?", "http://other/admin"]))
        .await;
    server
        .expect("404", &key, gets(ODD_PATHS).chain(gets(["/admin/", "/", "/admin/x", "/x/admin"])))
        .await;
    server.expect("401 missing", "", gets(ODD_PATHS).chain(gets(["/admin", "/admin/", "/"]))).await;
}

#[tokio::test]
async fn a_guard_that_reads_the_path_denies_one_that_others_may_read_differently() {
    let server = Server::new(|handler, layer| {
        let stage = handler.clone().layer(RequireStage::in_path_segment(0));
        let tenant = handler.layer(RequireTenant::in_path_segment(1));
        Router::new().route("/of/{*tenant}", tenant).fallback(stage).layer(layer)
    })
    .await;
    let key = issue(&server.keys, NewKey::named("admin").stage("admin").tenant("admin"));
    server.expect("200 in", &key, gets(["/admin", "/admin/", "/admin/x", "/admin?x=//y"])).await;
    server.expect("200 in", &key, gets(["http://other/admin", "/of/admin", "/of/admin/x"])).await;
    server.expect("403 wrong_stage", &key, gets(ODD_PATHS)).await;
    server.expect("403 wrong_stage", &key, gets(["/", "/x", "/adminx", "/x/admin"])).await;
    server.expect("403 wrong_stage", &key, ["OPTIONS *"]).await;
    let nested = ODD_PATHS.map(|path| format!("GET /of{path}"));
    server.expect("403 wrong_tenant", &key, nested).await;
    let other = issue(&server.keys, NewKey::named("neither"));
    server.expect("403 wrong_stage", &other, gets(["/admin", "/admin/x"])).await;
    server.expect("403 wrong_tenant", &other, gets(["/of/admin"])).await;
}

#[tokio::test]
async fn a_public_route_is_exactly_its_path_and_its_method() {
    let server = Server::new(|handler, layer| {
        let protected = Router::new().route("/healthz", post(async || "in"));
        let protected = protected.route("/x", handler.clone()).fallback(handler.clone());
        let public = Router::new().route("/livez", handler);
        public.route("/healthz", get(async || "up")).merge(protected.layer(layer))
    })
    .await;
    server.expect("200 in", "", gets(["/livez", "/livez?x=/admin", "http://other/livez"])).await;
    let request =
        async |start: &str| send_raw(server.address, format!("{start} HTTP/1.1")).await.status;
    assert_eq!(request("GET /healthz").await, 200);
    assert_eq!(request("HEAD /healthz?x=/admin").await, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "HEALTHZ"] {
        assert_eq!(request(&format!("{method} /healthz")).await, 401, "{method}");
    }
    let near = [
        "/healthz-admin",
        "/health/detailed",
        "/x?y=/healthz",
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
        "/livez/",
        "/livez/x",
        "/admin/livez",
        "/livez%2f..%2fadmin",
        "/?/livez",
        "/livez%3fx",
    ];
    server.expect("401 missing", "", gets(near)).await;
}

#[tokio::test]
async fn guards_in_nested_routers_read_the_whole_path() {
    let stage = || RequireStage::in_path_segment(0);
    let inner = |handler: MethodRouter| Router::new().route("/1/q", handler);
    let all = |handler: MethodRouter| Router::new().fallback(handler);
    let apps: [&dyn Fn(MethodRouter, ApiKeyLayer) -> Router; 9] = [
        &|h, layer| Router::new().nest("/prod", inner(h.layer(stage()))).layer(layer),
        &|h, layer| Router::new().nest("/prod", inner(h).layer(stage())).layer(layer),
        &|h, layer| Router::new().nest("/prod", inner(h).route_layer(stage())).layer(layer),
        &|h, layer| Router::new().nest("/{stage}", inner(h.layer(stage()))).layer(layer),
        &|h, layer| Router::new().nest("/prod", inner(h).layer(layer.guard(stage()))),
        &|h, layer| Router::new().nest("/prod", all(h).layer(stage())).layer(layer),
        &|h, layer| Router::new().nest_service("/prod", layer.guard(stage()).layer(inner(h))),
        &|h, layer| all(h.layer(stage())).layer(layer),
        &|h, layer| Router::new().fallback_service(layer.guard(stage()).layer(all(h))),
    ];
    for (number, app) in apps.into_iter().enumerate() {
        let server = Server::new(app).await;
        let key = |stage: &str| issue(&server.keys, NewKey::named(stage).stage(stage));
        assert_eq!(server.send(&key("prod"), "GET /prod/1/q").await, "200 in", "{number}");
        // To the inner router, the stage would be `1`.
        assert_eq!(server.send(&key("1"), "GET /prod/1/q").await, "403 wrong_stage", "{number}");
        assert_eq!(server.send("", "GET /prod/1/q").await, "401 missing", "{number}");
    }
}

#[tokio::test]
async fn guards_deep_within_nested_routers_read_the_whole_path() {
    let server = Server::new(|handler, layer| {
        let guarded = handler.layer(RequireStage::in_path_segment(0));
        let deep = Router::new().route("/dev", guarded.clone()).route("/{*rest}", guarded);
        let nest = |app, path| Router::new().nest(path, app);
        ["/c", "/b", "/prod"].into_iter().fold(deep, nest).layer(layer)
    })
    .await;
    for stage in ["prod", "b", "c", "dev"] {
        let answer = if stage == "prod" { "200 in" } else { "403 wrong_stage" };
        let key = issue(&server.keys, NewKey::named(stage).stage(stage));
        server.expect(answer, &key, gets(["/prod/b/c/dev", "/prod/b/c/other"])).await;
    }
}

fn anything(_: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
    Ok(())
}

#[tokio::test]
async fn a_guard_without_the_layer_or_outside_it_is_an_error_that_names_the_layer() {
    start_log();
    let read = || RequireAbility::new("bots:read");
    let route = |handler: MethodRouter| Router::new().route("/{path}", handler);
    let apps: [&dyn Fn(MethodRouter, ApiKeyLayer) -> Router; 10] = [
        &|h, _| route(h.layer(read())),
        &|h, _| route(h.layer(RequireStage::in_path_segment(0))),
        &|h, _| route(h.layer(RequireTenant::fixed("acme"))),
        &|h, _| route(h.layer(RequireKind::new(KeyKind::Secret))),
        &|h, _| route(h.layer(GuardLayer::new(anything))),
        &|h, _| route(h).layer(GuardLayer::new(anything)),
        &|h, layer| route(h).layer(layer).layer(read()),
        &|h, layer| route(h).layer(layer.optional()).layer(GuardLayer::new(anything)),
        &|h, layer| Router::new().layer(layer).merge(route(h.layer(read()))),
        &|h, layer| Router::new().layer(layer).fallback(h.layer(GuardLayer::new(anything))),
    ];
    for (number, app) in apps.into_iter().enumerate() {
        let server = Server::new(app).await;
        let new = NewKey::named("root").abilities(["*"]).tenant("acme");
        let key = issue(&server.keys, new.stage(format!("unguarded-{number}")));
        for key in [&key, ""] {
            let path = format!("/unguarded-{number}");
            server.expect("500 missing_layer", key, [format!("GET {path}")]).await;
            // Of one route it is the same fault each time.
            assert!(errors("missing_layer") > 0);
            let lines = logged("missing_layer");
            assert!(lines.iter().all(|line| line.contains("no ApiKeyLayer is around it")));
            // Without a route, the path says which request it is.
            let without_route = logged(&path);
            assert_eq!(without_route.len(), usize::from(number == 9), "{without_route:?}");
        }
        // It is not known here where a key is: it may be in the path.
        server.expect("500 missing_layer", "", [format!("GET /{key}")]).await;
        assert_eq!(logged(&key), [""; 0]);
    }
}

/// A new key, and what a record is read as that has these abilities in JSON.
fn with_abilities(granted: Value) -> (String, serde_json::Result<KeyRecord>) {
    let issued = NewKey::named("x").generate(&KeyScheme::default()).unwrap();
    let mut record = serde_json::to_value(&*issued.record).unwrap();
    record["abilities"] = granted;
    (issued.secret.reveal().to_owned(), serde_json::from_value(record))
}

#[tokio::test]
async fn an_ability_list_that_is_empty_or_does_not_parse_grants_nothing() {
    let server = Server::new(|handler, layer| {
        let nothing = handler.clone().layer(RequireAbility::any_of::<&str>([]));
        let docs = handler.layer(RequireAbility::new("docs:read"));
        Router::new().route("/none", nothing).fallback(docs).layer(layer)
    })
    .await;
    for (granted, answer) in [
        (json!([]), "403 missing_ability"),
        (json!(["doc:read", "doc:*", "docs:readall", "Docs:read"]), "403 missing_ability"),
        (json!(["docs:read:all", "read:docs", "docs.read:x"]), "403 missing_ability"),
        (json!(["docs:read"]), "200 in"),
        (json!(["docs:*"]), "200 in"),
        (json!(["*"]), "200 in"),
    ] {
        let (key, record) = with_abilities(granted);
        server.keys.insert(record.unwrap());
        assert_eq!(server.send(&key, "GET /").await, answer);
        assert_eq!(server.send(&key, "GET /none").await, "403 missing_ability");
    }
    for wrong in [Value::Null, json!(["doc:"]), json!(["a:b*"]), json!("*"), json!([null])] {
        assert!(with_abilities(wrong.clone()).1.is_err(), "{wrong}");
    }
    for wrong in ["doc*", "a:b*", "*:read", "", "docs:", "docs:read,docs:write"] {
        let key = NewKey::named("x").abilities([wrong]).generate(&KeyScheme::default());
        assert!(matches!(key, Err(IssueError::Invalid(_))), "{wrong}");
        assert!(catch_unwind(|| RequireAbility::new(wrong)).is_err(), "{wrong}");
    }
    assert!(catch_unwind(|| RequireAbility::all_of::<&str>([])).is_err());
}

#[tokio::test]
async fn a_word_is_granted_by_itself_and_by_everything_in_guards_and_policies() {
    let guarded = Server::new(|handler, layer| {
        let read = handler.clone().layer(RequireAbility::new("bots:read"));
        let word = handler.layer(RequireAbility::new("read"));
        Router::new().route("/read", word).fallback(read).layer(layer)
    })
    .await;
    let ruled = Server::new(|handler, layer| {
        let policy = AccessPolicy::builder()
            .allow("GET /read", Requirement::ability("read"))
            .allow("GET /", Requirement::ability("bots:read"))
            .build()
            .unwrap();
        Router::new().fallback(handler).layer(layer.policy(policy))
    })
    .await;
    for (granted, word, action) in [
        ("read", "200 in", "403 missing_ability"),
        ("bots:read", "403 missing_ability", "200 in"),
        ("bots:*", "403 missing_ability", "200 in"),
        ("read:*", "403 missing_ability", "403 missing_ability"),
        ("bots", "403 missing_ability", "403 missing_ability"),
        ("*", "200 in", "200 in"),
    ] {
        for server in [&guarded, &ruled] {
            let key = issue(&server.keys, NewKey::named("words").abilities([granted]));
            assert_eq!(server.send(&key, "GET /read").await, word, "{granted}");
            assert_eq!(server.send(&key, "GET /").await, action, "{granted}");
        }
    }
}

#[tokio::test]
async fn a_guard_by_method_knows_the_usual_methods_and_believes_no_override() {
    let server = Server::new(|handler, layer| {
        Router::new().fallback(handler.layer(RequireAbility::by_method("bots"))).layer(layer)
    })
    .await;
    let key = |ability: &str| issue(&server.keys, NewKey::named(ability).abilities([ability]));
    let (reader, writer, root) = (key("bots:read"), key("bots:write"), key("*"));
    for (key, get, head, write) in [
        (&reader, "200 in", "200", "403 missing_ability"),
        (&writer, "403 missing_ability", "403 missing_ability", "200 in"),
        (&root, "200 in", "200", "200 in"),
    ] {
        server.expect(get, key, ["GET /bots"]).await;
        server.expect(head, key, ["HEAD /bots"]).await;
        let methods = ["POST", "PUT", "PATCH", "DELETE"];
        server.expect(write, key, methods.map(|method| format!("{method} /bots"))).await;
        let others = ["TRACE", "OPTIONS", "get", "Post", "FETCH"];
        server.expect("403 not_allowed", key, others.map(|method| format!("{method} /bots"))).await;
    }
    for (key, method, other, answer) in [
        (&reader, "POST", "GET", "403 missing_ability"),
        (&writer, "GET", "POST", "403 missing_ability"),
        (&root, "TRACE", "GET", "403 not_allowed"),
    ] {
        let request = request(format!("{method} /bots?_method={other}"))
            .line(format!("x-http-method-override: {other}"))
            .line(format!("x-http-method: {other}"))
            .line(format!("x-method: {other}"));
        assert_eq!(server.send(key, request).await, answer, "{method}");
    }
}

#[tokio::test]
async fn a_plain_options_is_authenticated_like_any_request() {
    let origin = "origin: http://a";
    let method = "access-control-request-method: GET";
    let plain = [
        request("OPTIONS /"),
        request("OPTIONS /").line(origin),
        request("OPTIONS *"),
        request("OPTIONS /").line(method),
        request("OPTIONS /").line(origin).line("access-control-request-headers: x-api-key"),
        request("GET /").line(origin).line(method),
    ];
    let preflight = |path| request(format!("OPTIONS {path}")).line(origin).line(method);
    for (forwards, answer) in [(false, "401 missing"), (true, "200 in")] {
        let server = Server::new(|handler, layer| {
            let layer = if forwards { layer.forward_preflight() } else { layer };
            let guarded = handler.clone().layer(GuardLayer::new(anything));
            Router::new().route("/guarded", guarded).fallback(handler).layer(layer)
        })
        .await;
        let key = issue(&server.keys, NewKey::named("x"));
        server.expect("200 in", &key, plain.clone()).await;
        server.expect("401 missing", "", plain.clone()).await;
        assert_eq!(server.send("", preflight("/")).await, answer);
        server.expect("401 missing", "", [preflight("/guarded")]).await;
    }
}
