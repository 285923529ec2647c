//! Helpers of the integration tests: servers on sockets, and clients.

#![allow(dead_code, reason = "no program uses all of it")]

#[cfg(unix)]
pub mod browser;
pub mod built;
pub mod caching;
pub mod canary;
pub mod memory;
pub mod proxy;
pub mod python;
pub mod request;
#[cfg(unix)]
pub mod server;
#[cfg(unix)]
pub mod servers;

pub use self::memory::MemoryKeys;

use std::cell::{OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use async_trait::async_trait;
use axum::Router;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower_api_key::Immediate;
use tower_api_key::{
    KeyDigest, KeyId, KeyRecord, KeyStore, MemoryStore, NewKey, Rejection, StoreError,
};

/// Serves an axum application on a free port, for HTTP/1.1 and HTTP/2, until the test ends.
pub async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Does as [`serve`] on a free port of `host`, if this machine has one, and tells the
/// application the addresses of its clients.
pub async fn serve_known(host: &str, app: Router) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((host, 0)).await?;
    let address = listener.local_addr()?;
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// What came back over a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawResponse {
    pub status: u16,
    /// As they were sent, without `date`.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl RawResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Sends a request as it is written, with bytes that a client library would refuse, and reads
/// the answer. `request` ends before the empty line.
pub async fn send_raw(address: SocketAddr, request: impl AsRef<[u8]>) -> RawResponse {
    send_raw_with_body(address, request, "").await
}

/// Does as [`send_raw`], with a body after the empty line.
pub async fn send_raw_with_body(
    address: SocketAddr,
    request: impl AsRef<[u8]>,
    body: &str,
) -> RawResponse {
    exchange(TcpStream::connect(address).await.unwrap(), request.as_ref(), body).await
}

async fn exchange(mut stream: TcpStream, request: &[u8], body: &str) -> RawResponse {
    stream.write_all(request).await.unwrap();
    stream.write_all(b"\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    stream.write_all(body.as_bytes()).await.unwrap();
    read_answer(stream).await
}

/// Reads an answer as far as it goes.
pub async fn read_answer(mut stream: TcpStream) -> RawResponse {
    let mut answer = Vec::new();
    // The server may keep the connection for what is left of the request.
    while !is_whole(&answer) && stream.read_buf(&mut answer).await.unwrap() > 0 {}
    let end = end_of_head(&answer).unwrap();
    let (head, body) = (str::from_utf8(&answer[..end]).unwrap(), answer[end + 4..].to_vec());
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap_or((line.trim_end_matches(':'), "")))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .filter(|(name, _)| name != "date")
        .collect();
    RawResponse { status, headers, body }
}

fn end_of_head(answer: &[u8]) -> Option<usize> {
    answer.windows(4).position(|window| window == b"\r\n\r\n")
}

/// Tells whether there is all of an answer that says how long it is.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = end_of_head(answer) else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| answer.len() >= end + 4 + length)
}

/// Does as [`send_raw`] from another address of this machine, such as `127.0.0.2` on Linux.
pub async fn send_raw_from(source: &str, address: SocketAddr, request: &str) -> RawResponse {
    let source: IpAddr = source.parse().unwrap();
    let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    let socket = socket.unwrap();
    socket.bind((source, 0).into()).unwrap();
    exchange(socket.connect(address).await.unwrap(), request.as_bytes(), "").await
}

/// Sends `GET path` with these header lines.
pub async fn get_raw(address: SocketAddr, path: &str, lines: &[&str]) -> RawResponse {
    let lines: String = lines.iter().map(|line| format!("\r\n{line}")).collect();
    send_raw(address, format!("GET {path} HTTP/1.1{lines}")).await
}

/// A client that speaks HTTP/2 without being asked to.
pub fn http2_client() -> reqwest::Client {
    reqwest::Client::builder().http2_prior_knowledge().build().unwrap()
}

/// Serves a tower service through hyper, for HTTP/1.1 and HTTP/2, until the test ends.
pub async fn serve_hyper<S, B>(service: S) -> SocketAddr
where
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<tower::BoxError>,
    B: http_body::Body<Data: Send, Error: Into<tower::BoxError>> + Send + 'static,
{
    serve_each(move |_| service.clone()).await
}

