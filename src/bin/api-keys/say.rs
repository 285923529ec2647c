//! [`say`]: what goes to standard error.

use std::fmt;
use std::io::{self, Write as _};

/// Says something to people.
pub(crate) fn say(message: fmt::Arguments<'_>) {
    // If nobody listens, the exit status says it.
    let _ = writeln!(io::stderr(), "{message}");
}
