//! What a key must be: every guard, wherever it is mounted, and what handlers know of the key.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::{any, get};
use http::StatusCode;
use tonic::Code;
use tonic::transport::Server;
use tonic_health::server::health_reporter;
use tower::Layer as _;
use tower_api_key::guard::Guard;
use tower_api_key::{
    ApiKeyLayer, GuardLayer, KeyKind, MemoryStore, NewKey, Rejection, RejectionKind, RequestHead,
    RequireAbility, RequireKind, RequireStage, RequireTenant, Responder, VerifiedKey,
    VerifiedKeyRejection,
};

use crate::common::MemoryKeys as _;
use crate::common::request::{RawRequest, request};
use crate::common::{errors, health, issue, send_raw, serve, serve_tonic, start_log};

fn new_key(name: &str) -> NewKey {
    let key = NewKey::named(name);
    match name {
        "reader" => key.abilities(["bots:read"]),
        "writer" => key.abilities(["bots:write"]),
        "both" => key.abilities(["bots:read", "bots:write"]),
        "chatter" => key.abilities(["chat:send"]),
        "bots" => key.abilities(["bots:*"]),
        "root" => key.abilities(["*"]),
        "prod" | "dev" => key.stage(name),
        "acme" | "other" => key.tenant(name),
        "public" => key.kind(KeyKind::Public).origins(["https://shop.example"]),
        "free" | "paid" => key.metadata("plan", name),
        "nothing" => key,
        unknown => panic!("there is no key {unknown}"),
    }
}

/// Sends a request with a key, unless that is empty, and returns the status and the text.
async fn send(address: SocketAddr, request: impl Into<RawRequest>, key: &str) -> String {
    let response = send_raw(address, request.into().key(key)).await;
    format!("{} {}", response.status, response.text())
}

/// Checks with a guard on the layer and on a route which keys, given by name, are served, and with
/// which answer others are refused.
async fn check<G: Guard + Clone + 'static>(
    guard: G,
    request: impl Into<RawRequest>,
    served: &[&str],
    refused: &[(&str, &[&str])],
) {
    let request = request.into();
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone()).responder(Responder::text()).accept_public_keys();
    let name = async |key: VerifiedKey| key.name().to_owned();
    let on_layer = Router::new().fallback(any(name)).layer(layer.clone().guard(guard.clone()));
    let on_route = Router::new().fallback(any(name).layer(GuardLayer::new(guard))).layer(layer);
    for address in [serve(on_layer).await, serve(on_route).await] {
        for name in served {
            let key = issue(&keys, new_key(name));
            let answer = send(address, request.clone(), &key).await;
            assert_eq!(answer, format!("200 {name}"), "{request}");
        }
        for (expected, names) in refused {
            for name in *names {
                let key = issue(&keys, new_key(name));
                let answer = send(address, request.clone(), &key).await;
                assert_eq!(answer, *expected, "{name}: {request}");
            }
        }
    }
}

const OTHER_STAGE: &str = "403 The API key is for another stage";
const OTHER_TENANT: &str = "403 The API key is for another tenant";
const NOT_ALLOWED: &str = "403 The API key does not allow this request";
const NO_READ: &str = "403 Missing ability: bots:read";
const NO_WRITE: &str = "403 Missing ability: bots:write";

#[tokio::test]
async fn one_ability_is_required() {
    check(
        RequireAbility::new("bots:read"),
        "GET /",
        &["reader", "both", "bots", "root"],
        &[(NO_READ, &["writer", "chatter", "nothing", "prod"])],
    )
    .await;
}

#[tokio::test]
async fn one_of_several_abilities_is_required() {
    let any_of = RequireAbility::any_of(["bots:read", "chat:send"]);
    let none = "403 Missing ability: one of bots:read, chat:send";
    check(
        any_of,
        "GET /",
        &["reader", "chatter", "both", "bots", "root"],
        &[(none, &["writer", "nothing", "acme"])],
    )
    .await;
}

#[tokio::test]
async fn every_one_of_several_abilities_is_required() {
    let all_of = RequireAbility::all_of(["bots:read", "bots:write"]);
    check(
        all_of,
        "GET /",
        &["both", "bots", "root"],
        &[(NO_READ, &["writer", "nothing"]), (NO_WRITE, &["reader"])],
    )
    .await;
}