/// Does as [`serve_hyper`] with a service for each connection, made by the client's address.
pub async fn serve_each<S, B>(service: impl Fn(SocketAddr) -> S + Send + 'static) -> SocketAddr
where
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<tower::BoxError>,
    B: http_body::Body<Data: Send, Error: Into<tower::BoxError>> + Send + 'static,
{
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto::Builder;
    use hyper_util::service::TowerToHyperService;

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let service = TowerToHyperService::new(service(peer));
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// Paths that some component takes for `/admin` or for something under it.
pub const ODD_PATHS: [&str; 38] = [
    "//admin",
    "/x/../admin",
    "/./admin",
    "/%2e%2e/admin",
    "/%2E%2e/admin",
    "/x/%2e%2e/admin",
    "/ADMIN",
    "/Admin",
    "/admin;x=1",
    "/;x/admin",
    "/admin%3bx",
    "/a/../admin",
    "/adm%69n",
    "/%61dmin",
    "/admin%2Fb",
    "/admin%2f",
    "/%2fadmin",
    "/admin%00",
    "/admin%20",
    "/admin%252f",
    "/admin%5c..",
    "/x%5cadmin",
    "/admin\\",
    "/\\admin",
    "/admin//",
    "/admin/..",
    "/admin/../x",
    "/admin/%2e%2e/x",
    "/admin/./x",
    "/admin//x",
    "/x//admin",
    "/admin.",
    "/admin.json",
    "/%ff",
    "/admin%ff",
    "/%c0%ae%c0%ae%c0%afadmin",
    "/x%c0%af%c0%ae%c0%ae%c0%afadmin",
    "/admin%e0%80%af",
];

/// Waits for what comes at once unless something hangs.
pub async fn in_time<F: IntoFuture>(future: F) -> F::Output {
    let limit = std::time::Duration::from_secs(20);
    tokio::time::timeout(limit, future).await.expect("it hangs")
}

/// A memory store that counts how often it is asked.
#[derive(Clone, Debug, Default)]
pub struct CountingStore {
    pub keys: MemoryStore,
    asked: Arc<AtomicUsize>,
}

impl CountingStore {
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeyStore for CountingStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.keys.find(digest).await
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.keys.find_now(digest)
    }
}

/// Adds the kind of a rejection to each response, as `x-kind`: what clients are not told.
pub fn tell_kind(app: Router) -> Router {
    async fn kind(mut response: axum::response::Response) -> axum::response::Response {
        if let Some(rejection) = response.extensions().get::<Rejection>() {
            let kind = HeaderValue::from_static(rejection.kind().as_str());
            response.headers_mut().insert("x-kind", kind);
        }
        response
    }
    app.layer(axum::middleware::map_response(kind))
}

thread_local! {
    static LOG: OnceCell<RefCell<Vec<u8>>> = const { OnceCell::new() };
}

fn with_log<T>(run: impl FnOnce(&RefCell<Vec<u8>>) -> T) -> T {
    LOG.with(|log| run(log.get().expect("start_log was called on this thread")))
}

struct ToLog;

impl std::io::Write for ToLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        with_log(|log| std::io::Write::write(&mut *log.borrow_mut(), bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Logs everything, at every level, on this thread from now on: a test has one of its own, and so
/// have the tasks of a runtime that has no others.
pub fn start_log() {
    use tracing_subscriber::filter::dynamic_filter_fn;
    use tracing_subscriber::prelude::*;

    static START: std::sync::Once = std::sync::Once::new();
    // One subscriber for all threads: tracing does not ask one that is only another thread's.
    START.call_once(|| {
        // While there is only one, a thread that comes to an event for the first time asks its own
        // default, which is none until `init` ends, and the event stays off. Of two, it asks both.
        let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        std::mem::forget(second);
        let is_started = |log: &OnceCell<_>| log.get().is_some();
        let here = dynamic_filter_fn(move |_, _| LOG.try_with(is_started).unwrap_or(false));
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(|| ToLog);
        tracing_subscriber::registry().with(lines.with_filter(here)).init();
    });
    LOG.with(|log| {
        log.get_or_init(RefCell::default);
    });
}

/// Returns the lines that were logged with `marker` in them.
pub fn logged(marker: &str) -> Vec<String> {
    with_log(|log| {
        let log = log.borrow();
        let lines = str::from_utf8(&log).unwrap().lines();
        lines.filter(|line| line.contains(marker)).map(str::to_owned).collect()
    })
}

/// Returns how many of the lines with `marker` were logged as errors.
pub fn errors(marker: &str) -> usize {
    logged(marker).iter().filter(|line| line.contains(" ERROR ")).count()
}

/// Makes a record of another id, with all else that is in `record`.
pub fn with_id(record: &KeyRecord, id: &KeyId) -> KeyRecord {
    let mut fields = serde_json::to_value(record).unwrap();
    fields["id"] = id.as_str().into();
    serde_json::from_value(fields).unwrap()
}

/// Issues a key and returns its text.
pub fn issue(keys: &MemoryStore, key: NewKey) -> String {
    keys.issue(key).unwrap().secret.reveal().to_owned()
}

pub type Answer = Poll<Result<Option<Arc<KeyRecord>>, StoreError>>;

/// Answers whatever it is asked, at once or when it is waited for. `Pending` hangs.
pub struct OddStore<F> {
    pub answer: F,
    pub at_once: bool,
}

#[async_trait]
impl<F: Fn() -> Answer + Send + Sync> KeyStore for OddStore<F> {
    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        std::future::poll_fn(|_| (self.answer)()).await
    }

    fn find_now(&self, _: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        match self.at_once.then(&self.answer) {
            Some(Poll::Ready(Ok(found))) => Immediate::Answer(found),
            _ => Immediate::Ask,
        }
    }
}

/// Serves gRPC services on a free port until the test ends.
pub async fn serve_tonic(router: tonic::transport::server::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(router.serve_with_incoming(incoming));
    address
}

/// Asks the gRPC health service, with a key unless it is empty.
pub async fn health(address: SocketAddr, key: &str) -> Result<(), tonic::Status> {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

    let channel = tonic::transport::Channel::from_shared(format!("http://{address}")).unwrap();
    let mut request = tonic::Request::new(HealthCheckRequest::default());
    if !key.is_empty() {
        request.metadata_mut().insert("x-api-key", key.parse().unwrap());
    }
    HealthClient::new(channel.connect().await.unwrap()).check(request).await.map(drop)
}

/// A handler that says who calls, and what is left of the request.
pub async fn echo(
    key: Option<tower_api_key::VerifiedKey>,
    axum::extract::OriginalUri(original): axum::extract::OriginalUri,
    request: axum::extract::Request,
) -> String {
    let name = key.as_ref().map_or("nobody", |key| key.name());
    format!("{name} {} {original} {:?}", request.uri(), request.headers())
}
