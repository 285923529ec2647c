//! [`JoinVary`]: a layer that joins `Vary` headers into one line.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::Service;
use tower_layer::Layer;

use super::vary;

/// Joins the `Vary` lines of every response into one, for caches that read only one line.
///
/// [`ApiKeyLayer`](crate::ApiKeyLayer) writes one line. If layers outside of it add another, as
/// tower-http's `CorsLayer` and `CompressionLayer` do, mount this layer outside of them. With axum, add
/// it last.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKeyLayer, JoinVary, MemoryStore};
/// use tower_http::compression::CompressionLayer;
/// use tower_http::cors::CorsLayer;
///
/// let app: Router = Router::new()
///     .route("/bots", get(|| async { "…" }))
///     .layer(ApiKeyLayer::new(MemoryStore::new()))
///     .layer(CompressionLayer::new())
///     .layer(CorsLayer::permissive())
///     .layer(JoinVary);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct JoinVary;

impl<S> Layer<S> for JoinVary {
    type Service = JoinVaryService<S>;

    fn layer(&self, inner: S) -> JoinVaryService<S> {
        JoinVaryService { inner }
    }
}

/// Joins the lines of `Vary` in every response. Made by [`JoinVary`].
#[derive(Clone, Debug)]
pub struct JoinVaryService<S> {
    inner: S,
}

impl<S, B, ResBody> Service<Request<B>> for JoinVaryService<S>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = JoinVaryFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        JoinVaryFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// Returns the response of the inner service, with `Vary` in one line.
    #[derive(Debug)]
    pub struct JoinVaryFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, ResBody, E> Future for JoinVaryFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = ready!(self.project().inner.poll(cx))?;
        vary::join(response.headers_mut());
        Poll::Ready(Ok(response))
    }
}
