//! The facts of heffl.txt, against `examples/workspaces.rs`.

use std::collections::HashSet;

use crate::common::RawResponse;
use crate::example::Example;
use serde_json::json;

const SALES: &str = "/api/v1/workspaces/sales/leads";
const SALES_KEYS: &str = "/api/v1/workspaces/sales/api-keys";
const SUPPORT: &str = "/api/v1/workspaces/support/leads";

#[tokio::test]
async fn a_key_shows_the_leads_of_its_workspace() {
    let server = Example::start("workspaces");
    let sales = server.get_as("sales", SALES).await;
    assert_eq!((sales.status, &sales.json()["workspace"]), (200, &json!("sales")));
    let support = server.get_as("support", SUPPORT).await;
    assert_eq!((support.status, &support.json()["workspace"]), (200, &json!("support")));
    let leads = |response: &RawResponse| response.json()["leads"].as_array().unwrap().clone();
    assert!(!leads(&sales).is_empty());
    assert!(leads(&sales).iter().all(|lead| !leads(&support).contains(lead)));
}

#[tokio::test]
async fn another_workspace_is_forbidden() {
    let server = Example::start("workspaces");
    for (label, path) in [
        ("sales", SUPPORT),
        ("support", SALES),
        ("sales", "/api/v1/workspaces/nobody/leads"),
        ("sales", "/api/v1/workspaces/Sales/leads"),
    ] {
        assert_eq!(server.get_as(label, path).await.status, 403, "{label} {path}");
    }
}

#[tokio::test]
async fn missing_unknown_revoked_and_malformed_keys_are_unauthorized() {
    let server = Example::start("workspaces");
    let key = server.key("sales");
    let (first, rest) = key.split_at(10);
    for line in [
        "accept: */*".to_owned(),
        "x-api-key: ak_nobody".to_owned(),
        format!("x-api-key: {}", server.key("sales-old")),
        format!("x-api-key: {first} {rest}"),
        format!("x-api-key: {first}\t{rest}"),
        format!("x-api-key: \"{key}\""),
        "x-api-key:".to_owned(),
        "x-api-key:    ".to_owned(),
        // Bearer serves the web app.
        format!("authorization: Bearer {key}"),
    ] {
        let response = server.get(SALES, &[&line]).await;
        assert_eq!(response.status, 401, "{line}");
        assert!(response.json()["message"].is_string());
    }
}

#[tokio::test]
async fn a_line_break_within_the_key_does_not_get_through() {
    let server = Example::start("workspaces");
    let (first, rest) = server.key("sales").split_at(10);
    // A folded line is no HTTP/1.1 any more (RFC 9112, section 5.2): the server says 400.
    let folded = format!("x-api-key: {first}\r\n {rest}");
    let response = server.get(SALES, &[&folded]).await;
    assert!(matches!(response.status, 400 | 401), "{}", response.status);
}

#[tokio::test]
async fn the_web_app_shows_the_keys_of_its_workspace_with_their_last_use() {
    let server = Example::start("workspaces");
    assert_eq!(server.get_as("sales", SALES).await.status, 200);
    let used = async {
        loop {
            let listed = server.call("web-app", "GET", SALES_KEYS, "").await;
            assert_eq!(listed.status, 200);
            let keys = listed.json()["data"].as_array().unwrap().clone();
            let names: HashSet<_> = keys.iter().map(|key| key["name"].as_str().unwrap()).collect();
            assert_eq!(names, HashSet::from(["sales", "sales-old"]));
            let named = |name: &str| keys.iter().find(|key| key["name"] == name).unwrap();
            assert_eq!(named("sales-old")["state"], "revoked");
            assert_eq!(named("sales-old")["last_used"], json!(null));
            if named("sales")["last_used"].is_string() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    crate::common::in_time(used).await;
}

#[tokio::test]
async fn keys_are_reviewed_in_the_web_app_alone() {
    let server = Example::start("workspaces");
    let other = "/api/v1/workspaces/support/api-keys";
    assert_eq!(server.call("web-app", "GET", other, "").await.status, 403);
    for label in ["sales", "sales-old", "support"] {
        assert_eq!(server.get_as(label, SALES_KEYS).await.status, 401, "{label}");
        assert_eq!(server.call(label, "GET", SALES_KEYS, "").await.status, 401, "{label}");
    }
    // Nor does the session open the API.
    assert_eq!(server.get_as("web-app", SALES).await.status, 401);
    assert_eq!(server.call("web-app", "GET", SALES, "").await.status, 401);
    assert_eq!(server.call("web-app", "POST", SALES_KEYS, "{}").await.status, 405);
}
