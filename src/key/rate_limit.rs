//! [`RateLimit`]: how often a key may be used.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use thiserror::Error;

const SECOND: u64 = 1_000_000_000;
const LONGEST_WINDOW: u32 = 366 * 24 * 60 * 60;
/// The longest time in which a burst may fill up again, in nanoseconds: ten years.
const LONGEST_REFILL: u64 = 3660 * 24 * 60 * 60 * SECOND;
const MOST_LIMITS: usize = 8;

/// How often a key may be used: so many requests in a window, and so many of them at once.
///
/// The requests come back one by one, evenly over the window, and not all at its end (GCRA, a
/// leaky bucket). No time as long as the window lets pass more than the quota and the burst
/// together.
///
/// | text | is |
/// |---|---|
/// | `60 per minute` | named `per-minute`; all 60 may come at once, and one comes back each second |
/// | `1000 per hour, burst 50` | named `hourly`; at most 50 at once |
/// | `export: 5 per 10 minutes` | with a name of its own |
/// | `10000 per day, shared by tenant` | named `daily`, for all keys of a tenant together |
///
/// # Examples
///
/// ```
/// use tower_api_key::RateLimit;
///
/// let limit = RateLimit::per_hour(1000).with_burst(50);
/// assert_eq!(limit, "1000 per hour, burst 50".parse()?);
/// assert_eq!(limit.name(), "hourly");
/// # Ok::<_, tower_api_key::key::RateLimitError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct RateLimit {
    name: Arc<str>,
    quota: u32,
    /// In seconds.
    window: u32,
    burst: u32,
    shared: bool,
    /// After how many nanoseconds one request comes back; follows from the others.
    interval: u64,
}

/// The error of a rate limit that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RateLimitError {
    /// The text is of another form.
    #[error(
        "a rate limit is written like `60 per minute`, `1000 per hour, burst 50` or \
         `export: 5 per 10 minutes, shared by tenant`"
    )]
    Form,
    /// The name has other characters, or too many.
    #[error("the name of a rate limit has 1 to 32 characters of A-Z, a-z, 0-9, `_`, `-` and `.`")]
    Name,
    /// Nothing would ever be let through.
    #[error("a rate limit lets pass at least one request")]
    Zero,
    /// The window is no whole number of seconds, or too long.
    #[error("the window of a rate limit has whole seconds, from one to 366 days of them")]
    Window,
    /// The burst would need too long to come back.
    #[error("the burst of a rate limit comes back within ten years")]
    Burst,
    /// Two limits of one key have one name.
    #[error("two rate limits of a key have different names")]
    SameName,
    /// A key has too many limits.
    #[error("a key has at most 8 rate limits")]
    TooMany,
}

impl RateLimit {
    /// Limits to `quota` requests in `window`, with a burst of the whole quota.
    ///
    /// # Errors
    ///
    /// Returns an error if the quota is zero, or the window is not of 1 to 31 622 400 whole
    /// seconds (366 days).
    pub fn new(quota: u32, window: Duration) -> Result<Self, RateLimitError> {
        let seconds = u32::try_from(window.as_secs()).map_err(|_| RateLimitError::Window)?;
        if !(1..=LONGEST_WINDOW).contains(&seconds) || window.subsec_nanos() != 0 {
            return Err(RateLimitError::Window);
        }
        let name = match seconds {
            1 => "per-second",
            60 => "per-minute",
            3600 => "hourly",
            86_400 => "daily",
            _ => "default",
        };
        if quota == 0 {
            return Err(RateLimitError::Zero);
        }
        // Rounded up: never more requests than the quota, and never a wait that is too short.
        let interval = (u64::from(seconds) * SECOND).div_ceil(quota.into());
        let name = name.into();
        let limit = Self { name, quota, window: seconds, burst: 1, shared: false, interval };
        limit.try_burst(quota)
    }

    /// Limits to `quota` requests a second; the name is `per-second`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero; the same holds for the other units.
    #[must_use]
    pub fn per_second(quota: u32) -> Self {
        Self::per(quota, 1)
    }

    /// Limits to `quota` requests a minute; the name is `per-minute`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero.
    #[must_use]
    pub fn per_minute(quota: u32) -> Self {
        Self::per(quota, 60)
    }

    /// Limits to `quota` requests an hour; the name is `hourly`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero.
    #[must_use]
    pub fn per_hour(quota: u32) -> Self {
        Self::per(quota, 3600)
    }

    /// Limits to `quota` requests a day; the name is `daily`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero.
    #[must_use]
    pub fn per_day(quota: u32) -> Self {
        Self::per(quota, 86_400)
    }

