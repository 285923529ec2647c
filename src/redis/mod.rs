//! Redis and Valkey, for stores and limiters alike.
//!
//! * [`endpoint`]: where the server is
//! * [`sentinel`]: who knows it, if it may be another one tomorrow
//! * [`server`]: what it says of itself, and which servers are refused
//! * [`socket`]: a connection to it, made anew when it fails or is old
//! * [`connect`]: what is said before there is one
//! * [`connection`]: commands over that
//! * [`failure`]: why there is none, in words
//! * [`script`]: what the server does in one go

mod connect;
mod connection;
mod endpoint;
mod failure;
mod script;
mod sentinel;
mod server;
mod socket;

pub(crate) use self::connect::Connect;
pub(crate) use self::connection::Connection;
pub(crate) use self::script::{Call, Script};
pub(crate) use self::server::{Demands, Eviction};

/// For how long a connection is used: the time after which a cache trusts nothing that it knows,
/// by default.
const LIFETIME: std::time::Duration = std::time::Duration::from_secs(60);
