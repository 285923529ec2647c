//! The facts of rest.txt, against `examples/restrictions.rs`.

use crate::example::Example;
use serde_json::json;

const USER: &str = "/v1/users/usr_123";
const REPORT: &str = "/v1/reports/daily";
const KEYS: &str = "/v1/api-keys";

#[tokio::test]
async fn test_keys_charge_nothing_and_keep_nothing() {
    let server = Example::start("restrictions");
    for (label, livemode, kept) in [("test", false, 0), ("live", true, 1), ("test", false, 1)] {
        let created = server.call(label, "POST", "/v1/charges", r#"{"amount":1000}"#).await;
        assert_eq!(created.status, 201);
        assert_eq!(created.json()["livemode"], livemode);
        let report = server.call(label, "GET", REPORT, "").await.json();
        assert_eq!(report["data"]["charges"], kept);
    }
}

#[tokio::test]
async fn keys_have_the_prefix_of_their_mode() {
    let server = Example::start("restrictions");
    for label in server.labels() {
        let prefix = if label == "test" { "sk_test_" } else { "sk_live_" };
        assert!(server.key(label).starts_with(prefix), "{label}");
    }
}

#[tokio::test]
async fn a_key_works_from_its_addresses_only_whatever_headers_claim() {
    let server = Example::start("restrictions");
    for claim in ["accept: */*", "x-forwarded-for: 10.0.0.1", "x-real-ip: 10.0.0.1"] {
        assert_eq!(server.call_with("ip-10", "GET", USER, claim).await.status, 403, "{claim}");
        assert_eq!(server.call_with("ip-local", "GET", USER, claim).await.status, 200, "{claim}");
    }
}

#[tokio::test]
async fn behind_trusted_proxies_the_address_is_what_they_say() {
    let server = Example::start_with("restrictions", ("TRUSTED_PROXIES", "127.0.0.0/8, ::1"));
    for (lines, ten, local) in [
        ("x-forwarded-for: 10.1.2.3", 200, 403),
        ("x-forwarded-for: 10.1.2.3, 192.0.2.1", 403, 403),
        ("x-forwarded-for: 192.0.2.1, 10.1.2.3, 127.0.0.9", 200, 403),
        ("x-forwarded-for: 192.0.2.1\r\nx-forwarded-for: 10.1.2.3", 200, 403),
        ("x-forwarded-for: 10.1.2.3\r\nx-forwarded-for: 192.0.2.1", 403, 403),
        ("x-forwarded-for: ::ffff:10.1.2.3", 200, 403),
        ("x-forwarded-for: 10.1.2.3:99", 200, 403),
        ("x-forwarded-for: unknown", 403, 403),
        ("x-forwarded-for: 10.1.2.3, garbage", 403, 403),
        // For whom it asks is not said where it is looked for.
        ("forwarded: for=10.1.2.3", 403, 403),
        ("x-real-ip: 10.1.2.3", 403, 403),
    ] {
        assert_eq!(server.call_with("ip-10", "GET", USER, lines).await.status, ten, "{lines}");
        assert_eq!(server.call_with("ip-local", "GET", USER, lines).await.status, local, "{lines}");
    }
}

#[tokio::test]
async fn a_key_works_on_its_pages_only() {
    let server = Example::start("restrictions");
    for (lines, status) in [
        ("referer: https://app.example/", 200),
        ("referer: https://app.example/a/b?c", 200),
        ("origin: https://app.example", 200),
        ("origin: https://evil.example\r\nreferer: https://app.example/", 403),
        ("referer: https://app.example.evil.com/", 403),
        ("referer: http://app.example/", 403),
        ("referer: https://evil.com/?https://app.example/", 403),
        ("accept: */*", 403),
    ] {
        let response = server.call_with("referrer", "GET", REPORT, lines).await;
        assert_eq!(response.status, status, "{lines}");
    }
}

#[tokio::test]
async fn a_key_works_on_its_endpoints_only() {
    let server = Example::start("restrictions");
    for (method, path, status) in [
        ("GET", USER, 200),
        ("HEAD", USER, 200),
        ("POST", USER, 403),
        ("GET", REPORT, 403),
        ("POST", "/v1/charges", 403),
        ("GET", "/v1/users/", 403),
        ("GET", "/v1/users/1/2", 403),
        ("GET", "/v1/users/..", 403),
        ("GET", "//v1/users/1", 403),
        ("GET", "/v1/users/1;x", 403),
    ] {
        let response = server.call("users-only", method, path, "").await;
        assert_eq!(response.status, status, "{method} {path}");
    }
}

#[tokio::test]
async fn refusals_have_the_documented_shape() {
    let server = Example::start("restrictions");
    let missing = server.get(USER, &[]).await;
    let expired = server.call("expired", "GET", USER, "").await;
    let forbidden = server.call("ip-10", "GET", USER, "").await;
    for (response, status, message) in [
        (missing, 401, "An API key is required"),
        (expired, 401, "The API key is not valid"),
        (forbidden, 403, "The API key does not work from this address"),
    ] {
        assert_eq!(response.status, status);
        assert_eq!(response.header("content-type"), Some("application/json"));
        let body = json!({ "success": false, "error": { "message": message } });
        assert_eq!(response.json(), body);
    }
    let header = format!("x-api-key: {}", server.key("live"));
    assert_eq!(server.get(USER, &[&header]).await.status, 401, "Bearer only");
}

#[tokio::test]
async fn a_live_key_lists_the_keys_of_its_account_with_their_last_use() {
    let server = Example::start("restrictions");
    assert_eq!(server.call("test", "GET", REPORT, "").await.status, 200);
    let used = async {
        loop {
            let listed = server.call("live", "GET", KEYS, "").await;
            assert_eq!((listed.status, listed.header("cache-control")), (200, Some("no-store")));
            let json = listed.json();
            assert_eq!((&json["success"], &json["next_cursor"]), (&json!(true), &json!(null)));
            let keys = json["data"].as_array().unwrap().clone();
            assert_eq!(keys.len(), 7);
            for key in &keys {
                let name = key["name"].as_str().unwrap();
                assert_eq!(key["id"], server.id(name));
                let prefix = if name == "test" { "sk_test_" } else { "sk_live_" };
                assert_eq!(key["prefix"], prefix);
                assert!(key["created_at"].as_str().unwrap().ends_with('Z'));
                assert!(!listed.text().contains(server.key(name)));
            }
            let test = keys.iter().find(|key| key["name"] == "test").unwrap();
            if test["last_used"].is_string() {
                let ip = keys.iter().find(|key| key["name"] == "ip-10").unwrap();
                break ip["last_used"].clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert_eq!(crate::common::in_time(used).await, json!(null));
}

#[tokio::test]
async fn a_live_key_revokes_keys_of_its_account() {
    let server = Example::start("restrictions");
    let path = format!("{KEYS}/{}", server.id("test"));
    for label in ["test", "ip-local", "users-only"] {
        for (method, path) in [("GET", KEYS), ("DELETE", &*path)] {
            assert_eq!(server.call(label, method, path, "").await.status, 403, "{label}");
        }
    }
    assert_eq!(server.call("test", "GET", REPORT, "").await.status, 200);
    for _ in 0..2 {
        let revoked = server.call("live", "DELETE", &path, "").await;
        let message = json!({ "success": true, "message": "API key revoked successfully" });
        assert_eq!((revoked.status, revoked.json()), (200, message));
        assert_eq!(server.call("test", "GET", REPORT, "").await.status, 401);
    }
}

#[tokio::test]
async fn keys_are_neither_created_nor_changed_over_the_api() {
    let server = Example::start("restrictions");
    let path = format!("{KEYS}/{}", server.id("test"));
    for (method, path, status) in [
        ("POST", KEYS.to_owned(), 405),
        ("GET", path.clone(), 405),
        ("PATCH", path.clone(), 405),
        ("POST", format!("{path}/rotate"), 404),
    ] {
        let body = r#"{"name":"another"}"#;
        assert_eq!(server.call("live", method, &path, body).await.status, status, "{method}");
    }
}

#[tokio::test]
async fn errors_about_keys_have_the_documented_shape() {
    const STATES: &str =
        "Unknown state: use `active`, `disabled`, `expired`, `revoked` or `suspended`";
    let server = Example::start("restrictions");
    let unknown = format!("{KEYS}/key_123");
    let wrong = format!("{KEYS}?state=lost");
    for (label, method, path, status, message) in [
        ("live", "DELETE", &*unknown, 404, "There is no such API key"),
        ("live", "GET", &*wrong, 400, STATES),
        ("test", "GET", KEYS, 403, "Missing ability: api-keys:read"),
        ("test", "DELETE", &*unknown, 403, "Missing ability: api-keys:write"),
    ] {
        let response = server.call(label, method, path, "").await;
        let body = json!({ "success": false, "error": { "message": message } });
        assert_eq!((response.status, response.json()), (status, body));
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
}
