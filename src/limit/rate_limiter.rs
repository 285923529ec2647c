//! [`RateLimiter`]: the contract between the layer and a limiter.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::LimitDecision;
use crate::immediate::Immediate;
use crate::store::KeyRecord;

/// Counts requests against the [limits](KeyRecord::limits) of their keys.
///
/// # Contract
///
/// * **All or nothing.** A request that one limit refuses is not charged to the others.
/// * **Atomic.** Concurrent requests are granted no more often than consecutive ones.
/// * **Separate.** A request is charged to the limits of its own key only. There are two exceptions:
///   keys that [count as one](KeyRecord::counted_id), and limits that are [shared by the
///   tenant](crate::RateLimit::shared_by_tenant), which are identified by tenant, name, quota, window
///   and burst.
/// * **By the record.** A changed limit applies from the next request on. Requests that were counted
///   for a key's own limit stay counted, unless the limit has another name.
/// * **Bounded.** No wait is longer than the limit takes to be whole again, even if the clock jumped or
///   the limit was changed.
/// * **Complete.** A decision has one status for each limit, in the order of the record. The layer treats
///   any other decision as a failure.
/// * **Honest.** A limiter that does not know the state of the limits returns an error. The layer then
///   answers 503, or lets the request pass if
///   [`allow_when_limiter_fails`](crate::ApiKeyLayer::allow_when_limiter_fails) is set.
/// * **Free at cost 0.** A request that costs 0 is granted and changes nothing.
/// * **Cancel safe.** The future may be dropped at any point; a request may then count or not.
///
/// A limiter that panics or hangs fails one request, not the server.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyManager, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = keys.issue(NewKey::named("a device").limit("10 per hour")).await?.record;
/// let limiter = MemoryRateLimiter::new();
///
/// let granted = limiter.reserve(&key, 10).await?;
/// assert!(granted.is_granted());
/// assert_eq!(limiter.peek(&key).await?.statuses()[0].remaining(), 0);
/// let refunded = limiter.refund(&key, 10, &granted).await?;
/// assert_eq!(refunded.statuses()[0].remaining(), 10);
///
/// // A limiter in memory answers without waiting.
/// let granted = limiter.reserve_now(&key, 1).answer().unwrap();
/// assert!(granted.is_granted());
/// assert!(limiter.refund_now(&key, 1, &granted).answer().is_some());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Takes `cost` from every limit of the key, or from none.
    ///
    /// # Errors
    ///
    /// Returns an error if the limiter does not know the state of the limits.
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError>;

    /// Gives back the cost of a request that was `granted` and then refused, and returns the state of
    /// the limits.
    ///
    /// The part that came back since the [time](LimitDecision::time) of the decision is not given
    /// twice: a client must not gain by delaying requests that are refused.
    ///
    /// # Errors
    ///
    /// Returns an error if the limiter does not know the state of the limits.
    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError>;

    /// Returns the state of the limits without charging them, for applications that show it.
    ///
    /// # Errors
    ///
    /// Returns an error if the limiter does not know the state of the limits.
    async fn peek(&self, key: &KeyRecord) -> Result<LimitDecision, LimiterError> {
        self.reserve(key, 0).await
    }

    /// Like [`reserve`](Self::reserve), but without waiting.
    ///
    /// A limiter that counts in memory answers here, and saves the request a boxed future. The default
    /// is [`Immediate::Ask`], which charges nothing; the layer then calls `reserve`.
    fn reserve_now(&self, key: &KeyRecord, cost: u32) -> Immediate<LimitDecision> {
        let _ = (key, cost);
        Immediate::Ask
    }

    /// Like [`refund`](Self::refund), but without waiting. After [`Immediate::Ask`], the layer
    /// calls `refund`.
    fn refund_now(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Immediate<LimitDecision> {
        let _ = (key, cost, granted);
        Immediate::Ask
    }
}

type Deciding<'a> = BoxFuture<'a, Result<LimitDecision, LimiterError>>;

macro_rules! forward_to_the_inner_limiter {
    ($pointer:ident) => {
        // By hand, because `#[async_trait]` would box the futures a second time.
        impl<T: RateLimiter + ?Sized> RateLimiter for $pointer<T> {
            fn reserve<'a, 'b, 'c>(&'a self, key: &'b KeyRecord, cost: u32) -> Deciding<'c>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).reserve(key, cost)
            }

            fn refund<'a, 'b, 'c, 'd>(
                &'a self,
                key: &'b KeyRecord,
                cost: u32,
                granted: &'c LimitDecision,
            ) -> Deciding<'d>
            where
                'a: 'd,
                'b: 'd,
                'c: 'd,
                Self: 'd,
            {
                (**self).refund(key, cost, granted)
            }

            fn peek<'a, 'b, 'c>(&'a self, key: &'b KeyRecord) -> Deciding<'c>
            where
                'a: 'c,
                'b: 'c,
                Self: 'c,
            {
                (**self).peek(key)
            }

            fn reserve_now(&self, key: &KeyRecord, cost: u32) -> Immediate<LimitDecision> {
                (**self).reserve_now(key, cost)
            }

            fn refund_now(
                &self,
                key: &KeyRecord,
                cost: u32,
                granted: &LimitDecision,
            ) -> Immediate<LimitDecision> {
                (**self).refund_now(key, cost, granted)
            }
        }
    };
}

forward_to_the_inner_limiter!(Arc);
forward_to_the_inner_limiter!(Box);

/// The error of a limiter that does not know the state of the limits.
///
/// Operators see it in the log; clients do not see it.
///
/// # Examples
///
/// ```
/// use tower_api_key::limit::LimiterError;
///
/// let error = LimiterError::new("connection refused");
/// assert_eq!(error.to_string(), "the rate limiter failed: connection refused");
/// ```
pub struct LimiterError(Box<dyn Error + Send + Sync>);

impl LimiterError {
    /// Wraps an error of the limiter.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

impl fmt::Debug for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LimiterError").field(&self.0).finish()
    }
}

impl fmt::Display for LimiterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rate limiter failed: {}", self.0)
    }
}

impl Error for LimiterError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

const _: Option<Arc<dyn RateLimiter>> = None;
