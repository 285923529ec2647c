//! [`ApiKeyLayer`] and its settings.

mod access;
mod answers;
mod keys;
mod limits;
mod observers;

use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use crate::front::Entrance;
use crate::gate::Gate;
use crate::key::KeyId;
#[cfg(feature = "openapi")]
use crate::openapi::SecuritySchemes;
use crate::service::ApiKeyService;
use crate::store::KeyStore;
use crate::without_service::{Admitted, Refusal};

/// Forwards requests with a valid API key, and refuses all others.
///
/// The layer has no type parameters: one value can be the field of a struct, and works with an axum
/// router, a tonic server and a hyper service. Clones share its settings.
///
/// If the store can [tell whether a record is current](KeyStore::still_holds), as [`MemoryStore`] and
/// `CachedStore` can, each thread keeps up to 256 keys that it saw more than once, so that threads do
/// not wait for each other. A thread keeps no record above 4 KiB. This takes at most 1 MiB for each
/// thread and layer, until the layer and its services are dropped.
///
/// [`MemoryStore`]: crate::MemoryStore
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, VerifiedKey};
///
/// async fn whoami(key: VerifiedKey) -> String {
///     key.name().to_owned()
/// }
/// let app: Router =
///     Router::new().route("/whoami", get(whoami)).layer(ApiKeyLayer::new(MemoryStore::new()));
/// ```
#[derive(Clone)]
#[must_use]
pub struct ApiKeyLayer {
    entrance: Arc<Entrance>,
}

