//! [`Statistics`]: the state of a cache, for metrics.

use std::sync::Arc;
use std::time::Duration;

use super::CachedStore;

/// The state of a cache.
pub(crate) struct Statistics {
    pub(crate) records: usize,
    pub(crate) unknown: usize,
    pub(crate) bytes: usize,
    pub(crate) loads: usize,
    /// Of records, and of unknown digests.
    pub(crate) evictions: [u64; 2],
    /// `None` for a cache without a source.
    pub(crate) is_live: Option<bool>,
    /// `None` before the first heartbeat.
    pub(crate) heartbeat_delay: Option<Duration>,
}

impl<S: 'static> CachedStore<S> {
    /// Returns a function for the state of the cache, which does not keep the cache alive.
    pub(crate) fn statistics(
        &self,
    ) -> impl Fn() -> Option<Statistics> + Send + Sync + 'static + use<S> {
        let (memory, flights) = (Arc::downgrade(&self.0.memory), Arc::downgrade(&self.0.flights));
        let has_source = self.0.subscription.is_some();
        move || {
            let (memory, flights) = (memory.upgrade()?, flights.upgrade()?);
            let (records, unknown) = memory.entries.len();
            let delay = memory.liveness.delay();
            Some(Statistics {
                records,
                unknown,
                bytes: memory.entries.bytes(),
                loads: flights.len(),
                evictions: memory.entries.evicted(),
                is_live: has_source.then(|| memory.is_live()),
                heartbeat_delay: (has_source && !delay.is_zero()).then_some(delay),
            })
        }
    }
}
