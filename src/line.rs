//! Text for lists and logs: visible, on one line.

/// Tells whether a character is visible, and neither ends the line nor reverses the text beside it.
pub(crate) fn is_shown(character: char) -> bool {
    !character.is_control() && !is_hidden(character)
}

/// Tells whether a text can be the name of a key. Names are shown in lists and logs, so they are one line.
pub(crate) fn is_name(text: &str) -> bool {
    let is_line = text.chars().all(is_shown);
    is_line && text.trim().chars().count() >= 3 && text.chars().count() <= 100
}

fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}