impl ApiKeyLayer {
    /// Verifies keys against the records of `store`, with these settings:
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`extractor`](Self::extractor) | `x-api-key` or `Authorization: Bearer`; both is an error |
    /// | [`scheme`](Self::scheme) | any text of up to 256 visible ASCII characters, and SHA-256 |
    /// | [`fallback`](Self::fallback) | none |
    /// | [`lookup_timeout`](Self::lookup_timeout) | 5 seconds |
    /// | [`guard`](Self::guard) | none |
    /// | [`optional`](Self::optional) | no |
    /// | [`unless`](Self::unless) | no |
    /// | [`keep_credential`](Self::keep_credential) | no |
    /// | [`forward_preflight`](Self::forward_preflight) | no |
    /// | [`protocol`](Self::protocol) | HTTP, gRPC or both |
    /// | [`responder`](Self::responder) | problem+json (RFC 9457) |
    /// | [`drain_refused`](Self::drain_refused) | 64 MiB within 30 seconds |
    /// | [`realm`](Self::realm) | `api` |
    /// | [`generic_challenge`](Self::generic_challenge) | no |
    /// | [`clock`](Self::clock) | the operating system's; requests are counted by a monotonic one |
    /// | [`trusted_proxies`](Self::trusted_proxies) | none |
    /// | [`accept_public_keys`](Self::accept_public_keys) | no |
    /// | [`rate_limiter`](Self::rate_limiter) | in memory |
    /// | [`limiter_timeout`](Self::limiter_timeout) | 5 seconds |
    /// | [`request_cost`](Self::request_cost) | 1 |
    /// | [`allow_when_limiter_fails`](Self::allow_when_limiter_fails) | no |
    /// | [`x_rate_limit_headers`](Self::x_rate_limit_headers) | no |
    /// | [`failure_throttle`](Self::failure_throttle) | none |
    /// | [`streams`](Self::streams) | end with their keys |
    /// | [`observer`](Self::observer) | none |
    /// | [`on_rotation_due`](Self::on_rotation_due) | none |
    /// | [`without_cache_headers`](Self::without_cache_headers) | `Cache-Control: private` and `Vary` |
    /// | `policy` (feature `policy`) | none |
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let keys = KeyManager::new(store.clone());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// let layer = ApiKeyLayer::new(store);
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(store: impl KeyStore + 'static) -> Self {
        Self::over(Arc::new(store))
    }

    pub(crate) fn over(store: Arc<dyn KeyStore>) -> Self {
        Self { entrance: Arc::new(Entrance::new(Gate::new(store))) }
    }

    /// Verifies a request without a service: for frameworks that are not built on tower, for queues and
    /// for messages.
    ///
    /// It takes the same steps as the layer's service, with all settings. The head of an accepted
    /// request is prepared as for a service: the credential is removed, and the
    /// [`VerifiedKey`](crate::VerifiedKey) is in the extensions. [`Admitted`] completes the response,
    /// and a [`Refusal`] has a response.
    ///
    /// * The headers decide whether the request has a body; over HTTP/2, a body needs no header. Use the
    ///   service in front of a gRPC server. Preflights are not recognized, so
    ///   [`forward_preflight`](Self::forward_preflight) has no effect.
    /// * The extensions must have what the application knows of the client, such as its
    ///   [`PeerAddress`](crate::PeerAddress).
    /// * [`StreamWatch::cancel_handlers`](crate::StreamWatch::cancel_handlers) has no effect: use
    ///   [`VerifiedKey::while_valid`](crate::VerifiedKey::while_valid).
    ///
    /// # Errors
    ///
    /// Returns an error if the layer refuses the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let secret = keys.issue(NewKey::named("a device").limit("100 per minute")).await?.secret;
    /// let layer = keys.layer();
    ///
    /// let request = Request::get("/").header("x-api-key", secret.reveal()).body(())?;
    /// let (mut parts, ()) = request.into_parts();
    /// let admitted = layer.verify(&mut parts).await?;
    /// assert_eq!(admitted.key().unwrap().name(), "a device");
    /// assert!(!parts.headers.contains_key("x-api-key"));
    /// let response = admitted.finish(Response::new("…")).await;
    /// assert_eq!(response.headers()["cache-control"], "private");
    /// assert!(response.headers().contains_key("ratelimit"));
    ///
    /// let (mut parts, ()) = Request::get("/").body(())?.into_parts();
    /// let refusal = layer.verify(&mut parts).await.unwrap_err();
    /// assert_eq!(refusal.into_response().status(), StatusCode::UNAUTHORIZED);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn verify(&self, parts: &mut Parts) -> Result<Admitted, Refusal> {
        self.entrance.verify(parts).await
    }

    /// Returns the number of open streams: response bodies that sent more than one frame or are
    /// waiting, and futures that wait for the [end of a key](crate::VerifiedKey::ended).
    ///
    /// A layer with other settings has a count of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::FutureExt;
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer();
    ///
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// let mut ended = Box::pin(admitted.key().unwrap().ended());
    /// assert!(ended.as_mut().now_or_never().is_none()); // it waits from now on
    /// assert_eq!(layer.open_streams(), 1);
    /// assert_eq!(layer.open_streams_of(issued.record.id()), 1);
    /// drop(ended);
    /// assert_eq!(layer.open_streams(), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.entrance.gate.streams.len()
    }

    /// Returns how many [streams](Self::open_streams) of one key are open.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response};
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer();
    ///
    /// // A response that is complete at once is no stream.
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// let _response = admitted.finish(Response::new("…")).await;
    /// assert_eq!(layer.open_streams_of(issued.record.id()), 0);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn open_streams_of(&self, id: &KeyId) -> usize {
        self.entrance.gate.streams.len_of(id)
    }

    /// Returns a counter of open streams, which does not keep the layer.
    #[cfg(feature = "metrics")]
    pub(crate) fn stream_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        self.entrance.gate.streams.counter()
    }

    /// Returns the security schemes of an [OpenAPI document](crate::openapi): how clients present keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let schemes = ApiKeyLayer::new(MemoryStore::new()).security_schemes();
    /// // `x-api-key` or `Authorization: Bearer`.
    /// assert_eq!(schemes.requirements(["bots:read"]).unwrap().len(), 2);
    /// ```
    #[cfg(feature = "openapi")]
    #[must_use]
    pub fn security_schemes(&self) -> SecuritySchemes {
        SecuritySchemes::new(&self.entrance.gate)
    }

    fn with(mut self, change: impl FnOnce(&mut Gate)) -> Self {
        self.entrance.change(change);
        self
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyService<S>;

    fn layer(&self, inner: S) -> ApiKeyService<S> {
        ApiKeyService::new(inner, Arc::clone(&self.entrance))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entrance.gate.fmt(f)
    }
}

const _: fn() = || {
    fn assert_send_sync<T: Send + Sync + Clone + 'static>() {}
    assert_send_sync::<ApiKeyLayer>();
    assert_send_sync::<crate::VerifiedKey>();
    assert_send_sync::<crate::Rejection>();
};
