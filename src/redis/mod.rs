//! Connections to Redis and Valkey, for stores and limiters.
//!
//! * [`endpoint`]: the address of the server
//! * [`sentinel`]: finds the primary
//! * [`server`]: which servers are refused
//! * [`socket`]: a connection, which is renewed when it fails or is old
//! * [`connection`]: commands over a socket
//! * [`failure`]: errors of connecting, with advice
//! * [`script`]: scripts of the server

mod connection;
mod endpoint;
mod failure;
mod script;
mod sentinel;
mod server;
mod socket;

pub(crate) use self::connection::Connection;
pub(crate) use self::script::{Call, Script};
pub(crate) use self::server::{Demands, Eviction};

/// The lifetime of a connection: the time after which a cache relies on none of its records, by
/// default.
pub(crate) const LIFETIME: std::time::Duration = std::time::Duration::from_secs(60);
