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
    ///
    /// # Examples
    ///
    /// Two layers that count together:
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryRateLimiter, MemoryStore, NewKey, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("1 per hour")).await?.secret;
    /// let limiter = MemoryRateLimiter::new();
    /// let api = keys.layer().rate_limiter(limiter.clone());
    /// let admin = keys.layer().rate_limiter(limiter);
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let _admitted = api.verify(&mut request.clone().into_parts().0).await?;
    /// let refusal = admin.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::RateLimited);
    /// # Ok(())
    /// # }
    /// ```
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
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use async_trait::async_trait;
    /// use http::Request;
    /// use tower_api_key::limit::{LimitDecision, LimiterError};
    /// use tower_api_key::{KeyManager, KeyRecord, MemoryStore, NewKey, RateLimiter, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// /// A limiter whose server does not answer.
    /// struct Hanging;
    ///
    /// #[async_trait]
    /// impl RateLimiter for Hanging {
    ///     async fn reserve(&self, _: &KeyRecord, _: u32) -> Result<LimitDecision, LimiterError> {
    ///         std::future::pending().await
    ///     }
    ///
    ///     async fn refund(
    ///         &self,
    ///         _: &KeyRecord,
    ///         _: u32,
    ///         _: &LimitDecision,
    ///     ) -> Result<LimitDecision, LimiterError> {
    ///         std::future::pending().await
    ///     }
    /// }
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("1 per hour")).await?.secret;
    /// let layer = keys.layer().rate_limiter(Hanging).limiter_timeout(Duration::from_millis(10));
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::Unavailable);
    /// # Ok(())
    /// # }
    /// ```
    pub fn limiter_timeout(self, timeout: Duration) -> Self {
        self.with(|gate| gate.limiter_timeout = timeout)
    }

    /// Accepts requests uncounted while the limiter fails, instead of answering 503.
    ///
    /// # Examples
    ///
    /// ```
    /// use async_trait::async_trait;
    /// use http::Request;
    /// use tower_api_key::limit::{LimitDecision, LimiterError};
    /// use tower_api_key::{KeyManager, KeyRecord, MemoryStore, NewKey, RateLimiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// /// A limiter whose server cannot be reached.
    /// struct Failing;
    ///
    /// #[async_trait]
    /// impl RateLimiter for Failing {
    ///     async fn reserve(&self, _: &KeyRecord, _: u32) -> Result<LimitDecision, LimiterError> {
    ///         Err(LimiterError::new("connection refused"))
    ///     }
    ///
    ///     async fn refund(
    ///         &self,
    ///         _: &KeyRecord,
    ///         _: u32,
    ///         _: &LimitDecision,
    ///     ) -> Result<LimitDecision, LimiterError> {
    ///         Err(LimiterError::new("connection refused"))
    ///     }
    /// }
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("1 per hour")).await?.secret;
    /// let layer = keys.layer().rate_limiter(Failing).allow_when_limiter_fails();
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
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
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("10 per hour")).await?.secret;
    /// let layer = keys.layer().request_cost(|_key, head| {
    ///     if head.original_uri().path() == "/v1/export" { 10 } else { 1 }
    /// });
    ///
    /// let export = Request::get("/v1/export").header("x-api-key", key.reveal()).body(())?;
    /// let _admitted = layer.verify(&mut export.into_parts().0).await?;
    /// let other = Request::get("/v1/bots").header("x-api-key", key.reveal()).body(())?;
    /// let refusal = layer.verify(&mut other.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::RateLimited);
    /// # Ok(())
    /// # }
    /// ```
    pub fn request_cost<F>(self, cost: F) -> Self
    where
        F: Fn(&VerifiedKey, &RequestHead<'_>) -> u32 + Send + Sync + 'static,
    {
        self.with(|gate| gate.cost = Some(Arc::new(cost)))
    }

    /// Adds the older headers `X-RateLimit-Limit`, `-Remaining` and `-Reset` to responses, for the limit
    /// that has the least left. `-Reset` is in seconds from now.
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
    /// let key = keys.issue(NewKey::named("a device").limit("100 per minute")).await?.secret;
    /// let layer = keys.layer().x_rate_limit_fields();
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// let response = admitted.finish(Response::new("…")).await;
    /// assert_eq!(response.headers()["x-ratelimit-limit"], "100");
    /// assert_eq!(response.headers()["x-ratelimit-remaining"], "99");
    /// # Ok(())
    /// # }
    /// ```
    pub fn x_rate_limit_fields(self) -> Self {
        self.with(|gate| gate.older_limit_fields = true)
    }

    /// Sets the throttle that refuses addresses that present too many wrong keys.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{FailureThrottle, KeyManager, MemoryStore, PeerAddress, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new())
    ///     .layer()
    ///     .failure_throttle(FailureThrottle::new("2 per minute"));
    ///
    /// let mut kinds = Vec::new();
    /// for _ in 0..3 {
    ///     let guess = Request::get("/")
    ///         .header("x-api-key", "a-wrong-key")
    ///         .extension(PeerAddress("192.0.2.1:4711".parse()?))
    ///         .body(())?;
    ///     let refusal = layer.verify(&mut guess.into_parts().0).await.unwrap_err();
    ///     kinds.push(refusal.rejection().kind());
    /// }
    /// assert_eq!(kinds, [RejectionKind::Unknown, RejectionKind::Unknown, RejectionKind::RateLimited]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn failure_throttle(self, throttle: FailureThrottle) -> Self {
        self.with(|gate| gate.throttle = Some(throttle))
    }
}
