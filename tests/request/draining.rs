//! What is left of a refused request is read behind the answer, within bounds.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, KeyDigest, KeyManager, KeyRecord, KeyStore, MemoryStore, NewKey,
    RejectionKind, RequestHead, RequireAbility, StoreError, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{OddStore, in_time, issue, serve, serve_known};
use crate::upload::{Answer, Connection, Framing};

/// More than the buffers of two sockets hold at first.
const SIZE: usize = 3_000_000;

/// Routes that read bodies behind a layer, and two routes outside of it.
fn app(layer: ApiKeyLayer, keys: &MemoryStore) -> Router {
    let read = |body: Bytes| async move { body.len().to_string() };
    let api = KeyRoutes::new(KeyManager::new(keys.clone()), KeyOwner::default());
    Router::new()
        .route("/upload", post(read))
        .route("/guarded", post(read).layer(RequireAbility::new("uploads:write")))
        .nest("/v1", api.into_router())
        .layer(layer)
        .route("/unlayered", post(read).layer(RequireAbility::new("uploads:write")))
        .route("/small", get(|| async { "here" }))
}

/// Answers late, like a store over a network.
struct Late(MemoryStore);

#[async_trait]
impl KeyStore for Late {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.0.find(digest).await
    }
}

/// Asserts that uploads are refused, and that their connections go on in good order.
async fn assert_refused(address: SocketAddr, path: &str, key: &str, status: u16) {
    let mut connection = Connection::open(address).await;
    for _ in 0..3 {
        let answer = connection.upload(path, key, SIZE, Framing::Length).await.unwrap();
        assert_eq!(answer.status, status, "{path} {answer:?}");
        assert!(!answer.closes(), "{path} {answer:?}");
        assert_eq!(connection.get("/small", "").await.unwrap().body, "here", "{path}");
    }
    // How much there is to read is not known here.
    let answer = connection.upload(path, key, SIZE, Framing::Chunked).await.unwrap();
    assert_eq!(answer.status, status, "{path} {answer:?}");
    assert!(answer.closes(), "{path} {answer:?}");
    assert_eq!(connection.rest().await.unwrap(), "", "{path}");
}

#[tokio::test]
async fn a_client_that_sends_all_before_it_reads_sees_every_refusal() {
    let keys = MemoryStore::new();
    let plain = issue(&keys, NewKey::named("plain"));
    let limited = issue(&keys, NewKey::named("limited").limit("1 per day"));
    let elsewhere = issue(&keys, NewKey::named("elsewhere").addresses(["192.0.2.1"]));

    let address = serve(app(ApiKeyLayer::new(keys.clone()), &keys)).await;
    assert_refused(address, "/upload", "", 401).await;
    assert_refused(address, "/upload", "wrong", 401).await;
    assert_refused(address, "/upload", "not a key", 401).await;
    assert_refused(address, "/upload", &elsewhere, 403).await;
    assert_refused(address, "/guarded", &plain, 403).await;
    assert_refused(address, "/unlayered", &plain, 500).await;
    let mut connection = Connection::open(address).await;
    let first = connection.upload("/upload", &limited, 3, Framing::Length).await.unwrap();
    assert_eq!(first.body, "3");
    assert_refused(address, "/upload", &limited, 429).await;

    let address = serve(app(ApiKeyLayer::new(Late(keys.clone())), &keys)).await;
    assert_refused(address, "/upload", "wrong", 401).await;
    assert_refused(address, "/guarded", &plain, 403).await;

    let address = serve(app(ApiKeyLayer::new(keys.clone()).optional(), &keys)).await;
    assert_refused(address, "/guarded", "", 401).await;

    let refuse = |_: &VerifiedKey, _: &RequestHead<'_>| Err(RejectionKind::NotAllowed.into());
    let address = serve(app(ApiKeyLayer::new(keys.clone()).guard(refuse), &keys)).await;
    assert_refused(address, "/upload", &plain, 403).await;

    let throttle = FailureThrottle::new("1 per day");
    let layer = ApiKeyLayer::new(keys.clone()).failure_throttle(throttle);
    let address = serve_known("127.0.0.1", app(layer, &keys)).await.unwrap();
    let mut connection = Connection::open(address).await;
    let first = connection.upload("/upload", "wrong", 3, Framing::Length).await.unwrap();
    assert_eq!(first.status, 401);
    assert_refused(address, "/upload", "wrong", 429).await;

    let fail = || Poll::Ready(Err(StoreError::new("on purpose")));
    let layer = ApiKeyLayer::new(OddStore { answer: fail, at_once: false });
    let address = serve(app(layer, &keys)).await;
    assert_refused(address, "/upload", &plain, 503).await;
}

