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
//! 429 and `Retry-After`; whoever waits that long is let through, if nobody else was faster. No wait
//! is longer than the limit takes to be whole again.
//!
//! # What counts as one, and what a change does
//!
//! A key's own limit is known by the key and the limit's name. A key counts together with those that
//! it [replaced](crate::KeyRecord::counted_as), which may go on working for a while.
//!
//! | change | effect |
//! |---|---|
//! | of the quota, the window or the burst | what was used stays used, as the time in which it comes back: at most, the limit is used up as it is now. Lowered and raised again, it is no better than before |
//! | of the name; a limit more | it starts whole. One that had the name before goes on, until it would have been whole |
//! | the key is rotated | the successor goes on where the key is |
//!
//! Where keys that count together have other numbers, a request of one counts as one for each, and is
//! judged by its own. What is given back to one is not given back to the others.
//!
//! A limit that a tenant shares is known by the tenant, its name, quota, window and burst. If any of
//! these is changed in one key, that key counts apart from then on, and starts whole; the others have
//! what they had. To change it, change all keys that have it.
//!
//! A key that manages keys ([`KeyManager::on_behalf_of`](crate::KeyManager::on_behalf_of)) cannot begin
//! anew by that: what bounds it keeps its name in every key that it issues or changes, itself among
//! them, may be lowered only, and, if it is shared, is the very same. A key *more* has limits of its own
//! to use up; where that is not wanted, let the tenant share them.

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
mod subject;
mod throttle;

pub use self::decision::{LimitDecision, LimitStatus};
pub use self::memory::MemoryRateLimiter;
pub use self::rate_limiter::{LimiterError, RateLimiter};
#[cfg(feature = "redis")]
pub use self::redis::{RedisRateLimiter, RedisRateLimiterBuilder};
pub use self::throttle::FailureThrottle;

pub(crate) use self::fields::{Usage, seconds, write_usage};
pub(crate) use self::in_flight::Place;
