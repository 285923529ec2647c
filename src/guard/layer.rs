//! [`GuardLayer`]: mounts a guard on a route or a service.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use tower::Service;
use tower_layer::Layer;

use super::{Guard, GuardFuture};
use crate::body::ResponseBody;
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind, Rejector};
use crate::verify::{Anonymous, VerifiedKey};

/// Mounts a guard on a route or a service, inside an [`ApiKeyLayer`](crate::ApiKeyLayer).
///
/// # Examples
///
/// ```
/// use axum::{Router, body::Body, routing::get};
/// use http::{Request, StatusCode};
/// use tower::ServiceExt;
/// use tower_api_key::guard::{Guard, RequireAbility, RequireStage};
/// use tower_api_key::{GuardLayer, KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = keys.issue(NewKey::named("a device").abilities(["bots:read"])).await?.secret;
/// let guards = RequireStage::fixed("prod").and(RequireAbility::new("bots:read"));
/// let app = Router::new()
///     .route("/bots", get(|| async { "…" }).layer(GuardLayer::new(guards)))
///     .layer(keys.layer());
///
/// let request = Request::get("/bots").header("x-api-key", key.reveal()).body(Body::empty())?;
/// assert_eq!(app.oneshot(request).await?.status(), StatusCode::FORBIDDEN); // it has no stage
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct GuardLayer {
    guard: Arc<dyn Guard>,
}

impl GuardLayer {
    /// Mounts `guard`.
    pub fn new(guard: impl Guard + 'static) -> Self {
        Self { guard: Arc::new(guard) }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService { inner, guard: Arc::clone(&self.guard) }
    }
}

impl fmt::Debug for GuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").finish_non_exhaustive()
    }
}

/// Checks a guard before it calls the inner service. Made by guards that are layers.
#[derive(Clone)]
pub struct GuardService<S> {
    inner: S,
    guard: Arc<dyn Guard>,
}

impl<S, B, ResBody> Service<Request<B>> for GuardService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>> + Clone,
    B: Body + Send + 'static,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = GuardFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let head = RequestHead::with_known_body(&request);
        match ask(&*self.guard, &head) {
            Ok(()) => GuardFuture::forward(self.inner.call(request)),
            Err(rejection) => {
                let rejector = rejector(request.extensions());
                let (response, drain) = (rejector.reject(rejection, &head), rejector.drain);
                // The ready service is not called: a fresh clone takes its place, and its reserved
                // capacity becomes free.
                self.inner = self.inner.clone();
                GuardFuture::rejected(drain.refuse(request, response))
            }
        }
    }
}

/// Checks `guard` for a request, with the key that the layer around it verified.
fn ask(guard: &dyn Guard, head: &RequestHead<'_>) -> Result<(), Rejection> {
    let extensions = head.extensions();
    if let Some(key) = extensions.get::<VerifiedKey>() {
        guard.check(key, head).map_err(|rejection| rejection.of_key(key.record()))
    } else if extensions.get::<Anonymous>().is_none() {
        Err(RejectionKind::MissingLayer.into())
    } else if guard.lets_pass_without_key(head) {
        Ok(())
    } else {
        Err(RejectionKind::Missing.into())
    }
}

/// Returns the verified key of a request if `guard` accepts it, and otherwise the refusal in the form
/// of the layer around it.
#[expect(clippy::result_large_err, reason = "a box would be allocated for each refusal")]
pub(crate) fn admit<'a>(
    guard: &dyn Guard,
    head: &RequestHead<'a>,
) -> Result<&'a VerifiedKey, Response<Bytes>> {
    let key = ask(guard, head).and_then(|()| {
        head.extensions().get::<VerifiedKey>().ok_or_else(|| RejectionKind::Missing.into())
    });
    key.map_err(|rejection| rejector(head.extensions()).reject(rejection, head))
}

/// Returns how the layer around refuses requests.
pub(crate) fn rejector(extensions: &Extensions) -> &Rejector {
    if let Some(key) = extensions.get::<VerifiedKey>() {
        key.rejector()
    } else if let Some(Anonymous(rejector)) = extensions.get() {
        rejector
    } else {
        Rejector::without_layer()
    }
}

impl<S: fmt::Debug> fmt::Debug for GuardService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardService").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(feature = "tonic")]
impl<S: tonic::server::NamedService> tonic::server::NamedService for GuardService<S> {
    const NAME: &'static str = S::NAME;
}

/// Makes a guard a layer of its own.
macro_rules! guard_is_a_layer {
    ($guard:ty) => {
        impl<S> tower_layer::Layer<S> for $guard {
            type Service = $crate::guard::GuardService<S>;

            fn layer(&self, inner: S) -> Self::Service {
                $crate::guard::GuardLayer::new(self.clone()).layer(inner)
            }
        }
    };
}

pub(super) use guard_is_a_layer;
