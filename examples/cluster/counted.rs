//! [`Counted`]: counts how often a layer reads keys with open streams from its store.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tower_api_key::store::KeyChanges;
use tower_api_key::{Immediate, KeyDigest, KeyRecord, KeyStore, StoreError};

use crate::support;

/// The limits in the documentation for reading keys with open streams: this number of keys at once, …
const BATCH: usize = 100;
/// … this number of reads at the same time, …
const IN_FLIGHT: usize = 4;
/// … and this number per second, besides those for changed keys.
const PER_SECOND: usize = 20;

type Found = Option<Arc<KeyRecord>>;

/// Counts how often a layer reads many keys. It does so only for keys with open streams.
pub(crate) struct Counted<S> {
    store: S,
    counts: Arc<Counts>,
}

impl<S> Counted<S> {
    pub(crate) fn new(store: S, counts: Arc<Counts>) -> Self {
        Self { store, counts }
    }
}

#[derive(Default)]
pub(crate) struct Counts {
    /// The times of reads, and their numbers of keys.
    asked: Mutex<Vec<(Instant, usize)>>,
    in_flight: AtomicUsize,
    most_in_flight: AtomicUsize,
}

impl Counts {
    /// Resets the counts.
    pub(crate) fn reset(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.most_in_flight.store(self.in_flight.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Says how often the store was asked beside how often it may be, if the layer was `told` so often in
    /// the meantime that a key was changed.
    pub(crate) fn compare(&self, told: usize, time: Duration) -> support::Result<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let most = asked.iter().map(|(_, keys)| *keys).max().unwrap_or_default();
        let keys: usize = asked.iter().map(|(_, keys)| keys).sum();
        let in_flight = self.most_in_flight.load(Ordering::SeqCst);
        let bound = PER_SECOND * (time.as_secs() as usize + 1) + told;
        let times = asked.len();
        let said = format!(
            "asked {times} times for {keys} keys (may: {bound} times), for at most {most} at once \
             (may: {BATCH}), at most {in_flight} times at the same time (may: {IN_FLIGHT})"
        );
        if times > bound || most > BATCH || in_flight > IN_FLIGHT {
            return Err(said.into());
        }
        Ok(said)
    }
}

#[async_trait]
impl<S: KeyStore> KeyStore for Counted<S> {
    async fn find(&self, digest: &KeyDigest) -> Result<Found, StoreError> {
        self.store.find(digest).await
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Found> {
        self.store.find_now(digest)
    }

    async fn find_many(&self, digests: &[KeyDigest]) -> Result<Vec<Found>, StoreError> {
        let Counts { asked, in_flight, most_in_flight } = &*self.counts;
        let now = (Instant::now(), digests.len());
        asked.lock().unwrap_or_else(PoisonError::into_inner).push(now);
        most_in_flight.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let found = self.store.find_many(digests).await;
        in_flight.fetch_sub(1, Ordering::SeqCst);
        found
    }

    fn changes(&self) -> Option<&KeyChanges> {
        self.store.changes()
    }
}
