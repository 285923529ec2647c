//! Refused uploads behind real proxies and by real clients: nobody sees anything but the refusal,
//! and no node is marked as failed.
//!
//! `tests/all` installs the programs.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequireAbility};

use crate::common::python::python;
use crate::common::{issue, serve};
use crate::proxies::ProxyProgram;
use crate::upload::{Connection, Framing};

const KILO: usize = 1000;
const MEGA: usize = 1000 * KILO;

struct World {
    nodes: [SocketAddr; 2],
    plain: String,
    limited: String,
}

/// Serves two nodes, each of which says which it is.
async fn serve_nodes(layer: impl Fn(MemoryStore) -> ApiKeyLayer) -> World {
    let keys = MemoryStore::new();
    let plain = issue(&keys, NewKey::named("plain"));
    let limited = issue(&keys, NewKey::named("limited").limit("1 per day"));
    let layer = layer(keys);
    let node = |name: &'static str| {
        let read = |body: Bytes| async move { body.len().to_string() };
        Router::new()
            .route("/upload", post(read))
            .route("/guarded", post(read).layer(RequireAbility::new("uploads:write")))
            .route("/small", get(move || async move { name }))
            .layer(layer.clone())
    };
    let nodes = [serve(node("node 1")).await, serve(node("node 2")).await];
    let world = World { nodes, plain, limited };
    // From here on, this key is over its limit.
    let mut connection = Connection::open(nodes[0]).await;
    let first = connection.upload("/upload", &world.limited, 1, Framing::Length).await;
    assert_eq!(first.unwrap().status, 200);
    world
}

impl World {
    /// Sends one upload that is refused, and returns what is answered in its place, if it is.
    async fn upload(
        &self,
        proxy: &ProxyProgram,
        prefix: &str,
        number: usize,
        size: usize,
        framing: Framing,
    ) -> Option<String> {
        let (path, key, status) = [
            ("/upload", "wrong", 401),
            ("/guarded", &self.plain, 403),
            ("/upload", &self.limited, 429),
        ][number % 3];
        let mut connection = Connection::open(proxy.address).await;
        match connection.upload(&format!("{prefix}{path}"), key, size, framing).await {
            Ok(answer) if answer.status == status => None,
            other => Some(format!("{prefix}{path} {size} {framing:?}: {other:?}")),
        }
    }

    /// Returns who answers to small requests with a valid key.
    async fn answering(&self, proxy: &ProxyProgram, prefix: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for _ in 0..2 {
            let mut connection = Connection::open(proxy.address).await;
            let answer = connection.get(&format!("{prefix}/small"), &self.plain).await.unwrap();
            names.insert(answer.body);
        }
        names
    }

    /// Asserts that uploads are refused with the right status, and that both nodes serve all the
    /// while.
    async fn assert_unharmed(
        &self,
        proxy: &ProxyProgram,
        prefix: &str,
        times: usize,
        size: usize,
        framings: &[Framing],
    ) {
        for number in 0..times {
            let framing = framings[number % framings.len()];
            let odd = self.upload(proxy, prefix, number, size, framing).await;
            assert_eq!(odd, None, "upload {number}\n{}", proxy.log());
            let answering = self.answering(proxy, prefix).await;
            let both = ["node 1".to_owned(), "node 2".to_owned()].into();
            assert_eq!(answering, both, "after upload {number}\n{}", proxy.log());
        }
    }
}

const BOTH: [Framing; 2] = [Framing::Length, Framing::Chunked];

