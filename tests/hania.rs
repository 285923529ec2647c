//! The facts of hania.txt, against `examples/abilities.rs`.

mod common;

use common::example::Example;
use serde_json::json;

const BOT: &str = r#"{"name":"Ada"}"#;

/// Method, path and body of every endpoint, and the ability it needs.
const ENDPOINTS: [(&str, &str, &str, &str); 6] = [
    ("GET", "/api/v1/bots", "", "bots:read"),
    ("POST", "/api/v1/bots", BOT, "bots:write"),
    ("GET", "/api/v1/bots/1", "", "bots:read"),
    ("PUT", "/api/v1/bots/1", BOT, "bots:write"),
    ("POST", "/api/v1/bots/1/chat", "", "chat:send"),
    ("DELETE", "/api/v1/bots/1", "", "bots:write"),
];

#[tokio::test]
async fn every_endpoint_needs_its_ability() {
    for (label, abilities) in [
        ("reader", &["bots:read"][..]),
        ("writer", &["bots:write"]),
        ("bots", &["bots:read", "bots:write"]),
        ("everything", &["bots:read", "bots:write", "chat:send"]),
        ("chat", &["chat:send"]),
        ("none", &[]),
    ] {
        let server = Example::start("abilities");
        for (method, path, body, needed) in ENDPOINTS {
            let response = server.call(label, method, path, body).await;
            if abilities.contains(&needed) {
                assert!((200..300).contains(&response.status), "{label}: {method} {path}");
            } else {
                assert_eq!(response.status, 403, "{label}: {method} {path}");
                assert_eq!(
                    response.json(),
                    json!({ "message": format!("Missing ability: {needed}") })
                );
                assert_eq!(
                    response.header("www-authenticate").unwrap(),
                    format!(r#"Bearer realm="api", error="insufficient_scope", scope="{needed}""#)
                );
            }
        }
    }
}

#[tokio::test]
async fn a_created_bot_is_listed_renamed_and_deleted() {
    let server = Example::start("abilities");
    let created = server.call("bots", "POST", "/api/v1/bots", BOT).await;
    assert_eq!(created.status, 201);
    let id = &created.json()["data"]["id"];
    let path = format!("/api/v1/bots/{id}");
    let listed = server.call("reader", "GET", "/api/v1/bots", "").await.json();
    assert!(listed["data"].as_array().unwrap().iter().any(|bot| bot["id"] == *id));
    let renamed = server.call("writer", "PUT", &path, r#"{"name":"Grace"}"#).await;
    assert_eq!((renamed.status, &renamed.json()["data"]["name"]), (200, &json!("Grace")));
    assert_eq!(server.call("writer", "DELETE", &path, "").await.status, 204);
    assert_eq!(server.call("reader", "GET", &path, "").await.status, 404);
}

#[tokio::test]
async fn missing_unknown_expired_and_revoked_are_answered_alike_byte_for_byte() {
    let server = Example::start("abilities");
    let missing = server.get("/api/v1/bots", &[]).await;
    assert_eq!(missing.status, 401);
    assert!(missing.header("www-authenticate").is_some());
    let unknown = format!("authorization: Bearer hania_sk_{}", "0".repeat(40));
    let lines = [
        unknown,
        format!("authorization: Bearer {}", server.key("expired")),
        format!("authorization: Bearer {}", server.key("revoked")),
        "authorization: Bearer hania_public_widget_key".to_owned(),
        format!("authorization: Bearer {} extra", server.key("reader")),
        "authorization: Bearer".to_owned(),
        "authorization: Basic dTpw".to_owned(),
        format!("x-api-key: {}", server.key("reader")),
        format!("authorization: Bearer {0}\r\nauthorization: Bearer {0}", server.key("reader")),
    ];
    for line in &lines {
        assert_eq!(server.get("/api/v1/bots", &[line]).await, missing, "{line}");
    }
}

#[tokio::test]
async fn keys_are_account_keys() {
    let server = Example::start("abilities");
    for label in server.labels() {
        let body = server.key(label).strip_prefix("hania_sk_").unwrap();
        assert_eq!(body.len(), 40);
        assert!(body.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    }
}

#[tokio::test]
async fn head_needs_what_get_needs_and_other_methods_are_refused() {
    let server = Example::start("abilities");
    assert_eq!(server.call("reader", "HEAD", "/api/v1/bots", "").await.status, 200);
    assert_eq!(server.call("writer", "HEAD", "/api/v1/bots", "").await.status, 403);
    for method in ["OPTIONS", "TRACE", "PURGE"] {
        let response = server.call("everything", method, "/api/v1/bots", "").await;
        assert_eq!(response.status, 403, "{method}");
    }
}
