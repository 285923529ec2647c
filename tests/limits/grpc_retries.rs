//! Clients of gRPC with a retry policy wait as long as they are told.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::process::Command;
use tonic::Code;
use tonic::transport::Server;
use tower::Layer as _;
use tower_api_key::observe::{Finished, Observe};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};

use crate::common::python::python;
use crate::common::{health, issue, serve_tonic};

/// Counts requests, refused or not.
#[derive(Clone, Default)]
struct Attempts(Arc<AtomicUsize>);

impl Observe for Attempts {
    fn finished(&self, _: &Finished<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Runs a client that calls twice with a key of this limit. Returns what it said of its calls, and the
/// number of attempts.
async fn run(mut client: Command, limit: &str) -> (String, usize) {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("caller").limit(limit));
    let attempts = Attempts::default();
    let layer = ApiKeyLayer::new(keys).observer(attempts.clone());
    let (_, service) = tonic_health::server::health_reporter();
    let address = serve_tonic(Server::builder().add_service(layer.layer(service))).await;
    client.arg(address.to_string()).arg(key).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(120), client.output()).await;
    let output = output.expect("it hangs").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    (said.trim().replace('\n', " "), attempts.0.load(Ordering::SeqCst))
}

fn grpcio() -> Command {
    let mut command = Command::from(python());
    command.arg("limits/grpcio_retry.py");
    command
}

fn grpc_js() -> Command {
    let mut command = Command::new("node");
    command.arg("limits/grpc_js_retry.cjs");
    command.env("NODE_PATH", std::env::var("TEST_NODE_PATH").expect("tests/all sets it"));
    command
}

/// The limit that frees within a call, and the one that does not.
const SOON: &str = "1 per 3 seconds";
const LATE: &str = "1 per hour";

async fn waits_once_or_not_at_all(client: impl Fn() -> Command) {
    // The second call is refused once, and passes after the time that it was told.
    assert_eq!(run(client(), SOON).await, ("OK OK".to_owned(), 3));
    // It is not tried again.
    assert_eq!(run(client(), LATE).await, ("OK RESOURCE_EXHAUSTED".to_owned(), 2));
}

#[tokio::test]
#[ignore = "needs Python: run tests/all"]
async fn grpcio_waits_as_long_as_it_is_told() {
    waits_once_or_not_at_all(grpcio).await;
}

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn grpc_js_waits_as_long_as_it_is_told() {
    waits_once_or_not_at_all(grpc_js).await;
}

#[tokio::test]
async fn tonic_reads_how_long_to_wait() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("caller").limit("1 per 30 seconds"));
    let (_, service) = tonic_health::server::health_reporter();
    let service = ApiKeyLayer::new(keys).layer(service);
    let address = serve_tonic(Server::builder().add_service(service)).await;
    health(address, &key).await.unwrap();
    let status = health(address, &key).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    let number = |name: &str| -> u64 {
        status.metadata().get(name).unwrap().to_str().unwrap().parse().unwrap()
    };
    let (millis, seconds) = (number("grpc-retry-pushback-ms"), number("retry-after"));
    assert!((1..=30).contains(&seconds));
    assert!(((seconds - 1) * 1000..=seconds * 1000 + 1).contains(&millis), "{millis} {seconds}");
    assert_eq!(
        health(address, "wrong").await.unwrap_err().metadata().get("grpc-retry-pushback-ms"),
        None
    );
}
