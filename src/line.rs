//! Text for lists and logs: visible, on one line.

/// Tells whether a character is visible, and neither ends the line nor reverses the text beside it.
pub(crate) fn is_shown(character: char) -> bool {
    !character.is_control() && !is_hidden(character)
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
