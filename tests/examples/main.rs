//! The examples, as their users run them.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// What all servers do.
mod contract;

// What each shows.
#[cfg(unix)]
mod cluster;
mod grpc;
mod hania;
mod hapnd;
#[cfg(unix)]
mod hapnd_client;
mod happily;
mod heffl;
mod rest;
