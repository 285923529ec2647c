//! [`ResponseFuture`]: the future of an [`ApiKeyService`](crate::ApiKeyService).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;

use crate::body::ResponseBody;
use crate::head::RequestHead;
use crate::layer::Settings;
use crate::lookup::Found;
use crate::reject::Rejection;
use crate::service::{Ask, Pass};

pin_project! {
    /// Answers for the inner service, or with a rejection.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Ask { waiting: Option<Box<Waiting<S, B>>> },
        Forward { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// What waits for the store. Boxed, so that a request that waits for nothing has a small
/// future.
struct Waiting<S, B> {
    ask: Box<Ask>,
    settings: Arc<Settings>,
    ready: S,
    request: Request<B>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn ask(
        ask: Box<Ask>,
        settings: Arc<Settings>,
        ready: S,
        request: Request<B>,
    ) -> Self {
        let waiting = Some(Box::new(Waiting { ask, settings, ready, request }));
        Self { state: State::Ask { waiting } }
    }

    pub(crate) fn forward(future: S::Future) -> Self {
        Self { state: State::Forward { future } }
    }

    pub(crate) fn rejected(response: Response<Bytes>) -> Self {
        Self { state: State::Rejected { response: Some(response) } }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const DONE: &str = "a future is not polled once it is done";
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Ask { waiting } => {
                    let lookup = &mut waiting.as_mut().expect(DONE).ask.lookup;
                    let found = ready!(lookup.as_mut().poll(cx));
                    let waiting = *waiting.take().expect(DONE);
                    let next = waiting.resume(found);
                    state.set(next);
                }
                StateProj::Forward { future } => {
                    let response = ready!(future.poll(cx))?;
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Rejected { response } => {
                    let response = response.take().expect(DONE);
                    return Poll::Ready(Ok(response.map(ResponseBody::rejected)));
                }
            }
        }
    }
}

impl<S, B> Waiting<S, B>
where
    S: Service<Request<B>>,
{
    /// Goes on where [`ApiKeyService`](crate::ApiKeyService) had to stop.
    fn resume(self, found: Result<Found, Rejection>) -> State<S, B, S::Future> {
        let Self { ask, settings, mut ready, mut request } = self;
        let admitted = found
            .and_then(|found| {
                let Found { record, digest } = found;
                settings.judge(record, &digest, &ask.claims, &RequestHead::new(&request))
            })
            .and_then(|key| Pass::Verified(key, ask.carrier).stamp(&mut request, &settings));
        match admitted {
            Ok(()) => State::Forward { future: ready.call(request) },
            Err(rejection) => {
                let head = RequestHead::new(&request);
                let response = settings.rejector.reject(rejection, &head);
                State::Rejected { response: Some(response) }
            }
        }
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
