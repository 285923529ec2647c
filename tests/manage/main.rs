//! The life of keys: the manager, on whose behalf it acts, and its API.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// Where the tests take place: the API with sessions, each store, and what happens between two steps.
mod leaks;
mod meanwhile;
mod stores;
mod tenants;
mod world;

mod bounds;
mod importing;
mod key_manager;
mod key_scheme;

// Many keys at once, and what was done to them.
mod audit_log;
mod batches;
mod ranges;
mod usage;

// On whose behalf.
mod authority;
mod owners;

// Changes at once, and databases that hang.
#[cfg(unix)]
mod deadlines;
mod model;
mod texts;
mod turns;

// Over HTTP.
mod abilities;
mod api;
mod api_answers;
mod api_bodies;
mod api_fields;
mod api_once;
mod api_owners;
mod api_revoking;
mod openapi;
#[cfg(unix)]
mod openapi_clients;
mod openapi_linters;