#[tokio::test]
async fn the_ability_follows_from_the_method() {
    let guard = RequireAbility::by_method("bots");
    check(guard.clone(), "GET /", &["reader", "both", "bots"], &[(NO_READ, &["writer"])]).await;
    for method in ["POST /", "PUT /", "PATCH /", "DELETE /"] {
        check(
            guard.clone(),
            method,
            &["writer", "both", "bots", "root"],
            &[(NO_WRITE, &["reader", "nothing"])],
        )
        .await;
    }
    check(guard, "TRACE /", &[], &[(NOT_ALLOWED, &["reader", "both", "root"])]).await;
}

#[tokio::test]
async fn the_stage_is_fixed_in_the_path_or_read_by_a_function() {
    let others = (OTHER_STAGE, &["dev", "nothing", "root", "acme"][..]);
    check(RequireStage::fixed("prod"), "GET /dev", &["prod"], &[others]).await;
    let segment = RequireStage::in_path_segment(1);
    check(segment, "GET /dev/prod", &["prod"], &[others]).await;
    let text = |head: &RequestHead<'_>| head.headers().get("x-stage")?.to_str().ok()?.parse().ok();
    let read = RequireStage::from_fn(text);
    check(read.clone(), request("GET /dev").line("x-stage: prod"), &["prod"], &[others]).await;
    check(
        read.clone(),
        request("GET /prod").line("x-stage: p d"),
        &[],
        &[(OTHER_STAGE, &["prod", "dev", "nothing"])],
    )
    .await;
    check(read, "GET /prod", &[], &[(OTHER_STAGE, &["prod", "dev", "nothing"])]).await;
}

#[tokio::test]
async fn the_tenant_is_fixed_in_the_path_or_read_by_a_function() {
    let others = (OTHER_TENANT, &["other", "nothing", "root", "prod"][..]);
    check(RequireTenant::fixed("acme"), "GET /other", &["acme"], &[others]).await;
    let segment = RequireTenant::in_path_segment(1);
    check(segment, "GET /other/acme", &["acme"], &[others]).await;
    let read = RequireTenant::from_fn(|head| head.uri().query()?.parse().ok());
    check(read.clone(), "GET /other?acme", &["acme"], &[others]).await;
    check(read, "GET /acme", &[], &[(OTHER_TENANT, &["acme", "other", "nothing"])]).await;
}

#[tokio::test]
async fn the_kind_is_required() {
    let (secret, public) = (RequireKind::new(KeyKind::Secret), RequireKind::new(KeyKind::Public));
    let request = request("GET /").line("origin: https://shop.example");
    check(secret, request.clone(), &["nothing", "reader"], &[(NOT_ALLOWED, &["public"])]).await;
    check(public, request, &["public"], &[(NOT_ALLOWED, &["nothing", "root"])]).await;
}

fn paid(key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
    match key.metadata().get("plan") {
        Some(plan) if plan == "paid" => Ok(()),
        _ => Err(Rejection::new(RejectionKind::NotAllowed).with_message("Upgrade first")),
    }
}

#[tokio::test]
async fn functions_and_closures_are_guards() {
    check(paid, "GET /", &["paid"], &[("403 Upgrade first", &["free", "nothing", "root"])]).await;
    let limit = 5;
    let short = move |key: &VerifiedKey, head: &RequestHead<'_>| match head.uri().path().len() {
        length if length > limit && !key.can("bots:read") => Err(RejectionKind::NotAllowed.into()),
        _ => Ok(()),
    };
    check(short, "GET /long-path", &["reader", "root"], &[(NOT_ALLOWED, &["nothing"])]).await;
    check(short, "GET /x", &["reader", "nothing"], &[]).await;
}

#[tokio::test]
async fn guards_are_combined_and_the_first_refusal_is_told() {
    let read = || RequireAbility::new("bots:read");
    let both = read().and(RequireAbility::new("bots:write"));
    check(both, "GET /", &["both", "bots", "root"], &[(NO_WRITE, &["reader"])]).await;
    let and = read().and(paid);
    check(
        and,
        "GET /",
        &[],
        &[(NO_READ, &["paid", "nothing"]), ("403 Upgrade first", &["reader", "root"])],
    )
    .await;
    let or = paid.or(read());
    check(or, "GET /", &["paid", "reader", "root"], &[("403 Upgrade first", &["free", "writer"])])
        .await;
    let secret = paid.and(RequireKind::new(KeyKind::Secret));
    let nested = RequireStage::fixed("prod").or(secret).or(read());
    check(nested, "GET /", &["prod", "paid", "reader"], &[(OTHER_STAGE, &["dev", "free"])]).await;
}

