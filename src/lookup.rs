//! The look-up of a key in the store. If the store panics or hangs, only the request fails.

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
use crate::observe::{Arrival, Lookup};
use crate::reject::{Rejection, RejectionKind};
use crate::store::{KeyRecord, KeyStore, Noticing, StoreError, Way, noticing};
use crate::verify::Known;

/// A record, and the digest for which the store returned it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Arc<KeyRecord>,
    pub(crate) digest: KeyDigest,
}

/// Looks up one digest without waiting: in the front of this thread, or in the store.
pub(crate) fn look_up_now(
    gate: &Arc<Gate>,
    front: &Front,
    digest: &KeyDigest,
    arrival: &mut Option<Arrival<'_>>,
) -> Result<Immediate<Option<Arc<Known>>>, Rejection> {
    let look_up = || {
        if let Some(known) = front.get(digest, &*gate.store) {
            note(arrival, Lookup::Thread);
            return Immediate::Answer(Some(known));
        }
        let (found, way) = noticing(|| gate.store.find_to_keep(digest));
        if let Immediate::Answer(_) = found {
            note(arrival, answered_at_once(way));
        }
        found.map(|(found, token)| {
            let known = Known::new(found?, gate);
            if let Some(token) = token {
                front.missed(digest, token, &known);
            }
            Some(known)
        })
    };
    contain::call(look_up).map_err(|failure| {
        note(arrival, Lookup::Error);
        unavailable(StoreError::new(failure))
    })
}

/// The result of a look-up that had to wait for the store.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) found: Result<Found, Rejection>,
    /// None if the store was not asked.
    pub(crate) lookup: Option<Lookup>,
}

/// Looks up several digests in turn, and then calls the fallback, if there is one.
pub(crate) async fn look_up(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    fallback: Option<Box<Attempt>>,
    timeout: Duration,
) -> Asked {
    let (found, way) =
        match contain::wait_within(timeout, find_first(store, digests, fallback)).await {
            Ok((Ok(Some(found)), way)) => (Ok(found), way),
            Ok((Ok(None), way)) => (Err(RejectionKind::Unknown.into()), way),
            Ok((Err(error), _)) => return Asked::failed(error),
            Err(failure) => return Asked::failed(StoreError::new(failure)),
        };
    let lookup = match way {
        None => Lookup::Miss,
        Some(Way::Hit) => Lookup::Hit,
        Some(Way::Joined) => Lookup::Coalesced,
        Some(Way::Grace) => Lookup::Grace,
    };
    Asked { found, lookup: Some(lookup) }
}

impl Asked {
    fn failed(error: StoreError) -> Self {
        Self { found: Err(unavailable(error)), lookup: Some(Lookup::Error) }
    }
}

/// Waits until a look-up for `address` may fail, and then does the same as [`look_up`].
///
/// The caller has to count a failure while it holds the place.
pub(crate) async fn look_up_in_place(
    throttle: &FailureThrottle,
    address: IpAddr,
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    fallback: Option<Box<Attempt>>,
    timeout: Duration,
) -> (Asked, Option<Place>) {
    let refused = |rejection| (Asked { found: Err(rejection), lookup: None }, None);
    let started = Instant::now();
    let place = match contain::wait_within(timeout, throttle.place(address)).await {
        Ok(Ok(place)) => place,
        Ok(Err(wait)) => return refused(Rejection::throttled(wait)),
        Err(failure) => {
            let failure = format!("waiting for other look-ups of the address: {failure}");
            return refused(unavailable(StoreError::new(failure)));
        }
    };
    let left = timeout.saturating_sub(started.elapsed());
    (look_up(store, digests, fallback, left).await, Some(place))
}

async fn find_first(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
    fallback: Option<Box<Attempt>>,
) -> (Result<Option<Found>, StoreError>, Option<Way>) {
    let mut last = None;
    for digest in digests {
        let (found, way) = Noticing(store.find(digest)).await;
        last = way;
        match found {
            Ok(Some(record)) => return (Ok(Some(Found { record, digest: *digest })), way),
            Ok(None) => {}
            Err(error) => return (Err(error), way),
        }
    }
    let Some(attempt) = fallback else { return (Ok(None), last) };
    // Boxed, so that the futures of requests without a fallback are small.
    let found = Box::pin(attempt.run()).await;
    (found.map(|found| found.map(|(record, digest)| Found { record, digest })), None)
}

fn answered_at_once(way: Option<Way>) -> Lookup {
    match way {
        Some(Way::Grace) => Lookup::Grace,
        _ => Lookup::Hit,
    }
}

#[inline]
fn note(arrival: &mut Option<Arrival<'_>>, lookup: Lookup) {
    if let Some(arrival) = arrival {
        arrival.looked_up(lookup);
    }
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
        let rejection = lookup.now_or_never().unwrap().found.unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        let reason = rejection.source().unwrap().to_string();
        assert!(reason.contains("no reactor running"), "{reason}");
    }
}
