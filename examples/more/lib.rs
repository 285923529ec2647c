//! Nothing: `Cargo.toml` names the examples. Cargo wants a library or a program in each package.
