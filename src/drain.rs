//! [`Drain`]: what becomes of the body of a request that is refused.
//!
//! A server that speaks HTTP/1 closes the connection of a request whose body nobody reads. What is
//! still on its way meets a closed socket: the kernel resets the connection, and throws away the
//! answer unless the other side has read it. Clients see an error instead of the refusal. Proxies
//! take the server for broken, and send it nothing more for a while, from anybody.
//!
//! So the body is kept: a task reads and drops it while the answer goes out. A server that speaks
//! HTTP/2 resets the stream alone, but there are clients that then forget the answer.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::future::{BoxFuture, poll_fn};
use http::{HeaderValue, Request, Response, Version, header};
use http_body::{Body, Frame};
use tokio::runtime::Handle;

use crate::head::RequestHead;

/// How long clients and proxies take to read an answer while they cannot write.
const LINGER: Duration = Duration::from_secs(2);

/// How much of the body of a refused request is read behind the answer.
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

    /// Joins the answer to a request, and what is left of the request.
    pub(crate) fn refuse<B>(self, request: Request<B>, response: Response<Bytes>) -> Refusal
    where
        B: Body + Send + 'static,
    {
        if request.body().is_end_stream() {
            return Refusal::Whole(response);
        }
        self.of(&RequestHead::new(&request)).refuse(request.into_body(), response)
    }

    /// Reads of a head what matters here.
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
    /// The client may have waited for an answer before it sends the body.
    expects_answer: bool,
}

impl Draining {
    /// Joins the answer to a request, and what is left of its body.
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

    /// Tells whether a next request may come on the same connection. A proxy that sent one would
    /// take the server for broken if the connection is closed in the middle of the body.
    fn can_go_on_after<B: Body>(&self, body: &B) -> bool {
        // RFC 9110, section 10.1.1: a client that waited may leave out the body, and nobody could
        // tell where the next request begins.
        !self.expects_answer
            && body.size_hint().upper().is_some_and(|upper| upper <= self.limits.max_bytes)
    }

    /// Reads and drops a body as far as the limits go.
    async fn drain<B: Body>(self, body: B) {
        let Self { limits: Drain { max_bytes, max_time }, is_http_1, .. } = self;
        let read = async {
            let mut body = pin!(body);
            let mut left = max_bytes;
            // Only the length of a frame outlives the poll, since the frame need not be `Send`.
            while let Some(bytes) = poll_fn(|cx| body.as_mut().poll_frame(cx).map(length)).await {
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    // The other side cannot go on writing, and comes to read the answer.
                    None if is_http_1 => return tokio::time::sleep(LINGER).await,
                    // What nobody reads would hold up the other streams of the connection.
                    None => return,
                }
                // A body that always has more must keep neither others nor the clock from running.
                tokio::task::yield_now().await;
            }
        };
        // A stream counts among those that a connection may have.
        let max_time = if is_http_1 { max_time } else { max_time.min(LINGER) };
        let _ = tokio::time::timeout(max_time, read).await;
    }
}

/// Returns the length of the data, unless the body has ended.
fn length<D: Buf, E>(frame: Option<Result<Frame<D>, E>>) -> Option<u64> {
    let frame = frame?.ok()?;
    Some(frame.data_ref().map_or(0, Buf::remaining) as u64)
}

/// The answer to a request that is refused. Unless it is given, the body is dropped with it.
pub(crate) enum Refusal<R = Bytes> {
    Whole(Response<R>),
    /// Boxed, since this makes every answer larger otherwise.
    Unread(Box<(Response<R>, BoxFuture<'static, ()>)>),
}

impl<R> Refusal<R> {
    /// Gives the answer, which has to go out next, and drains the body behind it.
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
