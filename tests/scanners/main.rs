//! Secret scanners find keys by what a format says of them.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod engines;
mod rules;
