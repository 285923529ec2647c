//! What real clients make of a stream that ends with its key.
//!
//! `tests/all` sets up Python, Node and their packages, an older tonic, and Chromium. The table in the documentation
//! of streams is what these tests show.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::ws::{CloseFrame, Message, WebSocketUpgrade};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use tokio::process::Command;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::Layer as _;
use tower_api_key::extract::{FirstOf, Header, Query, Subprotocol};
use tower_api_key::{
    ApiKeyLayer, IssuedKey, MemoryStore, NewKey, RequireAbility, StreamWatch, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::browser::Browser;
use crate::common::python::python;
use crate::common::{http2_client, in_time, serve, serve_tonic};
use crate::until;

/// Servers with one key, whose end the clients see.
pub struct Server {
    keys: MemoryStore,
    key: IssuedKey,
    layer: ApiKeyLayer,
    http: SocketAddr,
    grpc: SocketAddr,
    /// How often events, or a socket, were asked for.
    pub asked: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start() -> Self {
        let keys = MemoryStore::new();
        let key = keys.issue(NewKey::named("listener").abilities(["events:read"])).unwrap();
        let watch = StreamWatch::new()
            .last_event(|ended| Some(format!("event: end\ndata: {ended}\n\n").into()));
        let layer = ApiKeyLayer::new(keys.clone())
            .guard(RequireAbility::new("events:read"))
            .extractor(
                FirstOf::new(Header::x_api_key(), Query::new("key")).or(Subprotocol::default()),
            )
            .streams(watch);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let guarded = Router::new()
            .route("/events", get(async || ticks("text/event-stream", "data: tick\n\n")))
            .route("/download", get(async || ticks("text/plain", "some of it\n")))
            .route("/socket", get(socket))
            .layer(layer.clone())
            .layer(from_fn(move |request: Request, next: Next| {
                count.fetch_add(1, Ordering::SeqCst);
                next.run(request)
            }));
        let http = serve(guarded).await;
        let (_, health) = tonic_health::server::health_reporter();
        let grpc = tonic::transport::Server::builder().add_service(layer.layer(health));
        let grpc = serve_tonic(grpc).await;
        Self { keys, key, layer, http, grpc, asked }
    }

    /// Ends the key when so many streams are open.
    pub async fn end(&self, streams: usize) {
        until(|| self.layer.open_streams() >= streams).await;
        // So that something was sent.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(self.keys.revoke(self.key.record.id()));
    }

    /// Takes away what the key may do.
    async fn reduce(&self) {
        until(|| self.layer.open_streams() >= 1).await;
        self.keys
            .update(self.key.record.id(), |record| record.set_abilities(Default::default()))
            .unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub fn socket(&self) -> String {
        format!("ws://{}/socket", self.http)
    }

    pub fn secret(&self) -> &str {
        self.key.secret.reveal()
    }
}

/// Answers with a frame every few milliseconds, for ever.
fn ticks(content_type: &'static str, frame: &'static str) -> Response {
    let frames = stream::unfold((), move |()| async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(frame.as_bytes())), ()))
    });
    ([("content-type", content_type)], Body::from_stream(frames)).into_response()
}

