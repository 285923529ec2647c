//! What an open stream needs in memory while it waits.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Empty;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::{ApiKeyLayer, MemoryStore};

use super::memory::MemoryKeys as _;
use super::request;

/// A body that sends nothing.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// Returns how many bytes each of so many streams keeps, with a key for each fifty of them.
pub fn bytes_of_each(streams: usize) -> i64 {
    let store = MemoryStore::new();
    let issue = |_| store.issue(tower_api_key::NewKey::named("bench")).unwrap();
    let keys: Vec<_> = (0..streams.div_ceil(50)).map(issue).collect();
    let layer = ApiKeyLayer::new(store);
    let open = |number: usize| {
        let key = keys[number / 50].secret.reveal();
        let answer = async |_: Request<Empty<Bytes>>| Ok::<_, Infallible>(Response::new(Silent));
        let answered = layer.layer(service_fn(answer)).oneshot(request(&[("x-api-key", key)]));
        // As a connection holds it.
        let mut body = Box::pin(answered.now_or_never().unwrap().unwrap().into_body());
        let mut context = Context::from_waker(Waker::noop());
        assert!(body.as_mut().poll_frame(&mut context).is_pending());
        body
    };
    let mut open_streams = Vec::with_capacity(streams);
    let kept = allocation_counter::measure(|| open_streams.extend((0..streams).map(open)));
    assert_eq!(layer.open_streams(), streams);
    kept.bytes_current / streams as i64
}
