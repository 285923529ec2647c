//! [`Hour`]: hours and days in UTC, by their numbers since 1970.

use std::time::{Duration, SystemTime};

pub(crate) const SECONDS_PER_HOUR: u64 = 3600;
pub(crate) const HOURS_PER_DAY: u32 = 24;

/// An hour in UTC, by its number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(pub(crate) u32);

impl Hour {
    /// The last hour of the year 9999.
    pub(crate) const LAST: Self = Self(70_389_527);

    /// Returns the hour of `time`: the first for times before 1970, the last for times after 9999.
    pub(crate) fn of(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let hour = u32::try_from(since.as_secs() / SECONDS_PER_HOUR).unwrap_or(u32::MAX);
        Self(hour).min(Self::LAST)
    }

    /// Returns the first hour that does not begin before `time`.
    pub(crate) fn not_before(time: SystemTime) -> Self {
        let hour = Self::of(time);
        if hour.start() < time { Self(hour.0 + 1) } else { hour }
    }

    pub(crate) fn start(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(self.0) * SECONDS_PER_HOUR)
    }

    /// Returns the first hour of the day.
    pub(crate) fn day(self) -> Self {
        Self(self.0 - self.0 % HOURS_PER_DAY)
    }

    /// Returns the hour that is `by` earlier, in whole hours, or the first.
    pub(crate) fn earlier(self, by: Duration) -> Self {
        let hours = u32::try_from(by.as_secs() / SECONDS_PER_HOUR).unwrap_or(u32::MAX);
        Self(self.0.saturating_sub(hours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn an_hour_begins_with_its_first_moment() {
        assert_eq!(Hour::of(at(7199)), Hour(1));
        assert_eq!(Hour::of(at(7200)), Hour(2));
        assert_eq!(Hour::not_before(at(7200)), Hour(2));
        assert_eq!(Hour::not_before(at(7200) + Duration::from_nanos(1)), Hour(3));
        assert_eq!(Hour(47).day(), Hour(24));
        assert_eq!(Hour(2).start(), at(7200));
        assert_eq!(Hour(50).earlier(Duration::from_secs(7199)), Hour(49));
        assert_eq!(Hour(1).earlier(Duration::MAX), Hour(0));
    }

    #[test]
    fn times_that_no_store_keeps_are_in_the_first_and_the_last_hour() {
        assert_eq!(Hour::of(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), Hour(0));
        assert_eq!(Hour::of(at(253_402_300_799)), Hour::LAST);
        assert_eq!(Hour::of(at(1 << 40)), Hour::LAST);
        assert_eq!(Hour::not_before(at(1 << 40)), Hour(Hour::LAST.0 + 1));
    }
}
