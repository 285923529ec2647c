//! [`ApiKeyService`]: the path of a request through the layer. Start reading here.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::body::ResponseBody;
use crate::decide::Decision;
use crate::front::Entrance;
use crate::future::ResponseFuture;
use crate::head::{Noted, RequestHead};
use crate::observe::Outcome;

/// Verifies the API key of a request before it calls the inner service. Built by
/// [`ApiKeyLayer`](crate::ApiKeyLayer).
#[derive(Clone)]
pub struct ApiKeyService<S> {
    inner: S,
    entrance: Arc<Entrance>,
}

impl<S> ApiKeyService<S> {
    pub(crate) fn new(inner: S, entrance: Arc<Entrance>) -> Self {
        Self { inner, entrance }
    }
}

impl<S, B, ResBody> Service<Request<B>> for ApiKeyService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Self { inner, entrance } = self;
        let Entrance { gate, front } = &**entrance;
        let noted = Noted::default();
        let head = RequestHead::with_known_body(&request).noting(&noted);
        let mut arrival = gate.observe(&head);
        let decision = gate.decide(front, &head, &mut arrival);
        let admitted = match decision {
            Ok(Decision::Admit(pass)) => pass.stamp(
                &mut request,
                |request| RequestHead::with_known_body(request),
                gate,
                &noted,
                &mut arrival,
            ),
            Ok(Decision::Wait(wait)) => {
                let gate = Arc::clone(gate);
                return ResponseFuture::wait(wait, gate, take_ready(inner), request, arrival);
            }
            Err(rejection) => Err(rejection),
        };
        match admitted {
            // `poll_ready` made this service ready, not a clone of it, so call this one.
            Ok(finish) => ResponseFuture::forward(inner.call(request), finish),
            Err(rejection) => {
                // The service is not called, so it has to release what it reserved.
                drop(take_ready(inner));
                gate.count_failure(&rejection, &RequestHead::new(&request));
                if let Some(arrival) = arrival {
                    arrival.end(Outcome::Refused(&rejection));
                }
                ResponseFuture::rejected(gate.refuse(rejection, request))
            }
        }
    }
}

/// Takes the ready service, and leaves a clone that is not ready.
fn take_ready<S: Clone>(inner: &mut S) -> S {
    let unready = inner.clone();
    std::mem::replace(inner, unready)
}

impl<S: fmt::Debug> fmt::Debug for ApiKeyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyService")
            .field("inner", &self.inner)
            .field("gate", &self.entrance.gate)
            .finish()
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for ApiKeyService<S> {
    const NAME: &'static str = S::NAME;
}
