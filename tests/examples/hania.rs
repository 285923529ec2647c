//! The facts of hania.txt, against `examples/abilities.rs`.

use crate::example::{Example, assert_is_revoked_at_once};
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
async fn keys_have_the_prefix_of_their_kind() {
    let server = Example::start("abilities");
    for label in server.labels() {
        let prefix = if label == "widget" { "hania_" } else { "hania_sk_" };
        let body = server.key(label).strip_prefix(prefix).unwrap();
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

#[tokio::test]
async fn an_hourly_limit_lets_three_requests_pass() {
    let server = Example::start("abilities");
    for left in ["2", "1", "0"] {
        // What its abilities refuse is not counted.
        assert_eq!(server.call("hourly-3", "DELETE", "/api/v1/bots/9", "").await.status, 403);
        let response = server.call("hourly-3", "GET", "/api/v1/bots", "").await;
        assert_eq!(response.status, 200);
        assert_eq!(response.header("ratelimit-policy"), Some(r#""hourly";q=3;w=3600"#));
        let state = response.header("ratelimit").unwrap();
        assert!(state.starts_with(&format!(r#""hourly";r={left};t="#)), "{state}");
    }
    let refused = server.call("hourly-3", "GET", "/api/v1/bots", "").await;
    assert_eq!(refused.status, 429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert_eq!(server.call("reader", "GET", "/api/v1/bots", "").await.status, 200);
}

const CHAT: &str = "/widget/v1/chat";

#[tokio::test]
async fn a_widget_key_works_on_the_pages_of_its_shop_only() {
    let server = Example::start("abilities");
    for (line, status) in [
        ("origin: https://shop.example", 200),
        ("origin: https://berlin.shop.example", 200),
        ("origin: HTTPS://SHOP.example:443", 200),
        ("referer: https://shop.example/cart", 200),
        ("origin: https://shop.example\r\nreferer: https://evil.example/", 200),
        ("origin: https://evil.example\r\nreferer: https://shop.example/", 403),
        ("origin: null", 403),
        ("origin: null\r\nreferer: https://shop.example/", 403),
        ("origin: http://shop.example", 403),
        ("origin: https://shop.example:8443", 403),
        ("origin: https://shop.example.evil.com", 403),
        ("origin: https://evilshop.example", 403),
        ("origin: https://shop.example\r\norigin: https://shop.example", 403),
        ("referer: https://shop.example@evil.com/", 403),
        ("accept: */*", 403),
    ] {
        let response = server.call_with("widget", "POST", CHAT, line).await;
        assert_eq!(response.status, status, "{line}");
    }
}

#[tokio::test]
async fn widget_keys_and_account_keys_are_not_mixed_up() {
    let server = Example::start("abilities");
    let shop = "origin: https://shop.example";
    for path in ["/api/v1/bots", "/api/v1/bots/1"] {
        assert_eq!(server.call_with("widget", "GET", path, shop).await.status, 403);
    }
    for label in ["everything", "chat"] {
        assert_eq!(server.call_with(label, "POST", CHAT, shop).await.status, 403, "{label}");
    }
}

#[tokio::test]
async fn account_keys_do_not_work_in_browsers() {
    let server = Example::start("abilities");
    for (line, status) in [
        ("sec-fetch-site: cross-site", 403),
        ("sec-fetch-site: same-site", 403),
        ("sec-fetch-site: same-origin", 200),
        ("sec-fetch-site: none", 200),
        ("origin: https://app.example", 403),
        ("origin: null", 403),
        ("origin: http://localhost", 200),
        ("accept: */*", 200),
    ] {
        let response = server.call_with("reader", "GET", "/api/v1/bots", line).await;
        assert_eq!(response.status, status, "{line}");
    }
}

#[tokio::test]
async fn pages_of_the_shop_may_ask_and_read_the_answer() {
    let server = Example::start("abilities");
    let preflight = |origin: &str| {
        format!(
            "OPTIONS {CHAT} HTTP/1.1\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: authorization"
        )
    };
    let asked =
        async |origin: &str| crate::common::send_raw(server.address, preflight(origin)).await;
    let allowed = asked("https://berlin.shop.example").await;
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://berlin.shop.example"));
    let other = asked("https://evil.example").await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    let refused = server.call_with("reader", "POST", CHAT, "origin: https://shop.example").await;
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://shop.example"));
}

#[tokio::test]
async fn a_key_that_an_administrator_revokes_is_refused_at_once() {
    let server = Example::start("abilities");
    assert_is_revoked_at_once(&server, "reader", "/api/v1/bots").await;
    assert_eq!(server.call("bots", "GET", "/api/v1/bots", "").await.status, 200);
}
