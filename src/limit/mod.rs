//! Rate limits of keys, and the throttle for addresses with wrong keys.
//!
//! The limits are in the [record](crate::KeyRecord::limits) of a key. The layer checks them after all
//! its guards, with a [`RateLimiter`]: in memory, unless another is set. If one limit refuses a
//! request, no limit is charged. If a guard on a route refuses it, the layer gives its cost back. Once
//! a limit is used up, the layer refuses requests before they reach the route.
//!
//! Each response to a key with limits has their state in its headers
//! (draft-ietf-httpapi-ratelimit-headers-10):
//!
//! ```text
//! ratelimit-policy: "hourly";q=1000;w=3600
//! ratelimit: "hourly";r=42;t=3
//! ```
//!
//! `r` requests are left, and one more becomes available in `t` seconds. A request beyond the limit
//! gets a 429 with `Retry-After`. A client that waits that long passes, unless another client of the
//! same limit was faster. No wait is longer than the limit takes to be whole again.
//!
//! # Which keys count together, and what changes do
//!
//! A key's own limit is identified by the key and the limit's name. A key counts together with the keys
//! that it [replaced](crate::KeyRecord::counted_as), which may continue to work for a while.
//!
//! | change | effect |
//! |---|---|
//! | of the quota, the window or the burst | used requests stay used, as the time in which they come back; at most, the new limit is used up. Lowering a limit and raising it again gives nothing back |
//! | of the name, or a new limit | the limit starts whole. If the name was in use before, the limit continues from there, until it would have been whole |
//! | the key is rotated | the successor continues with the state of the key |
//!
//! If keys that count together have different numbers, each request counts for all of them, but only
//! the limits of its own key can refuse it. A refund goes to the limits of its own key only.
//!
//! A limit that a tenant shares is identified by the tenant, its name, quota, window and burst. If one
//! of these changes in one key, that key counts separately from then on, and starts whole; the other
//! keys keep their state. To change the limit, change all keys that have it.
//!
//! A key that manages keys ([`KeyManager::on_behalf_of`](crate::KeyManager::on_behalf_of)) cannot reset
//! its limits that way. In every key that it issues or changes, including itself, a limit that bounds
//! it
//!
//! * keeps its name;
//! * may only be lowered;
//! * is exactly the same, if the tenant shares it.
//!
//! An *additional* key has limits of its own. To prevent that, share the limits by tenant.

mod decision;
mod fields;
mod gcra;
mod in_flight;
mod levels;
pub(crate) mod memory;
pub(crate) mod rate_limiter;
#[cfg(feature = "redis")]
pub(crate) mod redis;
mod subject;
pub(crate) mod throttle;

pub use self::decision::{LimitDecision, LimitStatus};
pub use self::rate_limiter::LimiterError;
#[cfg(feature = "redis")]
pub use self::redis::RedisRateLimiterBuilder;

// They are documented at the root, by which users name them.
#[doc(hidden)]
pub use self::memory::MemoryRateLimiter;
#[doc(hidden)]
pub use self::rate_limiter::RateLimiter;
#[cfg(feature = "redis")]
#[doc(hidden)]
pub use self::redis::RedisRateLimiter;
#[doc(hidden)]
pub use self::throttle::FailureThrottle;

pub(crate) use self::fields::{Usage, prepare_usage, seconds, set_usage, write_usage};
pub(crate) use self::in_flight::Place;
