//! The way of a request through the layer: over sockets, by real clients, behind real proxies.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// Servers and clients that only these tests have.
#[cfg(unix)]
mod caches;
mod grpc;
#[cfg(unix)]
mod nginx;
#[cfg(unix)]
mod proxies;
mod upload;

// What of a request is the key, and whose it is.
mod extractors;
mod fallback;
mod finding_the_credential;
mod keys_or_sessions;
mod matching_the_key;
mod matching_the_record;
mod settings;
mod settings_together;
mod without_service;

// Who asks whom: clients' addresses, what is layered, and the path by which it is judged.
mod client_address;
mod mount;
mod readiness;
mod redispatch;

// Stores that fail, and what clients and operators see of it.
mod store_connections;
mod store_failures;

// Browsers: preflights and other origins.
mod browser;
mod cors;
mod cross_origin;
mod pages;
mod preflight;

// WebSockets, and the sessions of MCP.
mod sessions;
mod sockets;
mod sockets_http2;

// Caches and proxies on the way.
#[cfg(unix)]
mod behind_proxies;
mod caching;
#[cfg(unix)]
mod forward_auth;
#[cfg(unix)]
mod shared_caches;

// Bodies of refused requests.
mod draining;
mod draining_bodies;
#[cfg(unix)]
mod uploads;

// gRPC, beside what the other files ask of it.
mod grpc_methods;
mod grpc_refusals;

// What else is told of requests and of the layer.
mod events;
mod metrics;
mod observers;
mod openapi;
mod remote;
mod repeated_events;
mod spans;
mod written_down;
