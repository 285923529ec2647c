//! [`RateLimiter`]: the contract between the layer and whatever counts.

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
/// * **All or nothing.** A request that one limit refuses spends nothing of the others.
/// * **Atomic.** Of requests that come at once, no more are granted than if they came in turn.
/// * **Apart.** What one key spends is spent of no other's, but for keys that
///   [count as one](KeyRecord::counted_id), and for limits that are
///   [shared by the tenant](crate::RateLimit::shared_by_tenant), which are told apart by tenant,
///   name, quota, window and burst.
/// * **By the record.** A limit that was changed holds from the next request on. What was used of a
///   key's own is not forgotten, unless the limit has another name.
/// * **Bounded.** No wait is longer than the limit takes to be whole again, whatever the clock did
///   and whatever the limit was before.
/// * **Complete.** A decision has one status for each limit, in the order of the record; any other
///   is taken for a failure.
/// * **Honest.** A limiter that cannot tell returns an error; the layer then answers 503, or
///   lets the request pass where it is told to.
/// * **Free if nothing is asked.** A request that costs 0 is granted and changes nothing.
/// * **Cancel safe.** The future may be dropped at any point; a request may then count or not.
///
/// One that panics or hangs fails one request, not the server.
#[async_trait]
pub trait RateLimiter: Send + Sync {
    /// Takes `cost` from every limit of the key, or nothing from any.
    ///
    /// # Errors
    ///
    /// Returns an error if the limiter cannot tell how the limits stand.
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError>;

    /// Gives back what a request was `granted` that was refused afterwards, and returns how the
    /// limits stand then.
    ///
    /// What came back by itself since the [time](LimitDecision::time) of the decision is not
    /// given twice: who delays requests that are refused must not gain by it.
    ///
    /// # Errors
    ///
    /// Returns an error if the limiter cannot tell how the limits stand.
    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError>;

    /// Tells how the limits stand, and spends nothing: for applications that show it.
    ///
    /// # Errors
    ///
    /// Returns an error if the limiter cannot tell how the limits stand.
    async fn peek(&self, key: &KeyRecord) -> Result<LimitDecision, LimiterError> {
        self.reserve(key, 0).await
    }

    /// Like [`reserve`](Self::reserve), if the answer is at hand.
    ///
    /// A limiter that counts in memory answers here, and saves the request a boxed future.
    /// [`Immediate::Ask`], the default, has spent nothing; the layer then calls `reserve`.
    fn reserve_now(&self, key: &KeyRecord, cost: u32) -> Immediate<LimitDecision> {
        let _ = (key, cost);
        Immediate::Ask
    }

    /// Like [`refund`](Self::refund), if the answer is at hand. After [`Immediate::Ask`], the layer
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

/// The error of a limiter that cannot tell how the limits stand.
///
/// Operators see it in the log; clients are told nothing of it.
pub struct LimiterError(Box<dyn Error + Send + Sync>);

impl LimiterError {
    /// Wraps the error of the limiter.
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