/// Sends a message every few milliseconds as long as the key is valid.
async fn socket(key: VerifiedKey, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["realtime"]).on_upgrade(async move |mut socket| {
        let serve = async {
            while socket.send(Message::text("tick")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if let Err(ended) = key.while_valid(serve).await {
            let reason = ended.to_string().into();
            let _ = socket.send(Message::Close(Some(CloseFrame { code: 1008, reason }))).await;
        }
    })
}

/// Runs a program until it ends.
pub async fn run(mut command: Command) -> Output {
    let command = command.stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .expect("it hangs")
        .unwrap()
}

/// Runs a script for Node, which finds what `tests/package.json` lists.
pub async fn node(script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("node");
    command.arg(format!("streams/{script}")).args(arguments);
    command.env("NODE_PATH", std::env::var("TEST_NODE_PATH").expect("tests/all sets it"));
    let output = run(command).await;
    let (said, failed) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{failed}");
    String::from_utf8(said).unwrap().trim().to_owned()
}

#[tokio::test]
async fn reqwest_takes_no_cut_answer_for_whole() {
    // HTTP/1.1 has no last chunk. The code of HTTP/2 is the only one that all clients take for an error.
    for (client, why) in
        [(reqwest::Client::new(), "UnexpectedEof"), (http2_client(), "INTERNAL_ERROR")]
    {
        let server = Server::start().await;
        let answer = client.get(server.url("/download")).header("x-api-key", server.secret());
        let mut answer = in_time(answer.send()).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), "some of it\n");
        let (read, ()) = tokio::join!(in_time(answer.bytes()), server.end(1));
        let error = format!("{:?}", read.unwrap_err());
        assert!(error.contains(why), "{error}");
        let refused = client.get(server.url("/download")).header("x-api-key", server.secret());
        assert_eq!(in_time(refused.send()).await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn an_event_stream_ends_whole_after_its_last_event() {
    for client in [reqwest::Client::new(), http2_client()] {
        let server = Server::start().await;
        let answer = client.get(server.url("/events")).header("x-api-key", server.secret());
        let answer = in_time(answer.send()).await.unwrap();
        let (read, ()) = tokio::join!(in_time(answer.text()), server.end(1));
        let read = read.unwrap();
        let last = "data: tick\n\nevent: end\ndata: the API key is not valid any more\n\n";
        assert!(read.ends_with(last), "{read}");
    }
}

/// The method of gRPC's health service whose answer does not end.
const WATCH: &str = "/grpc.health.v1.Health/Watch";

fn watch(key: &str) -> tonic::Request<HealthCheckRequest> {
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    request
}

#[tokio::test]
async fn tonic_is_told_the_status_and_the_message() {
    for (reduced, code, message) in [
        (false, tonic::Code::Unauthenticated, "The API key is not valid"),
        (true, tonic::Code::PermissionDenied, "Missing ability: events:read"),
    ] {
        let server = Server::start().await;
        let url = format!("http://{}", server.grpc);
        let channel = tonic::transport::Channel::from_shared(url).unwrap();
        let mut client = HealthClient::new(channel.connect().await.unwrap());
        let mut watched = client.watch(watch(server.secret())).await.unwrap().into_inner();
        assert!(in_time(watched.message()).await.unwrap().is_some());
        let end = async { if reduced { server.reduce().await } else { server.end(1).await } };
        let (ended, ()) = tokio::join!(in_time(watched.message()), end);
        let status = ended.unwrap_err();
        assert_eq!((status.code(), status.message()), (code, message));
    }
}

#[tokio::test]
#[ignore = "needs a client of its own: run tests/all"]
async fn an_older_tonic_is_told_the_status_and_the_message() {
    for (reduced, expected) in
        [(false, "16 The API key is not valid"), (true, "7 Missing ability: events:read")]
    {
        let server = Server::start().await;
        let mut command =
            Command::new(std::env::var("TEST_TONIC_CLIENT").expect("tests/all sets it"));
        command.arg(format!("http://{}", server.grpc)).arg(server.secret());
        let end = async { if reduced { server.reduce().await } else { server.end(1).await } };
        let (output, ()) = tokio::join!(run(command), end);
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), expected);
    }
}

#[tokio::test]
async fn grpc_web_gets_its_trailers_wherever_it_is_translated() {
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::start().await;
    let (layer, web) = (server.layer.clone(), tonic_web::GrpcWebLayer::new());
    let builder = || tonic::transport::Server::builder().accept_http1(true);
    let outside = builder().add_service(web.layer(layer.layer(health.clone())));
    let inside = builder().add_service(layer.layer(web.layer(health)));
    let mut answers = Vec::new();
    for (router, content_type) in [
        (outside, "application/grpc-web+proto"),
        (inside.clone(), "application/grpc-web+proto"),
        (inside, "application/grpc-web-text"),
    ] {
        let url = format!("http://{}{WATCH}", serve_tonic(router).await);
        let is_text = content_type.ends_with("text");
        let message = if is_text { "AAAAAAA=" } else { "\0\0\0\0\0" };
        let request = reqwest::Client::new()
            .post(url)
            .header("content-type", content_type)
            .header("accept", content_type)
            .header("x-api-key", server.secret())
            .body(message);
        answers.push((is_text, in_time(request.send()).await.unwrap()));
    }
    server.end(answers.len()).await;
    for (is_text, answer) in answers {
        assert_eq!(answer.status(), 200);
        let body = in_time(answer.bytes()).await.unwrap();
        if is_text {
            // Each frame is encoded by itself.
            assert!(body.windows(4).any(|part| part == b"gAAA"), "{body:?}");
            continue;
        }
        let body = String::from_utf8_lossy(&body);
        let (_, trailers) = body.split_once("grpc-status:16\r\n").expect("a status");
        assert_eq!(trailers, "grpc-message:The API key is not valid\r\n");
    }
}

