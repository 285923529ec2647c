//! Times and periods, as operators write and read them.

use std::time::{Duration, SystemTime};

use jiff::fmt::friendly::SpanParser;

use crate::exit::Failure;
use crate::rfc3339::{self, format_nearest};

/// The last second of the year 9999, where texts and databases end.
const LAST: u64 = 253_402_300_799;

const DAY: u64 = 86_400;

/// The average length of a year and a month, for periods without a start.
const YEAR: u64 = 31_557_600;
const MONTH: u64 = 2_630_016;

const UNITS: [(u64, &str); 4] = [(DAY, "day"), (3600, "hour"), (60, "minute"), (1, "second")];

/// Reads a period, such as `90d` or `1h 30m`.
pub(crate) fn parse_period(text: &str) -> Result<Duration, String> {
    read_period(text)
        .ok_or_else(|| "invalid period: write it like `90d`, `12h` or `1h 30m`".to_owned())
}

fn read_period(text: &str) -> Option<Duration> {
    let span = SpanParser::new().parse_span(text.trim()).ok().filter(|span| !span.is_negative())?;
    let long = [
        (i64::from(span.get_years()), YEAR),
        (i64::from(span.get_months()), MONTH),
        (i64::from(span.get_weeks()), 7 * DAY),
        (i64::from(span.get_days()), DAY),
        (i64::from(span.get_hours()), 3600),
        (span.get_minutes(), 60),
        (span.get_seconds(), 1),
    ];
    let seconds = long.into_iter().try_fold(0_u64, |sum, (count, unit)| {
        sum.checked_add(u64::try_from(count).ok()?.checked_mul(unit)?)
    })?;
    let short = [
        Duration::from_millis(u64::try_from(span.get_milliseconds()).ok()?),
        Duration::from_micros(u64::try_from(span.get_microseconds()).ok()?),
        Duration::from_nanos(u64::try_from(span.get_nanoseconds()).ok()?),
    ];
    short.into_iter().try_fold(Duration::from_secs(seconds), Duration::checked_add)
}

/// Reads a time with any offset, such as `2027-01-31T12:00:00+01:00`, or a day, which begins in UTC.
pub(crate) fn parse_time(text: &str) -> Result<SystemTime, String> {
    rfc3339::parse_time(text).or_else(|_| beginning_of(text)).map_err(|_| {
        "invalid time: write it like `2027-01-31`, `2027-01-31T12:00:00Z` or \
         `2027-01-31T12:00:00+01:00`"
            .to_owned()
    })
}

/// Like [`parse_time`], but returns the end of a day: the first moment after it, in UTC.
pub(crate) fn parse_end(text: &str) -> Result<SystemTime, String> {
    let Ok(day) = beginning_of(text) else { return parse_time(text) };
    // The last day of all ends a second earlier.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST);
    Ok((day + Duration::from_secs(DAY)).min(last))
}

fn beginning_of(day: &str) -> Result<SystemTime, rfc3339::TimeError> {
    rfc3339::parse_time(&format!("{day}T00:00:00Z"))
}

/// Returns the time that is `period` after `now`.
pub(crate) fn later(now: SystemTime, period: Duration) -> Result<SystemTime, Failure> {
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST);
    let time = now.checked_add(period).filter(|time| *time <= last);
    time.ok_or_else(|| Failure::usage("the period ends after the year 9999: use a shorter one"))
}

/// Returns the time that was `period` before `now`.
pub(crate) fn earlier(now: SystemTime, period: Duration) -> Result<SystemTime, Failure> {
    let time = now.checked_sub(period).filter(|time| *time >= SystemTime::UNIX_EPOCH);
    time.ok_or_else(|| Failure::usage("the period begins before the year 1970: use a shorter one"))
}

/// Writes a time by RFC 3339, in whole seconds and in UTC.
pub(crate) fn format(time: SystemTime) -> String {
    format_nearest(time, 0)
}

/// Like [`format()`], but to the microsecond.
pub(crate) fn format_exact(time: SystemTime) -> String {
    format_nearest(time, 6)
}

