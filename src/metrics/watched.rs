//! [`Watched`]: what the metrics can watch.

use super::readings::{Readings, add};
use crate::layer::ApiKeyLayer;
use crate::limit::{FailureThrottle, MemoryRateLimiter};

/// Adds the readings of something, unless it was dropped.
pub(super) type Source = Box<dyn Fn(&mut Readings) -> bool + Send + Sync>;

/// A type that [`Metrics::watch`](super::Metrics::watch) accepts: a layer, or a store, limiter, throttle or recorder
/// of this crate.
#[allow(private_bounds, reason = "sealed")]
pub trait Watched: Watch {}

impl<T: Watch> Watched for T {}

/// Seals [`Watched`].
pub(super) trait Watch {
    fn source(&self) -> Source;
}

/// Makes a source of a function that returns a number, or `None` once its subject was dropped.
fn counting(
    count: impl Fn() -> Option<usize> + Send + Sync + 'static,
    sum: fn(&mut Readings) -> &mut Option<usize>,
) -> Source {
    Box::new(move |readings| count().inspect(|count| add(sum(readings), *count)).is_some())
}

impl Watch for ApiKeyLayer {
    fn source(&self) -> Source {
        counting(self.stream_counter(), |readings| &mut readings.streams)
    }
}

impl Watch for MemoryRateLimiter {
    fn source(&self) -> Source {
        counting(self.subject_counter(), |readings| &mut readings.limited)
    }
}

impl Watch for FailureThrottle {
    fn source(&self) -> Source {
        counting(self.address_counter(), |readings| &mut readings.throttled)
    }
}

#[cfg(feature = "usage")]
impl Watch for crate::usage::UsageRecorder {
    fn source(&self) -> Source {
        counting(self.backlog_counter(), |readings| &mut readings.backlog)
    }
}

#[cfg(feature = "cache")]
impl<S: 'static> Watch for crate::store::CachedStore<S> {
    fn source(&self) -> Source {
        use super::readings::CacheReading;

        let statistics = self.statistics();
        Box::new(move |readings| {
            let Some(cache) = statistics() else { return false };
            readings.add_cache(&CacheReading {
                records: cache.records,
                unknown: cache.unknown,
                bytes: cache.bytes,
                loads: cache.loads,
                evictions: cache.evictions,
            });
            if let Some(is_live) = cache.is_live {
                readings.add_subscription(is_live, cache.heartbeat_delay);
            }
            true
        })
    }
}

#[cfg(feature = "postgres")]
impl Watch for crate::store::PostgresStore {
    fn source(&self) -> Source {
        let statistics = self.pool_statistics();
        Box::new(move |readings| {
            let Some((pool, waiting)) = statistics() else { return false };
            readings.add_pool(pool_reading(
                pool.size(),
                pool.num_idle(),
                pool.options().get_max_connections(),
            ));
            add(&mut readings.waiting, waiting);
            true
        })
    }
}

#[cfg(feature = "sqlite")]
impl Watch for crate::store::SqliteStore {
    fn source(&self) -> Source {
        let pool = self.weak_pool();
        Box::new(move |readings| {
            let Some(pool) = pool() else { return false };
            readings.add_pool(pool_reading(
                pool.size(),
                pool.num_idle(),
                pool.options().get_max_connections(),
            ));
            true
        })
    }
}

#[cfg(any(feature = "postgres", feature = "sqlite"))]
fn pool_reading(size: u32, idle: usize, max: u32) -> super::readings::PoolReading {
    let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
    super::readings::PoolReading {
        in_use: number(size).saturating_sub(idle),
        idle,
        max: number(max),
    }
}