#[tokio::test]
async fn guards_are_asked_in_order_and_only_about_verified_keys() {
    let keys = MemoryStore::new();
    let asked = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
    let [first, second, third] = asked.clone().map(|asked| {
        move |key: &VerifiedKey, _: &RequestHead<'_>| {
            asked.fetch_add(1, Ordering::SeqCst);
            if key.can("bots:read") { Ok(()) } else { Err(RejectionKind::NotAllowed.into()) }
        }
    });
    let layer = ApiKeyLayer::new(keys.clone()).responder(Responder::text()).optional();
    let route = any(async || "in").layer(GuardLayer::new(third));
    let app = Router::new().fallback(route).layer(layer.guard(first).guard(second));
    let address = serve(app).await;
    let counts = || asked.each_ref().map(|asked| asked.load(Ordering::SeqCst));
    let expired = issue(&keys, new_key("reader").expires_at(SystemTime::UNIX_EPOCH));
    for wrong in ["", "unknown", "a b", &expired] {
        assert!(send(address, "GET /", wrong).await.starts_with("401 "), "{wrong}");
        assert_eq!(counts(), [0, 0, 0]);
    }
    let [right, wrong] = ["reader", "nothing"].map(|name| issue(&keys, new_key(name)));
    assert_eq!(send(address, "GET /", &wrong).await, NOT_ALLOWED);
    assert_eq!(counts(), [1, 0, 0]);
    assert_eq!(send(address, "GET /", &right).await, "200 in");
    assert_eq!(counts(), [2, 1, 1]);
}

