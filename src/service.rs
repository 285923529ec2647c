//! [`ApiKeyService`]: the way of a request. Start reading here.

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

/// Verifies the key of a request before it calls the inner service. Made by
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
        let Entrance { gate, front } = &*self.entrance;
        let noted = Noted::default();
        let head = RequestHead::with_known_body(&request).noting(&noted);
        let mut observation = gate.observe(&head);
        let decision = gate.decide(front, &head, &mut observation);
        let admitted = match decision {
            Ok(Decision::Admit(pass)) => pass.stamp(
                &mut request,
                |request| RequestHead::with_known_body(request),
                gate,
                &noted,
                &mut observation,
            ),
            Ok(Decision::Wait(wait)) => {
                let gate = Arc::clone(gate);
                return ResponseFuture::wait(wait, gate, self.take_ready(), request, observation);
            }
            Err(rejection) => Err(rejection),
        };
        match admitted {
            // `poll_ready` made this very service ready, so it is the one to call.
            Ok(finish) => ResponseFuture::forward(self.inner.call(request), finish, observation),
            Err(rejection) => {
                // It is not called, so what it reserved has to be free for others.
                drop(self.take_ready());
                self.entrance.gate.count_failure(&rejection, &RequestHead::new(&request));
                if let Some(observation) = observation {
                    observation.end(Outcome::Refused(&rejection));
                }
                ResponseFuture::rejected(self.entrance.gate.refuse(rejection, request))
            }
        }
    }
}

impl<S: Clone> ApiKeyService<S> {
    /// Takes the service that was made ready, and leaves a clone that is not.
    fn take_ready(&mut self) -> S {
        let unready = self.inner.clone();
        std::mem::replace(&mut self.inner, unready)
    }
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
