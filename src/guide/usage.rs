//! Usage of each key.
