//! The layer in stacks and frameworks that the crate itself does not depend on. In each of them it
//! keeps [one contract](contract), over real servers and clients where there are some.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod aide;
mod contract;
mod lambda;
mod mcp;
mod poem;
mod salvo;
mod stack;
mod utoipa_axum;
