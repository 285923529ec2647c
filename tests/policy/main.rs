//! What a key may do: guards, the restrictions of its record, and the access of an application as
//! one table.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod app;
mod guards;
mod report_only;
mod restrictions;
mod routes;
mod tables;
