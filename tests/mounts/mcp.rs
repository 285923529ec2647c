//! The example `mcp`, a server of rmcp, as the SDKs of the Model Context Protocol see it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

/// The example, which is stopped when it is dropped.
struct Server {
    process: Child,
    url: String,
    agent: String,
    other: String,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp"));
        let mut process =
            command.env("ADDR", "127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (mut agent, mut other) = (String::new(), String::new());
        for line in lines {
            let line = line.unwrap();
            if let Some(url) = line.strip_prefix("listening on ") {
                return Self { process, url: format!("{url}/mcp"), agent, other };
            }
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["key", "agent", secret] => agent = secret.to_owned(),
                ["key", "other", secret] => other = secret.to_owned(),
                _ => {}
            }
        }
        panic!("the example ended: {:?}", process.wait());
    }

    /// Runs a client and returns what it saw.
    async fn tell(&self, command: Command) -> Value {
        let mut command = tokio::process::Command::from(command);
        let output =
            command.args([&self.url, &self.agent, &self.other]).kill_on_drop(true).output();
        let output = tokio::time::timeout(Duration::from_secs(120), output).await;
        let output = output.expect("the client hangs").unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{errors}"))
    }

    /// Opens a session, with a key unless it is empty.
    async fn open(&self, key: &str) -> reqwest::Response {
        let request = reqwest::Client::new().post(&self.url);
        let request = if key.is_empty() { request } else { request.header("x-api-key", key) };
        let request = request.header("accept", "application/json, text/event-stream");
        let hello = json!({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            },
        });
        request.json(&hello).send().await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn header<'a>(response: &'a reqwest::Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn a_session_is_opened_with_a_key_that_has_the_ability() {
    let server = Server::start();
    let opened = server.open(&server.agent).await;
    assert_eq!(opened.status(), StatusCode::OK);
    assert!(!header(&opened, "mcp-session-id").is_empty());
    // The server says more than the layer would: nothing of a session may be kept.
    assert!(header(&opened, "cache-control").contains("no-cache"), "{opened:?}");
    for (key, status, challenge, detail) in [
        ("", 401, "Bearer realm=\"api\"", "An API key is required"),
        ("wrong", 401, "Bearer realm=\"api\", error=\"invalid_token\"", "The API key is not valid"),
        (
            &server.other,
            403,
            "Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"mcp:use\"",
            "Missing ability: mcp:use",
        ),
    ] {
        let refused = server.open(key).await;
        assert_eq!(refused.status(), status);
        assert_eq!(header(&refused, "www-authenticate"), challenge);
        assert_eq!(header(&refused, "cache-control"), "no-store");
        assert_eq!(header(&refused, "vary"), "x-api-key, authorization");
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["detail"], detail);
    }
}

fn assert_is_served(said: &Value) {
    assert_eq!(said["tools"], json!(["list_bots", "restart_bot"]), "{said}");
    assert_eq!(said["accepted"], "acme: scout, courier");
    assert_eq!(said["again"], said["accepted"]);
    // A refusal by a tool is an error of the protocol, which agents read.
    assert_eq!(said["tool"]["code"], -32600, "{said}");
    let message = said["tool"]["message"].as_str().unwrap();
    assert!(message.ends_with("the API key lacks the ability bots:write"), "{said}");
}

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn the_sdk_for_typescript_shows_refusals_with_what_the_body_says() {
    let server = Server::start();
    let mut node = Command::new("node");
    node.arg("mcp_client.cjs");
    node.env("NODE_PATH", std::env::var("TEST_NODE_PATH").expect("tests/all sets it"));
    let said = server.tell(node).await;
    assert_is_served(&said);
    for (case, code, detail) in [
        ("missing", 401, "An API key is required"),
        ("wrong", 401, "The API key is not valid"),
        ("lacking", 403, "Missing ability: mcp:use"),
    ] {
        assert_eq!(said[case]["code"], code, "{said}");
        assert!(said[case]["message"].as_str().unwrap().contains(detail), "{said}");
    }
}

#[tokio::test]
#[ignore = "needs Python: run tests/all"]
async fn the_sdk_for_python_shows_the_status_and_the_challenge() {
    let server = Server::start();
    let mut python = Command::new(std::env::var("TEST_PYTHON").expect("tests/all sets it"));
    python.arg("mcp_client.py");
    let said = server.tell(python).await;
    assert_is_served(&said);
    // The message has the status alone; what the server says is in the response that the error holds.
    for (case, status, challenge) in [
        ("missing", "401 Unauthorized", "Bearer realm=\"api\""),
        ("wrong", "401 Unauthorized", "Bearer realm=\"api\", error=\"invalid_token\""),
        (
            "lacking",
            "403 Forbidden",
            "Bearer realm=\"api\", error=\"insufficient_scope\", scope=\"mcp:use\"",
        ),
    ] {
        assert_eq!(said[case]["error"], "HTTPStatusError", "{said}");
        assert!(said[case]["message"].as_str().unwrap().contains(status), "{said}");
        assert_eq!(said[case]["challenge"], challenge, "{said}");
    }
}
