//! The program `api-keys`, as an operator uses it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

#[path = "cli/changing.rs"]
mod changing;
#[path = "cli/databases.rs"]
mod databases;
#[path = "cli/documents.rs"]
mod documents;
#[path = "cli/environment.rs"]
mod environment;
#[path = "cli/input.rs"]
mod input;
#[path = "cli/issuing.rs"]
mod issuing;
#[path = "cli/operator.rs"]
mod operator;
#[path = "cli/reviewing.rs"]
mod reviewing;
#[path = "cli/secrecy.rs"]
mod secrecy;
#[path = "cli/server.rs"]
mod server;
#[path = "cli/verifying.rs"]
mod verifying;
