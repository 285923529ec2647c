//! [`AddApiKeyLayer`]: adds an API key to outgoing requests.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue, Request};
use tower::Service;
use tower_layer::Layer;

use super::{AddApiKeyError, ApiKey, Origin};
use crate::extract::{Bearer, Extract as _, X_API_KEY, is_token68};
use crate::head::RequestHead;

/// Adds an API key to outgoing requests to the given origins, and to no others.
///
/// It has no type parameters and works with any body type: one value serves hyper-util's client, a
/// tonic channel and `reqwest`. The header value is marked as sensitive, so that `Debug` does not show
/// it and HTTP/2 does not index it.
///
/// # When a request gets the key
///
/// 1. Its URI has the scheme, the host and the port of one of the origins. A URI without them, such as
///    `/v1/bots`, or with a user name matches no origin. The `Host` header is ignored.
/// 2. It has no key yet. A value that the caller has set stays, and no second key is added, because
///    servers refuse requests with two. For `Authorization` and `x-api-key`, a key in one of them
///    counts for the other, too.
///
/// Any other request is passed on unchanged.
///
/// # Redirects
///
/// Follow redirects *outside* of this layer, so that the layer checks each request. A client that
/// follows them *inside*, as `reqwest` does by default, copies the headers. It drops `Authorization`
/// for another origin, but it does not know that `x-api-key` or a header of yours is a secret, and
/// **sends it to any host that a redirect names**. So turn its redirects off with
/// `reqwest::redirect::Policy::none()`, and mount tower-http's `FollowRedirectLayer` outside if you
/// need redirects. The clients of hyper-util and tonic follow none.
///
/// # Proxies
///
/// If a client uses a proxy, as `reqwest` does if the environment variable `HTTP_PROXY` is set, the
/// proxy can read the key in requests to `http://`, even those to `localhost`. For such origins, use a
/// client without a proxy (`reqwest::ClientBuilder::no_proxy`). Requests to `https://` are encrypted on
/// their way through a proxy.
///
/// # gRPC
///
/// A tonic client sends URIs without an origin unless it is made by `with_origin`. The channel always
/// connects to its own endpoint: use the same for both.
///
/// # Examples
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use tower::ServiceBuilder;
/// use tower_api_key::client::{AddApiKeyLayer, ApiKey};
///
/// let key: ApiKey = "sk_live_abc123def456".parse()?;
/// let layer = AddApiKeyLayer::bearer(&key, ["https://api.hapnd.example"])?;
/// let client = ServiceBuilder::new()
///     .layer(layer)
///     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
// A documentation test of the package in `tests`, which depends on reqwest.
#[cfg_attr(not(doctest), doc = include_str!("reqwest.md"))]
#[derive(Clone, Debug)]
#[must_use]
pub struct AddApiKeyLayer(Arc<Addition>);

impl AddApiKeyLayer {
    /// Sends the key as `Authorization: Bearer <key>`.
    ///
    /// # Errors
    ///
    /// Returns an error if an origin is invalid or not safe, if there is none, or if the key has
    /// characters that `Bearer` does not allow (RFC 6750, section 2.1).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_api_key::client::{AddApiKeyLayer, ApiKey};
    /// # use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let key: ApiKey = "sk_live_abc123def456".parse()?;
    /// let layer = AddApiKeyLayer::bearer(&key, ["https://api.acme.example"])?;
    /// let echo = service_fn(async |request: http::Request<()>| Ok::<_, Infallible>(request));
    /// let request = http::Request::get("https://api.acme.example/bots").body(())?;
    /// let sent = layer.layer(echo).oneshot(request).await?;
    /// assert_eq!(sent.headers()["authorization"], "Bearer sk_live_abc123def456");
    /// # Ok(())
    /// # }
    /// ```
    pub fn bearer<O>(key: &ApiKey, origins: O) -> Result<Self, AddApiKeyError>
    where
        O: IntoIterator<Item: TryInto<Origin, Error: Into<AddApiKeyError>>>,
    {
        if !is_token68(key.reveal().as_bytes()) {
            return Err(AddApiKeyError::Characters);
        }
        Self::new(AUTHORIZATION, &format!("Bearer {}", key.reveal()), origins)
    }

