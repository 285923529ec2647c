//! Asking the store, so that whatever it does the server lives on.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::contain;
use crate::fallback::Attempt;
use crate::front::Front;
use crate::gate::Gate;
use crate::immediate::Immediate;
use crate::key::KeyDigest;
use crate::limit::{FailureThrottle, Place};
use crate::reject::{Rejection, RejectionKind};
use crate::store::{KeyRecord, KeyStore, StoreError};
use crate::verify::Known;

/// A record, and the digest for which the store returned it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Arc<KeyRecord>,
    pub(crate) digest: KeyDigest,
}

/// Asks for one digest, if the answer is at hand: by this thread, or by the store.
pub(crate) fn look_up_now(
    gate: &Arc<Gate>,
    front: &Front,
    digest: &KeyDigest,
) -> Result<Immediate<Option<Arc<Known>>>, Rejection> {
    let look_up = || {
        if let Some(known) = front.get(digest, &*gate.store) {
            return Immediate::Answer(Some(known));
        }
        gate.store.find_to_keep(digest).map(|(found, token)| {
            let known = Known::new(found?, gate);
            if let Some(token) = token {
                front.missed(digest, token, &known);
            }
            Some(known)
        })
    };
    contain::call(look_up).map_err(|failure| unavailable(StoreError::new(failure)))
}

/// Asks for several digests in turn, and then the fallback, if there is one.
pub(crate) async fn look_up(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    fallback: Option<Box<Attempt>>,
    timeout: Duration,
) -> Result<Found, Rejection> {
    match contain::wait_within(timeout, find_first(store, digests, fallback)).await {
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
    fallback: Option<Box<Attempt>>,
    timeout: Duration,
) -> (Result<Found, Rejection>, Option<Place>) {
    let started = Instant::now();
    let place = match contain::wait_within(timeout, throttle.place(address)).await {
        Ok(Ok(place)) => place,
        Ok(Err(wait)) => return (Err(Rejection::throttled(wait)), None),
        Err(failure) => {
            let failure = format!("waiting for other look-ups of the address: {failure}");
            return (Err(unavailable(StoreError::new(failure))), None);
        }
    };
    let left = timeout.saturating_sub(started.elapsed());
    (look_up(store, digests, fallback, left).await, Some(place))
}

async fn find_first(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    fallback: Option<Box<Attempt>>,
) -> Result<Option<Found>, StoreError> {
    for digest in digests {
        if let Some(record) = store.find(digest).await? {
            return Ok(Some(Found { record, digest: *digest }));
        }
    }
    let Some(attempt) = fallback else { return Ok(None) };
    // Boxed, so that the futures of requests without a fallback are small.
    Ok(Box::pin(attempt.run()).await?.map(|(record, digest)| Found { record, digest }))
}

fn unavailable(error: StoreError) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).with_source(error)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn without_a_runtime_a_lookup_fails_and_does_not_panic() {
        let store = MemoryStore::new();
        let digests = [KeyDigest::from_bytes([0; 32])];
        let lookup = look_up(&store, &digests, None, Duration::from_secs(1));
        let rejection = lookup.now_or_never().unwrap().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        let reason = rejection.source().unwrap().to_string();
        assert!(reason.contains("no reactor running"), "{reason}");
    }
}
