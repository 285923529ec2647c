//! Asking the store and the limiter, so that whatever they do the server lives on.

use std::any::Any;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

use crate::key::KeyDigest;
use crate::limit::{FailureThrottle, LimitDecision, LimiterError, Place, RateLimiter};
use crate::reject::{Rejection, RejectionKind};
use crate::store::{KeyRecord, KeyStore, StoreError};

/// What a request was granted of the limits of its key.
pub(crate) struct Charge {
    pub(crate) cost: u32,
    pub(crate) decision: LimitDecision,
}

/// A record, and the digest for which the store returned it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Arc<KeyRecord>,
    pub(crate) digest: KeyDigest,
}

/// Asks for one digest, if the answer is at hand.
pub(crate) fn look_up_now(
    store: &dyn KeyStore,
    digest: &KeyDigest,
) -> Result<Poll<Option<Arc<KeyRecord>>>, Rejection> {
    catch_unwind(AssertUnwindSafe(|| store.find_now(digest)))
        .map_err(|panic| unavailable(StoreError::new(panicked(&*panic))))
}

/// Asks for several digests in turn.
pub(crate) async fn look_up(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    timeout: Duration,
) -> Result<Found, Rejection> {
    match survive(find_first(store, digests), timeout).await {
        Ok(Ok(Some(found))) => Ok(found),
        Ok(Ok(None)) => Err(RejectionKind::Unknown.into()),
        Ok(Err(error)) => Err(unavailable(error)),
        Err(failure) => Err(unavailable(StoreError::new(failure))),
    }
}

/// Waits until a look-up for `address` may fail, and then asks as [`look_up`] does.
///
/// A failure has to be counted while the place is held.
pub(crate) async fn look_up_in_place(
    throttle: &FailureThrottle,
    address: IpAddr,
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    timeout: Duration,
) -> (Result<Found, Rejection>, Option<Place>) {
    let started = Instant::now();
    let place = match survive(throttle.place(address), timeout).await {
        Ok(Ok(place)) => place,
        Ok(Err(wait)) => return (Err(Rejection::throttled(wait)), None),
        Err(failure) => {
            let failure = format!("waiting for other look-ups of the address: {failure}");
            return (Err(unavailable(StoreError::new(failure))), None);
        }
    };
    let left = timeout.saturating_sub(started.elapsed());
    (look_up(store, digests, left).await, Some(place))
}

async fn find_first(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
) -> Result<Option<Found>, StoreError> {
    for digest in digests {
        if let Some(record) = store.find(digest).await? {
            return Ok(Some(Found { record, digest: *digest }));
        }
    }
    Ok(None)
}

fn unavailable(error: StoreError) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).with_source(error)
}

/// Asks the limiter, if the answer is at hand.
pub(crate) fn reserve_now(
    limiter: &dyn RateLimiter,
    key: &KeyRecord,
    cost: u32,
) -> Poll<Result<LimitDecision, LimiterError>> {
    decide_now(|| limiter.reserve_now(key, cost))
}

/// Asks the limiter.
pub(crate) async fn reserve(
    limiter: &dyn RateLimiter,
    key: &KeyRecord,
    cost: u32,
    timeout: Duration,
) -> Result<LimitDecision, LimiterError> {
    // Also if it panics before there is a future.
    let decided = survive(async { limiter.reserve(key, cost).await }, timeout).await;
    decided.unwrap_or_else(|failure| Err(LimiterError::new(failure)))
}

/// Gives back what a request was granted, if that is done at once.
pub(crate) fn refund_now(
    limiter: &dyn RateLimiter,
    key: &KeyRecord,
    charge: &Charge,
) -> Poll<Result<LimitDecision, LimiterError>> {
    decide_now(|| limiter.refund_now(key, charge.cost, &charge.decision))
}

/// Gives back what a request was granted.
pub(crate) async fn refund(
    limiter: &dyn RateLimiter,
    key: &KeyRecord,
    charge: &Charge,
    timeout: Duration,
) -> Result<LimitDecision, LimiterError> {
    let refund = async { limiter.refund(key, charge.cost, &charge.decision).await };
    let decided = survive(refund, timeout).await;
    decided.unwrap_or_else(|failure| Err(LimiterError::new(failure)))
}

fn decide_now(
    decide: impl FnOnce() -> Poll<LimitDecision>,
) -> Poll<Result<LimitDecision, LimiterError>> {
    match catch_unwind(AssertUnwindSafe(decide)) {
        Ok(decided) => decided.map(Ok),
        Err(panic) => Poll::Ready(Err(LimiterError::new(panicked(&*panic)))),
    }
}

/// Waits for an answer no longer than `timeout`, and says what happened if there is none.
pub(crate) async fn survive<T>(
    asked: impl Future<Output = T>,
    timeout: Duration,
) -> Result<T, String> {
    // Within a future, so that a missing runtime, at which the timer panics, is caught too.
    let asked = async { tokio::time::timeout(timeout, asked).await };
    match AssertUnwindSafe(asked).catch_unwind().await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(elapsed)) => Err(format!("no answer within {timeout:?} ({elapsed})")),
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// Says that somebody panicked, and what with.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> String {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("it panicked: {}", message.unwrap_or("a panic without a message"))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn without_a_runtime_a_lookup_fails_and_does_not_panic() {
        let store = MemoryStore::new();
        let digests = [KeyDigest::from_bytes([0; 32])];
        let lookup = look_up(&store, &digests, Duration::from_secs(1));
        let rejection = lookup.now_or_never().unwrap().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        let reason = rejection.source().unwrap().to_string();
        assert!(reason.contains("no reactor running"), "{reason}");
    }
}
