//! WebSockets over HTTP/2 (RFC 8441): `CONNECT` requests that are judged as the `GET` that they are
//! over HTTP/1.1. With the client of hyper and the handshake of axum.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use http::{Method, Request};
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tower_api_key::extract::Subprotocol;
use tower_api_key::guard::RequirePost;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, MemoryStore, NewKey, RequestHead, RequireAbility, VerifiedKey,
};

use crate::common::{in_time, issue, serve};

async fn socket(method: Method, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut socket| {
        let _ = socket.send(Message::text(format!("hello over {method}"))).await;
    })
}

/// A route for sockets, and one that takes whatever comes.
fn routes() -> Router {
    Router::new().route("/socket", any(socket)).route("/any", any(async || "came through"))
}

/// Sends a `CONNECT` and returns the status and, if a socket was opened, its first message.
async fn connect(
    address: SocketAddr,
    target: &str,
    protocol: Option<&'static str>,
    lines: &[(&str, &str)],
) -> (u16, Option<String>) {
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
    let (mut client, connection) = client.await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::connect(target).header("sec-websocket-version", "13");
    if let Some(protocol) = protocol {
        request = request.extension(Protocol::from_static(protocol));
    }
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
    in_time(client.ready()).await.unwrap();
    let mut response = in_time(client.send_request(request)).await.unwrap();
    let status = response.status().as_u16();
    if status != 200 {
        return (status, None);
    }
    let upgraded = in_time(hyper::upgrade::on(&mut response)).await.unwrap();
    let mut stream = TokioIo::new(upgraded);
    let mut head = [0; 2];
    if in_time(stream.read_exact(&mut head)).await.is_err() {
        return (status, None);
    }
    // A short text in one frame of a server, which masks nothing (RFC 6455, section 5.2).
    assert!(head[0] == 0x81 && head[1] < 126, "{head:?}");
    let mut text = vec![0; head[1].into()];
    in_time(stream.read_exact(&mut text)).await.unwrap();
    (status, Some(String::from_utf8(text).unwrap()))
}

struct Api {
    keys: MemoryStore,
    address: SocketAddr,
}

impl Api {
    async fn serve(app: impl FnOnce(ApiKeyLayer) -> Router) -> Self {
        let keys = MemoryStore::new();
        let address = serve(app(ApiKeyLayer::new(keys.clone()))).await;
        Self { keys, address }
    }

    /// Returns the statuses of a socket over HTTP/2, and of other `CONNECT`s to the same place.
    async fn statuses(&self, key: NewKey) -> (u16, Vec<u16>) {
        let key = issue(&self.keys, key);
        let key = [("x-api-key", &*key)];
        let authority = self.address.to_string();
        let url = |path: &str| format!("http://{authority}{path}");
        let (status, message) =
            connect(self.address, &url("/socket"), Some("websocket"), &key).await;
        assert_eq!(message.as_deref(), (status == 200).then_some("hello over CONNECT"));
        let mut others = Vec::new();
        for (target, protocol) in [
            (&*url("/socket"), Some("WebSocket")),
            (&url("/any"), Some("webtransport")),
            (&url("/any"), Some("connect-udp")),
            (&authority, None),
        ] {
            others.push(connect(self.address, target, protocol, &key).await.0);
        }
        (status, others)
    }
}

const REFUSED: [u16; 4] = [403; 4];

#[tokio::test]
async fn a_policy_judges_it_as_a_get() {
    let policy = |method: &str| {
        let rule = Requirement::ability("sockets:read");
        let policy = AccessPolicy::builder()
            .allow(&format!("{method} /socket"), rule.clone())
            .allow(&format!("{method} /any"), rule);
        policy.build().unwrap()
    };
    let reader = || NewKey::named("x").abilities(["sockets:read"]);
    let api = Api::serve(|layer| routes().layer(layer.policy(policy("GET")))).await;
    assert_eq!(api.statuses(reader()).await, (200, REFUSED.into()));
    let other = NewKey::named("x").abilities(["sockets:write"]);
    assert_eq!(api.statuses(other).await, (403, REFUSED.into()));
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let api = Api::serve(|layer| routes().layer(layer.policy(policy(method)))).await;
        assert_eq!(api.statuses(reader()).await, (403, REFUSED.into()), "{method}");
    }
    // A rule for all methods is one for those that HTTP defines for resources.
    let all = AccessPolicy::builder().allow("/socket", Requirement::key());
    let all = all.allow("/any", Requirement::key()).build().unwrap();
    let api = Api::serve(|layer| routes().layer(layer.policy(all))).await;
    assert_eq!(api.statuses(reader()).await, (200, REFUSED.into()));
}

