//! [`UsageRecorderBuilder`]: the settings of a [`UsageRecorder`](super::UsageRecorder).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::store::{UsageRetention, UsageStore};

/// Longer than any server runs, and short enough to be added to any time.
const LONGEST_INTERVAL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Sets up a [`UsageRecorder`](super::UsageRecorder).
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
            clock: Box::new(SystemClock),
            interval: Duration::from_secs(60),
            write_timeout: Duration::from_secs(5),
            max_keys: 1_000_000,
            retention: UsageRetention::default(),
            prunes: true,
        }
    }

    /// Sets how long a key that was written is not written again.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.min(LONGEST_INTERVAL);
        self
    }

    /// Sets how long the store may take for a batch; then it has failed.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets how many keys are kept in memory: those that were used within the last two intervals, and
    /// those that are not written yet.
    ///
    /// While there are so many, requests of further keys are not counted; one error is logged. It takes
    /// that many known keys to get there.
    pub fn max_keys(mut self, most: usize) -> Self {
        self.max_keys = most;
        self
    }

    /// Sets how long usage is kept. By default, hours for 90 days and days for 400.
    ///
    /// All recorders of a store have the same retention, or the shortest of them counts.
    pub fn retention(mut self, retention: UsageRetention) -> Self {
        self.retention = retention;
        self
    }

    /// Leaves it to others to delete what is too old: to other nodes, or to
    /// [`KeyManager::prune_usage`](crate::KeyManager::prune_usage), such as by `api-keys prune`.
    ///
    /// For nodes whose role in the database may not delete.
    pub fn without_pruning(mut self) -> Self {
        self.prunes = false;
        self
    }

    /// Sets the clock by which requests are dated. Intervals are measured by tokio's.
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
