//! [`ApiKeyLayer`] and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use tower_layer::Layer;

use crate::address::TrustedProxies;
use crate::clock::Clock;
use crate::drain::Drain;
use crate::extract::Extract;
use crate::fallback::Fallback;
use crate::front::Entrance;
use crate::gate::Gate;
use crate::guard::Guard;
use crate::head::RequestHead;
use crate::key::{KeyId, KeyScheme};
use crate::limit::{FailureThrottle, MemoryRateLimiter, RateLimiter};
use crate::observe::Observe;
#[cfg(feature = "openapi")]
use crate::openapi::SecuritySchemes;
#[cfg(feature = "policy")]
use crate::policy::AccessPolicy;
use crate::protocol::Protocol;
use crate::reject::Respond;
use crate::service::ApiKeyService;
use crate::store::KeyStore;
use crate::verify::VerifiedKey;
use crate::watch::StreamWatch;
use crate::without_service::{Admitted, Refusal};

/// Forwards requests with a valid API key, and refuses all others.
///
/// The layer has no type parameters: one value can be a struct's field, and can be mounted on an axum
/// router, a tonic server and a hyper service alike. A clone shares its settings.
///
/// Over a store that can [tell whether a record still holds](KeyStore::still_holds), as [`MemoryStore`] and
/// `CachedStore` can, each thread keeps up to 256 keys that it saw more than once, so that threads do not wait for
/// each other. It keeps no record of more than 4 KiB, which makes a mebibyte for a thread and a layer at
/// most, until the layer and its services are dropped.
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
    /// Verifies keys by the records of `store`, with these settings:
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
    /// | [`clock`](Self::clock) | the operating system's; requests are counted by one that does not jump |
    /// | [`trusted_proxies`](Self::trusted_proxies) | none |
    /// | [`accept_public_keys`](Self::accept_public_keys) | no |
    /// | [`rate_limiter`](Self::rate_limiter) | in memory |
    /// | [`limiter_timeout`](Self::limiter_timeout) | 5 seconds |
    /// | [`request_cost`](Self::request_cost) | 1 |
    /// | [`allow_when_limiter_fails`](Self::allow_when_limiter_fails) | no |
    /// | [`x_rate_limit_fields`](Self::x_rate_limit_fields) | no |
    /// | [`failure_throttle`](Self::failure_throttle) | none |
    /// | [`streams`](Self::streams) | end with their keys |
    /// | [`observer`](Self::observer) | none |
    /// | [`on_rotation_due`](Self::on_rotation_due) | none |
    /// | [`without_cache_fields`](Self::without_cache_fields) | `Cache-Control: private` and `Vary` |
    /// | `policy` (feature `policy`) | none |
    pub fn new(store: impl KeyStore + 'static) -> Self {
        Self::over(Arc::new(store))
    }

    pub(crate) fn over(store: Arc<dyn KeyStore>) -> Self {
        Self { entrance: Arc::new(Entrance::new(Gate::new(store))) }
    }

    /// Sets where a request carries its key.
    ///
    /// # Panics
    ///
    /// Panics if the [scheme](Self::scheme) has a format whose keys the extractor
    /// [cannot carry](Extract::can_carry).
    pub fn extractor(self, extractor: impl Extract + 'static) -> Self {
        self.with(|gate| {
            gate.extractor = Arc::new(extractor);
            gate.check_formats();
            gate.describe_extractor();
        })
    }

    /// Sets the formats of keys and how keys are hashed. The layer refuses a text that has none of the
    /// formats before it hashes it. The keys in the store must be of the same scheme.
    ///
    /// [`KeyManager::layer`](crate::KeyManager::layer) makes a layer with the scheme of the manager.
    ///
    /// # Panics
    ///
    /// Panics if the scheme has a format whose keys the [extractor](Self::extractor)
    /// [cannot carry](Extract::can_carry).
    pub fn scheme(self, scheme: KeyScheme) -> Self {
        self.with(|gate| {
            Arc::make_mut(&mut gate.rejector).log.formats = scheme.formats().clone();
            gate.scheme = scheme;
            gate.check_formats();
        })
    }

    /// Sets what is asked, with the text of the key, for keys that the store does not know. The record that
    /// it returns is inserted into the store. See [`Fallback`].
    pub fn fallback(self, fallback: Fallback) -> Self {
        self.with(|gate| gate.fallback = Some(fallback))
    }

    /// Sets the clock by which keys expire. Unless a [limiter](Self::rate_limiter) is set, the layer counts
    /// requests by this clock, too. A [`FailureThrottle`] has a clock of its own.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|gate| {
            gate.clock = Arc::new(clock);
            if !gate.limiter_was_set {
                let limiter = MemoryRateLimiter::with_clock(Arc::clone(&gate.clock));
                gate.limiter = Arc::new(limiter);
            }
        })
    }

    /// Sets how long a look-up in the store may take. After that, the client gets a 503.
    ///
    /// The timeout needs tokio's timer, unless the store answers at once. It includes the time that a
    /// request waits for other look-ups of its address, because of a [`FailureThrottle`].
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|gate| gate.lookup_timeout = timeout)
    }

    /// Sets the proxies whose headers name the client, such as `X-Forwarded-For`. By default none: the
    /// client is at the other end of the socket.
    pub fn trusted_proxies(self, proxies: TrustedProxies) -> Self {
        self.with(|gate| {
            Arc::make_mut(&mut gate.rejector).log.proxies = proxies.clone();
            gate.proxies = proxies;
        })
    }

    /// Sets the throttle that refuses addresses that present too many wrong keys.
    pub fn failure_throttle(self, throttle: FailureThrottle) -> Self {
        self.with(|gate| gate.throttle = Some(throttle))
    }

    /// Accepts public keys as well as secret ones.
    ///
    /// By default, the layer refuses public keys, which everybody can read in the source of a page. With
    /// this setting, a public key works only on the sites that its [record](crate::key::Restrictions)
    /// names. On routes for one kind, add [`RequireKind`](crate::RequireKind).
    pub fn accept_public_keys(self) -> Self {
        self.with(|gate| gate.public_keys = true)
    }

    /// Sets the access policy: one table of routes and what they require. A request to a route that is
    /// not in the table is refused.
    ///
    /// With a policy, even if keys are [`optional`](Self::optional), requests without a key pass only
    ///
    /// * to routes that the policy lists as public;
    /// * as [preflights](Self::forward_preflight) to paths that the policy has;
    /// * if the policy is [only tried](AccessPolicy::report_only).
    ///
    /// The policy also says which routes accept public keys. The layer checks it before the guards.
    #[cfg(feature = "policy")]
    pub fn policy(self, policy: AccessPolicy) -> Self {
        self.with(|gate| gate.policy = Some(policy))
    }

    /// Sets the limiter that counts the requests of keys with limits. The default is a
    /// [`MemoryRateLimiter`] of this layer and its clones.
    pub fn rate_limiter(self, limiter: impl RateLimiter + 'static) -> Self {
        self.with(|gate| {
            gate.limiter = Arc::new(limiter);
            gate.limiter_was_set = true;
        })
    }

    /// Sets how long a call of the [limiter](Self::rate_limiter) may take. After that, the call has failed.
    ///
    /// The timeout needs tokio's timer, unless the limiter answers at once.
    pub fn limiter_timeout(self, timeout: Duration) -> Self {
        self.with(|gate| gate.limiter_timeout = timeout)
    }

    /// Lets requests pass uncounted while the limiter fails, instead of answering 503.
    pub fn allow_when_limiter_fails(self) -> Self {
        self.with(|gate| gate.allow_unlimited = true)
    }

    /// Sets the cost of a request, which is taken from the limits of its key. The default is 1; 0 is free.
    ///
    /// The layer refuses a request that costs more than the burst of a limit with 403, not 429: waiting
    /// would not help. It does not call the function for requests that its guards refuse.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).request_cost(|_key, head| {
    ///     if head.original_uri().path() == "/v1/export" { 10 } else { 1 }
    /// });
    /// ```
    pub fn request_cost<F>(self, cost: F) -> Self
    where
        F: Fn(&VerifiedKey, &RequestHead<'_>) -> u32 + Send + Sync + 'static,
    {
        self.with(|gate| gate.cost = Some(Arc::new(cost)))
    }

    /// Adds the older headers `X-RateLimit-Limit`, `-Remaining` and `-Reset` to responses, for the limit
    /// that has the least left. `-Reset` is in seconds from now.
    pub fn x_rate_limit_fields(self) -> Self {
        self.with(|gate| gate.older_limit_fields = true)
    }

    /// Sets how responses are watched that are still being sent when their key ends. By default, they
    /// end with it: see [streams and revocation](crate::guide::streams).
    pub fn streams(self, watch: StreamWatch) -> Self {
        self.with(|gate| gate.watch = watch)
    }

    /// Leaves the addresses of clients out of events, where they are personal data that logs must not hold.
    ///
    /// Events that come again are then told apart by their kind and key only.
    pub fn hide_client_addresses(self) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).log.hides_clients = true)
    }

    /// Adds an observer of requests, after those added before.
    ///
    /// The layer calls observers at two moments; see [`Observe`]. The observer `UsageRecorder` (feature
    /// `usage`) counts the requests of each key, and records when it was last used.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, RequestHead, VerifiedKey};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .observer(|key: &VerifiedKey, head: &RequestHead<'_>| {
    ///         println!("{} {} by {}", head.method(), head.uri().path(), key.id());
    ///     });
    /// ```
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        self.with(|gate| gate.observers.add(Arc::new(observer)))
    }

    /// Adds a callback for requests with a key that [should have been replaced] by now, after those added
    /// before. The request passes all the same.
    ///
    /// The layer calls it after the [observers](Self::observer), for every request of such a key that is let
    /// through. It reads its [clock](Self::clock) only for keys that have such a date.
    ///
    /// [should have been replaced]: VerifiedKey::rotation_due_at
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .on_rotation_due(|key| eprintln!("{} ({}) is to be rotated", key.id(), key.name()));
    /// ```
    pub fn on_rotation_due(self, observer: impl Fn(&VerifiedKey) + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.observers.add_on_rotation_due(Arc::new(observer)))
    }

    /// Adds no `Cache-Control` and no `Vary` to responses: the application does.
    ///
    /// By default, the layer adds `Cache-Control: private` to a response to a key that has no
    /// `Cache-Control`, and to every response a `Vary` with all headers in which a key may be. See
    /// [`http_cache`](crate::http_cache).
    pub fn without_cache_fields(self) -> Self {
        self.with(|gate| gate.write_cache_fields(None))
    }

    /// Adds a guard for every request with a key, after those added before.
    ///
    /// If keys are [`optional`](Self::optional), the layer does not check guards for requests without a key: a
    /// guard of the layer says what a key must be, not that there must be one.
    pub fn guard(self, guard: impl Guard + 'static) -> Self {
        self.with(|gate| gate.guards.push(Arc::new(guard)))
    }

    /// Lets requests without a credential pass, without a [`VerifiedKey`](crate::VerifiedKey).
    ///
    /// The layer refuses a wrong credential all the same. Guards on routes refuse requests without a key.
    pub fn optional(self) -> Self {
        self.with(|gate| gate.optional = true)
    }

    /// Lets requests without a key pass if `condition` holds, which looks at what an outer layer left in the
    /// extensions of the request: those that something else authenticated.
    ///
    /// They pass without a [`VerifiedKey`], as they do where keys are [`optional`](Self::optional), and the
    /// layer refuses others without a key. The condition is not asked for requests with a key, which are
    /// judged by the key. With a policy, they pass to all routes that it lists: what they may do there is for
    /// the application to say. Guards on routes refuse them, unless they are told
    /// [the same](Guard::unless).
    ///
    /// A bearer token of a session needs an extractor that
    /// [leaves it to others](crate::extract::Bearer::starting_with).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .unless(|head| head.extensions().get::<User>().is_some());
    /// ```
    pub fn unless<F>(self, condition: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    {
        self.with(|gate| gate.unless = Some(Arc::new(condition)))
    }

    /// Leaves the credential in the request that is forwarded, marked as sensitive.
    ///
    /// By default, the layer removes the credential, so that no handler, log or upstream server sees it. A
    /// query parameter cannot be marked.
    pub fn keep_credential(self) -> Self {
        self.with(|gate| gate.keep_credential = true)
    }

    /// Forwards CORS preflights, which browsers send without credentials.
    ///
    /// A preflight is an `OPTIONS`
    ///
    /// 1. with one `Origin` and one `Access-Control-Request-Method`;
    /// 2. without a body, and without fields that speak of one: no `Content-Type`, no
    ///    `Transfer-Encoding`, no `Content-Length` but 0;
    /// 3. without `Upgrade` and without a field such as `X-HTTP-Method-Override`;
    /// 4. without a credential: one that has a credential is judged like any request;
    /// 5. if there is a policy, to a path for which it has a rule for the method that the browser
    ///    asks for.
    ///
    /// Any other `OPTIONS` needs a key. The inner service sees preflights without a key, so it must not
    /// treat an `OPTIONS` as another method, as gRPC servers do. It is better to mount the CORS layer
    /// outside of this one, which answers preflights before they come here.
    pub fn forward_preflight(self) -> Self {
        self.with(|gate| gate.forward_preflight = true)
    }

    /// Sets the protocol of the services within. The default is HTTP, gRPC or both.
    ///
    /// Guards on routes, the extractor and the management API use it for their refusals, too. In a server
    /// that speaks both, [`RequirePost`](crate::guard::RequirePost) guards the gRPC services.
    ///
    /// # Examples
    ///
    /// A tonic server:
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, Protocol};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).protocol(Protocol::Grpc);
    /// ```
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).protocol = protocol)
    }

    /// Sets the form of refusals, of this layer and of guards on routes within.
    pub fn responder(self, responder: impl Respond + 'static) -> Self {
        self.with(|gate| {
            gate.rejector = Arc::new(gate.rejector.with_respond(Arc::new(responder)));
        })
    }

    /// Sets how much of the body of a refused request is read and dropped after the refusal is sent. The
    /// default is 64 MiB within 30 seconds.
    ///
    /// A server that speaks HTTP/1 closes the connection of a request whose body nobody reads. A
    /// client that still sends then sees a broken connection instead of the refusal. So does a proxy,
    /// and nginx treats the server as broken: it sends no request there for ten seconds. Therefore the layer
    /// sends a refusal at once, and a task of tokio's runtime reads the body afterwards.
    /// [Guards](crate::guard) on routes within and the management API do the same, by the settings of
    /// the layer around them.
    ///
    /// * The connection of a body that has more than `max_bytes` is held for two seconds before it is
    ///   closed. The sender then has to stop, and reads the refusal, as nginx does. Clients that read nothing
    ///   before they have sent everything see a broken connection, and Apache answers 502.
    /// * The refusal has `Connection: close` if the length of the body is unknown or above `max_bytes`, or
    ///   if the client `Expect`s an answer before it sends the body.
    /// * Over HTTP/2, where a connection has several streams, a body is read for two seconds at most.
    /// * Each connection, and each stream of HTTP/2, has at most one such task. Their total number has no
    ///   bound of its own: at the bound, every refusal would break connections again. A bound on
    ///   connections bounds it. A graceful shutdown waits for the tasks.
    /// * The body counts as the layers outside of this one forward it: mount layers that decompress
    ///   inside.
    /// * Without a runtime of tokio, or without its timer, the layer drops bodies.
    ///
    /// # Examples
    ///
    /// For uploads of a gigabyte by clients that read nothing before they have sent everything:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .drain_refused(1 << 30, Duration::from_secs(120));
    /// ```
    pub fn drain_refused(self, max_bytes: u64, max_time: Duration) -> Self {
        self.with_drain(Drain { max_bytes, max_time })
    }

    /// Drops the body of a refused request, which may break the connection before the client has
    /// read the refusal.
    ///
    /// This is for servers that read on by themselves, or that prefer a broken connection to reading for
    /// clients without a key. See [`drain_refused`](Self::drain_refused).
    pub fn drop_refused(self) -> Self {
        self.with_drain(Drain::OFF)
    }

    fn with_drain(self, drain: Drain) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).drain = drain)
    }

    /// Sets the realm of `WWW-Authenticate`.
    ///
    /// # Panics
    ///
    /// Panics if it has a quote, a backslash, or a character that is not visible ASCII or a
    /// space.
    pub fn realm(self, realm: impl Into<String>) -> Self {
        self.with(|gate| {
            gate.realm = realm.into();
            gate.write_challenge();
        })
    }

    /// Sends the same `WWW-Authenticate` for a missing key as for a wrong one, for APIs whose clients learn
    /// only that they are not authenticated.
    ///
    /// RFC 6750, section 3.1, has no `error` if the credential is missing.
    pub fn generic_challenge(self) -> Self {
        self.with(|gate| {
            gate.generic_challenge = true;
            gate.write_challenge();
        })
    }

    /// Decides without a service, for frameworks that are not built on tower, queues and messages.
    ///
    /// It goes the way of the layer's service, with all its settings. A request that passes has its head
    /// prepared as for a service: the credential is removed, and the [`VerifiedKey`] is in the extensions.
    /// [`Admitted`] completes the response, and [`Refusal`] is one.
    ///
    /// * Whether the request has a body is judged by its headers.
    /// * The extensions have to hold what the application knows of the client, such as its
    ///   [`PeerAddress`](crate::PeerAddress).
    /// * [`StreamWatch::cancel_handlers`](crate::StreamWatch::cancel_handlers) has no effect: use
    ///   [`VerifiedKey::while_valid`].
    ///
    /// # Errors
    ///
    /// Returns what the layer refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response, StatusCode};
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = MemoryStore::new();
    /// let secret = keys.issue(NewKey::named("a device").limit("100 per minute"))?.secret;
    /// let layer = ApiKeyLayer::new(keys);
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

    /// Returns how many streams are open: bodies of responses of which more than one frame was sent, or
    /// that wait, and what waits for the [end of a key](VerifiedKey::ended).
    ///
    /// A layer with other settings counts for itself.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.entrance.gate.streams.len()
    }

    /// Returns how many [streams](Self::open_streams) of one key are open.
    #[must_use]
    pub fn open_streams_of(&self, id: &KeyId) -> usize {
        self.entrance.gate.streams.len_of(id)
    }

    /// Returns what counts the open streams, and does not keep the layer.
    #[cfg(feature = "metrics")]
    pub(crate) fn stream_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        self.entrance.gate.streams.counter()
    }

    /// Returns the security schemes of an [OpenAPI document](crate::openapi): how clients present keys.
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