#[tokio::test]
async fn a_policy_that_makes_a_get_public_lets_it_pass_without_a_key_and_no_other_connect() {
    let policy = AccessPolicy::builder().public("GET /socket", "all may listen");
    let policy = policy.public("GET /any", "as well").build().unwrap();
    let api = Api::serve(|layer| routes().layer(layer.policy(policy))).await;
    let connect = async |path: &str, protocol| {
        let url = format!("http://{}{path}", api.address);
        connect(api.address, &url, Some(protocol), &[]).await.0
    };
    assert_eq!(connect("/socket", "websocket").await, 200);
    for (path, protocol) in [("/any", "webtransport"), ("/socket", "WEBSOCKET")] {
        assert_eq!(connect(path, protocol).await, 401, "{protocol}");
    }
}

#[tokio::test]
async fn endpoints_of_a_key_judge_it_as_a_get() {
    let api = Api::serve(|layer| routes().layer(layer)).await;
    let key = |endpoints: [&str; 2]| NewKey::named("x").endpoints(endpoints);
    assert_eq!(api.statuses(key(["GET /socket", "GET /any"])).await, (200, REFUSED.into()));
    assert_eq!(api.statuses(key(["/socket", "/any"])).await, (200, REFUSED.into()));
    assert_eq!(api.statuses(key(["POST /socket", "/any"])).await, (403, REFUSED.into()));
}

#[tokio::test]
async fn by_method_judges_it_as_a_get() {
    let api =
        Api::serve(|layer| routes().layer(layer.guard(RequireAbility::by_method("sockets")))).await;
    let key = |ability: &str| NewKey::named("x").abilities([ability]);
    assert_eq!(api.statuses(key("sockets:read")).await, (200, REFUSED.into()));
    assert_eq!(api.statuses(key("sockets:write")).await, (403, REFUSED.into()));
    assert_eq!(api.statuses(key("*")).await, (200, REFUSED.into()));
}

#[tokio::test]
async fn a_guard_sees_both_methods() {
    let only_get = |_: &VerifiedKey, head: &RequestHead<'_>| {
        let methods = (head.method(), head.judged_method());
        assert_eq!(*methods.0, Method::CONNECT);
        match *methods.1 {
            Method::GET => Ok(()),
            _ => Err(tower_api_key::RejectionKind::NotAllowed.into()),
        }
    };
    let api = Api::serve(|layer| routes().layer(GuardLayer::new(only_get)).layer(layer)).await;
    assert_eq!(api.statuses(NewKey::named("x")).await, (200, REFUSED.into()));
}

#[tokio::test]
async fn it_is_no_call_of_grpc() {
    let grpc = [("content-type", "application/grpc"), ("te", "trailers")];
    let api = Api::serve(|layer| routes().layer(layer)).await;
    let key = issue(&api.keys, NewKey::named("x").endpoints(["GET /socket"]));
    let url = format!("http://{}/socket", api.address);
    let lines = [&grpc[..], &[("x-api-key", &*key)]].concat();
    // The type says that it may be a call, so the key needs the `POST`, too; the refusal is of HTTP.
    assert_eq!(connect(api.address, &url, Some("websocket"), &lines).await.0, 403);
    let app = |layer: ApiKeyLayer| routes().layer(layer.guard(RequirePost::new()));
    let api = Api::serve(app).await;
    assert_eq!(api.statuses(NewKey::named("x")).await, (403, REFUSED.into()));
}

#[tokio::test]
async fn its_key_may_be_among_the_subprotocols() {
    let policy = AccessPolicy::builder().allow("GET /socket", Requirement::key());
    let policy = policy.build().unwrap();
    let api =
        Api::serve(|layer| routes().layer(layer.extractor(Subprotocol::default()).policy(policy)))
            .await;
    let url = format!("http://{}/socket", api.address);
    let key = issue(&api.keys, NewKey::named("x"));
    for (offered, status) in [
        (format!("realtime, key.{key}"), 200),
        (format!("realtime, key.{key}x"), 401),
        (format!("key.{key}, key.{key}"), 400),
    ] {
        let lines = [("sec-websocket-protocol", &*offered)];
        assert_eq!(connect(api.address, &url, Some("websocket"), &lines).await.0, status);
    }
}

#[tokio::test]
async fn it_needs_a_key_like_any_request() {
    let api = Api::serve(|layer| routes().layer(layer)).await;
    let url = format!("http://{}/socket", api.address);
    for lines in [&[][..], &[("x-api-key", "wrong")]] {
        assert_eq!(connect(api.address, &url, Some("websocket"), lines).await, (401, None));
    }
}