#[tokio::test]
#[ignore = "needs curl: run tests/all"]
async fn curl_takes_no_cut_answer_for_whole() {
    // CURLE_PARTIAL_FILE, CURLE_HTTP2_STREAM.
    for (version, codes) in [("--http1.1", [18, 18]), ("--http2-prior-knowledge", [92, 18])] {
        let server = Server::start().await;
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", version, "--header"]);
        command.arg(format!("x-api-key: {}", server.secret())).arg(server.url("/download"));
        let (output, ()) = tokio::join!(run(command), server.end(1));
        assert!(output.stdout.starts_with(b"some of it\n"));
        let code = output.status.code().unwrap();
        assert!(codes.contains(&code), "{version}: {code}");
    }
}

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn fetch_of_node_takes_no_cut_answer_for_whole() {
    let server = Server::start().await;
    let (url, key) = (server.url("/download"), server.secret().to_owned());
    let arguments = [&*url, &key];
    let (said, ()) = tokio::join!(node("fetch.cjs", &arguments), server.end(1));
    assert_eq!(said, "TypeError: terminated");
}

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn event_sources_of_npm_ask_once_more_and_stop() {
    for package in ["eventsource", "fetch-event-source"] {
        let server = Server::start().await;
        let (url, key) = (server.url("/events"), server.secret().to_owned());
        let arguments = [package, &url, &key];
        let (said, ()) = tokio::join!(node("event_source.cjs", &arguments), server.end(1));
        assert_eq!(said, "last event: the API key is not valid any more; closed: 401", "{package}");
        assert_eq!(server.asked.load(Ordering::SeqCst), 2, "{package}");
    }
}

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn grpc_js_is_told_the_status_and_the_message() {
    for (reduced, expected) in
        [(false, "16 The API key is not valid"), (true, "7 Missing ability: events:read")]
    {
        let server = Server::start().await;
        let (address, key) = (server.grpc.to_string(), server.secret().to_owned());
        let arguments = [&*address, &key];
        let end = async { if reduced { server.reduce().await } else { server.end(1).await } };
        let (said, ()) = tokio::join!(node("grpc_js.cjs", &arguments), end);
        assert_eq!(said, expected);
    }
}

#[tokio::test]
#[ignore = "needs Python: run tests/all"]
async fn grpcio_is_told_the_status_and_the_message() {
    for (reduced, expected) in [
        (false, "UNAUTHENTICATED The API key is not valid"),
        (true, "PERMISSION_DENIED Missing ability: events:read"),
    ] {
        let server = Server::start().await;
        let mut command = Command::from(python());
        command.arg("streams/grpcio.py").arg(server.grpc.to_string()).arg(server.secret());
        let end = async { if reduced { server.reduce().await } else { server.end(1).await } };
        let (output, ()) = tokio::join!(run(command), end);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), expected, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Listens until the browser gives up, and says what happened.
const PAGE: &str = r#"<!doctype html><p id=said>waiting</p><script>
const events = new EventSource("/events" + location.search);
let ticks = 0, last = "none";
events.onmessage = () => { ticks += 1; };
events.addEventListener("end", event => { last = event.data; });
events.onerror = () => {
    if (events.readyState !== EventSource.CLOSED) return;
    document.getElementById("said").textContent = `ticks: ${ticks > 0}; last event: ${last}`;
};
</script>"#;

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn the_event_source_of_chromium_asks_once_more_and_stops() {
    let server = Server::start().await;
    let app = Router::new().route("/", get(Html(PAGE))).merge(
        Router::new()
            .route("/events", get(async || ticks("text/event-stream", "data: tick\n\n")))
            .route_layer(server.layer.clone())
            .route_layer(from_fn({
                let asked = Arc::clone(&server.asked);
                move |request: Request, next: Next| {
                    asked.fetch_add(1, Ordering::SeqCst);
                    next.run(request)
                }
            })),
    );
    let address = serve(app).await;
    let browser = Browser::start().await;
    browser.open(format!("http://{address}/?key={}", server.secret())).await;
    server.end(1).await;
    let said = browser.wait_for("#said", |said| said != "waiting").await;
    assert_eq!(said, "ticks: true; last event: the API key is not valid any more");
    // It comes no more.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
}
