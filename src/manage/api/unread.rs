//! [`drain_unread`]: draining bodies that a handler leaves unread.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::guard::rejector;
use crate::head::RequestHead;

/// Drains the rest of a body after the answer.
pub(in crate::manage) async fn drain_unread(request: Request, next: Next) -> Response {
    let draining = rejector(request.extensions()).drain.of(&RequestHead::new(&request));
    let mut unread = None;
    let request = request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        let lent = Lent(Arc::new(Mutex::new(Some(body))));
        unread = Some(Arc::clone(&lent.0));
        Body::new(lent)
    });
    let response = next.run(request).await;
    match unread.and_then(take_back) {
        Some(body) => draining.refuse(body, response).answer(),
        None => response,
    }
}

/// A body that returns to its lender when it is dropped, unless it was read to its end.
struct Lent(Arc<Mutex<Option<Body>>>);

fn take_back(lent: Arc<Mutex<Option<Body>>>) -> Option<Body> {
    Arc::into_inner(lent)?.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Lent {
    fn with<T>(&self, of: impl FnOnce(&mut Option<Body>) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|body| {
            let Some(unread) = body else { return Poll::Ready(None) };
            let frame = ready!(Pin::new(unread).poll_frame(cx));
            if !matches!(frame, Some(Ok(_))) {
                *body = None;
            }
            Poll::Ready(frame)
        })
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.as_ref().is_none_or(Body::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|body| body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint))
    }
}
