//! How often: limits of keys, and of addresses that present wrong ones.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// How often a key may be used.
mod grpc_retries;
mod limiter_failures;
mod rate_limits;
#[cfg(unix)]
mod redis_limiter;

// How often an address may present wrong keys.
mod throttle;
