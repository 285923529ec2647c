//! Pages for operators, beside the documentation of each type.

pub mod failover;
pub mod migrating;
pub mod roles;
pub mod streams;
