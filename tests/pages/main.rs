//! The pages by which people manage keys: over HTTP, and in a real browser.
//!
//! `tests/all` finds or installs the browser and axe-core, and runs all of them:
//!
//! ```sh
//! tests/all --test pages
//! ```

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

// Where the tests take place: a product with sessions, and its people.
mod world;

// Over HTTP.
mod answers;
mod by_hand;
mod costs;
mod forms;
mod once;
mod origins;
mod refusals;

// In Chromium.
#[cfg(unix)]
mod flows;
#[cfg(unix)]
mod looks;
#[cfg(unix)]
mod secrets;
