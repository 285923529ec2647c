//! [`RateLimit`]: how often a key may be used.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

mod text;

const SECOND: u64 = 1_000_000_000;
const LONGEST_WINDOW: u32 = 366 * 24 * 60 * 60;
/// The longest time in which a burst may fill up again, in nanoseconds: ten years.
const LONGEST_REFILL: u64 = 3660 * 24 * 60 * 60 * SECOND;

/// How often a key may be used: so many requests in a window, and so many of them at once.
///
/// The requests come back one by one, evenly over the window, and not all at its end (GCRA, a
/// leaky bucket). Any period as long as the window lets at most quota and burst together pass. The
/// burst is the whole quota by default, so a key that was idle may make nearly twice the quota in
/// its first window; set a smaller burst for an even rate.
///
/// | text | is |
/// |---|---|
/// | `60 per minute` | named `per-minute`; all 60 may come at once, and one comes back each second |
/// | `1000 per hour, burst 50` | named `hourly`; at most 50 at once |
/// | `export: 5 per 10 minutes` | with a name of its own |
/// | `10000 per day, shared by tenant` | named `daily`, for all keys of a tenant together |
///
/// Units are `second`, `minute`, `hour` and `day`, also in the plural. A window of exactly one unit
/// gives the name (`per-second`, `per-minute`, `hourly`, `daily`); any other is named `default`, so
/// give all but one of those a name of its own.
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
    /// Tells it apart from other limits of its tenant, if it is shared; follows from the others.
    level: Arc<str>,
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
    #[error(
        "two rate limits of a key have the same name; name one as in `export: 5 per 10 minutes`"
    )]
    SameName,
    /// A key has too many limits.
    #[error("a key has at most 8 rate limits")]
    TooMany,
}

impl super::HeapSize for RateLimit {
    fn heap_size(&self) -> usize {
        self.name.heap_size()
    }
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
        let name: Arc<str> = name.into();
        let level = Arc::clone(&name);
        let limit = Self { name, quota, window: seconds, burst: 1, shared: false, interval, level };
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
    /// What was used is kept by the name: a limit with another name starts anew.
    ///
    /// # Panics
    ///
    /// Panics if it has not 1 to 32 characters of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`.
    #[must_use]
    pub fn with_name(self, name: &str) -> Self {
        self.try_name(name).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Counts together with all keys of the tenant that have the same limit: shared, and with this
    /// name, quota, window and burst. One that differs in any of these counts apart.
    ///
    /// For a key without a tenant it is a limit of its own.
    #[must_use]
    pub fn shared_by_tenant(mut self) -> Self {
        self.shared = true;
        self.with_level()
    }

    pub(crate) fn not_shared(mut self) -> Self {
        self.shared = false;
        self.with_level()
    }

    fn with_level(mut self) -> Self {
        self.level = if self.shared {
            // No name has a colon.
            let Self { name, quota, window, burst, .. } = &self;
            format!("{name}:{quota}:{window}:{burst}").into()
        } else {
            Arc::clone(&self.name)
        };
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
        Ok(self.with_level())
    }

    fn try_name(mut self, name: &str) -> Result<Self, RateLimitError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if !(1..=32).contains(&name.len()) || !name.bytes().all(allowed) {
            return Err(RateLimitError::Name);
        }
        self.name = name.into();
        Ok(self.with_level())
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what tells its level apart from others: of its key, by which it counts whatever its
    /// numbers are, or of a tenant, where each limit counts for itself.
    pub(crate) fn level(&self, of_tenant: bool) -> &Arc<str> {
        if of_tenant { &self.level } else { &self.name }
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