    /// Sends the key as `x-api-key: <key>`.
    ///
    /// # Errors
    ///
    /// Returns an error if an origin is invalid or not safe, or if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_api_key::client::{AddApiKeyLayer, ApiKey};
    /// # use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let key: ApiKey = "sk_live_abc123def456".parse()?;
    /// let layer = AddApiKeyLayer::x_api_key(&key, ["https://api.acme.example"])?;
    /// let echo = service_fn(async |request: http::Request<()>| Ok::<_, Infallible>(request));
    /// let request = http::Request::get("https://api.acme.example/bots").body(())?;
    /// let sent = layer.layer(echo).oneshot(request).await?;
    /// assert_eq!(sent.headers()["x-api-key"], "sk_live_abc123def456");
    /// # Ok(())
    /// # }
    /// ```
    pub fn x_api_key<O>(key: &ApiKey, origins: O) -> Result<Self, AddApiKeyError>
    where
        O: IntoIterator<Item: TryInto<Origin, Error: Into<AddApiKeyError>>>,
    {
        Self::header(X_API_KEY.clone(), key, origins)
    }

    /// Sends the key as the whole value of another header.
    ///
    /// # Errors
    ///
    /// Returns an error if an origin is invalid or not safe, or if there is none.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower::{Layer, ServiceExt, service_fn};
    /// use tower_api_key::client::{AddApiKeyLayer, ApiKey};
    /// # use std::convert::Infallible;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let key: ApiKey = "sk_live_abc123def456".parse()?;
    /// let name = http::HeaderName::from_static("x-acme-key");
    /// let layer = AddApiKeyLayer::header(name, &key, ["https://api.acme.example"])?;
    /// let echo = service_fn(async |request: http::Request<()>| Ok::<_, Infallible>(request));
    /// let request = http::Request::get("https://api.acme.example/bots").body(())?;
    /// let sent = layer.layer(echo).oneshot(request).await?;
    /// assert_eq!(sent.headers()["x-acme-key"], "sk_live_abc123def456");
    /// # Ok(())
    /// # }
    /// ```
    pub fn header<O>(name: HeaderName, key: &ApiKey, origins: O) -> Result<Self, AddApiKeyError>
    where
        O: IntoIterator<Item: TryInto<Origin, Error: Into<AddApiKeyError>>>,
    {
        Self::new(name, key.reveal(), origins)
    }

    fn new<O>(name: HeaderName, value: &str, origins: O) -> Result<Self, AddApiKeyError>
    where
        O: IntoIterator<Item: TryInto<Origin, Error: Into<AddApiKeyError>>>,
    {
        let origins = origins.into_iter().map(|origin| origin.try_into().map_err(Into::into));
        let origins = origins.collect::<Result<Box<[_]>, _>>()?;
        if origins.is_empty() {
            return Err(AddApiKeyError::NoOrigin);
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| AddApiKeyError::Characters)?;
        value.set_sensitive(true);
        Ok(Self(Arc::new(Addition { name, value, origins })))
    }
}

impl<S> Layer<S> for AddApiKeyLayer {
    type Service = AddApiKey<S>;

    fn layer(&self, inner: S) -> AddApiKey<S> {
        AddApiKey { inner, addition: Arc::clone(&self.0) }
    }
}

/// Adds a key to requests before it calls the inner service. Made by [`AddApiKeyLayer`].
#[derive(Clone, Debug)]
pub struct AddApiKey<S> {
    inner: S,
    addition: Arc<Addition>,
}

impl<S, B> Service<Request<B>> for AddApiKey<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        self.addition.add_to(&mut request);
        self.inner.call(request)
    }
}

/// The added header, and the origins that get it.
#[derive(Debug)]
struct Addition {
    name: HeaderName,
    value: HeaderValue,
    origins: Box<[Origin]>,
}

impl Addition {
    fn add_to<B>(&self, request: &mut Request<B>) {
        let is_known = self.origins.iter().any(|origin| origin.is_of(request.uri()));
        if is_known && !self.has_key(request) {
            request.headers_mut().insert(&self.name, self.value.clone());
        }
    }

