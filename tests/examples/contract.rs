//! The contract of the example servers: what they print, where they listen, how they stop.

use crate::example::Example;

/// Name, labels of the keys, and what a request without a key gets where.
const HTTP: [(&str, &[&str], &str, u16); 12] = [
    ("dashboard", &["import", "widget"], "/v1/bots", 401),
    ("quickstart", &["limited", "reader"], "/whoami", 401),
    ("stages", &["acme-dev", "acme-prod", "acme-retired", "globex-prod"], "/prod/1/questions", 403),
    (
        "abilities",
        &[
            "admin",
            "bots",
            "chat",
            "everything",
            "expired",
            "hourly-3",
            "none",
            "reader",
            "revoked",
            "widget",
            "writer",
        ],
        "/api/v1/bots",
        401,
    ),
    (
        "restrictions",
        &["expired", "ip-10", "ip-local", "live", "referrer", "test", "users-only"],
        "/v1/reports/daily",
        401,
    ),
    ("policy", &["admin", "reader"], "/v1/users/7", 401),
    ("environments", &["acme-live", "acme-test", "admin", "globex-live"], "/v1/events", 401),
    (
        "workspaces",
        &["sales", "sales-old", "support", "web-app"],
        "/api/v1/workspaces/sales/leads",
        401,
    ),
    ("own_table", &["admin", "globex", "reader", "retired", "writer"], "/notes", 401),
    ("hyper", &["demo"], "/", 401),
    ("observe", &["limited", "reader"], "/reports", 401),
    ("streams", &["admin", "listener", "second", "short"], "/events", 401),
];

#[tokio::test]
async fn every_server_prints_its_keys_and_refuses_a_request_without_one() {
    for (name, labels, path, status) in HTTP {
        let server = Example::start(name);
        assert_eq!(server.labels(), labels, "{name}");
        assert_eq!(server.get(path, &[]).await.status, status, "{name}");
    }
    assert_eq!(Example::start("grpc").labels(), ["checker", "none", "watcher"]);
}

#[cfg(unix)]
#[test]
fn every_server_stops_cleanly_on_sigint_and_sigterm() {
    let names = HTTP.iter().map(|(name, ..)| *name).chain(["grpc"]);
    for name in names {
        for signal in ["-INT", "-TERM"] {
            assert!(Example::start(name).stop(signal), "{name} {signal}");
        }
    }
}

#[tokio::test]
async fn quickstart_shows_what_a_key_is_and_what_it_may_do() {
    let server = Example::start("quickstart");
    let whoami = server.get_as("reader", "/whoami").await;
    assert_eq!(whoami.status, 200);
    let whoami = whoami.json();
    assert!(whoami["key"].as_str().unwrap().starts_with("key_"));
    assert_eq!(whoami["tenant"], "acme");
    assert_eq!(whoami["abilities"], serde_json::json!(["reports:read"]));
    assert!(whoami["name"].is_string());
    assert_eq!(server.get_as("reader", "/reports").await.status, 200);
    assert_eq!(server.call("reader", "GET", "/reports", "").await.status, 200);

    let limited = server.get_as("limited", "/reports").await;
    assert_eq!(limited.status, 403);
    assert_eq!(limited.header("content-type"), Some("application/problem+json"));
    assert_eq!(limited.json()["detail"], "Missing ability: reports:read");
    assert_eq!(server.get_as("limited", "/whoami").await.status, 200);
    assert_eq!(server.get("/whoami", &[]).await.status, 401);
}

#[tokio::test]
async fn quickstart_keeps_its_keys_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.db").display().to_string();
    let first = Example::start_with("quickstart", ("DATABASE", &file));
    let key = format!("x-api-key: {}", first.key("reader"));
    drop(first);
    let second = Example::start_with("quickstart", ("DATABASE", &file));
    assert_ne!(format!("x-api-key: {}", second.key("reader")), key);
    assert_eq!(second.get("/reports", &[&key]).await.status, 200);
    assert_eq!(second.get_as("reader", "/reports").await.status, 200);
    drop(second);
    // Not in a database of its own in memory.
    assert_eq!(Example::start("quickstart").get("/reports", &[&key]).await.status, 401);
}

#[tokio::test]
async fn quickstart_prints_four_calls_to_its_own_address() {
    let server = Example::start("quickstart");
    let calls: Vec<_> =
        server.printed.lines().filter_map(|line| line.trim().strip_prefix("curl ")).collect();
    assert_eq!(calls.len(), 4);
    for call in calls {
        assert!(call.contains(&format!("http://{}/", server.address)), "{call}");
    }
}

#[tokio::test]
async fn hyper_greets_the_tenant_on_any_path_and_both_versions_of_http() {
    let server = Example::start("hyper");
    for path in ["/", "/anything/at/all"] {
        let response = server.get_as("demo", path).await;
        assert_eq!((response.status, response.text()), (200, "hello acme"));
    }
    let url = format!("http://{}/", server.address);
    let request = crate::common::http2_client().get(&url).header("x-api-key", server.key("demo"));
    let response = request.send().await.unwrap();
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    assert_eq!(response.text().await.unwrap(), "hello acme");
    let refused = crate::common::http2_client().get(&url).send().await.unwrap();
    assert_eq!(refused.status(), 401);
}