#[tokio::test]
async fn the_management_api_reads_bodies_that_it_does_not_need() {
    let keys = MemoryStore::new();
    let plain = issue(&keys, NewKey::named("plain").tenant("acme"));
    let may = ["api-keys:read", "api-keys:write"];
    let manager = issue(&keys, NewKey::named("manager").tenant("acme").abilities(may));
    let id = keys.issue(NewKey::named("other").tenant("acme")).unwrap().record.id().clone();
    let one = &*format!("/v1/api-keys/{id}");
    let address = serve(app(ApiKeyLayer::new(keys.clone()), &keys)).await;
    for (method, path, key, status) in [
        ("POST", "/v1/api-keys", "wrong", 401),
        ("POST", "/v1/api-keys", &plain, 403),
        ("GET", "/v1/api-keys?limit=no", &manager, 400),
        ("PATCH", "/v1/api-keys/key_unknown", &manager, 404),
        ("PUT", "/v1/api-keys", &manager, 405),
        ("POST", "/v1/api-keys", &manager, 413),
        ("PATCH", one, &manager, 413),
        ("GET", one, &manager, 200),
        ("DELETE", one, &manager, 200),
    ] {
        let key = format!("x-api-key: {key}");
        let mut connection = Connection::open(address).await;
        for (framing, framed) in [
            (Framing::Length, &*format!("content-length: {SIZE}")),
            (Framing::Chunked, "transfer-encoding: chunked"),
        ] {
            connection.send_head(method, path, &[&key, framed]).await.unwrap();
            connection.send_body(SIZE, framing).await.unwrap();
            let answer = connection.answer().await.unwrap();
            assert_eq!(answer.status, status, "{method} {path} {answer:?}");
        }
        assert_eq!(connection.rest().await.unwrap(), "", "{method} {path}");
    }
    // What the API reads itself leaves the connection as it is.
    let mut connection = Connection::open(address).await;
    let key = format!("x-api-key: {manager}");
    for _ in 0..2 {
        let chunked = ["transfer-encoding: chunked", "content-type: application/json", &key];
        connection.send_head("POST", "/v1/api-keys", &chunked).await.unwrap();
        connection.send(b"10\r\n{\"name\": \"next\"}\r\n0\r\n\r\n").await.unwrap();
        let answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (201, false), "{answer:?}");
    }
}

#[tokio::test]
async fn the_refusal_comes_before_the_body() {
    let keys = MemoryStore::new();
    let address = serve(app(ApiKeyLayer::new(keys.clone()), &keys)).await;
    let mut connection = Connection::open(address).await;
    let lines = ["x-api-key: wrong", "content-length: 10"];
    connection.send_head("POST", "/upload", &lines).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 401);
    connection.send(b"0123456789").await.unwrap();
    assert_eq!(connection.get("/small", "").await.unwrap().body, "here");
}

#[tokio::test]
async fn trailers_are_read_too() {
    let keys = MemoryStore::new();
    let address = serve(app(ApiKeyLayer::new(keys.clone()), &keys)).await;
    let mut connection = Connection::open(address).await;
    let lines = ["x-api-key: wrong", "transfer-encoding: chunked", "trailer: x-sum"];
    connection.send_head("POST", "/upload", &lines).await.unwrap();
    connection.send(b"3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n").await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 401);
    assert_eq!(connection.rest().await.unwrap(), "");
}

