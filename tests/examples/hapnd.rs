//! The facts of hapnd.txt, against `examples/environments.rs`.

use crate::example::{Example, assert_is_revoked_at_once};
use serde_json::json;
use tower_api_key::KeyFormat;
use tower_api_key::key::{FormatError, KeyFormats};

const EVENTS: &str = "/v1/events";

#[tokio::test]
async fn live_and_sandbox_data_and_tenants_are_apart() {
    let server = Example::start("environments");
    for label in ["acme-live", "acme-test", "globex-live"] {
        let event = json!({ "type": label }).to_string();
        assert_eq!(server.call(label, "POST", EVENTS, &event).await.status, 201);
    }
    for (label, environment) in
        [("acme-live", "live"), ("acme-test", "test"), ("globex-live", "live")]
    {
        let response = server.call(label, "GET", EVENTS, "").await;
        let expected = json!({ "environment": environment, "events": [{ "type": label }] });
        assert_eq!((response.status, response.json()), (200, expected));
    }
}

#[tokio::test]
async fn the_prefix_belongs_to_the_key() {
    let server = Example::start("environments");
    let test = server.key("acme-test");
    let swapped = test.replacen("sk_test_", "sk_live_", 1);
    assert_ne!(swapped, test);
    for key in [swapped.as_str(), "sk_prod_1234", test.trim_start_matches("sk_test_"), "sk_live_"] {
        let line = format!("authorization: Bearer {key}");
        assert_eq!(server.get(EVENTS, &[&line]).await.status, 401, "{key}");
    }
    let as_header = format!("x-api-key: {test}");
    assert_eq!(server.get(EVENTS, &[&as_header]).await.status, 401);
}

#[tokio::test]
async fn a_client_refuses_a_wrong_prefix_before_it_asks_the_server() {
    let server = Example::start("environments");
    let formats = KeyFormats::from([
        KeyFormat::new("sk_live_").stage("live"),
        KeyFormat::new("sk_test_").stage("test"),
    ]);
    let live = formats.parse(server.key("acme-live")).unwrap();
    assert_eq!(live.stage().unwrap(), "live");
    assert_eq!(formats.parse(server.key("acme-test")).unwrap().stage().unwrap(), "test");
    assert_eq!(formats.parse("pk_live_1234").unwrap_err(), FormatError::Prefix);
    assert_eq!(formats.parse("sk_live_1234").unwrap_err(), FormatError::Length);
}

#[tokio::test]
async fn a_key_that_an_administrator_revokes_is_refused_at_once() {
    let server = Example::start("environments");
    assert_is_revoked_at_once(&server, "acme-live", EVENTS).await;
    assert_eq!(server.call("acme-test", "GET", EVENTS, "").await.status, 200);
}
