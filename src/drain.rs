//! [`Drain`]: the rest of the body of a refused request.
//!
//! A server that speaks HTTP/1 closes the connection of a request whose body was not read. Data that
//! still arrives meets a closed socket: the kernel resets the connection, and discards the response
//! unless the other side has read it. Clients see an error instead of the refusal. Proxies treat the
//! server as broken, and send it no requests of any client for a while.
//!
//! So a task reads and drops the body while the response is sent. A server that speaks HTTP/2 only
//! resets the stream, but some clients then drop the response.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::{BoxFuture, poll_fn};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame};
use tokio::runtime::Handle;

use crate::head::RequestHead;

/// How long clients and proxies need to read a response while they cannot write.
const LINGER: Duration = Duration::from_secs(2);

/// How much of the body of a refused request is read after the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    pub(crate) max_bytes: u64,
    pub(crate) max_time: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024 * 1024, max_time: Duration::from_secs(30) }
    }
}

impl Drain {
    pub(crate) const OFF: Self = Self { max_bytes: 0, max_time: Duration::ZERO };

    /// Combines the response to a request with the rest of the request.
    pub(crate) fn refuse<B>(self, request: Request<B>, response: Response<Bytes>) -> Refusal
    where
        B: Body + Send + 'static,
    {
        if request.body().is_end_stream() {
            return Refusal::Whole(response);
        }
        self.of(&RequestHead::new(&request)).refuse(request.into_body(), response)
    }

    /// Reads the relevant parts of a head.
    pub(crate) fn of(self, head: &RequestHead<'_>) -> Draining {
        Draining {
            limits: self,
            is_http_1: head.version() <= Version::HTTP_11,
            expects_answer: head.headers().contains_key(header::EXPECT),
        }
    }
}

/// A [`Drain`] for one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draining {
    limits: Drain,
    is_http_1: bool,
    /// The client may wait for a response before it sends the body.
    expects_answer: bool,
}

impl Draining {
    /// Combines the response to a request with the rest of its body.
    pub(crate) fn refuse<B, R>(self, body: B, mut response: Response<R>) -> Refusal<R>
    where
        B: Body + Send + 'static,
    {
        if body.is_end_stream() || self.limits.max_time.is_zero() {
            return Refusal::Whole(response);
        }
        if self.is_http_1 && !self.can_go_on_after(&body) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Refusal::Unread(Box::new((response, Box::pin(self.drain(body)))))
    }

    /// Tells whether another request may use the connection. A proxy that sends one would treat the
    /// server as broken if the connection is closed in the middle of the body.
    fn can_go_on_after<B: Body>(&self, body: &B) -> bool {
        // RFC 9110, section 10.1.1: a client that waited may omit the body, and then the start of the
        // next request is not known.
        !self.expects_answer
            && body.size_hint().upper().is_some_and(|upper| upper <= self.limits.max_bytes)
    }

    /// Reads and drops a body up to the limits.
    async fn drain<B: Body>(self, body: B) {
        let Self { limits: Drain { max_bytes, max_time }, is_http_1, .. } = self;
        let read = async {
            let mut body = pin!(body);
            let mut left = max_bytes;
            // Only the length of a frame outlives the poll, because the frame need not be `Send`.
            while let Some(bytes) = poll_fn(|cx| body.as_mut().poll_frame(cx).map(length)).await {
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    // The other side cannot write any more, and reads the response.
                    None if is_http_1 => return tokio::time::sleep(LINGER).await,
                    // An unread body would block the other streams of the connection.
                    None => return,
                }
                // An endless body must block neither other tasks nor the clock.
                tokio::task::yield_now().await;
            }
        };
        // A stream counts towards the limit of its connection.
        let max_time = if is_http_1 { max_time } else { max_time.min(LINGER) };
        let _ = tokio::time::timeout(max_time, read).await;
    }
}

/// Returns the length of the data, unless the body has ended.
fn length<D: Buf, E>(frame: Option<Result<Frame<D>, E>>) -> Option<u64> {
    let frame = frame?.ok()?;
    Some(frame.data_ref().map_or(0, Buf::remaining) as u64)
}

/// The response to a refused request. Dropping it drops the body, too.
pub(crate) enum Refusal<R = Bytes> {
    Whole(Response<R>),
    /// Boxed, because it would make every response larger.
    Unread(Box<(Response<R>, BoxFuture<'static, ()>)>),
}

impl<R> Refusal<R> {
    /// Returns the response, which has to be sent next, and drains the body after it.
    pub(crate) fn answer(self) -> Response<R> {
        match self {
            Self::Whole(response) => response,
            Self::Unread(unread) => {
                let (response, rest) = *unread;
                // Without a runtime, the body is dropped.
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(rest);
                }
                response
            }
        }
    }
}

impl<R> fmt::Debug for Refusal<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").finish_non_exhaustive()
    }
}
