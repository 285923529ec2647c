//! Requests for keys that are repeated: `Idempotency-Key`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::Body;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
use tower_api_key::testing::FakeClock;
use tower_api_key::{KeyManager, MemoryStore, NewKey};

use crate::common::RawResponse;
use crate::world::{ALICE, World, over_each_database};

const BODY: &str = r#"{"name":"a key","prefix":"sk_live_"}"#;

async fn create(world: &World, who: &str, header: &str, body: &str) -> RawResponse {
    let who = format!("{who}\r\n{header}");
    let path = if who.contains("x-session") { "/dashboard/api-keys" } else { "/v1/api-keys" };
    world.call(&who, "POST", path, body).await
}

async fn count(world: &World) -> usize {
    let listed = world.alice("GET", "?limit=100", "").await;
    listed.json()["data"].as_array().unwrap().len()
}

async fn a_repeated_request_issues_no_second_key_and_names_the_first(world: &World) {
    let header = "idempotency-key: \"8e03978e-40d5\"";
    let first = create(world, ALICE, header, BODY).await;
    assert_eq!(first.status, 201, "{}", first.text());
    let id = first.json()["data"]["id"].clone();
    // With and without quotes, and with its fields in another order.
    let reordered = r#"{ "prefix": "sk_live_", "name": "a key" }"#;
    for (header, body) in
        [(header, BODY), ("Idempotency-Key: 8e03978e-40d5", BODY), (header, reordered)]
    {
        let again = create(world, ALICE, header, body).await;
        let problem = again.json();
        assert_eq!((again.status, &problem["key_id"]), (409, &id), "{problem}");
        assert_eq!(again.header("content-type"), Some("application/problem+json"));
        assert!(problem["detail"].as_str().unwrap().contains("rotate it"), "{problem}");
        assert!(!again.text().contains("sk_live_"), "{problem}");
    }
    let other = create(world, ALICE, header, r#"{"name":"other","prefix":"sk_live_"}"#).await;
    assert_eq!((other.status, &other.json()["key_id"]), (422, &id));
    assert_eq!(count(world).await, 1);
    // Another name is another request.
    let next = create(world, ALICE, "idempotency-key: \"8e03978e-40d6\"", BODY).await;
    assert_eq!(next.status, 201);
    assert_eq!(count(world).await, 2);
    // What became of the key meanwhile changes nothing.
    let path = format!("/{}", id.as_str().unwrap());
    assert_eq!(world.alice("PATCH", &path, r#"{"name":"renamed"}"#).await.status, 200);
    assert_eq!(world.alice("DELETE", &path, "").await.status, 200);
    assert_eq!(create(world, ALICE, header, BODY).await.status, 409);
    // Until its record is removed.
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(world.keys.prune(SystemTime::now()).await.unwrap(), 1);
    assert_eq!(create(world, ALICE, header, BODY).await.status, 201);
}

async fn of_requests_at_once_one_issues_a_key(world: &World) {
    let header = "idempotency-key: at-once";
    let answers = join_all((0..12).map(|_| create(world, ALICE, header, BODY))).await;
    let created: Vec<_> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(created.len(), 1);
    let id = created[0].json()["data"]["id"].clone();
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!((answer.status, &answer.json()["key_id"]), (409, &id));
    }
    assert_eq!(count(world).await, 1);
}

async fn a_name_is_that_of_one_tenant(world: &World) {
    let header = "idempotency-key: the-same";
    let acme = world.manager(NewKey::named("a manager")).await;
    let other = "x-session: other *";
    let ours = create(world, &acme, header, BODY).await;
    let theirs = create(world, other, header, BODY).await;
    assert_eq!((ours.status, theirs.status), (201, 201), "{}", ours.text());
    // Another caller of the same tenant repeats it, such as after its key was rotated.
    let again = create(world, ALICE, header, BODY).await;
    assert_eq!((again.status, &again.json()["key_id"]), (409, &ours.json()["data"]["id"]));
}

async fn a_header_that_cannot_be_read_is_refused_and_issues_nothing(world: &World) {
    let long = format!("idempotency-key: {}", "x".repeat(256));
    for header in [
        "idempotency-key: ",
        "idempotency-key: \"\"",
        "idempotency-key: \"a",
        "idempotency-key: a b",
        "idempotency-key: a, b",
        "idempotency-key: a\r\nidempotency-key: a",
        "idempotency-key: \u{e4}",
        &long,
    ] {
        let answer = create(world, ALICE, header, BODY).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{header}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("Idempotency-Key"), "{header}");
    }
    assert_eq!(count(world).await, 0);
}

async fn what_was_not_issued_can_be_asked_for_again(world: &World) {
    let header = "idempotency-key: refused-first";
    let wrong = r#"{"name":"x","prefix":"sk_live_"}"#;
    assert_eq!(create(world, ALICE, header, wrong).await.status, 422);
    world.keys.suspend(&"acme".parse().unwrap()).await.unwrap();
    let suspended = create(world, ALICE, header, BODY).await;
    assert_eq!(suspended.status, 409);
    assert_eq!(suspended.json()["key_id"], json!(null));
    assert_eq!(suspended.json()["detail"], "The tenant is suspended: resume it first");
    world.keys.resume(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(create(world, ALICE, header, BODY).await.status, 201);
}

#[tokio::test]
async fn a_repeated_request_is_answered_before_its_expiry_is_judged_anew() {
    let clock = Arc::new(FakeClock::at(SystemTime::now()));
    let owner = NewKey::named("owner").tenant("acme").abilities(["*"]);
    let keys = KeyManager::new(MemoryStore::new()).clock(Arc::clone(&clock));
    let secret = keys.issue(owner).await.unwrap().secret;
    let app = KeyRoutes::new(keys.clone(), KeyOwner::default()).into_router().layer(keys.layer());
    let create = async |body: &str| {
        let request = Request::post("/api-keys")
            .header("x-api-key", secret.reveal())
            .header("content-type", "application/json")
            .header("idempotency-key", "\"8e03978e-40d5\"")
            .body(Body::from(body.to_owned()));
        let response = app.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status.as_u16(), serde_json::from_slice::<Value>(&body).unwrap())
    };
    let body = r#"{"name":"brief","expires_at":"2100-01-01T00:00:00Z"}"#;
    let (status, issued) = create(body).await;
    assert_eq!(status, 201, "{issued}");
    clock.advance(Duration::from_secs(100 * 366 * 24 * 3600));
    let (status, again) = create(body).await;
    assert_eq!((status, &again["key_id"]), (409, &issued["data"]["id"]), "{again}");
}

over_each_database! {
    a_repeated_request_issues_no_second_key_and_names_the_first
    of_requests_at_once_one_issues_a_key
    a_name_is_that_of_one_tenant
    a_header_that_cannot_be_read_is_refused_and_issues_nothing
    what_was_not_issued_can_be_asked_for_again
}