    fn per(quota: u32, seconds: u64) -> Self {
        Self::new(quota, Duration::from_secs(seconds)).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sets how many requests may come at once. By default, the whole quota.
    ///
    /// # Panics
    ///
    /// Panics if it is zero, or would need more than ten years to come back.
    #[must_use]
    pub fn with_burst(self, burst: u32) -> Self {
        self.try_burst(burst).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Sets the name, which tells the limits of a key apart. Clients see it.
    ///
    /// # Panics
    ///
    /// Panics if it has not 1 to 32 characters of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        self.try_name(name).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Counts the requests of all keys of a tenant that have a limit of this name.
    ///
    /// For a key without a tenant it is a limit of its own.
    #[must_use]
    pub fn shared_by_tenant(mut self) -> Self {
        self.shared = true;
        self
    }

    fn try_burst(mut self, burst: u32) -> Result<Self, RateLimitError> {
        if burst == 0 {
            return Err(RateLimitError::Zero);
        }
        if self.interval.checked_mul(burst.into()).is_none_or(|refill| refill > LONGEST_REFILL) {
            return Err(RateLimitError::Burst);
        }
        self.burst = burst;
        Ok(self)
    }

    fn try_name(mut self, name: &str) -> Result<Self, RateLimitError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !(1..=32).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(RateLimitError::Name);
        }
        self.name = name.into();
        Ok(self)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// Returns how many requests pass in a window.
    #[must_use]
    pub const fn quota(&self) -> u32 {
        self.quota
    }

    /// Returns the window.
    #[must_use]
    pub const fn window(&self) -> Duration {
        Duration::from_secs(self.window as u64)
    }

    /// Returns how many requests may come at once.
    #[must_use]
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// Tells whether all keys of a tenant share it.
    #[must_use]
    pub const fn is_shared_by_tenant(&self) -> bool {
        self.shared
    }

    /// Returns after how many nanoseconds one request comes back.
    pub(crate) const fn interval(&self) -> u64 {
        self.interval
    }

    /// Returns the name that a limit with this window has if none is given.
    fn has_default_name(&self) -> bool {
        Self::new(self.quota, self.window()).is_ok_and(|default| default.name == self.name)
    }
}

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
        let number = |text: &str| text.parse::<u32>().map_err(|_| RateLimitError::Form);
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

impl TryFrom<&str> for RateLimit {
    type Error = RateLimitError;

    fn try_from(text: &str) -> Result<Self, RateLimitError> {
        text.parse()
    }
}

impl TryFrom<String> for RateLimit {
    type Error = RateLimitError;

    fn try_from(text: String) -> Result<Self, RateLimitError> {
        text.parse()
    }
}

impl From<RateLimit> for String {
    fn from(limit: RateLimit) -> Self {
        limit.to_string()
    }
}

/// The rate limits of a key. None at all, the default, limits nothing.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::{RateLimit, RateLimits};
///
/// let limits = RateLimits::new([RateLimit::per_second(10), RateLimit::per_day(10_000)])?;
/// assert_eq!(limits.len(), 2);
/// # Ok::<_, tower_api_key::key::RateLimitError>(())
/// ```
#[derive(Clone, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Vec<RateLimit>", into = "Vec<RateLimit>"))]
pub struct RateLimits(Option<Arc<Inner>>);

struct Inner {
    limits: Box<[RateLimit]>,
    /// What `RateLimit-Policy` says, written once.
    policy: HeaderValue,
}

impl RateLimits {
    /// Puts limits together.
    ///
    /// # Errors
    ///
    /// Returns an error if two have the same name, or if there are more than 8.
    pub fn new(limits: impl IntoIterator<Item = RateLimit>) -> Result<Self, RateLimitError> {
        let limits: Box<[_]> = limits.into_iter().collect();
        if limits.is_empty() {
            return Ok(Self(None));
        }
        if limits.len() > MOST_LIMITS {
            return Err(RateLimitError::TooMany);
        }
        let same = |(index, limit): (usize, &RateLimit)| {
            limits[..index].iter().any(|other| other.name == limit.name)
        };
        if limits.iter().enumerate().any(same) {
            return Err(RateLimitError::SameName);
        }
        let item =
            |limit: &RateLimit| format!("\"{}\";q={};w={}", limit.name, limit.quota, limit.window);
        let policy = limits.iter().map(item).collect::<Vec<_>>().join(", ");
        let policy = HeaderValue::try_from(policy).map_err(|_| RateLimitError::Name)?;
        Ok(Self(Some(Arc::new(Inner { limits, policy }))))
    }

    /// Returns what `RateLimit-Policy` says, if there are limits.
    pub(crate) fn policy(&self) -> Option<&HeaderValue> {
        self.0.as_ref().map(|inner| &inner.policy)
    }
}

impl Deref for RateLimits {
    type Target = [RateLimit];

    fn deref(&self) -> &[RateLimit] {
        self.0.as_ref().map_or(&[], |inner| &inner.limits)
    }
}

impl PartialEq for RateLimits {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for RateLimits {}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(ToString::to_string)).finish()
    }
}

impl TryFrom<Vec<RateLimit>> for RateLimits {
    type Error = RateLimitError;

    fn try_from(limits: Vec<RateLimit>) -> Result<Self, RateLimitError> {
        Self::new(limits)
    }
}

impl From<RateLimits> for Vec<RateLimit> {
    fn from(limits: RateLimits) -> Self {
        limits.to_vec()
    }
}

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
    fn the_limits_of_a_key_have_different_names() {
        let twice = [RateLimit::per_hour(1), RateLimit::per_hour(2)];
        assert_eq!(RateLimits::new(twice), Err(RateLimitError::SameName));
        let many = (0..9).map(|number| RateLimit::per_hour(1).with_name(&number.to_string()));
        assert_eq!(RateLimits::new(many), Err(RateLimitError::TooMany));
        assert!(RateLimits::new([]).unwrap().is_empty());
    }

    #[test]
    fn the_policy_is_written_as_the_draft_has_it() {
        let burst = RateLimit::per_minute(100).with_name("burst");
        let limits = RateLimits::new([burst, RateLimit::per_day(1000)]).unwrap();
        let policy = limits.policy().unwrap();
        assert_eq!(policy, r#""burst";q=100;w=60, "daily";q=1000;w=86400"#);
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
