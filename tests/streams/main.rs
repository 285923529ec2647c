//! Open streams and sockets end when their key does: over bodies, over sockets, by real clients.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// What of a body the connection gets, and when it is told.
mod bodies;
mod handlers;
mod reductions;

// How the layer comes to know.
mod model;
mod stores;

// What is tidied up after a key.
mod sessions;

// What clients make of the end.
mod clients;
mod mcp;
mod sockets;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use tokio::sync::mpsc;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};
use tower_api_key::{ApiKeyLayer, EndReason, KeyEnded};

/// The body of a response that came through a layer.
type Streamed = std::pin::Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>;

/// What a handler sends as a body, one frame after the other.
type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, BoxError>>;

fn feed(feed: &Feed, text: &'static str) {
    feed.send(Ok(Frame::data(Bytes::from_static(text.as_bytes())))).unwrap();
}

/// Sends a request through a layer, and returns what feeds the body of the response, and the body.
async fn open(
    layer: &ApiKeyLayer,
    key: &str,
    request: http::request::Builder,
) -> (Feed, Response<Streamed>) {
    open_as(layer, key, request, "text/plain").await
}

async fn open_as(
    layer: &ApiKeyLayer,
    key: &str,
    request: http::request::Builder,
    content_type: &'static str,
) -> (Feed, Response<Streamed>) {
    let fed = Arc::new(Mutex::new(None));
    let handler = Arc::clone(&fed);
    let service = layer.layer(service_fn(move |_: Request<Empty<Bytes>>| {
        let (feed, mut frames) = mpsc::unbounded_channel();
        *handler.lock().unwrap() = Some(feed);
        let frames = futures_util::stream::poll_fn(move |cx| frames.poll_recv(cx));
        let body: UnsyncBoxBody<_, BoxError> = StreamBody::new(frames).boxed_unsync();
        let response = Response::builder().header("content-type", content_type).body(body);
        std::future::ready(Ok::<_, Infallible>(response.unwrap()))
    }));
    let request = request.header("x-api-key", key).body(Empty::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let feed = fed.lock().unwrap().take().unwrap();
    (feed, response.map(|body| Box::pin(body) as Streamed))
}

fn get() -> http::request::Builder {
    Request::get("/events?x=y")
}

/// Polls a body once.
fn poll(body: &mut Streamed) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    body.as_mut().poll_frame(&mut Context::from_waker(std::task::Waker::noop()))
}

/// Takes the frame that is there.
fn text(body: &mut Streamed) -> String {
    match poll(body) {
        Poll::Ready(Some(Ok(frame))) => {
            String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
        }
        other => panic!("no data: {other:?}"),
    }
}

/// Waits for the end of a body that fails, and says why.
async fn failure(body: &mut Streamed) -> EndReason {
    let frame = common::in_time(body.frame()).await;
    reason(body, frame)
}

/// Returns why a body fails now.
fn failed(body: &mut Streamed) -> EndReason {
    let frame = body.frame().now_or_never().expect("it ends now");
    reason(body, frame)
}

fn reason(body: &mut Streamed, frame: Option<Result<Frame<Bytes>, BoxError>>) -> EndReason {
    let error = frame.expect("it fails").expect_err("it fails");
    assert!(body.is_end_stream() && matches!(poll(body), Poll::Ready(None)));
    error.downcast_ref::<KeyEnded>().unwrap_or_else(|| panic!("{error}")).reason()
}

/// Asserts that a body goes on.
fn goes_on(feed: &Feed, body: &mut Streamed) {
    self::feed(feed, "more");
    assert_eq!(text(body), "more");
    assert!(poll(body).is_pending());
}

/// Waits until something is so.
async fn until(mut is_so: impl FnMut() -> bool) {
    common::in_time(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
