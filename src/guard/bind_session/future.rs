//! [`BindSessionFuture`]: the future of a [`BindSession`](super::BindSession) service.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderName, Response, StatusCode};
use pin_project_lite::pin_project;

use super::sessions::{SessionId, Sessions};
use crate::body::ResponseBody;
use crate::drain::Refusal;
use crate::verify::VerifiedKey;

pin_project! {
    /// Returns the response of the inner service and remembers the session that it opens, or returns a
    /// refusal.
    pub struct BindSessionFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Forward { #[pin] future: F, binding: Binding },
        Rejected { refusal: Option<Refusal> },
    }
}

/// What to do with the response.
pub(super) struct Binding {
    pub(super) sessions: Arc<Sessions>,
    pub(super) header: HeaderName,
    pub(super) key: VerifiedKey,
    /// The session that the request asks to end.
    pub(super) ends: Option<SessionId>,
}

impl Binding {
    fn see<B>(&self, response: &Response<B>) {
        let (status, owner) = (response.status(), self.key.record().counted_id());
        match self.ends {
            Some(id) if status.is_success() || status == StatusCode::NOT_FOUND => {
                self.sessions.forget(id, owner);
            }
            _ => {
                // Of several, the client may use any, so none of them works.
                if let Ok(Some(id)) = SessionId::named(response.headers(), &self.header) {
                    self.sessions.bind(id, owner);
                }
            }
        }
        self.sessions.look_on(&self.key);
    }
}

impl<F> BindSessionFuture<F> {
    pub(super) fn forward(future: F, binding: Binding) -> Self {
        Self { state: State::Forward { future, binding } }
    }

    pub(super) fn rejected(refusal: Refusal) -> Self {
        Self { state: State::Rejected { refusal: Some(refusal) } }
    }
}

impl<F, ResBody, E> Future for BindSessionFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forward { future, binding } => {
                let response = ready!(future.poll(cx))?;
                binding.see(&response);
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            StateProj::Rejected { refusal } => {
                let refusal = refusal.take().expect("`BindSessionFuture` polled after completion");
                Poll::Ready(Ok(refusal.answer().map(ResponseBody::rejected)))
            }
        }
    }
}

impl<F> std::fmt::Debug for BindSessionFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BindSessionFuture").finish_non_exhaustive()
    }
}
