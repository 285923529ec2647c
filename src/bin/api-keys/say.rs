//! [`say`]: messages on standard error.

use std::fmt;
use std::io::{self, Write as _};

/// Writes a message for people.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    // If standard error is closed, the exit status has the result.
    let _ = writeln!(io::stderr(), "{message}");
}
