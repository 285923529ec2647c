//! [`UsageRecorderBuilder`]: the settings of a [`UsageRecorder`](super::UsageRecorder).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, CoarseClock};
use crate::store::{UsageRetention, UsageStore};

/// The longest interval: longer than any server runs, and short enough to add it to any time.
const LONGEST_INTERVAL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Builds a [`UsageRecorder`](super::UsageRecorder).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::store::UsageRetention;
/// use tower_api_key::{MemoryStore, UsageRecorder};
///
/// let usage = UsageRecorder::builder(MemoryStore::new())
///     .interval(Duration::from_secs(600))
///     .retention(UsageRetention::days(30, 800))
///     .build();
/// assert_eq!(format!("{usage:?}"), "UsageRecorder { .. }");
/// ```
#[must_use]
pub struct UsageRecorderBuilder {
    pub(super) store: Arc<dyn UsageStore>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) interval: Duration,
    pub(super) write_timeout: Duration,
    pub(super) max_keys: usize,
    pub(super) retention: UsageRetention,
    pub(super) prunes: bool,
}

impl UsageRecorderBuilder {
    pub(super) fn new(store: Arc<dyn UsageStore>) -> Self {
        Self {
            store,
            clock: Box::new(CoarseClock),
            interval: Duration::from_secs(60),
            write_timeout: Duration::from_secs(5),
            max_keys: 1_000_000,
            retention: UsageRetention::default(),
            prunes: true,
        }
    }

    /// Sets the interval of writes: at most one row of each key is written per interval. The default is 60 seconds.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// let builder = UsageRecorder::builder(MemoryStore::new())
    ///     .interval(Duration::from_secs(10))
    ///     .write_timeout(Duration::from_secs(2))
    ///     .max_keys(10_000);
    /// assert!(format!("{builder:?}").contains("interval: 10s"));
    /// ```
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.min(LONGEST_INTERVAL);
        self
    }

    /// Sets the timeout of a batch. If the store takes longer, it has failed, and the batch is sent again. The
    /// default is 5 seconds.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets the largest number of keys in memory. The default is 1 000 000.
    ///
    /// The recorder keeps keys that were used within the last two intervals, and keys that are not written yet.
    /// Beyond this number, requests of further keys are not counted, and one error is logged. Unknown keys do not
    /// count.
    pub fn max_keys(mut self, most: usize) -> Self {
        self.max_keys = most;
        self
    }

    /// Sets the retention of usage. By default, hours are kept for 90 days and days for 400.
    ///
    /// Set the same retention for all recorders of a store. Otherwise, the shortest one applies.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::UsageRetention;
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// let retention = UsageRetention::days(30, 800);
    /// let builder = UsageRecorder::builder(MemoryStore::new()).retention(retention);
    /// assert!(format!("{builder:?}").contains(&format!("retention: {retention:?}")));
    /// ```
    pub fn retention(mut self, retention: UsageRetention) -> Self {
        self.retention = retention;
        self
    }

    /// Disables pruning, for nodes whose database role may not delete.
    ///
    /// Another node then has to delete old usage, or you call
    /// [`KeyManager::prune_usage`](crate::KeyManager::prune_usage), as `api-keys prune` does.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// let builder = UsageRecorder::builder(MemoryStore::new()).without_pruning();
    /// assert!(format!("{builder:?}").contains("prunes: false"));
    /// ```
    pub fn without_pruning(mut self) -> Self {
        self.prunes = false;
        self
    }

    /// Sets the clock of the recorded times and hours. Intervals use the clock of Tokio.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use tower_api_key::testing::FakeClock;
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// let usage = UsageRecorder::builder(MemoryStore::new()).clock(FakeClock::new()).build();
    /// # assert_eq!(format!("{usage:?}"), "UsageRecorder { .. }");
    /// # }
    /// ```
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }
}

impl fmt::Debug for UsageRecorderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageRecorderBuilder")
            .field("interval", &self.interval)
            .field("write_timeout", &self.write_timeout)
            .field("max_keys", &self.max_keys)
            .field("retention", &self.retention)
            .field("prunes", &self.prunes)
            .finish_non_exhaustive()
    }
}
