//! How often a key may be used, and how often an address may fail.
//!
//! The limits are in the [record](crate::KeyRecord::limits) of a key; the layer checks them,
//! after every guard of its own, by a [`RateLimiter`]: in memory unless another is set. All
//! limits of a key let a request pass, or none is spent. What a guard on a route refuses is
//! given back; once nothing is left, a request is refused for that before it comes to the route.
//!
//! Each response to a key with limits tells how things stand
//! (draft-ietf-httpapi-ratelimit-headers-10):
//!
//! ```text
//! ratelimit-policy: "hourly";q=1000;w=3600
//! ratelimit: "hourly";r=42;t=3
//! ```
//!
//! `r` requests are left, and one more comes in `t` seconds. A request too many is answered with
//! 429 and `Retry-After`; whoever waits that long is let through, if nobody else was faster.

mod decision;
mod fields;
mod gcra;
mod in_flight;
mod levels;
mod memory;
mod neighbours;
mod rate_limiter;
#[cfg(feature = "redis")]
mod redis;
mod throttle;

pub use self::decision::{LimitDecision, LimitStatus};
pub use self::memory::MemoryRateLimiter;
pub use self::rate_limiter::{LimiterError, RateLimiter};
#[cfg(feature = "redis")]
pub use self::redis::RedisRateLimiter;
pub use self::throttle::FailureThrottle;

pub(crate) use self::fields::{Usage, seconds, write_usage};
pub(crate) use self::in_flight::Place;
