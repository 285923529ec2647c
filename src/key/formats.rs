//! [`KeyFormats`]: several key formats side by side.

use std::sync::Arc;

use super::{FormatError, KeyFormat, PresentedKey};

/// A set of key formats. The format with the longest matching prefix applies.
///
/// `hania_sk_…` is judged by the format `hania_sk_`, and never by `hania_`, even if it does not match.
/// Formats with the same prefix are alternatives. An empty set accepts any text that could be a key. A
/// clone is cheap.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::{FormatError, KeyFormat, KeyFormats};
///
/// let formats = KeyFormats::from_iter([
///     KeyFormat::new("sk_live_").stage("live"),
///     KeyFormat::new("sk_test_").stage("test"),
/// ]);
/// assert_eq!(formats.parse("pk_live_1234").unwrap_err(), FormatError::Prefix);
/// assert!(formats.iter().all(|format| format.prefix().starts_with("sk_")));
/// assert!(KeyFormats::default().is_empty() && KeyFormats::default().parse("any").is_ok());
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyFormats(Arc<[KeyFormat]>);

impl KeyFormats {
    /// Parses a text as a key of one of the formats.
    ///
    /// # Errors
    ///
    /// Returns why the text is not a key. The error never holds the text.
    pub fn parse<'a>(&'a self, text: &'a str) -> Result<PresentedKey<'a>, FormatError> {
        self.parse_bytes(text.as_bytes())
    }

    // Inlined for requests: the compiler keeps it out of line, because issuing calls it too, and a call
    // takes twenty instructions.
    #[inline(always)]
    pub(crate) fn parse_bytes<'a>(
        &'a self,
        bytes: &'a [u8],
    ) -> Result<PresentedKey<'a>, FormatError> {
        let key = PresentedKey::from_bytes(bytes)?;
        if self.0.is_empty() {
            return Ok(key);
        }
        let text = key.reveal();
        let mut matching = self.0.iter().filter(|format| text.starts_with(format.prefix()));
        let Some(first) = matching.next() else {
            return Err(FormatError::Prefix);
        };
        first.parse(text).or_else(|error| {
            matching
                .take_while(|format| format.prefix() == first.prefix())
                .find_map(|format| format.parse(text).ok())
                .ok_or(error)
        })
    }

    /// Returns the formats, longest prefixes first.
    pub fn iter(&self) -> impl Iterator<Item = &KeyFormat> {
        self.0.iter()
    }

    /// Tells whether there are no formats, so that any text could be a key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the formats with a matching prefix.
    pub(super) fn only(&self, fits: impl Fn(&KeyFormat) -> bool) -> Self {
        Self(self.iter().filter(|format| fits(format)).cloned().collect())
    }
}

impl FromIterator<KeyFormat> for KeyFormats {
    fn from_iter<I: IntoIterator<Item = KeyFormat>>(formats: I) -> Self {
        let mut formats: Vec<_> = formats.into_iter().collect();
        // Longest first; ordering by name keeps equal prefixes together.
        formats.sort_by(|a, b| {
            let order = |format: &KeyFormat| std::cmp::Reverse(format.prefix().len());
            order(a).cmp(&order(b)).then_with(|| a.prefix().cmp(b.prefix()))
        });
        Self(formats.into())
    }
}

impl From<KeyFormat> for KeyFormats {
    fn from(format: KeyFormat) -> Self {
        Self([format].into())
    }
}

impl<const N: usize> From<[KeyFormat; N]> for KeyFormats {
    fn from(formats: [KeyFormat; N]) -> Self {
        Self::from_iter(formats)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Alphabet, KeyKind};

    fn hania() -> KeyFormats {
        KeyFormats::from([
            KeyFormat::new("hania_").body(Alphabet::Base62, 43).kind(KeyKind::Public),
            KeyFormat::new("hania_sk_").body(Alphabet::Hex, 40).kind(KeyKind::Secret),
        ])
    }

    #[test]
    fn the_longest_prefix_rules() {
        let formats = hania();
        let secret = formats.iter().next().unwrap().generate().unwrap();
        assert_eq!(formats.parse(secret.reveal()).unwrap().kind(), Some(KeyKind::Secret));
    }

    #[test]
    fn a_text_that_fails_the_longest_prefix_is_not_tried_with_a_shorter_one() {
        // Without its underscores it would be a valid body of the other format.
        let formats = KeyFormats::from([
            KeyFormat::new("ab").body(Alphabet::Hex, 42),
            KeyFormat::new("abcd").body(Alphabet::Hex, 60),
        ]);
        let text = format!("abcd{}", "0".repeat(40));
        assert_eq!(formats.parse(&text).unwrap_err(), FormatError::Length);
    }

    #[test]
    fn formats_with_the_same_prefix_are_alternatives() {
        let old = KeyFormat::new("ak_").body(Alphabet::Hex, 32);
        let new = KeyFormat::default();
        let formats = KeyFormats::from([old.clone(), KeyFormat::new("zz_"), new.clone()]);
        for format in [old, new] {
            assert!(formats.parse(format.generate().unwrap().reveal()).is_ok());
        }
    }

    #[test]
    fn no_formats_accept_what_could_be_a_key() {
        let formats = KeyFormats::default();
        assert!(formats.parse("anything-goes").is_ok());
        assert_eq!(formats.parse("a b").unwrap_err(), FormatError::Character);
    }
}
