//! A key's text appears nowhere but where it is revealed. These tests are a program of their own,
//! because they read the log of all its threads.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod carriers;
mod log;
mod management;
mod restrictions;
mod revealing;
