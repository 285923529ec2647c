//! [`CachedStoreBuilder`]: the settings of a cache.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::entries::{Entries, Limits};
use super::liveness::Liveness;
use super::memory::{Memory, Timer};
use super::subscriber::{OnChange, PATIENCE, Subscriber};
use super::{CachedStore, Inner};
use crate::clock::{Clock, MonotonicClock};
use crate::store::{InvalidationSource, KeyChanges};

/// Sets up a [`CachedStore`].
#[must_use]
pub struct CachedStoreBuilder<S> {
    store: S,
    capacity: usize,
    max_bytes: usize,
    negative_capacity: usize,
    ttl: Duration,
    negative_ttl: Duration,
    max_staleness: Duration,
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
            source: None,
            heartbeat: Duration::from_secs(1),
            on_change: None,
            clock: Timer::Monotonic(MonotonicClock::start()),
        }
    }

    /// Keeps about this many records, if they fit into [`max_bytes`](Self::max_bytes). The default is
    /// 100 000.
    ///
    /// When there is no room, those that were loaded longest ago have to go: what is in use is
    /// loaded again after each [`ttl`](Self::ttl).
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn capacity(mut self, records: usize) -> Self {
        assert!(records > 0, "a cache needs room for a record");
        self.capacity = records;
        self
    }

    /// Keeps records of so many bytes at most. The default is 256 MiB.
    ///
    /// How much a record takes is estimated: some 600 bytes, its texts, abilities, limits, patterns of
    /// restrictions and metadata, and what the allocator adds. 64 kB of restrictions take several
    /// times as much. A record that is larger than all that is allowed is served, and loaded
    /// each time.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        assert!(bytes > 0, "a cache needs room for a record");
        self.max_bytes = bytes;
        self
    }

    /// Remembers of about this many digests that they have no record. The default is 10 000.
    ///
    /// They have room of their own: however many unknown keys are presented, no record has to go.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn negative_capacity(mut self, digests: usize) -> Self {
        assert!(digests > 0, "a cache needs room for an unknown key");
        self.negative_capacity = digests;
        self
    }

    /// Serves a record for this long without asking. The default is 30 seconds.
    ///
    /// An older one is served too, and loaded again in the background, but none that is older
    /// than [`max_staleness`](Self::max_staleness).
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = positive(ttl);
        self
    }

    /// Takes a key for unknown for this long without asking. The default is 5 seconds.
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

    /// Serves nothing that is older. The default is a minute.
    ///
    /// It is the time within which a revocation is heeded even if nobody hears of it. An age is
    /// counted from before the store was asked, by a clock that does not jump, and that stands
    /// still while the machine sleeps.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn max_staleness(mut self, age: Duration) -> Self {
        self.max_staleness = positive(age);
        self
    }

    /// Forgets what `source` says was changed.
    ///
    /// Without one, what other nodes change is noticed within
    /// [`max_staleness`](Self::max_staleness).
    pub fn invalidated_by(mut self, source: impl InvalidationSource + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Sends a heartbeat this often. The default is every second.
    ///
    /// A subscription of which three in a row are not heard is taken for dead.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = positive(interval);
        self
    }

    /// Tells `on_change` whether the subscription lives, when it is found to have changed: that it is
    /// lost, up to three heartbeats later than [`is_live`](CachedStore::is_live) tells it.
    ///
    /// It is called by the task that hears of changes, which it must not hold up.
    pub fn on_liveness_change(mut self, on_change: impl Fn(bool) + Send + Sync + 'static) -> Self {
        self.on_change = Some(Box::new(on_change));
        self
    }

    /// Counts ages by `clock`. Nothing is served that is younger than the clock says it is now.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Timer::Set(Box::new(clock));
        self
    }

    /// Makes the cache and, if it is [invalidated by](Self::invalidated_by) somebody, begins to
    /// listen.
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
        let hears = self.source.is_some();
        let memory = Arc::new_cyclic(|memory: &Weak<Memory>| {
            let memory = Weak::clone(memory);
            let is_live = move || memory.upgrade().is_some_and(|memory| memory.is_live());
            let changes = KeyChanges::while_true(move || hears && is_live());
            Memory { entries, liveness, clock: self.clock, changes }
        });
        let subscription = self.source.map(|source| {
            let subscriber = Subscriber {
                source,
                memory: Arc::clone(&memory),
                heartbeat: self.heartbeat,
                on_change: self.on_change,
            };
            tokio::spawn(subscriber.run()).abort_handle()
        });
        CachedStore(Arc::new(Inner::new(self.store, memory, subscription)))
    }
}

fn positive(duration: Duration) -> Duration {
    assert!(!duration.is_zero(), "a duration of a cache must not be 0");
    duration
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
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
