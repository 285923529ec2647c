//! The examples, as their users run them.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod example;

// What all servers do.
mod contract;

// What each shows.
#[cfg(unix)]
mod cluster;
mod dashboard;
mod grpc;
mod hania;
mod hapnd;
#[cfg(unix)]
mod hapnd_client;
mod happily;
mod heffl;
mod observe;
mod own_table;
mod rest;
mod streams;

// What the repository says of itself.
mod growth;
mod paths;
mod readme;
mod rooms;
