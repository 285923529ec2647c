//! [`LastUsedBuilder`]: the settings of a [`LastUsed`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::store::RecordUses;

/// Longer than any server runs, and short enough to be added to any time.
const LONGEST_INTERVAL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Sets up a [`LastUsed`](super::LastUsed).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::{LastUsed, MemoryStore};
///
/// let last_used =
///     LastUsed::builder(MemoryStore::new()).interval(Duration::from_secs(600)).build();
/// ```
#[must_use]
pub struct LastUsedBuilder {
    pub(super) repository: Arc<dyn RecordUses>,
    pub(super) clock: Box<dyn Clock>,
    pub(super) interval: Duration,
    pub(super) write_timeout: Duration,
    pub(super) max_keys: usize,
}

impl LastUsedBuilder {
    pub(super) fn new(repository: Arc<dyn RecordUses>) -> Self {
        Self {
            repository,
            clock: Box::new(SystemClock),
            interval: Duration::from_secs(60),
            write_timeout: Duration::from_secs(5),
            max_keys: 1_000_000,
        }
    }

    /// Sets how long a key that was written is not written again.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.min(LONGEST_INTERVAL);
        self
    }

    /// Sets how long the repository may take for a batch; then it has failed.
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets how many keys are kept in memory: those that were used within the last interval, and
    /// those that are not written yet. A million of them take about 150 MB.
    ///
    /// While there are so many, uses of further keys are not noted; one error is logged. It takes
    /// that many valid keys to get there.
    pub fn max_keys(mut self, most: usize) -> Self {
        self.max_keys = most;
        self
    }

    /// Sets the clock by which uses are dated. Intervals are measured by tokio's.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Box::new(clock);
        self
    }
}

impl fmt::Debug for LastUsedBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastUsedBuilder")
            .field("interval", &self.interval)
            .field("write_timeout", &self.write_timeout)
            .field("max_keys", &self.max_keys)
            .finish_non_exhaustive()
    }
}