    /// Tells whether a server would find a key in the request already.
    fn has_key<B>(&self, request: &Request<B>) -> bool {
        let headers = request.headers();
        let in_either = || {
            headers.contains_key(&X_API_KEY)
                || !matches!(Bearer.extract(&RequestHead::new(request)), Ok(None))
        };
        let is_usual = self.name == AUTHORIZATION || self.name == X_API_KEY;
        headers.contains_key(&self.name) || (is_usual && in_either())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use super::*;

    const KEY: &str = "sk_live_abc123def456";
    const API: [&str; 1] = ["https://api.hapnd.example"];

    fn key() -> ApiKey {
        KEY.parse().unwrap()
    }

    /// Returns the headers with which a request is passed on.
    fn passed_on(layer: &AddApiKeyLayer, uri: &str, set: &[(&'static str, &str)]) -> Vec<String> {
        let mut request = Request::get(uri);
        for (name, value) in set {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        layer.0.add_to(&mut request);
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        request.headers().iter().map(line).collect()
    }

    #[test]
    fn the_key_is_sent_where_it_was_asked_for_and_marked_as_sensitive() {
        let header = HeaderName::from_static("x-acme-key");
        for (layer, expected) in [
            (AddApiKeyLayer::bearer(&key(), API), format!("authorization: Bearer {KEY}")),
            (AddApiKeyLayer::x_api_key(&key(), API), format!("x-api-key: {KEY}")),
            (AddApiKeyLayer::header(header, &key(), API), format!("x-acme-key: {KEY}")),
        ] {
            let layer = layer.unwrap();
            assert_eq!(passed_on(&layer, API[0], &[]), [expected]);
            assert!(layer.0.value.is_sensitive());
            assert!(passed_on(&layer, "https://evil.example", &[]).is_empty());
            assert!(passed_on(&layer, "/v1", &[("host", "api.hapnd.example")]).len() == 1);
        }
    }

    #[test]
    fn a_key_that_the_caller_set_stays_and_no_second_one_is_added() {
        let bearer = AddApiKeyLayer::bearer(&key(), API).unwrap();
        let x_api_key = AddApiKeyLayer::x_api_key(&key(), API).unwrap();
        for layer in [&bearer, &x_api_key] {
            for set in [
                ("x-api-key", "other"),
                ("x-api-key", ""),
                ("authorization", "Bearer other"),
                ("authorization", "bearer other"),
                ("authorization", "Bearer"),
            ] {
                let expected = [format!("{}: {}", set.0, set.1)];
                assert_eq!(passed_on(layer, API[0], &[set]), expected);
            }
        }
        // A gateway in front of the server may have a password of its own.
        let gateway = ("authorization", "Basic dTpw");
        assert_eq!(passed_on(&bearer, API[0], &[gateway]), ["authorization: Basic dTpw"]);
        assert_eq!(
            passed_on(&x_api_key, API[0], &[gateway]),
            ["authorization: Basic dTpw".to_owned(), format!("x-api-key: {KEY}")]
        );
        let header = HeaderName::from_static("x-acme-key");
        let own = AddApiKeyLayer::header(header, &key(), API).unwrap();
        assert_eq!(passed_on(&own, API[0], &[("x-acme-key", "other")]), ["x-acme-key: other"]);
        assert_eq!(passed_on(&own, API[0], &[("authorization", "Bearer user")]).len(), 2);
    }

    #[test]
    fn what_cannot_be_sent_is_refused_when_the_layer_is_made() {
        let error = |layer: Result<AddApiKeyLayer, _>| layer.unwrap_err();
        let none: [&str; 0] = [];
        assert_eq!(error(AddApiKeyLayer::bearer(&key(), none)), AddApiKeyError::NoOrigin);
        let mixed = ["https://api.hapnd.example", "http://api.hapnd.example"];
        assert_eq!(error(AddApiKeyLayer::x_api_key(&key(), mixed)), AddApiKeyError::PlainText);
        let odd: ApiKey = "a!b".parse().unwrap();
        assert_eq!(error(AddApiKeyLayer::bearer(&odd, API)), AddApiKeyError::Characters);
        assert!(AddApiKeyLayer::x_api_key(&odd, API).is_ok());
        let asked_for = Origin::in_plain_text("http://10.0.0.7:8080").unwrap();
        let layer = AddApiKeyLayer::bearer(&key(), [asked_for]).unwrap();
        assert_eq!(passed_on(&layer, "http://10.0.0.7:8080/", &[]).len(), 1);
    }

    /// Must be made ready, which no clone inherits.
    #[derive(Default)]
    struct Picky {
        is_ready: bool,
    }

    impl Clone for Picky {
        fn clone(&self) -> Self {
            Self { is_ready: false }
        }
    }

    impl Service<Request<()>> for Picky {
        type Response = Request<()>;
        type Error = Infallible;
        type Future = Ready<Result<Request<()>, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            self.is_ready = true;
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<()>) -> Self::Future {
            assert!(std::mem::take(&mut self.is_ready), "it was not made ready");
            ready(Ok(request))
        }
    }

    #[tokio::test]
    async fn the_service_that_was_made_ready_is_the_one_that_is_called() {
        use tower::ServiceExt as _;

        let mut service = AddApiKeyLayer::bearer(&key(), API).unwrap().layer(Picky::default());
        for _ in 0..3 {
            let request = Request::get(API[0]).body(()).unwrap();
            let passed = service.ready().await.unwrap().call(request).await.unwrap();
            assert_eq!(passed.headers()[AUTHORIZATION], format!("Bearer {KEY}"));
        }
    }
}
