//! [`parse_time`]: times as RFC 3339 writes them.

use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::clock::later;

/// The error of a text that is no time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a time is written like `2030-12-31T23:59:59Z`, between the years 1970 and 9999")]
pub(in crate::manage) struct TimeError;

/// Parses a time with any offset (RFC 3339, section 5.6).
pub(in crate::manage) fn parse_time(text: &str) -> Result<SystemTime, TimeError> {
    let utc = |local: &str| {
        // The parser does not look at what comes after a `Z`, and needs no digit after a point.
        let is_local = |byte: u8| byte.is_ascii_digit() || b"-T:.".contains(&byte);
        let is_time = !local.ends_with('.') && local.bytes().all(is_local);
        let time = is_time.then(|| format!("{local}Z")).ok_or(TimeError)?;
        humantime::parse_rfc3339(&time).map_err(|_| TimeError)
    };
    if let Some(local) = text.strip_suffix('Z') {
        return utc(local);
    }
    let at = text.len().checked_sub("+00:00".len()).ok_or(TimeError)?;
    let (local, offset) = text.split_at_checked(at).ok_or(TimeError)?;
    let (sign, offset) = offset.split_at_checked(1).ok_or(TimeError)?;
    let offset = parse_offset(offset).ok_or(TimeError)?;
    let time = match sign {
        "+" => utc(local)?.checked_sub(offset),
        "-" => later(utc(local)?, offset),
        _ => None,
    };
    time.filter(|time| *time >= SystemTime::UNIX_EPOCH).ok_or(TimeError)
}

/// Parses hours and minutes.
fn parse_offset(text: &str) -> Option<Duration> {
    let number = |text: &str, end: u64| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|number| is_number && *number < end)
    };
    let (hours, minutes) = text.split_once(':')?;
    Some(Duration::from_secs(number(hours, 24)? * 3600 + number(minutes, 60)? * 60))
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
            "2030-01-01T12:00:00ZZ",
            "2030-01-01T12:00:00.Z",
            "2030-01-01T12:00:00.+00:00",
            "2030-01-01T12:00:00+00:00Z",
            "2030-01-01T12:00:00+24:00",
            "2030-01-01T12:00:00+01:60",
            "2030-01-01T12:00:00+1:000",
            "2030-01-01T12:00:00++1:00",
            "2030-13-01T12:00:00Z",
            "2030-02-30T12:00:00Z",
            "2030-01-01T25:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "10000-01-01T00:00:00Z",
            "2030-01-01T12:00:00\u{e9}00:0",
        ] {
            assert_eq!(parse_time(text), Err(TimeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,12}(Z|[-+][0-9:]{0,6})") {
            let _ = parse_time(&text);
        }
    }
}