/// Asserts that a client that waits for leave to send gets the refusal alone, whether it then
/// sends the body or leaves it out.
async fn assert_no_leave(layer: ApiKeyLayer, keys: &MemoryStore) {
    let address = serve(app(layer, keys)).await;
    for sends in [true, false] {
        let mut connection = Connection::open(address).await;
        let length = format!("content-length: {SIZE}");
        let lines = ["x-api-key: wrong", "expect: 100-continue", &length];
        connection.send_head("POST", "/upload", &lines).await.unwrap();
        let answer: Answer = connection.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (401, true), "{answer:?}");
        if sends {
            connection.send_body(SIZE, Framing::Length).await.unwrap();
        } else {
            // A client that does not know better takes the connection for a new one.
            connection.send_head("GET", "/small", &[]).await.unwrap();
            connection.stop_sending().await.unwrap();
        }
        assert_eq!(connection.rest().await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_client_that_expects_an_answer_first_is_not_told_to_go_on() {
    let keys = MemoryStore::new();
    assert_no_leave(ApiKeyLayer::new(keys.clone()), &keys).await;
    assert_no_leave(ApiKeyLayer::new(Late(keys.clone())), &keys).await;
}

#[tokio::test]
async fn a_body_that_is_too_slow_is_given_up() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone()).drain_refused(u64::MAX, Duration::from_millis(300));
    let address = serve(app(layer, &keys)).await;
    let mut connection = Connection::open(address).await;
    let lines = ["x-api-key: wrong", "content-length: 1000000"];
    connection.send_head("POST", "/upload", &lines).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 401);
    assert_eq!(connection.rest().await.unwrap(), "");

    let mut connection = Connection::open(address).await;
    connection.send_head("POST", "/upload", &lines).await.unwrap();
    assert_eq!(connection.answer().await.unwrap().status, 401);
    in_time(async {
        while connection.send(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_too_long_is_given_up_once_the_refusal_could_be_read() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone()).drain_refused(1_000_000, Duration::from_secs(60));
    let address = serve(app(layer, &keys)).await;
    let mut connection = Connection::open(address).await;
    let lines = ["x-api-key: wrong", "content-length: 1000000000"];
    connection.send_head("POST", "/upload", &lines).await.unwrap();
    connection.send_body(2_000_000, Framing::Length).await.unwrap();
    // What is on its way has not cost the answer.
    let answer = connection.answer().await.unwrap();
    assert_eq!((answer.status, answer.closes()), (401, true), "{answer:?}");
    let sent: io::Result<()> = connection.send_body(998_000_000, Framing::Length).await;
    assert!(sent.is_err());
}

/// Sends something, and then nothing more without an end.
struct NeverEnds(Option<Bytes>);

impl Body for NeverEnds {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Some(Ok(Frame::data(bytes)))))
    }
}

#[tokio::test]
async fn refused_uploads_over_http2_leave_the_connection_to_others() {
    let keys = MemoryStore::new();
    let address = serve(app(ApiKeyLayer::new(keys.clone()), &keys)).await;
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    let uploads = |key: &'static str, size, times: usize| {
        let mut client = client.clone();
        async move {
            let body = Bytes::from(vec![0; size]);
            let sent = (0..times).map(|_| {
                let url = format!("http://{address}/upload");
                let request = Request::post(url).header("x-api-key", key);
                client.send_request(request.body(NeverEnds(Some(body.clone()))).unwrap())
            });
            in_time(futures_util::future::join_all(sent)).await
        }
    };
    // More than a connection may have at once, and than its window is large.
    for answer in
        uploads("wrong", 20_000, 500).await.into_iter().chain(uploads("wrong", SIZE, 20).await)
    {
        assert_eq!(answer.unwrap().status(), 401);
    }
    let get = Request::get(format!("http://{address}/small")).body(NeverEnds(None)).unwrap();
    let small = in_time(client.clone().send_request(get)).await.unwrap();
    assert_eq!(small.status(), 200);
}
