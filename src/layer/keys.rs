//! Settings of [`ApiKeyLayer`]: which keys it accepts, and where requests have them.

use std::sync::Arc;
use std::time::Duration;

use super::ApiKeyLayer;
use crate::clock::Clock;
use crate::extract::Extract;
use crate::fallback::Fallback;
use crate::key::KeyScheme;
use crate::limit::MemoryRateLimiter;

impl ApiKeyLayer {
    /// Sets where requests have their key.
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
    /// formats before it hashes it. The keys in the store must have the same scheme.
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

    /// Sets the other system that the layer asks for keys that the store does not know. The returned
    /// record is inserted into the store. See [`Fallback`].
    pub fn fallback(self, fallback: Fallback) -> Self {
        self.with(|gate| gate.fallback = Some(fallback))
    }

    /// Sets how long a look-up in the store may take. After that, the client gets a 503.
    ///
    /// The timeout needs tokio's timer, unless the store answers at once. It includes the time that a
    /// request waits for other look-ups of its address, because of a [`FailureThrottle`](crate::FailureThrottle).
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|gate| gate.lookup_timeout = timeout)
    }

    /// Sets the clock that decides when keys expire. Unless a [limiter](Self::rate_limiter) is set, the
    /// layer counts requests by this clock, too. A [`FailureThrottle`](crate::FailureThrottle) has a
    /// clock of its own.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|gate| {
            gate.clock = Arc::new(clock);
            if !gate.limiter_was_set {
                let limiter = MemoryRateLimiter::with_clock(Arc::clone(&gate.clock));
                gate.limiter = Arc::new(limiter);
            }
        })
    }

    /// Accepts public keys as well as secret ones.
    ///
    /// By default, the layer refuses public keys, which everyone can read in the source of a page. With
    /// this setting, a public key works only on the sites that its [record](crate::key::Restrictions)
    /// names. On routes for one kind, add [`RequireKind`](crate::RequireKind).
    pub fn accept_public_keys(self) -> Self {
        self.with(|gate| gate.public_keys = true)
    }

    /// Keeps the credential in the forwarded request, marked as sensitive.
    ///
    /// By default, the layer removes the credential, so that no handler, log or upstream server sees it. A
    /// query parameter cannot be marked.
    pub fn keep_credential(self) -> Self {
        self.with(|gate| gate.keep_credential = true)
    }
}
