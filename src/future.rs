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
use crate::charge::Charged;
use crate::decide::{Decision, Wait};
use crate::drain::Refusal;
use crate::ending::Ending;
use crate::gate::Gate;
use crate::head::{Noted, RequestHead};
use crate::limit::Usage;
use crate::observe::{Arrival, Observation, Outcome};
use crate::pass::Finish;
use crate::reject::Rejection;

pin_project! {
    /// Resolves to the response of the inner service, or to a rejection.
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
        Refund {
            refunding: BoxFuture<'static, Usage>,
            response: Option<R>,
            observation: Observation,
        },
        Rejected { refusal: Option<Refusal> },
    }
}

/// A request that waits for the store or the limiter. Boxed, so that a request that does not wait
/// has a small future.
struct Waiting<S, B> {
    wait: Wait,
    gate: Arc<Gate>,
    ready: S,
    request: Request<B>,
    arrival: Option<Arrival<'static>>,
}

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    pub(crate) fn wait(
        wait: Wait,
        gate: Arc<Gate>,
        ready: S,
        request: Request<B>,
        arrival: Option<Arrival<'_>>,
    ) -> Self {
        let arrival = arrival.map(Arrival::waits);
        let waiting = Some(Box::new(Waiting { wait, gate, ready, request, arrival }));
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
        const DONE: &str = "`ResponseFuture` polled after completion";
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
                            let Waiting { gate, mut ready, mut request, mut arrival, .. } =
                                *resumed;
                            let next = match pass.stamp(
                                &mut request,
                                |request| RequestHead::with_known_body(request),
                                &gate,
                                &Noted::default(),
                                &mut arrival,
                            ) {
                                Ok(finish) => {
                                    let future = ready.call(request);
                                    State::Forward { future, finish }
                                }
                                Err(rejection) => rejected(rejection, &gate, request, arrival),
                            };
                            state.set(next);
                        }
                        Err(rejection) => {
                            let Waiting { gate, request, arrival, .. } = *resumed;
                            state.set(rejected(rejection, &gate, request, arrival));
                        }
                    }
                }
                StateProj::Forward { future, finish } => {
                    let mut response = match future.poll(cx) {
                        Poll::Ready(Ok(response)) => response,
                        Poll::Ready(Err(error)) => {
                            finish.observation.end(Outcome::Failed);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {
                            let Some(cancel) = &mut finish.cancel else { return Poll::Pending };
                            let (rejection, response) = ready!(cancel.poll(cx));
                            finish.observation.end(Outcome::Refused(&rejection));
                            // Drops the inner future.
                            let refusal = Some(Refusal::Whole(response));
                            state.set(State::Rejected { refusal });
                            continue;
                        }
                    };
                    // Before `finish.write`, because it is fast if the service has written no headers.
                    let ending = Ending::of(response.headers());
                    if let Some(refunding) = finish.write(&mut response) {
                        let response = Some(response);
                        let observation = finish.observation.take();
                        state.set(State::Refund { refunding, response, observation });
                        continue;
                    }
                    finish.observation.answered(&response);
                    let key = finish.observation.take_watched();
                    let watched = |body| ResponseBody::watched(body, key, ending);
                    return Poll::Ready(Ok(response.map(watched)));
                }
                StateProj::Refund { refunding, response, observation } => {
                    let usage = ready!(refunding.poll_unpin(cx));
                    let mut response = response.take().expect(DONE);
                    Charged::write_refunded(&usage, &mut response);
                    observation.answered(&response);
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
        let head = RequestHead::with_known_body(&self.request);
        self.wait.poll_observed(cx, &self.gate, &head, &mut self.arrival)
    }
}

fn rejected<S, B, F, R>(
    rejection: Rejection,
    gate: &Gate,
    request: Request<B>,
    arrival: Option<Arrival<'_>>,
) -> State<S, B, F, R>
where
    B: Body + Send + 'static,
{
    if let Some(arrival) = arrival {
        arrival.end(Outcome::Refused(&rejection));
    }
    State::Rejected { refusal: Some(gate.refuse(rejection, request)) }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
