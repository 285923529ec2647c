//! [`ApiKeyService`]: the way of a request. Start reading here.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use crate::body::ResponseBody;
use crate::decide::Decision;
use crate::future::ResponseFuture;
use crate::head::RequestHead;
use crate::settings::Settings;

/// Verifies the key of a request before it calls the inner service. Made by
/// [`ApiKeyLayer`](crate::ApiKeyLayer).
#[derive(Clone)]
pub struct ApiKeyService<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> ApiKeyService<S> {
    pub(crate) fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
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
        let decision = self.settings.decide(&RequestHead::with_known_body(&request));
        let admitted = match decision {
            Ok(Decision::Admit(pass)) => pass.stamp(&mut request, &self.settings),
            Ok(Decision::Wait(wait)) => {
                let settings = Arc::clone(&self.settings);
                return ResponseFuture::wait(wait, settings, self.take_ready(), request);
            }
            Err(rejection) => Err(rejection),
        };
        match admitted {
            // `poll_ready` made this very service ready, so it is the one to call.
            Ok(finish) => ResponseFuture::forward(self.inner.call(request), finish),
            Err(rejection) => {
                // It is not called, so what it reserved has to be free for others.
                drop(self.take_ready());
                self.settings.count_failure(&rejection, &RequestHead::new(&request));
                ResponseFuture::rejected(self.settings.refuse(rejection, request))
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
            .field("settings", &self.settings)
            .finish()
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for ApiKeyService<S> {
    const NAME: &'static str = S::NAME;
}
