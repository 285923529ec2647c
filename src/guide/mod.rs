//! Pages of documentation.

pub mod streams;
