//! `examples/streams`: each kind of stream, until its key is revoked or expires.

use futures_util::StreamExt as _;
use reqwest::StatusCode;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::common::browser::{Browser, Setup};
use crate::common::in_time;
use crate::example::Example;

async fn events(server: &Example, label: &str) -> reqwest::Response {
    let url = format!("http://{}/events", server.address);
    let request = reqwest::Client::new().get(url).header("x-api-key", server.key(label));
    in_time(async { request.send().await.unwrap() }).await
}

async fn revoke(server: &Example, label: &str) {
    let path = format!("/admin/keys/{}/revoke", server.id(label));
    assert_eq!(in_time(server.call("admin", "POST", &path, "")).await.status, 200);
}

#[tokio::test]
async fn an_event_stream_ends_with_a_last_event_when_its_key_is_revoked() {
    let server = Example::start("streams");
    let mut stream = events(&server, "listener").await;
    for number in 0..3 {
        let event = in_time(async { stream.chunk().await.unwrap() }).await.unwrap();
        assert_eq!(event, format!("data: {number}\n\n"));
    }
    revoke(&server, "listener").await;
    let mut last = Vec::new();
    while let Some(event) = in_time(async { stream.chunk().await.unwrap() }).await {
        last = event.to_vec();
    }
    assert_eq!(last, b"event: ended\ndata: the API key is not valid any more\n\n");
    assert_eq!(events(&server, "listener").await.status(), StatusCode::UNAUTHORIZED);
    // Another key is not concerned.
    assert_eq!(events(&server, "second").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn an_event_stream_ends_when_its_key_expires() {
    let server = Example::start("streams");
    let stream = events(&server, "short").await;
    let text = in_time(async { stream.text().await.unwrap() }).await;
    assert!(text.starts_with("data: 0\n\n"), "{text}");
    assert!(text.ends_with("event: ended\ndata: the API key is not valid any more\n\n"), "{text}");
}

#[tokio::test]
async fn a_socket_is_closed_with_the_reason_when_its_key_is_revoked() {
    let server = Example::start("streams");
    let handshake = || {
        let url = format!("ws://{}/socket", server.address);
        let mut request = url.into_client_request().unwrap();
        let offered = format!("realtime, key.{}", server.key("listener"));
        request.headers_mut().insert("sec-websocket-protocol", offered.parse().unwrap());
        tokio_tungstenite::connect_async(request)
    };
    let (mut socket, answer) = in_time(async { handshake().await.unwrap() }).await;
    assert_eq!(answer.headers()["sec-websocket-protocol"], "realtime");
    let first = in_time(async { socket.next().await.unwrap().unwrap() }).await;
    assert_eq!(first, Message::text("0"));
    revoke(&server, "listener").await;
    let closed = loop {
        match in_time(async { socket.next().await.unwrap().unwrap() }).await {
            Message::Close(frame) => break frame.unwrap(),
            message => assert!(message.is_text(), "{message}"),
        }
    };
    assert_eq!(u16::from(closed.code), 1008);
    assert_eq!(closed.reason.as_str(), "the API key is not valid any more");
    match in_time(handshake()).await {
        Err(Error::Http(answer)) => assert_eq!(answer.status(), StatusCode::UNAUTHORIZED),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_grpc_stream_ends_with_a_status_when_its_key_is_revoked() {
    let server = Example::start("streams");
    let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    let mut client = HealthClient::new(channel.connect().await.unwrap());
    let mut request = Request::new(HealthCheckRequest::default());
    request.metadata_mut().insert("x-api-key", server.key("second").parse().unwrap());
    let mut watched = in_time(async { client.watch(request).await.unwrap() }).await.into_inner();
    let first = in_time(async { watched.message().await.unwrap() }).await;
    assert!(first.is_some());
    revoke(&server, "second").await;
    let ended = in_time(async { watched.message().await.unwrap_err() }).await;
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert_eq!(ended.message(), "The API key is not valid");
}

#[tokio::test]
async fn the_page_needs_no_key() {
    let server = Example::start("streams");
    let page = in_time(server.get("/", &[])).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("new WebSocket("), "{}", page.text());
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn the_page_opens_both_streams_and_shows_how_they_end() {
    let server = Example::start("streams");
    let browser = Browser::start().await;
    browser.open(format!("http://{}/", server.address)).await;
    assert_eq!(browser.title().await, "Streams that end with their key");
    assert_eq!(browser.text_of("#events").await, "not open");
    browser.fill("input[name=key]", server.key("listener")).await;
    browser.click("button").await;
    browser.wait_for("#events", |text| text.starts_with("data: ")).await;
    browser.wait_for("#socket", |text| text.parse::<usize>().is_ok()).await;
    assert_eq!(browser.console_errors().await, [""; 0]);
    revoke(&server, "listener").await;
    let is_over = |text: &str| text.contains("ended") || text.contains("closed");
    assert_eq!(
        browser.wait_for("#events", is_over).await,
        "ended: event: ended data: the API key is not valid any more"
    );
    assert_eq!(
        browser.wait_for("#socket", is_over).await,
        "closed: 1008 the API key is not valid any more"
    );
    // From then on it is refused.
    browser.click("button").await;
    assert_eq!(browser.wait_for("#events", |text| !is_over(text)).await, "refused: 401");
    assert_eq!(browser.wait_for("#socket", |text| !is_over(text)).await, "refused");
    let errors = browser.console_errors().await;
    let is_refusal = |error: &String| error.contains("401") || error.contains("Authentication");
    assert!(!errors.is_empty() && errors.iter().all(is_refusal), "{errors:?}");
    assert_eq!(browser.count("#events").await, 1);
    // The key is in no cookie, and in no address.
    assert!(browser.cookies().await.is_empty());
    assert_eq!(browser.url().await, format!("http://{}/", server.address));
}

#[tokio::test]
#[ignore = "needs Chromium: run tests/all"]
async fn without_scripts_the_page_says_that_it_needs_them() {
    let server = Example::start("streams");
    let browser = Setup::default().without_javascript().start().await;
    browser.open(format!("http://{}/", server.address)).await;
    assert_eq!(browser.text_of("noscript").await, "This page needs JavaScript.");
}
