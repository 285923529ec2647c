//! Documentation tests that need more than the crate does.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../src/client/reqwest.md")]
struct Reqwest;
