//! Times as RFC 3339 writes them: the one form in which this crate and its program read and write them.

use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::{DateTimeParser, DateTimePrinter};
use thiserror::Error;

/// Where the times of systems and of databases begin.
const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// From the epoch to the last second of the year 9999, where texts and databases end.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// How many digits of a second are read. What follows is smaller than any clock tells.
const DIGITS: usize = 9;

/// The error of a text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a time is written like `2030-12-31T23:59:59Z`, between the years 1970 and 9999")]
pub(crate) struct TimeError;

/// Parses a time with any offset (RFC 3339, section 5.6).
///
/// The parser knows more forms, such as that of a week or with the name of a zone. What is accepted here
/// is what the documents say, and no more.
pub(crate) fn parse_time(text: &str) -> Result<SystemTime, TimeError> {
    let (date, rest) = text.split_at_checked("0000-00-00T00:00:00".len()).ok_or(TimeError)?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => {
            let is_digit = |byte: &u8| byte.is_ascii_digit();
            let digits = rest.bytes().take_while(is_digit).count();
            if digits == 0 {
                return Err(TimeError);
            }
            (&rest[..digits.min(DIGITS)], &rest[digits..])
        }
        None => ("0", rest),
    };
    if !has_form(date, "0000-00-00T00:00:00") {
        return Err(TimeError);
    }
    let offset = parse_offset(offset).ok_or(TimeError)?;
    let local = DateTimeParser::new().parse_datetime(format!("{date}.{fraction}"));
    let since = local.map_err(|_| TimeError)?.duration_since(EPOCH).checked_sub(offset);
    let since = since.and_then(|since| Duration::try_from(since).ok());
    let since = since.filter(|since| since.as_secs() <= LAST.as_secs());
    since.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)).ok_or(TimeError)
}

/// Parses `Z`, or hours and minutes.
fn parse_offset(text: &str) -> Option<SignedDuration> {
    if text == "Z" {
        return Some(SignedDuration::ZERO);
    }
    let (sign, text) = text.split_at_checked(1)?;
    let (hours, minutes) = text.split_once(':').filter(|_| has_form(text, "00:00"))?;
    let number = |text: &str, end: i64| text.parse::<i64>().ok().filter(|number| *number < end);
    let seconds = number(hours, 24)? * 3600 + number(minutes, 60)? * 60;
    match sign {
        "+" => Some(SignedDuration::from_secs(seconds)),
        "-" => Some(SignedDuration::from_secs(-seconds)),
        _ => None,
    }
}

/// Tells whether a text has digits where `form` has zeros, and else the same.
fn has_form(text: &str, form: &str) -> bool {
    let fits = |(byte, form): (u8, u8)| byte == form || (form == b'0' && byte.is_ascii_digit());
    text.len() == form.len() && text.bytes().zip(form.bytes()).all(fits)
}

/// Writes a time in UTC, with so many digits of the second or, with none, as many as it needs. Before 1970
/// and after 9999, there are no such texts.
pub(crate) fn format_time(time: SystemTime, digits: Option<u8>) -> Result<String, TimeError> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).map_err(|_| TimeError)?;
    let since = SignedDuration::try_from(since).map_err(|_| TimeError)?;
    let time = EPOCH.checked_add(since).map_err(|_| TimeError)?;
    Ok(DateTimePrinter::new().precision(digits).datetime_to_string(&time) + "Z")
}

/// Like [`format_time`], but writes a time that has no such text as the nearest that has.
pub(crate) fn format_nearest(time: SystemTime, digits: u8) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = SystemTime::UNIX_EPOCH + since.min(LAST);
    format_time(time, Some(digits)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_time_is_the_same_with_any_offset() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_893_499_200);
        for text in [
            "2030-01-01T12:00:00Z",
            "2030-01-01T12:00:00.000Z",
            "2030-01-01T12:00:00+00:00",
            "2030-01-01T12:00:00-00:00",
            "2030-01-01T13:30:00+01:30",
            "2030-01-02T11:00:00+23:00",
            "2030-01-01T04:00:00.0-08:00",
        ] {
            assert_eq!(parse_time(text), Ok(noon), "{text}");
        }
        let half = noon + Duration::from_millis(500);
        assert_eq!(parse_time("2030-01-01T12:00:00.5Z"), Ok(half));
        assert_eq!(parse_time("2030-01-01T12:00:00.50000000099999+00:00"), Ok(half));
        let last = SystemTime::UNIX_EPOCH + LAST;
        assert_eq!(parse_time("9999-12-31T23:59:59Z"), Ok(last));
        assert_eq!(parse_time("9999-12-31T13:59:59-10:00"), Ok(last));
        // A leap second has no number of its own.
        assert_eq!(parse_time("2016-12-31T23:59:60Z"), parse_time("2016-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "Z",
            "+00:00",
            "tomorrow",
            "2030-01-01",
            "2030-01-01T12:00:00",
            "2030-01-01 12:00:00Z",
            "2030-01-01t12:00:00z",
            "2030-01-01T12:00:00ZZ",
            "2030-01-01T12:00:00.Z",
            "2030-01-01T12:00:00,5Z",
            "2030-01-01T12:00:00.+00:00",
            "2030-01-01T12:00:00+00:00Z",
            "2030-01-01T12:00:00+24:00",
            "2030-01-01T12:00:00+01:60",
            "2030-01-01T12:00:00+1:000",
            "2030-01-01T12:00:00++1:00",
            "2030-01-01T12:00:00+01",
            "2030-01-01T12:00:00+0100",
            "2030-01-01T12:00:00Z[UTC]",
            "2030-01-01T12:00Z",
            "20300101T120000Z",
            "2030-W01-1T12:00:00Z",
            "2030-13-01T12:00:00Z",
            "2030-02-30T12:00:00Z",
            "2030-01-01T25:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "2030-01-01T12:00:00\u{e9}00:0",
            "\u{662}030-01-01T12:00:00Z",
        ] {
            assert_eq!(parse_time(text), Err(TimeError), "{text}");
        }
    }

    #[test]
    fn a_time_that_has_no_text_is_the_nearest_that_has() {
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        assert_eq!(format_nearest(early, 0), "1970-01-01T00:00:00Z");
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(300_000_000_000);
        assert_eq!(format_nearest(late, 6), "9999-12-31T23:59:59.000000Z");
        for time in [early, late] {
            assert_eq!(format_time(time, None), Err(TimeError));
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,12}(Z|[-+][0-9:]{0,6})") {
            let _ = parse_time(&text);
        }

        #[test]
        fn what_was_read_before_is_read_alike(
            text in "(19[67][0-9]|20[0-9]{2}|[0-9]{4})-(0[0-9]|1[0-3])-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?Z",
        ) {
            let before = humantime::parse_rfc3339(&text).map_err(|_| TimeError);
            prop_assert_eq!(parse_time(&text), before);
        }

        #[test]
        fn what_is_written_is_what_was_written_before(
            seconds in 0..=LAST.as_secs(),
            nanoseconds in prop_oneof![Just(0), 0u32..1_000_000_000],
        ) {
            let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            prop_assert_eq!(
                format_time(time, Some(0)).unwrap(), humantime::format_rfc3339_seconds(time).to_string()
            );
            prop_assert_eq!(
                format_time(time, Some(6)).unwrap(), humantime::format_rfc3339_micros(time).to_string()
            );
            let exact = format_time(time, None).unwrap();
            prop_assert_eq!(parse_time(&exact), Ok(time));
            // By nodes of the version before, too.
            prop_assert_eq!(humantime::parse_rfc3339(&exact).unwrap(), time);
        }
    }
}
