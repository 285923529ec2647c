//! Bodies of refused requests, whatever they do: they are read in a task of their own, within
//! bounds, and are dropped.

use std::convert::Infallible;
use std::future::Ready;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, Version};
use http_body::{Body, Frame};
use http_body_util::Empty;
use tokio::runtime::{Builder, Handle};
use tokio::time::Instant;
use tower::util::ServiceFn;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tower_api_key::{ApiKeyLayer, MemoryStore, RequireAbility};

use crate::common::{OddStore, in_time};

/// What a body does when it is asked for more.
#[derive(Clone, Copy)]
enum Act {
    Give(usize),
    Wait,
    Panic,
    /// It has ended before it is asked.
    HasEnded,
}

struct Script {
    act: Act,
    polls: Arc<AtomicUsize>,
    /// Is dropped with the body.
    _life: Arc<()>,
}

/// Data that cannot be sent to another thread.
struct Data(usize, #[expect(dead_code, reason = "it is not `Send`")] Rc<()>);

impl Buf for Data {
    fn remaining(&self) -> usize {
        self.0
    }

    fn chunk(&self) -> &[u8] {
        unreachable!("nobody looks at what is dropped")
    }

    fn advance(&mut self, _: usize) {
        unreachable!("nobody looks at what is dropped")
    }
}

impl Body for Script {
    type Data = Data;
    type Error = Rc<Infallible>;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Data>, Self::Error>>> {
        self.polls.fetch_add(1, Ordering::SeqCst);
        match self.act {
            Act::Give(bytes) => Poll::Ready(Some(Ok(Frame::data(Data(bytes, Rc::default()))))),
            Act::Wait => Poll::Pending,
            Act::Panic => panic!("on purpose"),
            Act::HasEnded => unreachable!("it has ended"),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.act, Act::HasEnded)
    }
}

/// Watches a body of which somebody else has what is left.
struct Watch {
    polls: Arc<AtomicUsize>,
    life: Arc<()>,
}

impl Watch {
    fn polls(&self) -> usize {
        self.polls.load(Ordering::SeqCst)
    }

    fn is_dropped(&self) -> bool {
        Arc::strong_count(&self.life) == 1
    }

    async fn dropped(&self) {
        while !self.is_dropped() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn request(act: Act) -> (Request<Script>, Watch) {
    let watch = Watch { polls: Arc::default(), life: Arc::default() };
    let (polls, life) = (Arc::clone(&watch.polls), Arc::clone(&watch.life));
    let request = Request::post("/").header("x-api-key", "wrong");
    (request.body(Script { act, polls, _life: life }).unwrap(), watch)
}

fn layer() -> ApiKeyLayer {
    ApiKeyLayer::new(MemoryStore::new())
}

type Answered = Ready<Result<Response<Empty<Bytes>>, Infallible>>;

/// What is not called, since all requests are refused.
fn inner() -> ServiceFn<fn(Request<Script>) -> Answered> {
    service_fn(|_| unreachable!("the request is refused"))
}

/// Sends a request that is refused.
async fn refuse(layer: ApiKeyLayer, act: Act) -> Watch {
    let (request, watch) = request(act);
    let response = layer.layer(inner()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    watch
}

#[tokio::test]
async fn no_task_is_started_for_a_body_that_has_ended() {
    let tasks = Handle::current().metrics().num_alive_tasks();
    let watch = refuse(layer(), Act::HasEnded).await;
    assert!(watch.is_dropped());
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks);
    let watch = refuse(layer(), Act::Wait).await;
    assert!(!watch.is_dropped());
    assert_eq!(Handle::current().metrics().num_alive_tasks(), tasks + 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_waits_is_dropped_in_time() {
    let start = Instant::now();
    refuse(layer(), Act::Wait).await.dropped().await;
    assert_eq!(start.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_is_held_unread_for_a_moment() {
    let start = Instant::now();
    let watch = refuse(layer().drain_refused(10_000, Duration::MAX), Act::Give(1000)).await;
    watch.dropped().await;
    assert_eq!(watch.polls(), 11);
    assert_eq!(start.elapsed().as_secs(), 2);
}

#[tokio::test]
async fn a_body_that_gives_nothing_without_end_keeps_neither_others_nor_the_clock_from_running() {
    let layer = layer().drain_refused(10_000, Duration::from_millis(100));
    let watch = refuse(layer, Act::Give(0)).await;
    in_time(watch.dropped()).await;
    assert!(watch.polls() > 1);
}

#[tokio::test]
async fn a_body_that_panics_harms_nobody() {
    for _ in 0..3 {
        let watch = refuse(layer(), Act::Panic).await;
        in_time(watch.dropped()).await;
        assert_eq!(watch.polls(), 1);
    }
}

#[tokio::test]
async fn a_layer_can_be_told_to_drop_bodies() {
    for layer in [layer().drop_refused(), layer().drain_refused(1000, Duration::ZERO)] {
        let watch = refuse(layer, Act::Give(1)).await;
        assert!(watch.is_dropped());
        assert_eq!(watch.polls(), 0);
    }
}

#[tokio::test]
async fn settings_of_refusals_keep_what_was_said_of_bodies() {
    let layer = layer().drop_refused().realm("x").responder(tower_api_key::Responder::text());
    assert!(refuse(layer, Act::Give(1)).await.is_dropped());
}

#[test]
fn without_a_runtime_the_body_is_dropped() {
    let watch = refuse(layer(), Act::Give(1)).now_or_never().unwrap();
    assert!(watch.is_dropped());
    assert_eq!(watch.polls(), 0);
}

#[test]
fn without_a_timer_the_body_is_dropped() {
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let watch = refuse(layer(), Act::Give(1)).await;
        tokio::task::yield_now().await;
        assert!(watch.is_dropped());
    });
}

#[tokio::test]
async fn a_future_that_is_dropped_before_it_answers_drops_the_body_unread() {
    let (wrong, watch) = request(Act::Give(1));
    drop(layer().layer(inner()).call(wrong));
    assert!(watch.is_dropped() && watch.polls() == 0);

    let (wrong, watch) = request(Act::Give(1));
    let store = OddStore { answer: || Poll::Pending, at_once: false };
    let mut future = Box::pin(ApiKeyLayer::new(store).layer(inner()).oneshot(wrong));
    assert!((&mut future).now_or_never().is_none());
    assert!(!watch.is_dropped());
    drop(future);
    assert!(watch.is_dropped() && watch.polls() == 0);

    let (unlayered, watch) = request(Act::Give(1));
    drop(RequireAbility::new("uploads:write").layer(inner()).call(unlayered));
    assert!(watch.is_dropped() && watch.polls() == 0);
}

#[tokio::test(start_paused = true)]
async fn guards_on_routes_go_by_the_layer_around_them() {
    for (layer, polls) in [(layer().drop_refused(), 0), (layer(), 1)] {
        let (mut request, watch) = request(Act::Wait);
        request.headers_mut().clear();
        let guarded = RequireAbility::new("uploads:write").layer(inner());
        let response = layer.optional().layer(guarded).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        tokio::task::yield_now().await;
        assert_eq!((watch.polls(), watch.is_dropped()), (polls, polls == 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_a_connection_with_others_is_given_up_soon() {
    for act in [Act::Wait, Act::Give(1000)] {
        let (mut request, watch) = request(act);
        *request.version_mut() = Version::HTTP_2;
        let start = Instant::now();
        let layer = layer().drain_refused(10_000, Duration::from_secs(30));
        let response = layer.layer(inner()).oneshot(request).await.unwrap();
        assert!(!response.headers().contains_key("connection"));
        watch.dropped().await;
        assert_eq!(start.elapsed().as_secs(), if let Act::Wait = act { 2 } else { 0 });
    }
}