fn nginx(world: &World) -> ProxyProgram {
    ProxyProgram::start("uploads-nginx.conf", &["nginx", "-c"], world.nodes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn nginx_marks_no_node_as_failed() {
    let world = serve_nodes(ApiKeyLayer::new).await;
    let nginx = nginx(&world);
    for prefix in ["", "/streamed"] {
        for framing in BOTH {
            world.assert_unharmed(&nginx, prefix, 60, 900 * KILO, &[framing]).await;
            world.assert_unharmed(&nginx, prefix, 60, 3 * MEGA, &[framing]).await;
        }
    }
    world.assert_unharmed(&nginx, "", 60, 64 * MEGA, &BOTH).await;
    world.assert_unharmed(&nginx, "/streamed", 20, 64 * MEGA, &BOTH).await;
    assert!(!nginx.log().contains("[error]"), "{}", nginx.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn nginx_marks_no_node_as_failed_when_uploads_are_longer_than_what_is_read() {
    let world =
        serve_nodes(|keys| ApiKeyLayer::new(keys).drain_refused(100_000, Duration::from_secs(30)))
            .await;
    let nginx = nginx(&world);
    for prefix in ["", "/streamed"] {
        for size in [900 * KILO, 3 * MEGA, 20 * MEGA] {
            world.assert_unharmed(&nginx, prefix, 20, size, &BOTH).await;
        }
    }
    assert!(!nginx.log().contains("[error]"), "{}", nginx.log());
}

/// Shows that the tests above would see the fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs nginx: `tests/all` installs it and runs this too"]
async fn nginx_marks_both_nodes_as_failed_when_bodies_are_dropped() {
    let world = serve_nodes(|keys| ApiKeyLayer::new(keys).drop_refused()).await;
    let nginx = nginx(&world);
    let mut odd = Vec::new();
    for number in 0..60 {
        odd.extend(world.upload(&nginx, "", number, 3 * MEGA, Framing::Length).await);
    }
    assert!(!odd.is_empty());
    let answering = world.answering(&nginx, "").await;
    assert!(answering.iter().all(|answer| answer.contains("502 Bad Gateway")), "{answering:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Apache: `tests/all` installs it and runs this too"]
async fn apache_hands_on_every_refusal() {
    let world = serve_nodes(ApiKeyLayer::new).await;
    let command = ["apache2", "-DFOREGROUND", "-f"];
    let apache = ProxyProgram::start("uploads-apache.conf", &command, world.nodes);
    world.assert_unharmed(&apache, "", 60, 900 * KILO, &BOTH).await;
    world.assert_unharmed(&apache, "", 60, 3 * MEGA, &BOTH).await;
    world.assert_unharmed(&apache, "", 6, 64 * MEGA, &BOTH).await;
    assert!(!apache.log().contains(":error]"), "{}", apache.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs HAProxy: `tests/all` installs it and runs this too"]
async fn haproxy_hands_on_every_refusal() {
    let world = serve_nodes(ApiKeyLayer::new).await;
    let haproxy =
        ProxyProgram::start("uploads-haproxy.cfg", &["haproxy", "-db", "-f"], world.nodes);
    world.assert_unharmed(&haproxy, "", 60, 900 * KILO, &BOTH).await;
    world.assert_unharmed(&haproxy, "", 60, 3 * MEGA, &BOTH).await;
    world.assert_unharmed(&haproxy, "", 6, 64 * MEGA, &BOTH).await;
}

const SIZES: [usize; 2] = [3 * MEGA, 64 * MEGA];

/// Runs a client, and returns what it prints.
async fn run(client: Command) -> String {
    let output = tokio::process::Command::from(client).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_secs(120), output).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that a client of `tests/request/uploads` prints a refusal for each size and framing.
async fn assert_sees_refusals(mut program: Command, script: &str) {
    let world = serve_nodes(ApiKeyLayer::new).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("request/uploads").join(script);
    program.arg(script).arg(format!("http://{}/upload", world.nodes[0]));
    program.args(SIZES.map(|size| size.to_string()));
    let expected = SIZES.map(|size| {
        let lines = ["length", "chunked"]
            .map(|framing| format!("{size} {framing} 401 The API key is not valid\n"));
        lines.concat()
    });
    assert_eq!(run(program).await, expected.concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Python with requests: `tests/all` installs it and runs this too"]
async fn python_sees_the_refusal() {
    assert_sees_refusals(python(), "client.py").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Node: `tests/all` installs it and runs this too"]
async fn fetch_of_node_sees_the_refusal() {
    assert_sees_refusals(Command::new("node"), "client.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a JDK: `tests/all` installs it and runs this too"]
async fn the_http_client_of_java_sees_the_refusal() {
    assert_sees_refusals(Command::new("java"), "Client.java").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs curl: `tests/all` installs it and runs this too"]
async fn curl_sees_the_refusal() {
    let world = serve_nodes(ApiKeyLayer::new).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    for size in SIZES {
        file.as_file().set_len(size as u64).unwrap();
        for options in [
            // It waits a second for leave to send a body of this size.
            &[][..],
            &["--header", "expect:"],
            &["--header", "transfer-encoding: chunked"],
            &["--header", "expect:", "--header", "transfer-encoding: chunked"],
            &["--http2-prior-knowledge"],
            &["--http1.0"],
        ] {
            let mut curl = Command::new("curl");
            curl.args(["--no-progress-meter", "--write-out", " %{http_code}", "--upload-file"]);
            curl.arg(file.path()).args(["--request", "POST", "--header", "x-api-key: wrong"]);
            curl.args(options).arg(format!("http://{}/upload", world.nodes[0]));
            let printed = run(curl).await;
            assert!(
                printed.contains("not valid") && printed.ends_with(" 401"),
                "{options:?} {printed}"
            );
        }
    }
}