/// Like [`format()`], but adds the distance from now.
pub(crate) fn format_relative(time: SystemTime, now: SystemTime) -> String {
    let distance = match time.duration_since(now) {
        Ok(ahead) => format!("in {}", rough(ahead)),
        Err(past) if past.duration().as_secs() == 0 => "just now".to_owned(),
        Err(past) => format!("{} ago", rough(past.duration())),
    };
    format!("{} ({distance})", format(time))
}

/// Writes a period in the largest unit of which it has at least two.
fn rough(period: Duration) -> String {
    let seconds = period.as_secs();
    let fits = |(unit, _): &(u64, &str)| seconds >= 2 * unit;
    let (unit, name) = UNITS.into_iter().find(fits).unwrap_or((1, "second"));
    let count = (seconds + unit / 2) / unit;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_begins_at_midnight_in_utc_and_ends_at_the_next() {
        let day = parse_time("2027-01-31").unwrap();
        assert_eq!(format(day), "2027-01-31T00:00:00Z");
        assert_eq!(parse_time("2027-01-31T00:00:00Z").unwrap(), day);
        assert_eq!(format(parse_end("2027-01-31").unwrap()), "2027-02-01T00:00:00Z");
        assert_eq!(format(parse_end("9999-12-31").unwrap()), "9999-12-31T23:59:59Z");
        for text in ["2027-01-31T12:00:00Z", "2027-01-31T13:00:00+01:00"] {
            for parse in [parse_time, parse_end] {
                assert_eq!(format(parse(text).unwrap()), "2027-01-31T12:00:00Z", "{text}");
            }
        }
        for wrong in ["", "tomorrow", "2027-13-01", "2027-01-31T25:00:00Z", "20270131"] {
            assert!(parse_time(wrong).is_err() && parse_end(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn periods_that_lead_nowhere_are_refused() {
        let now = SystemTime::now();
        let years = parse_period("9000y").unwrap();
        assert!(later(now, years).is_err() && earlier(now, years).is_err());
        let wrong = ["", "90", "d", "-1d", "1d ago", "99999999999999999999y", "P1D", "1x"];
        for text in wrong {
            assert!(parse_period(text).is_err(), "{text}");
        }
        // Not the letter of minutes for months.
        assert!(parse_period("1M").is_err());
        assert_eq!(parse_period("1mo"), Ok(Duration::from_secs(MONTH)));
    }

    /// A period in units that become smaller, as `humantime` reads them too. It took `M` for months and
    /// units in any order besides.
    fn periods() -> impl Strategy<Value = String> {
        let unit = |names: &'static [&'static str]| {
            let name = prop::sample::select(names);
            prop::option::of(
                (0u32..400, "[ ]?", name)
                    .prop_map(|(count, space, name)| format!("{count}{space}{name}")),
            )
        };
        let long = (
            unit(&["years", "year", "yr", "yrs", "y"]),
            unit(&["months", "month"]),
            unit(&["weeks", "week", "wk", "wks", "w"]),
            unit(&["days", "day", "d"]),
        );
        let short = (
            unit(&["hours", "hour", "hr", "hrs", "h"]),
            unit(&["minutes", "minute", "min", "mins", "m"]),
            unit(&["seconds", "second", "sec", "secs", "s"]),
            unit(&["msec", "ms"]),
            unit(&["usec", "us"]),
            unit(&["nsec", "ns"]),
        );
        (long, short, "[ ]").prop_map(|((y, mo, w, d), (h, m, s, ms, us, ns), space)| {
            let parts = [y, mo, w, d, h, m, s, ms, us, ns].into_iter().flatten();
            parts.collect::<Vec<_>>().join(&space)
        })
    }

    proptest! {
        #[test]
        fn periods_are_read_as_before(text in periods()) {
            prop_assert_eq!(parse_period(&text).ok(), humantime::parse_duration(&text).ok(), "{}", text);
        }

        #[test]
        fn reading_a_period_never_panics(text in "\\PC*|[0-9a-z .+-]{0,40}") {
            let _ = (parse_period(&text), parse_time(&text), parse_end(&text));
        }
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
