//! [`GuardFuture`]: the future of a guarded service.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project_lite::pin_project;

use crate::body::ResponseBody;
use crate::drain::Refusal;

pin_project! {
    /// Returns the response of the inner service, or a refusal.
    #[derive(Debug)]
    pub struct GuardFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F> {
        Forward { #[pin] future: F },
        Rejected { refusal: Option<Refusal> },
    }
}

impl<F> GuardFuture<F> {
    pub(super) fn forward(future: F) -> Self {
        Self { state: State::Forward { future } }
    }

    pub(super) fn rejected(refusal: Refusal) -> Self {
        Self { state: State::Rejected { refusal: Some(refusal) } }
    }
}

impl<F, ResBody, E> Future for GuardFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Forward { future } => {
                let response = ready!(future.poll(cx))?;
                Poll::Ready(Ok(response.map(ResponseBody::inner)))
            }
            StateProj::Rejected { refusal } => {
                let refusal = refusal.take().expect("`GuardFuture` polled after completion");
                Poll::Ready(Ok(refusal.answer().map(ResponseBody::rejected)))
            }
        }
    }
}
