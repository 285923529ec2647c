//! [`CachedStoreBuilder`]: the settings of a cache.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::entries::{Entries, Limits};
use super::grace::Grace;
use super::liveness::Liveness;
use super::memory::{Memory, Timer};
use super::span::nanoseconds;
use super::subscriber::{OnChange, PATIENCE, Subscriber};
use super::subscribing::subscribe;
use super::{CachedStore, Inner};
use crate::clock::{Clock, MonotonicClock};
#[cfg(doc)]
use crate::store::StoreError;
use crate::store::{InvalidationSource, KeyChanges};

/// Configures a [`CachedStore`].
#[must_use]
pub struct CachedStoreBuilder<S> {
    store: S,
    capacity: usize,
    max_bytes: usize,
    negative_capacity: usize,
    ttl: Duration,
    negative_ttl: Duration,
    max_staleness: Duration,
    grace: Option<Duration>,
    source: Option<Box<dyn InvalidationSource>>,
    heartbeat: Duration,
    on_change: Option<Box<OnChange>>,
    clock: Timer,
}

impl<S> CachedStoreBuilder<S> {
    pub(super) fn new(store: S) -> Self {
        Self {
            store,
            capacity: 100_000,
            max_bytes: 256 * 1024 * 1024,
            negative_capacity: 10_000,
            ttl: Duration::from_secs(30),
            negative_ttl: Duration::from_secs(5),
            max_staleness: Duration::from_secs(60),
            grace: None,
            source: None,
            heartbeat: Duration::from_secs(1),
            on_change: None,
            clock: Timer::Monotonic(MonotonicClock::start()),
        }
    }

    /// Caches up to about this many records, if they fit into [`max_bytes`](Self::max_bytes). The default
    /// is 100 000.
    ///
    /// A full cache removes the records that were loaded longest ago. Records in use are loaded again
    /// after each [`ttl`](Self::ttl).
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn capacity(mut self, records: usize) -> Self {
        assert!(records > 0, "a cache needs room for a record");
        self.capacity = records;
        self
    }

