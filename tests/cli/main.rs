//! The program `api-keys`, as an operator uses it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod batches;
mod changing;
mod databases;
mod documents;
mod environment;
mod importing;
mod input;
mod issuing;
mod operator;
mod restoring;
mod reviewing;
mod scanning;
mod secrecy;
mod server;
mod tenants;
mod verifying;
