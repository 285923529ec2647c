//! [`Gate`]: the settings of an [`ApiKeyLayer`](crate::ApiKeyLayer), by which it decides.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Once};
use std::time::Duration;

use crate::address::TrustedProxies;
use crate::clock::{Clock, SystemClock};
use crate::extract::{CredentialPlace, Extract, FirstOf};
use crate::fallback::Fallback;
use crate::guard::Guard;
use crate::head::RequestHead;
use crate::http_cache::CacheFields;
use crate::key::KeyScheme;
use crate::limit::{FailureThrottle, MemoryRateLimiter, RateLimiter};
use crate::observe::{Arrival, Observers};
#[cfg(feature = "policy")]
use crate::policy::AccessPolicy;
use crate::reject::{Challenge, Rejector};
use crate::store::KeyStore;
use crate::verify::VerifiedKey;
use crate::watch::{StreamWatch, Streams};

/// Tells whether a request without a key may pass.
pub(crate) type Unless = dyn Fn(&RequestHead<'_>) -> bool + Send + Sync;

/// Returns the cost of a request.
pub(crate) type Cost = dyn Fn(&VerifiedKey, &RequestHead<'_>) -> u32 + Send + Sync;

#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) store: Arc<dyn KeyStore>,
    pub(crate) extractor: Arc<dyn Extract>,
    pub(crate) scheme: KeyScheme,
    pub(crate) fallback: Option<Fallback>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lookup_timeout: Duration,
    pub(crate) limiter_timeout: Duration,
    pub(crate) proxies: TrustedProxies,
    pub(crate) throttle: Option<FailureThrottle>,
    pub(crate) public_keys: bool,
    #[cfg(feature = "policy")]
    pub(crate) policy: Option<AccessPolicy>,
    pub(crate) guards: Vec<Arc<dyn Guard>>,
    pub(crate) limiter: Arc<dyn RateLimiter>,
    pub(crate) limiter_was_set: bool,
    pub(crate) allow_unlimited: bool,
    pub(crate) cost: Option<Arc<Cost>>,
    pub(crate) older_limit_fields: bool,
    pub(crate) observers: Observers,
    pub(crate) optional: bool,
    pub(crate) unless: Option<Arc<Unless>>,
    pub(crate) keep_credential: bool,
    pub(crate) forward_preflight: bool,
    /// None if the application sets the cache headers itself.
    pub(crate) cache_fields: Option<CacheFields>,
    pub(crate) rejector: Arc<Rejector>,
    pub(crate) realm: String,
    pub(crate) generic_challenge: bool,
    pub(crate) watch: StreamWatch,
    pub(crate) streams: Streams,
}

impl Gate {
    pub(crate) fn new(store: Arc<dyn KeyStore>) -> Self {
        let mut gate = Self {
            store,
            extractor: Arc::new(FirstOf::default()),
            scheme: KeyScheme::default(),
            fallback: None,
            clock: Arc::new(SystemClock),
            lookup_timeout: Duration::from_secs(5),
            limiter_timeout: Duration::from_secs(5),
            proxies: TrustedProxies::none(),
            throttle: None,
            public_keys: false,
            #[cfg(feature = "policy")]
            policy: None,
            guards: Vec::new(),
            limiter: Arc::new(MemoryRateLimiter::new()),
            limiter_was_set: false,
            allow_unlimited: false,
            cost: None,
            older_limit_fields: false,
            observers: Observers::default(),
            optional: false,
            unless: None,
            keep_credential: false,
            forward_preflight: false,
            cache_fields: Some(CacheFields::new(&[])),
            rejector: Arc::new(Rejector::default()),
            realm: "api".to_owned(),
            generic_challenge: false,
            watch: StreamWatch::new(),
            streams: Streams::default(),
        };
        gate.describe_extractor();
        gate
    }

    /// Panics if the extractor cannot carry the keys of a format: the layer would refuse all of
    /// them.
    pub(crate) fn check_formats(&self) {
        for format in self.scheme.formats().iter() {
            assert!(
                self.extractor.can_carry(format),
                "the extractor cannot carry keys of the format {format}: set another extractor, or \
                 a scheme of other formats"
            );
        }
    }

    pub(crate) fn describe_extractor(&mut self) {
        if self.cache_fields.is_some() {
            self.write_cache_fields(Some(CacheFields::new(&self.extractor.places())));
        }
        self.write_challenge();
    }

    pub(crate) fn write_cache_fields(&mut self, fields: Option<CacheFields>) {
        let vary = fields.as_ref().and_then(CacheFields::vary).cloned();
        self.rejector = Arc::new(self.rejector.with_vary(vary));
        self.cache_fields = fields;
    }

    pub(crate) fn write_challenge(&mut self) {
        let places = self.extractor.places();
        let scheme = places.iter().find_map(CredentialPlace::scheme);
        let challenge = Challenge::new(scheme, &self.realm, self.generic_challenge);
        let mut rejector = self.rejector.with_challenge(challenge);
        rejector.log.hides_paths = self.extractor.reads_path();
        self.rejector = Arc::new(rejector);
    }

    /// Tells whether requests without a key pass on all routes.
    #[cfg(feature = "openapi")]
    pub(crate) fn lets_strangers_pass(&self) -> bool {
        #[cfg(feature = "policy")]
        if self.enforced_policy().is_some() {
            return false;
        }
        self.optional
    }

    /// Returns the policy, unless it is report-only.
    #[cfg(feature = "policy")]
    pub(crate) fn enforced_policy(&self) -> Option<&AccessPolicy> {
        self.policy.as_ref().filter(|policy| !policy.is_report_only())
    }

    /// Starts to observe a request, if an observer wants its end.
    #[inline]
    pub(crate) fn observe(&self, head: &RequestHead<'_>) -> Option<Arrival<'_>> {
        Arrival::begin(&self.observers, head, || {
            let path = self.rejector.shown_path(head.original_uri(), head);
            (path, self.proxies.client_address(head))
        })
    }

    pub(crate) fn client_address(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        noted(self.proxies.client_address(head))
    }

    /// Returns the address for which failures are counted.
    pub(crate) fn throttled_address(&self, head: &RequestHead<'_>) -> Option<IpAddr> {
        noted(self.proxies.nearest_known(head))
    }
}

/// Logs once that client addresses are not known.
fn noted(address: Option<IpAddr>) -> Option<IpAddr> {
    static NOTED: Once = Once::new();
    if address.is_none() {
        NOTED.call_once(crate::trace::no_client_address);
    }
    address
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyLayer")
            .field("scheme", &self.scheme)
            .field("fallback", &self.fallback)
            .field("lookup_timeout", &self.lookup_timeout)
            .field("limiter_timeout", &self.limiter_timeout)
            .field("proxies", &self.proxies)
            .field("throttle", &self.throttle)
            .field("public_keys", &self.public_keys)
            .field("guards", &self.guards.len())
            .field("optional", &self.optional)
            .field("unless", &self.unless.is_some())
            .field("keep_credential", &self.keep_credential)
            .field("forward_preflight", &self.forward_preflight)
            .field("protocol", &self.rejector.protocol)
            .field("realm", &self.realm)
            .field("watch", &self.watch)
            .finish_non_exhaustive()
    }
}
