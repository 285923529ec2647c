//! The other side: programs that send a key, and where they keep it.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

#[cfg(unix)]
mod credentials;
mod layer;
mod retry;
