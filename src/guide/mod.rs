//! Pages for operators, beside the documentation of each type.

pub mod cost;
pub mod failover;
pub mod migrating;
pub mod observing;
pub mod roles;
pub mod streams;
