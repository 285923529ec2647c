//! Pages for operators, beside the documentation of each type.

pub mod failover;
pub mod pages;
pub mod streams;
