//! Pages for operators, beside the documentation of each type.

pub mod failover;
pub mod migrating;
pub mod observing;
pub mod pages;
pub mod roles;
pub mod streams;
pub mod usage;
