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
use crate::lookup::{Found, WaitingLookup};
use crate::reject::Rejection;
use crate::service::Claim;

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
        LookUp { lookup: WaitingLookup, waiting: Option<Waiting<S, B>> },
        Forward { #[pin] future: F },
        Rejected { response: Option<Response<Bytes>> },
    }
}

/// What waits for the store.
struct Waiting<S, B> {
    claim: Claim,
    settings: Arc<Settings>,
    ready: S,
    request: Request<B>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn look_up(
        lookup: WaitingLookup,
        claim: Claim,
        settings: Arc<Settings>,
        ready: S,
        request: Request<B>,
    ) -> Self {
        let waiting = Some(Waiting {
            claim,
            settings,
            ready,
            request,
        });
        Self {
            state: State::LookUp { lookup, waiting },
        }
    }

    pub(crate) fn forward(future: S::Future) -> Self {
        Self {
            state: State::Forward { future },
        }
    }

    pub(crate) fn rejected(response: Response<Bytes>) -> Self {
        Self {
            state: State::Rejected {
                response: Some(response),
            },
        }
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
                StateProj::LookUp { lookup, waiting } => {
                    let found = ready!(lookup.as_mut().poll(cx));
                    let next = waiting.take().expect(DONE).resume(found);
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
        let Self {
            claim,
            settings,
            mut ready,
            mut request,
        } = self;
        let admitted = found
            .and_then(|found| settings.judge(found, claim, &RequestHead::new(&request)))
            .and_then(|pass| pass.stamp(&mut request, &settings));
        match admitted {
            Ok(()) => State::Forward {
                future: ready.call(request),
            },
            Err(rejection) => {
                let head = RequestHead::new(&request);
                let response = settings.rejector.reject(rejection, &head);
                State::Rejected {
                    response: Some(response),
                }
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
