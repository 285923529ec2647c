//! How long a server says to wait.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sfv::{BareItem, List, ListEntry, Parser};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The longest wait. It keeps sums with the time of day from overflowing.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// Returns the time after which a request that was one too many is accepted.
pub(super) fn until_quota(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers).or_else(|| reset(headers))
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date. Of several, the longest counts.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::RETRY_AFTER).iter();
    let wait = values.filter_map(|value| seconds(value).or_else(|| until(value, headers))).max()?;
    Some(wait.min(LONGEST))
}

fn seconds(value: &HeaderValue) -> Option<Duration> {
    digits(value.as_bytes()).map(Duration::from_secs)
}

/// Returns the time since the response's own `Date`, so that the clocks of server and client may
/// differ.
fn until(value: &HeaderValue, headers: &HeaderMap) -> Option<Duration> {
    let date = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    let sent = headers.get(header::DATE).and_then(date).unwrap_or_else(SystemTime::now);
    Some(date(value)?.duration_since(sent).unwrap_or_default())
}

/// Reads `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10, section 4): the longest time until the
/// reset of a limit with nothing left.
fn reset(headers: &HeaderMap) -> Option<Duration> {
    let lines: Vec<_> = headers.get_all(RATE_LIMIT).iter().map(HeaderValue::as_bytes).collect();
    let limits: List = Parser::new(&lines.join(&b", "[..])).parse().ok()?;
    let resets = limits.iter().filter_map(|limit| {
        let ListEntry::Item(limit) = limit else { return None };
        let integer = |name| limit.params.get(name).and_then(BareItem::as_integer).map(i64::from);
        (integer("r")? <= 0).then(|| u64::try_from(integer("t")?).ok()).flatten()
    });
    Some(Duration::from_secs(resets.max()?).min(LONGEST))
}

/// Reads a number of digits only: no sign, no fraction, no exponent. A larger number than fits is the
/// largest.
pub(super) fn digits(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let push = |number: u64, digit| number.saturating_mul(10).saturating_add(digit);
    let number = text.iter().try_fold(0, |number, byte| Some(push(number, digit(byte)?)));
    number.filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn waits(values: &[&str]) -> Option<u64> {
        let date = [("date", "Fri, 31 Dec 1999 23:59:30 GMT")];
        let values = values.iter().map(|value| ("retry-after", *value));
        let fields: Vec<_> = date.into_iter().chain(values).collect();
        retry_after(&headers(&fields)).map(|wait| wait.as_secs())
    }

    fn resets(values: &[&str]) -> Option<u64> {
        let fields: Vec<_> = values.iter().map(|value| ("ratelimit", *value)).collect();
        reset(&headers(&fields)).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_are_digits_and_nothing_else() {
        assert_eq!(waits(&["0"]), Some(0));
        assert_eq!(waits(&["120"]), Some(120));
        assert_eq!(waits(&["007"]), Some(7));
        for unreadable in ["", "-1", "+1", "1.5", "1e18", "NaN", "inf", "0x10", "1 s", "1,2", "ä"]
        {
            assert_eq!(waits(&[unreadable]), None, "{unreadable}");
        }
    }

    #[test]
    fn absurd_times_are_a_year() {
        let year = LONGEST.as_secs();
        for absurd in ["1000000000000000000", "18446744073709551616", &"9".repeat(400)] {
            assert_eq!(waits(&[absurd]), Some(year), "{absurd}");
        }
        assert_eq!(waits(&["Fri, 31 Dec 9999 23:59:59 GMT"]), Some(year));
        assert_eq!(resets(&[r#""a";r=0;t=999999999999999"#]), Some(year));
    }

    #[test]
    fn a_date_counts_from_the_date_of_the_response() {
        assert_eq!(waits(&["Fri, 31 Dec 1999 23:59:59 GMT"]), Some(29));
        assert_eq!(waits(&["Friday, 31-Dec-99 23:59:59 GMT"]), Some(29));
        assert_eq!(waits(&["Fri Dec 31 23:59:59 1999"]), Some(29));
        assert_eq!(waits(&["Fri, 31 Dec 1999 23:00:00 GMT"]), Some(0));
        for unreadable in ["Fri, 31 Dec 1999", "tomorrow", "Fri, 99 Dec 1999 23:59:59 GMT"] {
            assert_eq!(waits(&[unreadable]), None, "{unreadable}");
        }
    }

    #[test]
    fn without_a_date_in_the_response_it_counts_from_now() {
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(600));
        for fields in [&[][..], &[("date", "yesterday")]] {
            let fields = [&[("retry-after", &*soon)], fields].concat();
            let wait = retry_after(&headers(&fields)).unwrap().as_secs();
            assert!((500..=600).contains(&wait), "{wait}");
        }
        assert_eq!(
            retry_after(&headers(&[("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")])),
            Some(Duration::ZERO)
        );
    }

    #[test]
    fn of_several_the_longest_counts() {
        assert_eq!(waits(&["3", "9", "5"]), Some(9));
        assert_eq!(waits(&["3", "Fri, 31 Dec 1999 23:59:59 GMT"]), Some(29));
        assert_eq!(waits(&["3", "never"]), Some(3));
        assert_eq!(waits(&[]), None);
    }

    #[test]
    fn the_limits_that_are_used_up_say_when_they_reset() {
        assert_eq!(resets(&[r#""hourly";r=0;t=601, "burst";r=9;t=6"#]), Some(601));
        assert_eq!(resets(&[r#""hourly";r=0;t=601"#, r#""daily";r=0;t=900"#]), Some(900));
        assert_eq!(resets(&[r#""hourly";r=0;t=0;pk=:MTIz:"#]), Some(0));
        assert_eq!(resets(&["hourly;r=0;t=5"]), Some(5));
        for silent in [
            "",
            r#""hourly";r=1;t=601"#,
            r#""hourly";r=0"#,
            r#""hourly";t=601"#,
            r#""hourly";r=0;t=-601"#,
            r#""hourly";r=0;t=1.5"#,
            r#""hourly";r=0;t="601""#,
            r#""hourly";r=NaN;t=601"#,
            r#""hourly";r=0;t=9999999999999999"#,
            r#""hourly;r=0;t=601"#,
            "limit=10, remaining=0, reset=601",
            r#"("hourly";r=0;t=601)"#,
        ] {
            assert_eq!(resets(&[silent]), None, "{silent}");
        }
    }
}
