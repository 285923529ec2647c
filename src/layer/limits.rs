//! Settings of [`ApiKeyLayer`]: how often keys and addresses may send requests.

use std::sync::Arc;
use std::time::Duration;

use super::ApiKeyLayer;
use crate::head::RequestHead;
use crate::limit::{FailureThrottle, RateLimiter};
use crate::verify::VerifiedKey;

impl ApiKeyLayer {
    /// Sets the rate limiter for keys with limits. The default is a
    /// [`MemoryRateLimiter`](crate::MemoryRateLimiter) of this layer and its clones.
    pub fn rate_limiter(self, limiter: impl RateLimiter + 'static) -> Self {
        self.with(|gate| {
            gate.limiter = Arc::new(limiter);
            gate.limiter_was_set = true;
        })
    }

    /// Sets how long a call of the [limiter](Self::rate_limiter) may take. After that, it counts as
    /// failed.
    ///
    /// The timeout needs tokio's timer, unless the limiter answers at once.
    pub fn limiter_timeout(self, timeout: Duration) -> Self {
        self.with(|gate| gate.limiter_timeout = timeout)
    }

    /// Accepts requests uncounted while the limiter fails, instead of answering 503.
    pub fn allow_when_limiter_fails(self) -> Self {
        self.with(|gate| gate.allow_unlimited = true)
    }

    /// Sets the cost of requests, which the limits of their keys are charged. The default is 1; 0 is
    /// free.
    ///
    /// If a request costs more than the burst of a limit, the layer answers 403, not 429, because
    /// waiting would not help. The layer does not call the function for requests that its guards
    /// refuse.
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

    /// Sets the throttle that refuses addresses that present too many wrong keys.
    pub fn failure_throttle(self, throttle: FailureThrottle) -> Self {
        self.with(|gate| gate.throttle = Some(throttle))
    }
}
