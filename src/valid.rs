//! [`valid`]: what programmers write down, such as the ability that a route requires.

use std::fmt;

/// Returns the value, or panics at the line of the program that wrote it.
///
/// The public functions that call this are `#[track_caller]`, too. Closures are not, so lists are converted in loops.
///
/// # Panics
///
/// Panics with the error if there is one.
#[track_caller]
pub(crate) fn valid<T>(result: Result<T, impl fmt::Display>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}
