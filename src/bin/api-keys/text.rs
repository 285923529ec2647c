//! Text from a database on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes control characters for a terminal. Names are checked when they are set, but other programs may write to
/// the database.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_obeyed(character) {
            // Writing to a `String` cannot fail.
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Returns whether a character is a control character, changes the direction of the text, or is invisible.
fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}')
}

/// Cuts a text to at most `length` characters.
pub(crate) fn cut(text: &str, length: usize) -> Cow<'_, str> {
    if text.chars().count() <= length {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(length.saturating_sub(1)).collect();
    Cow::Owned(kept + "\u{2026}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(printable("M\u{fc}nchen \u{2014} \u{1f511}"), "M\u{fc}nchen \u{2014} \u{1f511}");
        assert_eq!(printable("a\u{1b}[2J\nb\u{9b}1m"), r"a\u{1b}[2J\u{a}b\u{9b}1m");
        assert_eq!(printable("x\u{202e}y\u{200b}"), r"x\u{202e}y\u{200b}");
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("l\u{e4}nger", 4), "l\u{e4}n\u{2026}");
    }
}
