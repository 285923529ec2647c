//! [`Readings`]: the values of the gauges.

use std::time::Duration;

use ::metrics::gauge;

use super::names;

/// The values of the gauges. A gauge without a watched subject is `None`.
#[derive(Default)]
pub(super) struct Readings {
    pub(super) streams: Option<usize>,
    pub(super) cache: Option<CacheReading>,
    pub(super) live: Option<bool>,
    pub(super) heartbeat: Option<Duration>,
    pub(super) limited: Option<usize>,
    pub(super) throttled: Option<usize>,
    pub(super) backlog: Option<usize>,
    pub(super) pool: Option<PoolReading>,
    pub(super) waiting: Option<usize>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct CacheReading {
    pub(super) records: usize,
    pub(super) unknown: usize,
    pub(super) bytes: usize,
    pub(super) loads: usize,
    /// Entries of records, and of unknown digests.
    pub(super) evictions: [u64; 2],
}

#[derive(Clone, Copy, Default)]
pub(super) struct PoolReading {
    pub(super) in_use: usize,
    pub(super) idle: usize,
    pub(super) max: usize,
}

/// Adds to a sum, or starts it.
pub(super) fn add(sum: &mut Option<usize>, count: usize) {
    *sum.get_or_insert(0) += count;
}

impl Readings {
    #[cfg(feature = "cache")]
    pub(super) fn add_cache(&mut self, one: &CacheReading) {
        let all = self.cache.get_or_insert_default();
        all.records += one.records;
        all.unknown += one.unknown;
        all.bytes += one.bytes;
        all.loads += one.loads;
        for (all, one) in all.evictions.iter_mut().zip(one.evictions) {
            *all += one;
        }
    }

    #[cfg(feature = "cache")]
    pub(super) fn add_subscription(&mut self, is_live: bool, delay: Option<Duration>) {
        self.live = Some(self.live.unwrap_or(true) && is_live);
        self.heartbeat = self.heartbeat.max(delay);
    }

    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(super) fn add_pool(&mut self, one: PoolReading) {
        let all = self.pool.get_or_insert_default();
        all.in_use += one.in_use;
        all.idle += one.idle;
        all.max += one.max;
    }

    /// Sets the gauges. The caller publishes counters.
    pub(super) fn set_gauges(&self) {
        let set = |name, count: Option<usize>| {
            if let Some(count) = count {
                gauge!(name).set(float(count));
            }
        };
        set(names::STREAMS, self.streams);
        set(names::LIMITED, self.limited);
        set(names::THROTTLE, self.throttled);
        set(names::BACKLOG, self.backlog);
        set(names::POOL_WAITING, self.waiting);
        if let Some(cache) = self.cache {
            gauge!(names::CACHE_ENTRIES, "kind" => "record").set(float(cache.records));
            gauge!(names::CACHE_ENTRIES, "kind" => "unknown").set(float(cache.unknown));
            set(names::CACHE_SIZE, Some(cache.bytes));
            set(names::CACHE_LOADS, Some(cache.loads));
        }
        if let Some(is_live) = self.live {
            gauge!(names::LIVE).set(f64::from(u8::from(is_live)));
        }
        if let Some(delay) = self.heartbeat {
            gauge!(names::HEARTBEAT).set(delay.as_secs_f64());
        }
        if let Some(pool) = self.pool {
            gauge!(names::POOL, "state" => "in_use").set(float(pool.in_use));
            gauge!(names::POOL, "state" => "idle").set(float(pool.idle));
            set(names::POOL_MAX, Some(pool.max));
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "gauges are floats")]
fn float(count: usize) -> f64 {
    count as f64
}
