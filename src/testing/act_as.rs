//! [`ActAs`]: a layer for tests that adds a key to requests.

use std::fmt;
use std::task::{Context, Poll};

use http::header::HeaderName;
use http::{HeaderValue, Request};
use tower::Service;
use tower_layer::Layer;

use crate::key::{IssueError, Secret};
use crate::store::{MemoryStore, NewKey};

/// Adds an API key to every request, so that a test acts as its holder.
///
/// The key is real, and so is the way of the requests: mount it around the unchanged application, with
/// its [`ApiKeyLayer`](crate::ApiKeyLayer), its store and its guards.
///
/// # Examples
///
/// ```
/// use http::{Request, StatusCode};
/// use tower::{Layer, Service, ServiceExt};
/// use tower_api_key::testing::ActAs;
/// use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequireAbility};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = MemoryStore::new();
/// let app = axum::Router::new()
///     .route("/bots", axum::routing::get(|| async { "…" }).layer(RequireAbility::new("bots:read")))
///     .layer(ApiKeyLayer::new(keys.clone()));
///
/// let reader = ActAs::new(&keys, NewKey::named("a test").abilities(["bots:read"]))?;
/// let request = Request::get("/bots").body(axum::body::Body::empty())?;
/// let response = reader.layer(app).oneshot(request).await?;
/// assert_eq!(response.status(), StatusCode::OK);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct ActAs {
    header: HeaderName,
    key: HeaderValue,
}

impl ActAs {
    /// Issues a key in `store`, and sends it as `x-api-key`.
    ///
    /// # Errors
    ///
    /// Returns an error if no key can be issued.
    pub fn new(store: &MemoryStore, key: NewKey) -> Result<Self, IssueError> {
        Ok(Self::with_secret(&store.issue(key)?.secret))
    }

    /// Sends a key that another store issued, as `x-api-key`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use tower::{Layer, ServiceExt};
    /// use tower_api_key::testing::ActAs;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = MemoryStore::new();
    /// let app = axum::Router::new()
    ///     .route("/", axum::routing::get(|| async {}))
    ///     .layer(ApiKeyLayer::new(keys.clone()));
    /// let secret = keys.issue(NewKey::named("a test"))?.secret;
    /// let request = Request::get("/").body(axum::body::Body::empty())?;
    /// let response = ActAs::with_secret(&secret).layer(app).oneshot(request).await?;
    /// assert_eq!(response.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_secret(secret: &Secret) -> Self {
        Self { header: HeaderName::from_static("x-api-key"), key: value(secret.reveal()) }
    }

    /// Sends a text as `x-api-key`: a stored key, or a wrong one.
    ///
    /// # Panics
    ///
    /// Panics if the text is not a valid header value, or has spaces around it.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use tower::{Layer, ServiceExt};
    /// use tower_api_key::testing::ActAs;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = MemoryStore::new();
    /// let app = axum::Router::new()
    ///     .route("/", axum::routing::get(|| async {}))
    ///     .layer(ApiKeyLayer::new(keys.clone()));
    /// let request = Request::get("/").body(axum::body::Body::empty())?;
    /// let response = ActAs::with_text("a wrong key").layer(app).oneshot(request).await?;
    /// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_text(text: &str) -> Self {
        assert!(
            HeaderValue::from_str(text).is_ok() && text.trim() == text,
            "a header value has visible characters, without spaces around them"
        );
        Self { header: HeaderName::from_static("x-api-key"), key: value(text) }
    }

    /// Sends the key as `Authorization: Bearer`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use tower::{Layer, ServiceExt};
    /// use tower_api_key::testing::ActAs;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = MemoryStore::new();
    /// let app = axum::Router::new()
    ///     .route("/", axum::routing::get(|| async {}))
    ///     .layer(ApiKeyLayer::new(keys.clone()));
    /// let caller = ActAs::new(&keys, NewKey::named("a test"))?.bearer();
    /// let request = Request::get("/").body(axum::body::Body::empty())?;
    /// assert_eq!(caller.layer(app).oneshot(request).await?.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    pub fn bearer(mut self) -> Self {
        self.header = http::header::AUTHORIZATION;
        self.key = value(&format!("Bearer {}", self.key.to_str().unwrap_or_default()));
        self
    }

    /// Sends the key as the whole value of the header `name`.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a header name.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, StatusCode};
    /// use tower::{Layer, Service, ServiceExt};
    /// use tower_api_key::extract::Header;
    /// use tower_api_key::testing::ActAs;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = MemoryStore::new();
    /// let secret = keys.issue(NewKey::named("a test"))?.secret;
    /// let app = axum::Router::new()
    ///     .route("/", axum::routing::get(|| async {}))
    ///     .layer(ApiKeyLayer::new(keys).extractor(Header::new("x-acme-key")));
    ///
    /// for (text, status) in
    ///     [(secret.reveal(), StatusCode::OK), ("wrong", StatusCode::UNAUTHORIZED)]
    /// {
    ///     let caller = ActAs::with_text(text).in_header("x-acme-key");
    ///     let request = Request::get("/").body(axum::body::Body::empty())?;
    ///     assert_eq!(caller.layer(app.clone()).oneshot(request).await?.status(), status);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_header<N>(mut self, name: N) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
    {
        self.header = name.try_into().unwrap_or_else(|error| panic!("{error}"));
        self
    }
}

fn value(text: &str) -> HeaderValue {
    // Keys are visible ASCII, so this is always `Ok`. Any other text is sent empty, and refused.
    let mut value = HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl fmt::Debug for ActAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActAs").field("header", &self.header).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ActAs {
    type Service = ActAsService<S>;

    fn layer(&self, inner: S) -> ActAsService<S> {
        ActAsService { inner, act_as: self.clone() }
    }
}

/// Adds a key to every request. Made by [`ActAs`].
#[derive(Clone, Debug)]
pub struct ActAsService<S> {
    inner: S,
    act_as: ActAs,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for ActAsService<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let ActAs { header, key } = &self.act_as;
        request.headers_mut().insert(header.clone(), key.clone());
        self.inner.call(request)
    }
}
