//! Events: their target, which filters name.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use regex::Regex;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::guard::Guard as _;
use tower_api_key::{
    ApiKeyLayer, KeyKind, MemoryStore, NewKey, PeerAddress, RefuseCrossOrigin, Rejection,
    RejectionKind, RequestHead, RequireAbility, RequireKind, VerifiedKey,
};

use crate::common::{issue, logged, start_log};

fn sources(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_event_has_a_target_that_a_filter_can_name() {
    let macros = Regex::new(r"tracing::[$\w]+!\(").unwrap();
    let target = Regex::new(r#"^\s*target: (TARGET|"tower_api_key(::\w+)*"),"#).unwrap();
    // By the name of the crate alone, so that the search above finds them all.
    let imported =
        r"use tracing::(\{[^}]*)?\b(trace|debug|info|warn|error|event|enabled)\b|#\[.*instrument";
    let imported = Regex::new(imported).unwrap();
    let (mut events, mut constants) = (0, Vec::new());
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../src")) {
        let source = std::fs::read_to_string(&path).unwrap();
        // Examples have the events of applications.
        let is_code = |line: &&str| !line.trim_start().starts_with("//");
        let source = source.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        assert!(!imported.is_match(&source), "{} imports from tracing", path.display());
        for event in macros.find_iter(&source) {
            events += 1;
            let arguments = &source[event.end()..];
            assert!(target.is_match(arguments), "an event of {} has no target", path.display());
        }
        constants
            .extend(source.lines().filter(|line| line.contains("const TARGET")).map(str::to_owned));
    }
    assert!(events > 10, "{events} events");
    assert_eq!(constants.len(), 1);
    assert!(constants[0].ends_with(r#"const TARGET: &str = "tower_api_key";"#));
}

#[tokio::test]
async fn a_refusal_is_logged_with_the_target() {
    start_log();
    let app: Router = Router::new()
        .route("/of-the-test-of-targets", get(|| async {}))
        .layer(ApiKeyLayer::new(MemoryStore::new()));
    let request = Request::get("/of-the-test-of-targets").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 401);
    let lines = logged("/of-the-test-of-targets");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(" INFO tower_api_key: request refused"), "{lines:?}");
}

fn after_work(_: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
    Err(Rejection::new(RejectionKind::NotAllowed).with_message("Come back tomorrow"))
}

#[tokio::test]
async fn a_refusal_is_logged_with_its_reason_which_the_client_does_not_see() {
    start_log();
    let keys = MemoryStore::new();
    let layer = || ApiKeyLayer::new(keys.clone());
    let new = || NewKey::named("a key");
    let nothing = layer();
    for (reason, layer, key) in [
        ("address", nothing.clone(), new().addresses(["192.0.2.0/24"])),
        ("site", nothing.clone(), new().origins(["https://a.example"])),
        ("endpoint", nothing.clone(), new().endpoints(["GET /others"])),
        ("key_kind", layer().guard(RequireKind::new(KeyKind::Public)), new()),
        ("cross_origin", layer().guard(RefuseCrossOrigin::new()), new()),
        ("Missing ability: bots:read", layer().guard(RequireAbility::new("bots:read")), new()),
        ("Come back tomorrow", layer().guard(after_work), new()),
        ("hourly", nothing, new().limit("1 per hour")),
    ] {
        let key = issue(&keys, key);
        let app: Router = Router::new().route("/with-reason", get(|| async {})).layer(layer);
        let request = || {
            Request::get("/with-reason?hidden")
                .header("x-api-key", &key)
                .header("origin", "https://b.example")
                .extension(PeerAddress("198.51.100.7:50000".parse().unwrap()))
                .body(Body::empty())
                .unwrap()
        };
        let mut answer = app.clone().oneshot(request()).await.unwrap();
        if reason == "hourly" {
            answer = app.oneshot(request()).await.unwrap();
        }
        assert!([403, 429].contains(&answer.status().as_u16()), "{reason}");
        let lines = logged(&format!("reason=\"{reason}\""));
        assert_eq!(lines.len(), 1, "{reason}: {:?}", logged("/with-reason"));
        assert!(lines[0].contains("/with-reason") && !lines[0].contains("hidden"), "{lines:?}");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        // Messages and names of limits are for clients, too.
        let is_for_client = reason.contains(' ') || reason == "hourly";
        assert_eq!(body.contains(&format!("\"{reason}\"")), is_for_client, "{body}");
    }
}

#[tokio::test]
async fn an_address_that_is_not_known_is_told_from_a_wrong_one() {
    start_log();
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("a key").addresses(["192.0.2.0/24"]));
    let app: Router =
        Router::new().route("/from-nowhere", get(|| async {})).layer(ApiKeyLayer::new(keys));
    let request = Request::get("/from-nowhere").header("x-api-key", key).body(Body::empty());
    assert_eq!(app.oneshot(request.unwrap()).await.unwrap().status(), 403);
    assert_eq!(logged("reason=\"unknown_address\"").len(), 1, "{:?}", logged("from-nowhere"));
}

#[tokio::test]
async fn a_report_has_the_reason() {
    start_log();
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("a key"));
    let guard = RequireAbility::new("bots:read").report_only();
    let app: Router = Router::new()
        .route("/reported", get(|| async {}))
        .layer(ApiKeyLayer::new(keys).guard(guard));
    let request = Request::get("/reported").header("x-api-key", key).body(Body::empty());
    assert_eq!(app.oneshot(request.unwrap()).await.unwrap().status(), 200);
    let lines = logged("would be refused");
    assert!(lines[0].contains("reason=\"Missing ability: bots:read\""), "{lines:?}");
}

#[tokio::test]
async fn a_guard_without_a_layer_is_logged_with_the_request_and_what_to_do() {
    start_log();
    let inner = service_fn(async |_: Request<Body>| {
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    });
    let service = RequireAbility::new("bots:read").layer(inner);
    // It is not known whether the application has keys in paths.
    let path = "/without-a-layer/7/0123456789abcdef?hidden";
    let request = Request::delete(path).body(Body::empty()).unwrap();
    assert_eq!(service.oneshot(request).await.unwrap().status(), 500);
    let [line] = &logged("missing_layer")[..] else { panic!("{:?}", logged("")) };
    for part in [
        " ERROR ",
        "method=\"DELETE\"",
        "path=\"/without-a-layer/7/*\"",
        "no ApiKeyLayer is around it",
        "`.layer(ApiKeyLayer::new(store))`",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!line.contains("hidden"), "{line}");
}

#[tokio::test]
async fn a_handler_without_a_layer_is_logged_with_its_route() {
    start_log();
    let handler = async |_: VerifiedKey| "in";
    let app: Router = Router::new().route("/handled/{id}", get(handler));
    let request = Request::get("/handled/7").body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), 500);
    let [line] = &logged("missing_layer")[..] else { panic!("{:?}", logged("")) };
    assert!(line.contains("a handler") && line.contains("route=\"/handled/{id}\""), "{line}");
}
