//! What the name of a key has to be.

use super::ManageError;

/// Tells whether a name can say what a key is for.
///
/// Names are shown in lists and logs, so they are one line.
pub(super) fn check_name(name: &str) -> Result<(), ManageError> {
    let is_line = !name.chars().any(|character| {
        // The last are what hides or turns around the text beside it.
        character.is_control() || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    });
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
        for name in odd {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }
}