    /// Caches records of up to this many bytes in total. The default is 256 MiB.
    ///
    /// The size of a record is an estimate: some 600 bytes, its texts, abilities, limits, patterns of
    /// restrictions and metadata, and the overhead of the allocator. 64 kB of restrictions take several
    /// times as much. A record that is larger than the whole cache is served, and loaded each time. The
    /// records that the threads of an [`ApiKeyLayer`](crate::ApiKeyLayer) keep are extra, with their own bound.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a cache needs room for a record");
        self.max_bytes = bytes;
        self
    }

    /// Caches up to about this many unknown digests. The default is 10 000.
    ///
    /// They have room of their own: no number of unknown keys removes a record.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn negative_capacity(mut self, digests: usize) -> Self {
        assert!(digests > 0, "a cache needs room for an unknown key");
        self.negative_capacity = digests;
        self
    }

    /// Serves a record for this long without asking the store. The default is 30 seconds.
    ///
    /// An older record is served too, and loaded again in the background, unless it is older than
    /// [`max_staleness`](Self::max_staleness).
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = positive(ttl);
        self
    }

    /// Treats a key as unknown for this long without asking the store. The default is 5 seconds.
    ///
    /// It is never longer than [`max_staleness`](Self::max_staleness).
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = positive(ttl);
        self
    }

    /// Serves no record that is older. The default is a minute.
    ///
    /// This is the longest delay of a revocation on a node that missed the notification. The age of a
    /// record counts from before the store was asked, by a clock that does not jump, and that stands
    /// still while the machine sleeps.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn max_staleness(mut self, age: Duration) -> Self {
        self.max_staleness = positive(age);
        self
    }

    /// Serves records while the store cannot be reached, for this long after they were last known to be
    /// current. By default, none is served, and requests are answered with 503.
    ///
    /// A record was last known to be current when it was loaded, or when the latest heartbeat that arrived
    /// was sent. It is served if the store fails or does not answer within a second, but never beyond
    /// [`max_staleness`](Self::max_staleness). A record that was changed through this cache is not served, nor
    /// a cached unknown key. So this is how long an outage can delay a revocation by another node.
    /// Each failed look-up is a `WARN` event of the feature `tracing`.
    ///
    /// Use it for caches that are [invalidated by](Self::invalidated_by) a source: other caches serve records
    /// up to `max_staleness` in any case. A store that [cannot read](StoreError::answered) a record, or that
    /// panics, is not an outage. Set the [`lookup_timeout`](crate::ApiKeyLayer::lookup_timeout) of the layer to
    /// more than that second: otherwise the layer gives up before a hanging store counts as an outage.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn serve_while_unreachable(mut self, age: Duration) -> Self {
        self.grace = Some(positive(age));
        self
    }

    /// Removes the records that `source` notifies as changed.
    ///
    /// Without a source, changes by other nodes apply within [`max_staleness`](Self::max_staleness).
    pub fn invalidated_by(mut self, source: impl InvalidationSource + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Sends a heartbeat this often. The default is every second.
    ///
    /// A subscription that misses three in a row counts as lost.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = positive(interval);
        self
    }

    /// Calls `on_change` when the subscription to the source is lost (`false`) or live again (`true`).
    ///
    /// A loss may be reported up to three heartbeats later than by [`is_live`](CachedStore::is_live). The
    /// task that receives the notifications calls `on_change`, which must not block it.
    pub fn on_liveness_change(mut self, on_change: impl Fn(bool) + Send + Sync + 'static) -> Self {
        self.on_change = Some(Box::new(on_change));
        self
    }

    /// Measures ages with `clock`. A record from the future of `clock` is not served.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Timer::Set(Box::new(clock));
        self
    }

    /// Makes the cache and, if it has a [source](Self::invalidated_by) of notifications, subscribes to it.
    ///
    /// # Panics
    ///
    /// Panics if three heartbeats last longer than [`max_staleness`](Self::max_staleness), or if
    /// there is a source and no Tokio runtime.
    #[must_use]
    pub fn build(self) -> CachedStore<S> {
        assert!(
            self.source.is_none() || self.heartbeat.saturating_mul(PATIENCE) <= self.max_staleness,
            "three heartbeats have to fit into the maximal staleness"
        );
        let entries = Entries::new(Limits {
            capacity: self.capacity,
            max_bytes: self.max_bytes,
            negative_capacity: self.negative_capacity,
            ttl: nanoseconds(self.ttl.min(self.max_staleness)),
            negative_ttl: nanoseconds(self.negative_ttl.min(self.max_staleness)),
            max_staleness: nanoseconds(self.max_staleness),
        });
        let liveness = if self.source.is_some() { Liveness::lost() } else { Liveness::forever() };
        let grace = self.grace.map(Grace::of);
        let hears = self.source.is_some();
        let memory = Arc::new_cyclic(|memory: &Weak<Memory>| {
            let memory = Weak::clone(memory);
            let is_live = move || memory.upgrade().is_some_and(|memory| memory.is_live());
            let changes = KeyChanges::while_true(move || hears && is_live());
            Memory { entries, liveness, grace, clock: self.clock, changes }
        });
        let subscription = self.source.map(|source| {
            let subscriber = Subscriber {
                source,
                memory: Arc::clone(&memory),
                heartbeat: self.heartbeat,
                max_staleness: self.max_staleness,
                on_change: self.on_change,
            };
            tokio::spawn(subscribe(subscriber)).abort_handle()
        });
        CachedStore(Arc::new(Inner::new(self.store, memory, subscription)))
    }
}

fn positive(duration: Duration) -> Duration {
    assert!(!duration.is_zero(), "a duration of a cache must not be 0");
    duration
}

impl<S> fmt::Debug for CachedStoreBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStoreBuilder")
            .field("capacity", &self.capacity)
            .field("max_bytes", &self.max_bytes)
            .field("negative_capacity", &self.negative_capacity)
            .field("ttl", &self.ttl)
            .field("negative_ttl", &self.negative_ttl)
            .field("max_staleness", &self.max_staleness)
            .field("grace", &self.grace)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn builder() -> CachedStoreBuilder<MemoryStore> {
        CachedStore::builder(MemoryStore::new())
    }

    #[test]
    #[should_panic(expected = "room for a record")]
    fn a_cache_without_room_is_refused() {
        let _ = builder().capacity(0);
    }

    #[test]
    #[should_panic(expected = "room for a record")]
    fn a_cache_without_bytes_is_refused() {
        let _ = builder().max_bytes(0);
    }

    #[test]
    #[should_panic(expected = "must not be 0")]
    fn a_cache_without_time_is_refused() {
        let _ = builder().max_staleness(Duration::ZERO);
    }

    #[test]
    fn very_long_durations_are_taken() {
        let forever = builder().ttl(Duration::MAX).max_staleness(Duration::MAX).build();
        assert!(forever.is_live());
    }

    #[test]
    fn debug_shows_no_digest_and_no_store() {
        let cached = builder().capacity(7).build();
        assert_eq!(
            format!("{cached:?}"),
            "CachedStore { records: 0, bytes: 0, unknown: 0, loads: 0, is_live: true, .. }"
        );
        assert!(format!("{:?}", builder()).contains("capacity: 100000"));
    }
}
