//! [`RateLimit`]: how often a key may be used.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::valid::valid;

mod text;

const SECOND: u64 = 1_000_000_000;
const LONGEST_WINDOW: u32 = 366 * 24 * 60 * 60;
/// The longest time in which a burst may come back, in nanoseconds: ten years.
const LONGEST_REFILL: u64 = 3660 * 24 * 60 * 60 * SECOND;

/// A rate limit: a number of requests in a window, and how many of them may come at once.
///
/// Requests come back one by one, evenly over the window, and not all at its end (GCRA, a leaky
/// bucket). In any period as long as the window, at most quota plus burst pass. The default burst is
/// the whole quota, so a key that was idle can send nearly twice the quota in its first window. Set a
/// smaller burst for an even rate.
///
/// | text | meaning |
/// |---|---|
/// | `60 per minute` | named `per-minute`; all 60 may come at once, and one comes back each second |
/// | `1000 per hour, burst 50` | named `hourly`; at most 50 at once |
/// | `export: 5 per 10 minutes` | with a name of its own |
/// | `10000 per day, shared by tenant` | named `daily`, for all keys of a tenant together |
///
/// Units are `second`, `minute`, `hour` and `day`, also in the plural. A window of exactly one unit
/// gives the name (`per-second`, `per-minute`, `hourly`, `daily`). Any other limit is named `default`,
/// so name all but one of those.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::RateLimit;
///
/// let limit = RateLimit::per_hour(1000).with_burst(50);
/// assert_eq!(limit, "1000 per hour, burst 50".parse()?);
/// assert_eq!(limit.name(), "hourly");
/// assert_eq!((limit.quota(), limit.burst()), (1000, 50));
/// assert_eq!(limit.window(), Duration::from_secs(3600));
///
/// let exports = RateLimit::new(5, Duration::from_secs(600))?.with_name("export").shared_by_tenant();
/// assert_eq!(exports, "export: 5 per 10 minutes, shared by tenant".parse()?);
/// assert!(exports.is_shared_by_tenant());
///
/// let others = [RateLimit::per_second(2), RateLimit::per_minute(60), RateLimit::per_day(10_000)];
/// assert_eq!(others.map(|limit| limit.name().to_owned()), ["per-second", "per-minute", "daily"]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
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
    /// The nanoseconds after which one request comes back; derived from the others.
    interval: u64,
    /// Identifies it among the limits of its tenant, if it is shared; derived from the others.
    level: Arc<str>,
}

/// The error of an invalid rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RateLimitError {
    /// The text has another form.
    #[error(
        "a rate limit is written like `60 per minute`, `1000 per hour, burst 50` or \
         `export: 5 per 10 minutes, shared by tenant`"
    )]
    Form,
    /// The name has invalid characters, or is empty or too long.
    #[error("the name of a rate limit has 1 to 32 characters of A-Z, a-z, 0-9, `_`, `-` and `.`")]
    Name,
    /// It would refuse every request.
    #[error("a rate limit lets pass at least one request")]
    Zero,
    /// The window is not a whole number of seconds, or is too long.
    #[error("the window of a rate limit has whole seconds, from one to 366 days of them")]
    Window,
    /// The burst would take too long to come back.
    #[error("the burst of a rate limit comes back within ten years")]
    Burst,
    /// Two limits of one key have the same name.
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
    /// Creates a limit of `quota` requests in `window`, with a burst of the whole quota.
    ///
    /// # Errors
    ///
    /// Returns an error if the quota is zero, or the window is not 1 to 31 622 400 whole seconds (366
    /// days).
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

    /// Creates a limit of `quota` requests a second, named `per-second`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero. The same applies to the other units.
    #[must_use]
    #[track_caller]
    pub fn per_second(quota: u32) -> Self {
        Self::per(quota, 1)
    }

    /// Creates a limit of `quota` requests a minute, named `per-minute`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero.
    #[must_use]
    #[track_caller]
    pub fn per_minute(quota: u32) -> Self {
        Self::per(quota, 60)
    }

    /// Creates a limit of `quota` requests an hour, named `hourly`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero.
    #[must_use]
    #[track_caller]
    pub fn per_hour(quota: u32) -> Self {
        Self::per(quota, 3600)
    }

    /// Creates a limit of `quota` requests a day, named `daily`.
    ///
    /// # Panics
    ///
    /// Panics if the quota is zero.
    #[must_use]
    #[track_caller]
    pub fn per_day(quota: u32) -> Self {
        Self::per(quota, 86_400)
    }

    #[track_caller]
    fn per(quota: u32, seconds: u64) -> Self {
        valid(Self::new(quota, Duration::from_secs(seconds)))
    }

    /// Sets how many requests may come at once. The default is the whole quota.
    ///
    /// # Panics
    ///
    /// Panics if it is zero, or would take more than ten years to come back.
    #[must_use]
    #[track_caller]
    pub fn with_burst(self, burst: u32) -> Self {
        valid(self.try_burst(burst))
    }

    /// Sets the name, which identifies the limit among those of a key. Clients see it.
    ///
    /// Usage is stored under the name: a limit with another name starts whole.
    ///
    /// # Panics
    ///
    /// Panics if it does not have 1 to 32 characters of `A-Z`, `a-z`, `0-9`, `_`, `-` and `.`.
    #[must_use]
    #[track_caller]
    pub fn with_name(self, name: &str) -> Self {
        valid(self.try_name(name))
    }

    /// Shares the limit with all keys of the tenant that have the same one: also shared, and with the
    /// same name, quota, window and burst. A limit with a difference counts separately.
    ///
    /// For a key without a tenant, it is a limit of its own.
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

    /// Returns the name of its level: of its key, for which it counts whatever its numbers are, or of a
    /// tenant, for which each limit counts separately.
    pub(crate) fn level(&self, of_tenant: bool) -> &Arc<str> {
        if of_tenant { &self.level } else { &self.name }
    }

    /// Returns the number of requests in a window.
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

    /// Tells whether all keys of a tenant share the limit.
    #[must_use]
    pub const fn is_shared_by_tenant(&self) -> bool {
        self.shared
    }

    /// Returns the nanoseconds after which one request comes back.
    pub(crate) const fn interval(&self) -> u64 {
        self.interval
    }

    /// Returns the default name of a limit with this window.
    fn has_default_name(&self) -> bool {
        Self::new(self.quota, self.window()).is_ok_and(|default| default.name == self.name)
    }
}
