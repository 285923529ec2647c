//! Rate limits as text.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{RateLimit, RateLimitError};
use crate::text::is_text;

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.has_default_name() {
            write!(f, "{}: ", self.name)?;
        }
        let units = [(86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
        let (seconds, unit) = units
            .into_iter()
            .find(|(seconds, _)| self.window.is_multiple_of(*seconds))
            .unwrap_or((1, "second"));
        match self.window / seconds {
            1 => write!(f, "{} per {unit}", self.quota)?,
            count => write!(f, "{} per {count} {unit}s", self.quota)?,
        }
        if self.burst != self.quota {
            write!(f, ", burst {}", self.burst)?;
        }
        if self.shared {
            f.write_str(", shared by tenant")?;
        }
        Ok(())
    }
}

impl FromStr for RateLimit {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        let number = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or(RateLimitError::Form)
        };
        let (name, rest) = match text.split_once(": ") {
            Some((name, rest)) => (Some(name), rest),
            None => (None, text),
        };
        let mut parts = rest.split(", ");
        let rate = parts.next().unwrap_or_default();
        let (quota, count, unit) = match rate.split(' ').collect::<Vec<_>>()[..] {
            [quota, "per", unit] => (number(quota)?, 1, unit),
            [quota, "per", count, unit] => (number(quota)?, number(count)?, unit),
            _ => return Err(RateLimitError::Form),
        };
        let seconds = match unit.strip_suffix('s').unwrap_or(unit) {
            "second" => 1,
            "minute" => 60,
            "hour" => 3600,
            "day" => 86_400,
            _ => return Err(RateLimitError::Form),
        };
        let window = Duration::from_secs(u64::from(count) * seconds);
        let mut limit = Self::new(quota, window)?;
        for part in parts {
            limit = match part.strip_prefix("burst ") {
                Some(burst) => limit.try_burst(number(burst)?)?,
                None if part == "shared by tenant" => limit.shared_by_tenant(),
                None => return Err(RateLimitError::Form),
            };
        }
        match name {
            Some(name) => limit.try_name(name),
            None => Ok(limit),
        }
    }
}

is_text!(RateLimit);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_written_as_people_say_it() {
        for (text, limit) in [
            ("60 per minute", RateLimit::per_minute(60)),
            ("1000 per hour, burst 50", RateLimit::per_hour(1000).with_burst(50)),
            ("daily: 7 per second", RateLimit::per_second(7).with_name("daily")),
            ("5 per 10 minutes", RateLimit::new(5, Duration::from_secs(600)).unwrap()),
            ("9 per day, shared by tenant", RateLimit::per_day(9).shared_by_tenant()),
        ] {
            assert_eq!(text.parse(), Ok(limit.clone()), "{text}");
            assert_eq!(limit.to_string(), text);
        }
        assert_eq!("2 per 60 seconds".parse(), Ok(RateLimit::per_minute(2)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, error) in [
            ("", RateLimitError::Form),
            ("60", RateLimitError::Form),
            ("60 per", RateLimitError::Form),
            ("60 per month", RateLimitError::Form),
            ("60 per minute burst 5", RateLimitError::Form),
            ("60 per minute, burst", RateLimitError::Form),
            ("-1 per minute", RateLimitError::Form),
            ("+1 per minute", RateLimitError::Form),
            ("4294967296 per minute", RateLimitError::Form),
            ("0 per minute", RateLimitError::Zero),
            ("1 per minute, burst 0", RateLimitError::Zero),
            ("1 per 0 seconds", RateLimitError::Window),
            ("1 per 367 days", RateLimitError::Window),
            ("1 per 366 days, burst 11", RateLimitError::Burst),
            ("1 per day, burst 4294967295", RateLimitError::Burst),
            ("a\"b: 1 per day", RateLimitError::Name),
            (": 1 per day", RateLimitError::Name),
        ] {
            assert_eq!(text.parse::<RateLimit>(), Err(error), "{text}");
        }
        let half = Duration::from_millis(1500);
        assert_eq!(RateLimit::new(1, half), Err(RateLimitError::Window));
    }

    #[test]
    fn no_more_than_the_quota_comes_back_in_a_window() {
        for (quota, window) in [(7, 60), (3, 1), (60, 60), (999_999_937, 86_400)] {
            let limit = RateLimit::new(quota, Duration::from_secs(window)).unwrap();
            assert!(limit.interval() * u64::from(quota) >= window * 1_000_000_000, "{limit}");
        }
    }

    proptest! {
        #[test]
        fn a_limit_is_read_back_as_it_was_written(
            quota in 1u32..1000, window in 1u32..1_000_000, burst in 1u32..10, shared: bool,
            name in "[a-z.]{1,32}",
        ) {
            let limit = RateLimit::new(quota, Duration::from_secs(window.into())).unwrap();
            let limit = limit.with_burst(burst).with_name(&name);
            let limit = if shared { limit.shared_by_tenant() } else { limit };
            prop_assert_eq!(limit.to_string().parse(), Ok(limit));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<RateLimit>();
        }
    }
}
