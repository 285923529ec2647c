//! Where keys are kept: each store, the cache in front of it, and what becomes of both when
//! databases fail.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// Nodes and writers under load, while databases fail.
mod faults;
mod writers;

mod conformance;
mod memory_store;
mod or_store;

// A store of each kind, for the models.
mod each_store;

// Lists, by all filters, and what they cost each store.
mod lists;
mod lists_postgres;
#[cfg(unix)]
mod lists_redis;

// SQL. The helper `sql` checks what both databases have to do.
#[cfg(unix)]
mod failover_postgres;
#[cfg(unix)]
mod faults_postgres;
mod postgres;
mod postgres_invalidations;
#[cfg(unix)]
mod postgres_owners;
#[cfg(unix)]
mod postgres_reach;
#[cfg(unix)]
mod postgres_replication;
#[cfg(unix)]
mod postgres_roles;
#[cfg(unix)]
mod postgres_triggers;
mod sql;
mod sqlite;
mod sqlite_full;
mod sqlite_invalidations;

// Redis.
#[cfg(unix)]
mod failover_redis;
#[cfg(unix)]
mod faults_redis;
#[cfg(unix)]
mod redis;
#[cfg(unix)]
mod redis_connecting;
#[cfg(unix)]
mod redis_invalidations;
#[cfg(unix)]
mod redis_outages;
#[cfg(unix)]
mod redis_replication;

// The cache.
mod cache_front;
mod cache_grace;
mod cache_loads;
mod cache_model;
mod cache_renewal;
mod cache_subscription;
mod cached_store;

// When keys were last used, and how often.
mod usage_days;
mod usage_recorder;

// The servers that the tests of all programs start.
#[cfg(unix)]
mod servers;