#[tokio::test]
async fn guards_and_extractors_answer_in_the_words_of_the_layer() {
    let keys = MemoryStore::new();
    let responder = Responder::json()
        .answer(RejectionKind::MissingAbility, StatusCode::PAYMENT_REQUIRED, "No")
        .answer(RejectionKind::Missing, StatusCode::FORBIDDEN, "Key?");
    let layer = ApiKeyLayer::new(keys.clone()).optional().responder(responder);
    let app = Router::new()
        .route("/guard", get(async || "in").layer(RequireAbility::new("bots:read")))
        .route("/key", get(async |key: VerifiedKey| key.name().to_owned()))
        .layer(layer);
    let address = serve(app).await;
    let key = issue(&keys, new_key("nothing"));
    assert_eq!(send(address, "GET /guard", &key).await, r#"402 {"message":"No"}"#);
    assert_eq!(send(address, "GET /guard", "").await, r#"403 {"message":"Key?"}"#);
    assert_eq!(send(address, "GET /key", "").await, r#"403 {"message":"Key?"}"#);
    assert_eq!(send(address, "GET /key", &key).await, "200 nothing");
}

#[tokio::test]
async fn a_missing_ability_is_named_in_the_challenge() {
    let keys = MemoryStore::new();
    let guard = RequireAbility::any_of(["bots:read", "chat:send"]);
    let layer = ApiKeyLayer::new(keys.clone()).realm("bots").guard(guard);
    let address = serve(Router::new().layer(layer)).await;
    let request = format!("GET / HTTP/1.1\r\nx-api-key: {}", issue(&keys, new_key("nothing")));
    let response = send_raw(address, request).await;
    let challenge = response.header("www-authenticate").unwrap();
    assert!(challenge.ends_with(r#"error="insufficient_scope", scope="bots:read chat:send""#));
}

#[tokio::test]
async fn extractors_know_whether_there_was_a_key_and_name_a_layer_that_is_missing() {
    type Tried = Result<VerifiedKey, VerifiedKeyRejection>;
    start_log();
    let optional = async |key: Option<VerifiedKey>| format!("{:?}", key.map(|key| key.kind()));
    let tried = async |key: Tried| key.unwrap_err().to_string();
    let handlers = Router::new()
        .route("/key-unseen", get(async |_: VerifiedKey| "in"))
        .route("/optional-unseen", get(optional))
        .route("/try-unseen", get(tried));
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone()).responder(Responder::text()).optional();
    let (inside, bare) = (serve(handlers.clone().layer(layer)).await, serve(handlers).await);
    let key = issue(&keys, new_key("root"));
    assert_eq!(send(inside, "GET /optional-unseen", "").await, "200 None");
    assert_eq!(send(inside, "GET /optional-unseen", &key).await, "200 Some(Secret)");
    assert_eq!(send(inside, "GET /key-unseen", "").await, "401 An API key is required");
    let answer = send(inside, "GET /try-unseen", "").await;
    assert_eq!(answer, "200 the request came without an API key");
    for path in ["/key-unseen", "/optional-unseen"] {
        let before = errors("missing_layer");
        let answer = send(bare, format!("GET {path}"), &key).await;
        assert!(answer.starts_with("500 "), "{answer}");
        assert!(errors("missing_layer") > before);
    }
    let answer = send(bare, "GET /try-unseen", &key).await;
    assert!(answer.contains("no ApiKeyLayer has seen the request"), "{answer}");
}

#[tokio::test]
async fn a_verified_key_tells_all_that_is_known_of_the_key() {
    let keys = MemoryStore::new();
    let end = SystemTime::now() + Duration::from_secs(3600);
    let new = new_key("paid").tenant("acme").stage("prod").kind(KeyKind::Secret);
    let issued = keys.issue(new.abilities(["bots:*"]).expires_at(end)).unwrap();
    let (sender, seen) = mpsc::channel();
    let show = async move |key: VerifiedKey| sender.send(key).unwrap();
    let app = Router::new().fallback(any(show)).layer(ApiKeyLayer::new(keys));
    send(serve(app).await, "GET /", issued.secret.reveal()).await;
    let (key, record) = (seen.try_recv().unwrap(), issued.record);
    assert_eq!((key.id(), key.name(), key.kind()), (record.id(), "paid", KeyKind::Secret));
    assert_eq!((key.tenant().unwrap().as_str(), key.stage().unwrap().as_str()), ("acme", "prod"));
    assert_eq!(key.abilities(), &["bots:*"].try_into().unwrap());
    assert!(key.can("bots:read") && !key.can("chat:send") && !key.can("bots"));
    assert_eq!((key.created_at(), key.expires_at()), (record.created_at(), Some(end)));
    assert_eq!((&key.metadata()["plan"], key.record()), (&"paid".into(), &record));
}

#[tokio::test]
async fn guards_on_a_tonic_service_deny_permission_and_say_why() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone());
    let (service, read) = (health_reporter().1, RequireAbility::new("bots:read"));
    let on_service = Server::builder().add_service(layer.layer(read.layer(service.clone())));
    let on_layer = Server::builder().add_service(layer.guard(read.clone()).layer(service.clone()));
    let bare = serve_tonic(Server::builder().add_service(read.layer(service))).await;
    let [reader, writer] = ["reader", "writer"].map(|name| issue(&keys, new_key(name)));
    for address in [serve_tonic(on_service).await, serve_tonic(on_layer).await] {
        health(address, &reader).await.unwrap();
        for (key, code, message) in [
            (writer.as_str(), Code::PermissionDenied, "Missing ability: bots:read"),
            ("", Code::Unauthenticated, "An API key is required"),
            ("ak_unknown", Code::Unauthenticated, "The API key is not valid"),
        ] {
            let status = health(address, key).await.unwrap_err();
            assert_eq!((status.code(), status.message()), (code, message));
        }
    }
    let status = health(bare, &reader).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().starts_with("The server is misconfigured"), "{status}");
    // The tests are a debug build, in which the cure is named.
    assert!(status.message().contains("ApiKeyLayer"), "{status}");
}

#[tokio::test]
async fn who_a_client_says_that_it_is_counts_for_nothing() {
    let keys = MemoryStore::new();
    let key = issue(&keys, new_key("acme"));
    let who = async |key: Option<VerifiedKey>| {
        let tenant = key.as_ref().and_then(VerifiedKey::tenant);
        tenant.map_or("nobody".to_owned(), ToString::to_string)
    };
    let app = Router::new().fallback(any(who)).layer(ApiKeyLayer::new(keys).optional());
    let address = serve(app).await;
    for name in ["x-consumer-id", "x-user-id", "x-tenant", "x-authenticated", "remote-user"] {
        let request = request("GET /").line(format!("{name}: globex"));
        assert_eq!(send(address, request.clone(), "").await, "200 nobody", "{name}");
        assert_eq!(send(address, request, &key).await, "200 acme", "{name}");
    }
}
