//! [`ApiKeyLayer`] and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use crate::clock::{Clock, SystemClock};
use crate::extract::{Extract, FirstOf};
use crate::guard::Guard;
use crate::key::{KeyFormats, KeyHasher};
use crate::reject::{Challenge, Rejector, Respond};
use crate::service::ApiKeyService;
use crate::store::KeyStore;

/// Lets requests pass that come with a valid API key, and refuses all others.
///
/// It has no type parameters: one value can be a struct's field, and can be mounted on an axum
/// router, a tonic server and a hyper service alike. A clone shares its settings.
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
    settings: Arc<Settings>,
}

#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) extractor: Arc<dyn Extract>,
    pub(crate) formats: KeyFormats,
    pub(crate) hasher: KeyHasher,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lookup_timeout: Duration,
    pub(crate) guards: Vec<Arc<dyn Guard>>,
    pub(crate) optional: bool,
    pub(crate) keep_credential: bool,
    pub(crate) forward_preflight: bool,
    pub(crate) rejector: Arc<Rejector>,
    realm: String,
    generic_challenge: bool,
}

impl ApiKeyLayer {
    /// Verifies keys by the records of `store`, with these settings:
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`extractor`](Self::extractor) | `x-api-key` or `Authorization: Bearer`; both is an error |
    /// | [`formats`](Self::formats) | any text of up to 256 visible ASCII characters |
    /// | [`hasher`](Self::hasher) | SHA-256 |
    /// | [`lookup_timeout`](Self::lookup_timeout) | 5 seconds |
    /// | [`guard`](Self::guard) | none |
    /// | [`optional`](Self::optional) | no |
    /// | [`keep_credential`](Self::keep_credential) | no |
    /// | [`forward_preflight`](Self::forward_preflight) | no |
    /// | [`responder`](Self::responder) | problem+json (RFC 9457) |
    /// | [`realm`](Self::realm) | `api` |
    /// | [`clock`](Self::clock) | the operating system's |
    pub fn new(store: impl KeyStore + 'static) -> Self {
        let settings = Settings {
            store: Arc::new(store),
            extractor: Arc::new(FirstOf::default()),
            formats: KeyFormats::default(),
            hasher: KeyHasher::default(),
            clock: Arc::new(SystemClock),
            lookup_timeout: Duration::from_secs(5),
            guards: Vec::new(),
            optional: false,
            keep_credential: false,
            forward_preflight: false,
            rejector: Arc::new(Rejector::default()),
            realm: "api".to_owned(),
            generic_challenge: false,
        };
        Self { settings: Arc::new(settings) }.with(Settings::write_challenge)
    }

    /// Sets where a request carries its key.
    pub fn extractor(self, extractor: impl Extract + 'static) -> Self {
        self.with(|settings| {
            settings.extractor = Arc::new(extractor);
            settings.write_challenge();
        })
    }

    /// Sets what keys look like; a text of no format is refused before it is hashed.
    pub fn formats(self, formats: impl Into<KeyFormats>) -> Self {
        self.with(|settings| settings.formats = formats.into())
    }

    /// Sets how keys are hashed. The store has to be filled in the same way.
    pub fn hasher(self, hasher: KeyHasher) -> Self {
        self.with(|settings| settings.hasher = hasher)
    }

    /// Sets the clock by which keys expire.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|settings| settings.clock = Arc::new(clock))
    }

    /// Sets how long the store may take; then the client is told 503.
    ///
    /// The time is taken by tokio's timer. A store that answers at once does not need it.
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.lookup_timeout = timeout)
    }

    /// Adds a guard for every request with a key, after those added before.
    ///
    /// Where keys are [`optional`](Self::optional), requests without one pass it: it says what
    /// a key must be, not that there must be one.
    pub fn guard(self, guard: impl Guard + 'static) -> Self {
        self.with(|settings| settings.guards.push(Arc::new(guard)))
    }

    /// Lets requests without a credential pass, without a [`VerifiedKey`](crate::VerifiedKey).
    ///
    /// A credential that is wrong is refused all the same. Guards on routes refuse requests
    /// without a key.
    pub fn optional(self) -> Self {
        self.with(|settings| settings.optional = true)
    }

    /// Leaves the credential in the request that is forwarded, marked as sensitive.
    ///
    /// By default it is removed, so that no handler, log or upstream server sees it. In a query
    /// parameter it cannot be marked.
    pub fn keep_credential(self) -> Self {
        self.with(|settings| settings.keep_credential = true)
    }

    /// Forwards CORS preflights, which browsers send without credentials.
    ///
    /// A preflight is an `OPTIONS` with `Origin` and `Access-Control-Request-Method`, and without
    /// a credential: one that has a credential is judged like any request. Mounting the CORS
    /// layer outside of this one answers them before they come here, and is better.
    pub fn forward_preflight(self) -> Self {
        self.with(|settings| settings.forward_preflight = true)
    }

    /// Sets how a refusal looks, here and on guarded routes within.
    pub fn responder(self, responder: impl Respond + 'static) -> Self {
        self.with(|settings| {
            settings.rejector = Arc::new(settings.rejector.with_respond(Arc::new(responder)));
        })
    }

    /// Sets the realm of `WWW-Authenticate`.
    ///
    /// # Panics
    ///
    /// Panics if it has a quote, a backslash, or a character that is not visible ASCII or a
    /// space.
    pub fn realm(self, realm: impl Into<String>) -> Self {
        self.with(|settings| {
            settings.realm = realm.into();
            settings.write_challenge();
        })
    }

    /// Sends the same `WWW-Authenticate` for a missing key as for a wrong one, for APIs that
    /// tell clients nothing but that they are not authenticated.
    ///
    /// RFC 6750, section 3.1, would have no `error` where the credential is missing.
    pub fn generic_challenge(self) -> Self {
        self.with(|settings| {
            settings.generic_challenge = true;
            settings.write_challenge();
        })
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl Settings {
    fn write_challenge(&mut self) {
        let scheme = self.extractor.scheme();
        let challenge = Challenge::new(scheme, &self.realm, self.generic_challenge);
        self.rejector = Arc::new(self.rejector.with_challenge(challenge));
    }
}

impl<S> Layer<S> for ApiKeyLayer {
    type Service = ApiKeyService<S>;

    fn layer(&self, inner: S) -> ApiKeyService<S> {
        ApiKeyService::new(inner, Arc::clone(&self.settings))
    }
}

impl fmt::Debug for ApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer")
            .field("formats", &self.formats)
            .field("hasher", &self.hasher)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("guards", &self.guards.len())
            .field("optional", &self.optional)
            .field("keep_credential", &self.keep_credential)
            .field("forward_preflight", &self.forward_preflight)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

const _: fn() = || {
    fn assert_send_sync<T: Send + Sync + Clone + 'static>() {}
    assert_send_sync::<ApiKeyLayer>();
    assert_send_sync::<crate::VerifiedKey>();
    assert_send_sync::<crate::Rejection>();
};
