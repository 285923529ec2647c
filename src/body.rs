//! [`ResponseBody`]: the body of a response, of the service or of a refusal.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use pin_project_lite::pin_project;
use tower::BoxError;

use crate::ending::Ending;
use crate::verify::VerifiedKey;
use crate::watch::{KeyEnded, Stream};

pin_project! {
    /// The body of a response: the inner service's own, or that of a rejection.
    ///
    /// It only requires that the data of the inner body are [`Bytes`], so the layers work with any
    /// service. It ends with the key that the request was admitted with; see
    /// [`ApiKeyLayer::streams`](crate::ApiKeyLayer::streams).
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    #[derive(Debug)]
    enum Kind<B> {
        Inner { #[pin] body: B, watch: Watch },
        Rejected { #[pin] body: Full<Bytes> },
        Ended,
    }
}

/// Watches the frames of a body. Small, because every response has one.
struct Watch {
    state: State,
    /// Whether a frame was sent.
    has_begun: bool,
    ending: Ending,
}

enum State {
    /// At most one frame was sent: a body that is complete with it is not watched.
    Begun(VerifiedKey),
    // Boxed, because most bodies never get here.
    Open(Box<Stream>),
    /// It is not watched, or no longer.
    Over,
}

impl<B> ResponseBody<B> {
    pub(crate) fn inner(body: B) -> Self {
        Self::watched(body, None, Ending::Fail)
    }

    pub(crate) fn rejected(body: Bytes) -> Self {
        Self { kind: Kind::Rejected { body: Full::new(body) } }
    }

    /// Makes a body end with the key, if there is one.
    pub(crate) fn watched(body: B, key: Option<VerifiedKey>, ending: Ending) -> Self {
        let state = key.map_or(State::Over, State::Begun);
        Self { kind: Kind::Inner { body, watch: Watch { state, has_begun: false, ending } } }
    }
}

impl Watch {
    /// Tells whether the key has ended before another frame is sent.
    #[inline]
    fn check(&mut self) -> Option<KeyEnded> {
        match &mut self.state {
            State::Open(stream) => stream.check(),
            _ => self.advance(),
        }
    }

    /// Tells whether the key has ended before the body, and stops watching if not.
    fn check_last(&mut self) -> Option<KeyEnded> {
        let ended = match &mut self.state {
            State::Open(stream) => stream.check(),
            _ => None,
        };
        if ended.is_none() {
            self.state = State::Over;
        }
        ended
    }

    /// Waits for the end of the key while the body waits.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<KeyEnded> {
        let stream = match &mut self.state {
            State::Open(stream) => Some(&mut **stream),
            _ => self.open(),
        };
        stream.map_or(Poll::Pending, |stream| stream.poll_ended(cx))
    }

    fn advance(&mut self) -> Option<KeyEnded> {
        if std::mem::replace(&mut self.has_begun, true) { self.open()?.check() } else { None }
    }

    /// Adds the body to the open streams.
    fn open(&mut self) -> Option<&mut Stream> {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Begun(key) => match key.admission() {
                Some(admission) => State::Open(Box::new(Stream::open(admission))),
                None => State::Over,
            },
            state => state,
        };
        match &mut self.state {
            State::Open(stream) => Some(stream),
            _ => None,
        }
    }

    /// Returns the last frame, if there is one.
    fn end(&mut self, ended: KeyEnded) -> Option<Result<Frame<Bytes>, BoxError>> {
        let State::Open(stream) = std::mem::replace(&mut self.state, State::Over) else {
            return None;
        };
        stream.report(&ended);
        self.ending.last_frame(ended, stream.authority())
    }
}

/// The empty body, which some layers require, such as tower-http's for CORS.
impl<B> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::rejected(Bytes::new())
    }
}

impl<B: Body<Data = Bytes, Error: Into<BoxError>>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut kind = self.project().kind;
        let (ended, watch) = match kind.as_mut().project() {
            KindProj::Rejected { body } => {
                return body.poll_frame(cx).map_err(|never| match never {});
            }
            KindProj::Ended => return Poll::Ready(None),
            KindProj::Inner { body, watch } => match body.poll_frame(cx) {
                // After the frame was made, and just before it is sent.
                Poll::Ready(Some(frame)) => match watch.check() {
                    None => return Poll::Ready(Some(frame.map_err(Into::into))),
                    Some(ended) => (ended, watch),
                },
                Poll::Pending => match watch.poll_ended(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(ended) => (ended, watch),
                },
                // The source of the frames may have stopped because of the end; the body is then not
                // complete.
                Poll::Ready(None) => match watch.check_last() {
                    None => return Poll::Ready(None),
                    Some(ended) => (ended, watch),
                },
            },
        };
        let last = watch.end(ended);
        // Drops the inner body.
        kind.set(Kind::Ended);
        Poll::Ready(last)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Inner { body, .. } => body.is_end_stream(),
            Kind::Rejected { body } => body.is_end_stream(),
            Kind::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Inner { body, .. } => body.size_hint(),
            Kind::Rejected { body } => body.size_hint(),
            Kind::Ended => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("ending", &self.ending).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Empty};

    #[test]
    fn a_rejection_has_a_body_whatever_the_inner_one_is() {
        let body = ResponseBody::<Empty<Bytes>>::rejected(Bytes::from_static(b"no"));
        assert_eq!(body.size_hint().exact(), Some(2));
        assert!(!body.is_end_stream());
        let read = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap();
        assert_eq!(read.to_bytes(), "no");
    }

    #[test]
    fn an_inner_body_is_passed_through() {
        let body = ResponseBody::inner(Empty::<Bytes>::new());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.is_end_stream());
    }
}
