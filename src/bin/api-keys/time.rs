//! Times and periods, as operators write and read them.

use std::time::{Duration, SystemTime};

use crate::exit::Failure;

/// The last second of the year 9999, where texts and databases end.
const LAST: u64 = 253_402_300_799;

const UNITS: [(u64, &str); 4] = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];

/// Reads a period, such as `90d` or `1h 30m`.
pub(crate) fn parse_period(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "a period is written like `90d`, `12h` or `1h 30m`".to_owned())
}

/// Reads a time, such as `2027-01-31T12:00:00Z`, or a day, which begins in UTC.
pub(crate) fn parse_time(text: &str) -> Result<SystemTime, String> {
    let of_day = format!("{text}T00:00:00Z");
    humantime::parse_rfc3339(text)
        .or_else(|_| humantime::parse_rfc3339(&of_day))
        .map_err(|_| "a time is written like `2027-01-31` or `2027-01-31T12:00:00Z`".to_owned())
}

/// Returns the time that is `period` after `now`.
pub(crate) fn later(now: SystemTime, period: Duration) -> Result<SystemTime, Failure> {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST);
    let time = now.checked_add(period).filter(|time| *time <= last);
    time.ok_or_else(|| Failure::usage("the period ends after the year 9999"))
}

/// Returns the time that was `period` before `now`.
pub(crate) fn earlier(now: SystemTime, period: Duration) -> Result<SystemTime, Failure> {
    let time = now.checked_sub(period).filter(|time| *time >= SystemTime::UNIX_EPOCH);
    time.ok_or_else(|| Failure::usage("the period begins before the year 1970"))
}

/// Writes a time by RFC 3339, in whole seconds and in UTC.
pub(crate) fn format(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Like [`format()`], but to the microsecond.
pub(crate) fn format_exact(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH + since.min(Duration::from_secs(LAST));
    humantime::format_rfc3339_micros(time).to_string()
}

/// Does as [`format()`], and adds how far away it is.
pub(crate) fn format_relative(time: SystemTime, now: SystemTime) -> String {
    let distance = match time.duration_since(now) {
        Ok(ahead) => format!("in {}", rough(ahead)),
        Err(past) if past.duration().as_secs() == 0 => "just now".to_owned(),
        Err(past) => format!("{} ago", rough(past.duration())),
    };
    format!("{} ({distance})", format(time))
}

/// Writes a period in the largest unit of which there are two.
fn rough(period: Duration) -> String {
    let seconds = period.as_secs();
    let fits = |(unit, _): &(u64, &str)| seconds >= 2 * unit;
    let (unit, name) = UNITS.into_iter().find(fits).unwrap_or((1, "second"));
    let count = (seconds + unit / 2) / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc() {
        let day = parse_time("2027-01-31").unwrap();
        assert_eq!(format(day), "2027-01-31T00:00:00Z");
        assert_eq!(parse_time("2027-01-31T00:00:00Z").unwrap(), day);
        for wrong in ["", "tomorrow", "2027-13-01", "2027-01-31T25:00:00Z", "20270131"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn periods_that_lead_nowhere_are_refused() {
        let now = SystemTime::now();
        for years in ["9000y", "500000000000y"] {
            assert!(later(now, parse_period(years).unwrap()).is_err());
            assert!(earlier(now, parse_period(years).unwrap()).is_err());
        }
        assert!(parse_period("99999999999999999999y").is_err() && parse_period("90").is_err());
    }

    #[test]
    fn a_distance_is_written_in_words() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let day = Duration::from_secs(86_400);
        for (time, words) in [
            (now + 90 * day - Duration::from_millis(1), "2001-12-08T01:46:39Z (in 90 days)"),
            (now - day, "2001-09-08T01:46:40Z (24 hours ago)"),
            (now - Duration::from_secs(1), "2001-09-09T01:46:39Z (1 second ago)"),
        ] {
            assert_eq!(format_relative(time, now), words);
        }
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
        assert!(format(late).starts_with("9999-12-31"));
    }
}
