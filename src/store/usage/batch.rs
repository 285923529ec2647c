//! [`UsageBatch`]: usage that is added to a store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::UsageCounts;
use super::hours::{HOURS_PER_DAY, Hour, SECONDS_PER_HOUR};
use crate::key::{KeyId, TenantId};

/// The numbers of requests of one key in one hour.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// The key.
    pub id: KeyId,
    /// The tenant on whose behalf it acts.
    pub tenant: Option<TenantId>,
    pub(crate) hour: Hour,
    /// The numbers of requests by outcome.
    pub counts: UsageCounts,
}

impl KeyUsage {
    /// Creates the usage of a key in the hour of `time`, in UTC.
    #[must_use]
    pub fn new(id: KeyId, tenant: Option<TenantId>, time: SystemTime, counts: UsageCounts) -> Self {
        Self { id, tenant, hour: Hour::of(time), counts }
    }

    /// Returns when the hour begins.
    #[must_use]
    pub fn hour(&self) -> SystemTime {
        self.hour.start()
    }
}

/// Usage that is added to a store exactly once, even if it is sent several times.
///
/// A batch has the name of its writer and a number. A writer sends its batches one after the other, with
/// rising numbers. So a store that has seen the number, or a later one, has added the batch.
#[derive(Clone, PartialEq, Eq)]
pub struct UsageBatch {
    pub(crate) writer: Arc<str>,
    pub(crate) number: u64,
    pub(crate) retention: UsageRetention,
    pub(crate) rows: Vec<KeyUsage>,
}

impl UsageBatch {
    /// Makes a batch. Rows of the same key and hour are summed up, and rows are ordered by key.
    #[must_use]
    pub fn new(
        writer: &str,
        number: u64,
        retention: UsageRetention,
        rows: impl IntoIterator<Item = KeyUsage>,
    ) -> Self {
        let mut by_key = BTreeMap::<_, KeyUsage>::new();
        for row in rows {
            match by_key.get_mut(&(row.id.clone(), row.hour)) {
                Some(same) => same.counts.add_all(&row.counts),
                None => drop(by_key.insert((row.id.clone(), row.hour), row)),
            }
        }
        let rows = by_key.into_values().filter(|row| !row.counts.is_empty()).collect();
        Self { writer: writer.into(), number, retention, rows }
    }

    /// Returns the name of the writer.
    #[must_use]
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// Returns the number of the batch, which rises with each batch of the writer.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns how long usage is kept, for stores in which it expires by itself.
    #[must_use]
    pub const fn retention(&self) -> UsageRetention {
        self.retention
    }

    /// Returns the usage, one row for each key and hour, ordered by key and then hour.
    #[must_use]
    pub fn rows(&self) -> &[KeyUsage] {
        &self.rows
    }
}

impl fmt::Debug for UsageBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageBatch")
            .field("writer", &self.writer)
            .field("number", &self.number)
            .field("rows", &self.rows.len())
            .finish_non_exhaustive()
    }
}

/// How long usage is kept.
///
/// When the hours of a day are too old, they are summed up to a day, which is kept longer.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::UsageRetention;
///
/// let default = UsageRetention::default();
/// assert_eq!(default, UsageRetention::days(90, 400));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageRetention {
    pub(crate) hours: Duration,
    pub(crate) days: Duration,
}

impl UsageRetention {
    /// Keeps hours for `hours_for` days, and days for `days_for` days. Days are kept at least as long as hours.
    #[must_use]
    pub const fn days(hours_for: u32, days_for: u32) -> Self {
        const fn days(number: u32) -> Duration {
            Duration::from_secs(number as u64 * HOURS_PER_DAY as u64 * SECONDS_PER_HOUR)
        }
        let days_for = if days_for < hours_for { hours_for } else { days_for };
        Self { hours: days(hours_for), days: days(days_for) }
    }

    /// Returns how long hours are kept.
    #[must_use]
    pub const fn of_hours(&self) -> Duration {
        self.hours
    }

    /// Returns how long days are kept.
    #[must_use]
    pub const fn of_days(&self) -> Duration {
        self.days
    }

    /// Returns the first hour and the first day that are kept at the time `now`.
    ///
    /// Hours are summed up by whole days.
    pub(crate) fn first_kept(&self, now: SystemTime) -> (Hour, Hour) {
        let now = Hour::of(now);
        (now.earlier(self.hours).day(), now.earlier(self.days).day())
    }
}

impl Default for UsageRetention {
    /// Keeps hours for 90 days, and days for 400.
    fn default() -> Self {
        Self::days(90, 400)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UsageKind;

    fn row(id: &str, hour: u64, accepted: u64) -> KeyUsage {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, accepted);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(hour * SECONDS_PER_HOUR + 59);
        KeyUsage::new(id.parse().unwrap(), None, time, counts)
    }

    #[test]
    fn a_batch_has_each_key_and_hour_once_and_in_order() {
        let rows = [row("b", 1, 1), row("a", 2, 2), row("b", 1, 3), row("a", 1, 4), row("c", 1, 0)];
        let batch = UsageBatch::new("w", 7, UsageRetention::default(), rows);
        assert_eq!(batch.rows(), [row("a", 1, 4), row("a", 2, 2), row("b", 1, 4)]);
        assert_eq!(format!("{batch:?}"), r#"UsageBatch { writer: "w", number: 7, rows: 3, .. }"#);
    }

    #[test]
    fn days_are_kept_as_long_as_their_hours() {
        let retention = UsageRetention::days(3, 1);
        assert_eq!(retention.of_hours(), retention.of_days());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100 * 24 * SECONDS_PER_HOUR + 9999);
        let first = UsageRetention::days(2, 10).first_kept(now);
        assert_eq!(first, (Hour(98 * 24), Hour(90 * 24)));
        assert_eq!(UsageRetention::days(u32::MAX, 0).first_kept(now), (Hour(0), Hour(0)));
    }
}
