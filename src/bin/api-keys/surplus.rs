//! [`Surplus`]: characters around a value that are there by mistake.

use thiserror::Error;

/// Characters around a value from the environment or the arguments that are there by mistake.
///
/// A line end, spaces or quotes would become a part of the value: another file, another schema, or a pepper that no
/// server has. The value is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum Surplus {
    #[error("is empty: give it a value, or leave it out")]
    Nothing,
    #[error("begins or ends with a line break: remove it")]
    LineBreak,
    #[error("begins or ends with white space, or with a character that is not seen: remove it")]
    Unseen,
    #[error(
        "begins or ends with a quote: remove the quotes, which a shell does, and `docker run \
         --env-file` does not"
    )]
    Quote,
}

impl Surplus {
    /// Checks a value at both ends.
    pub(crate) fn check(value: &str) -> Result<(), Self> {
        let (Some(first), Some(last)) = (value.chars().next(), value.chars().next_back()) else {
            return Err(Self::Nothing);
        };
        [last, first].into_iter().find_map(Self::of).map_or(Ok(()), Err)
    }

    fn of(character: char) -> Option<Self> {
        match character {
            '\n' | '\r' => Some(Self::LineBreak),
            // The last are a byte order mark and spaces without width.
            _ if character.is_whitespace() || character.is_control() => Some(Self::Unseen),
            '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}' => Some(Self::Unseen),
            '"' | '\'' | '`' | '\u{2018}'..='\u{201f}' => Some(Self::Quote),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_inside_what_it_may_not_have_around_it() {
        for value in ["x", "a b", "a\nb", "a'b", "a\"b", "M\u{fc}nchen", "\u{1f511}"] {
            assert_eq!(Surplus::check(value), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn what_is_around_a_value_is_found_at_either_end() {
        for (around, surplus) in [
            ("\n", Surplus::LineBreak),
            ("\r", Surplus::LineBreak),
            ("\r\n", Surplus::LineBreak),
            (" ", Surplus::Unseen),
            ("\t", Surplus::Unseen),
            ("\u{a0}", Surplus::Unseen),
            ("\u{feff}", Surplus::Unseen),
            ("\u{1b}", Surplus::Unseen),
            ("\"", Surplus::Quote),
            ("'", Surplus::Quote),
            ("\u{201d}", Surplus::Quote),
        ] {
            assert_eq!(Surplus::check(&format!("x{around}")), Err(surplus), "{around:?}");
            let around: String = around.chars().rev().collect();
            assert_eq!(Surplus::check(&format!("{around}x")), Err(surplus), "{around:?}");
            assert_eq!(Surplus::check(&around), Err(surplus), "{around:?}");
        }
        assert_eq!(Surplus::check(""), Err(Surplus::Nothing));
    }
}
