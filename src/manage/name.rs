//! The rules for names of keys.

use super::ManageError;
use crate::line::is_shown;

/// Checks the name of a key.
///
/// Names are shown in lists and logs, so they are one line.
pub(super) fn check_name(name: &str) -> Result<(), ManageError> {
    let is_line = name.chars().all(is_shown);
    match is_line && name.trim().chars().count() >= 3 && name.chars().count() <= 100 {
        true => Ok(()),
        false => Err(ManageError::Name),
    }
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
