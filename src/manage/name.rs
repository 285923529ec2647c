//! The rules for names of keys.

use super::ManageError;
use crate::line::is_name;

/// Checks the name of a key.
pub(super) fn check_name(name: &str) -> Result<(), ManageError> {
    if is_name(name) { Ok(()) } else { Err(ManageError::Name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_something_on_one_line() {
        for name in ["ETL", "nightly import", "日本語の鍵", &"x".repeat(100)] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        let odd = [
            "",
            "  ",
            "a",
            " ab ",
            "two\nlines",
            "nul\0",
            "turned \u{202e}around",
            &"x".repeat(101),
        ];
        let hidden = ["\u{ad}\u{2060}\u{3164}", "abc\u{61c}", "abc\u{e0041}"];
        for name in odd.into_iter().chain(hidden) {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
