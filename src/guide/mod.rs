//! Pages for operators, beside the documentation of each type.

pub mod failover;
pub mod observing;
pub mod streams;
pub mod usage;
