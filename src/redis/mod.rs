//! Redis and Valkey, for stores and limiters alike.
//!
//! * [`connection`]: one server, over a connection that is made anew when it fails
//! * [`script`]: what the server does in one go

mod connection;
mod script;

pub(crate) use self::connection::Connection;
pub(crate) use self::script::{Call, Script};
