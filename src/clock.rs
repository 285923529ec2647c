//! [`Clock`]: the source of the current time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;

/// Provides the time by which keys expire and requests are counted.
///
/// The layer reads it once for each key that can expire, and a limiter in memory once for each request
/// of a key with limits. Tests replace it; the feature `testing` has a fake clock.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> SystemTime;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> SystemTime {
        (**self).now()
    }
}

/// Reads the operating system's clock. The default.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Reads the operating system's clock as of its last tick, some milliseconds ago, where that is several times
/// faster. Precise enough for counts by the hour and times by the second.
#[cfg(feature = "usage")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoarseClock;

#[cfg(feature = "usage")]
impl Clock for CoarseClock {
    #[cfg(target_os = "linux")]
    #[inline]
    fn now(&self) -> SystemTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        // A time before 1970 counts as 1970.
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or_default();
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[cfg(not(target_os = "linux"))]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// Continues from the operating system's time without following its jumps, for durations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MonotonicClock {
    started: SystemTime,
    /// The same moment as `origin`, or just before.
    #[cfg(all(feature = "cache", target_os = "linux"))]
    ticks_from: u64,
    origin: Instant,
}

impl MonotonicClock {
    pub(crate) fn start() -> Self {
        Self {
            started: SystemTime::now(),
            #[cfg(all(feature = "cache", target_os = "linux"))]
            ticks_from: nanoseconds_of(rustix::time::ClockId::Monotonic),
            origin: Instant::now(),
        }
    }
}

#[cfg(all(feature = "cache", target_os = "linux"))]
fn nanoseconds_of(clock: rustix::time::ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    let seconds = time.tv_sec.unsigned_abs().saturating_mul(1_000_000_000);
    seconds.saturating_add(time.tv_nsec.unsigned_abs())
}

#[cfg(feature = "cache")]
impl MonotonicClock {
    /// Returns the nanoseconds since the clock was started.
    pub(crate) fn elapsed(&self) -> u64 {
        let elapsed = self.origin.elapsed();
        elapsed
            .as_secs()
            .saturating_mul(1_000_000_000)
            .saturating_add(elapsed.subsec_nanos().into())
    }

    /// Returns the nanoseconds until the last tick of the system, in a fourth of the time, where the system
    /// tells. That is some milliseconds ago, and longer if the processor that counts the ticks is held up.
    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) fn ticked(&self) -> Option<u64> {
        Some(nanoseconds_of(rustix::time::ClockId::MonotonicCoarse).saturating_sub(self.ticks_from))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) const fn ticked(&self) -> Option<u64> {
        None
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> SystemTime {
        self.started + self.origin.elapsed()
    }
}

/// Returns the microseconds from 1970 to `time`. Every database keeps this unit, and no smaller one.
pub(crate) fn microseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The time from 1970 to the last second of the year 9999, the range of texts and databases.
pub(crate) const LAST: Duration = Duration::from_secs(253_402_300_799);

/// The error of a time that no store keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the time cannot be stored: use one in the years 1970 to 9999")]
pub(crate) struct TimeError;

/// Returns a time in the range of texts and databases.
///
/// # Errors
///
/// Returns an error if it is before 1970 or after 9999.
pub(crate) fn in_range(time: SystemTime) -> Result<SystemTime, TimeError> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TimeError)?;
    if since.as_secs() <= LAST.as_secs() { Ok(time) } else { Err(TimeError) }
}

/// Returns the time that is `period` after `time`, or `None`, which is never, beyond [`LAST`].
pub(crate) fn later(time: SystemTime, period: Duration) -> Option<SystemTime> {
    time.checked_add(period).filter(|time| *time <= SystemTime::UNIX_EPOCH + LAST)
}

/// Returns `time`, truncated to the microsecond.
pub(crate) fn to_microsecond(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    time - Duration::from_nanos(u64::from(since.subsec_nanos() % 1000))
}

/// Returns the nanoseconds from 1970 to `time`. They suffice until the year 2554.
pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(all(test, feature = "cache", target_os = "linux"))]
mod tests {
    use rustix::time::ClockId;

    use super::*;

    #[test]
    fn the_last_tick_is_not_in_the_future() {
        for _ in 0..100_000 {
            let ticked = nanoseconds_of(ClockId::MonotonicCoarse);
            assert!(ticked <= nanoseconds_of(ClockId::Monotonic));
        }
    }
}
