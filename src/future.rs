//! [`ResponseFuture`]: the future of an [`ApiKeyService`](crate::ApiKeyService).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::Service;

use crate::body::ResponseBody;
use crate::decide::{Decision, Wait};
use crate::drain::Refusal;
use crate::head::RequestHead;
use crate::limit::Usage;
use crate::pass::{Charged, Finish};
use crate::reject::Rejection;
use crate::settings::Settings;

pin_project! {
    /// Answers for the inner service, or with a rejection.
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B, S::Future, S::Response>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F, R> {
        Wait { waiting: Option<Box<Waiting<S, B>>> },
        Forward { #[pin] future: F, finish: Finish },
        Refund { refunding: BoxFuture<'static, Usage>, response: Option<R> },
        Rejected { refusal: Option<Refusal> },
    }
}

/// What waits for the store or the limiter. Boxed, so that a request that waits for nothing has
/// a small future.
struct Waiting<S, B> {
    wait: Wait,
    settings: Arc<Settings>,
    ready: S,
    request: Request<B>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn wait(wait: Wait, settings: Arc<Settings>, ready: S, request: Request<B>) -> Self {
        let waiting = Some(Box::new(Waiting { wait, settings, ready, request }));
        Self { state: State::Wait { waiting } }
    }

    pub(crate) fn forward(future: S::Future, finish: Finish) -> Self {
        Self { state: State::Forward { future, finish } }
    }

    pub(crate) fn rejected(refusal: Refusal) -> Self {
        Self { state: State::Rejected { refusal: Some(refusal) } }
    }
}

impl<S, B, ResBody> Future for ResponseFuture<S, B>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    B: Body + Send + 'static,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const DONE: &str = "a future is not polled once it is done";
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Wait { waiting } => {
                    let decision = ready!(waiting.as_mut().expect(DONE).poll(cx));
                    let mut resumed = waiting.take().expect(DONE);
                    match decision {
                        Ok(Decision::Wait(next)) => {
                            resumed.wait = next;
                            *waiting = Some(resumed);
                        }
                        Ok(Decision::Admit(pass)) => {
                            let Waiting { settings, mut ready, mut request, .. } = *resumed;
                            let next = match pass.stamp(&mut request, &settings) {
                                Ok(finish) => {
                                    State::Forward { future: ready.call(request), finish }
                                }
                                Err(rejection) => rejected(rejection, &settings, request),
                            };
                            state.set(next);
                        }
                        Err(rejection) => {
                            let Waiting { settings, request, .. } = *resumed;
                            state.set(rejected(rejection, &settings, request));
                        }
                    }
                }
                StateProj::Forward { future, finish } => {
                    let mut response = ready!(future.poll(cx))?;
                    if let Some(fields) = &finish.cache_fields {
                        fields.write(response.headers_mut());
                    }
                    let Some(charged) = finish.charged.take() else {
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    };
                    if charged.was_refused(&response) {
                        let refunding = charged.refund();
                        state.set(State::Refund { refunding, response: Some(response) });
                    } else {
                        charged.write_usage(response.headers_mut());
                        return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                    }
                }
                StateProj::Refund { refunding, response } => {
                    let usage = ready!(refunding.poll_unpin(cx));
                    let mut response = response.take().expect(DONE);
                    if Charged::may_tell(&response) {
                        usage.write(response.headers_mut());
                    }
                    return Poll::Ready(Ok(response.map(ResponseBody::inner)));
                }
                StateProj::Rejected { refusal } => {
                    let response = refusal.take().expect(DONE).answer();
                    return Poll::Ready(Ok(response.map(ResponseBody::rejected)));
                }
            }
        }
    }
}

impl<S, B: Body> Waiting<S, B> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decision, Rejection>> {
        self.wait.poll(cx, &self.settings, &RequestHead::with_known_body(&self.request))
    }
}

fn rejected<S, B, F, R>(
    rejection: Rejection,
    settings: &Settings,
    request: Request<B>,
) -> State<S, B, F, R>
where
    B: Body + Send + 'static,
{
    State::Rejected { refusal: Some(settings.refuse(rejection, request)) }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
