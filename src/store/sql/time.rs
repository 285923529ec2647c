//! Times as the microseconds since 1970 that databases keep.

use std::time::{Duration, SystemTime};

use crate::clock::{TimeError, in_range};

/// The last microsecond of the year 9999, beyond which a record has no text either.
const LAST: i64 = 253_402_300_799_999_999;

/// Returns the microsecond of `time`.
pub(in crate::store) fn to_microseconds(time: SystemTime) -> Result<i64, TimeError> {
    let since = in_range(time)?.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TimeError)?;
    i64::try_from(since.as_micros()).map_err(|_| TimeError)
}

/// Returns the time of a microsecond.
pub(in crate::store) fn from_microseconds(microseconds: i64) -> Result<SystemTime, TimeError> {
    let since = u64::try_from(microseconds).map_err(|_| TimeError)?;
    let known = microseconds <= LAST;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(since));
    time.filter(|_| known).ok_or(TimeError)
}

/// Returns the last microsecond that is not after `time`, so that `kept <= it` says
/// `kept <= time`. Times that no row has are the nearest that say the same.
pub(super) fn not_after(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).map_or(LAST, |time| time.min(LAST)),
        Err(_) => -1,
    }
}

/// Returns the first microsecond that is not before `time`, so that `kept < it` says
/// `kept < time`.
pub(super) fn not_before(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => {
            let microseconds = since.as_nanos().div_ceil(1000);
            i64::try_from(microseconds).map_or(LAST + 1, |time| time.min(LAST + 1))
        }
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanoseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
    }

    #[test]
    fn the_years_1970_to_9999_are_kept() {
        for microseconds in [0, 1, 1_700_000_000_123_456, LAST] {
            let time = from_microseconds(microseconds).unwrap();
            assert_eq!(to_microseconds(time), Ok(microseconds));
        }
        assert_eq!(to_microseconds(at(1999)), Ok(1));
        for microseconds in [-1, LAST + 1, i64::MIN, i64::MAX] {
            assert_eq!(from_microseconds(microseconds), Err(TimeError));
        }
        let beyond = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        for time in [at(0) - Duration::from_nanos(1), beyond] {
            assert_eq!(to_microseconds(time), Err(TimeError));
        }
    }

    #[test]
    fn a_time_between_two_microseconds_is_compared_as_itself() {
        let long = Duration::from_secs(1 << 40);
        let far = [at(0) + long, at(0) - long];
        let times = [0, 999, 1000, 1001, 2000].map(at).into_iter().chain(far);
        for time in times {
            for kept in [0, 1, 2, LAST] {
                let kept_at = from_microseconds(kept).unwrap();
                assert_eq!(kept <= not_after(time), kept_at <= time, "{kept} {time:?}");
                assert_eq!(kept < not_before(time), kept_at < time, "{kept} {time:?}");
            }
        }
    }
}
