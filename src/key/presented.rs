//! [`PresentedKey`]: a text that may be a key.

use std::fmt;

use super::{FormatError, KeyFormat, KeyKind, MAX_KEY_LENGTH, Stage};

/// A text with the form of a key, which is not verified yet.
///
/// It is returned by [`KeyFormat::parse`](super::KeyFormat::parse) and
/// [`KeyFormats::parse`](super::KeyFormats::parse). The client chose the text: nothing that it says
/// about the key is proven.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::KeyFormats;
/// use tower_api_key::{KeyFormat, KeyKind};
///
/// let formats = KeyFormats::from(KeyFormat::new("sk_live_").stage("live").kind(KeyKind::Secret));
/// let secret = formats.iter().next().unwrap().generate()?;
/// let presented = formats.parse(secret.reveal()).unwrap();
/// assert_eq!(presented.reveal(), secret.reveal());
/// assert_eq!(presented.format().unwrap().prefix(), "sk_live_");
/// assert_eq!(presented.stage().unwrap(), "live");
/// assert_eq!(presented.kind(), Some(KeyKind::Secret));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    text: &'a str,
    format: Option<&'a KeyFormat>,
}

impl<'a> PresentedKey<'a> {
    /// Parses bytes with a possible length and characters of a key.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Result<Self, FormatError> {
        Self::check(bytes)?;
        let text = str::from_utf8(bytes).map_err(|_| FormatError::Character)?;
        Ok(Self { text, format: None })
    }

    /// Returns why bytes with this length or these characters are not a key.
    pub(crate) fn check(bytes: &[u8]) -> Result<(), FormatError> {
        if bytes.is_empty() || bytes.len() > MAX_KEY_LENGTH {
            return Err(FormatError::Length);
        }
        // Checks all bytes without an early exit, which is faster for a valid key.
        let allowed = bytes.iter().fold(true, |all, byte| all & is_key_character(*byte));
        allowed.then_some(()).ok_or(FormatError::Character)
    }

    pub(crate) fn with_format(self, format: &'a KeyFormat) -> Self {
        Self { format: Some(format), ..self }
    }

    /// Returns the text as it was presented.
    #[must_use]
    pub fn reveal(&self) -> &'a str {
        self.text
    }

    /// Returns the format of the text, if formats are set.
    #[must_use]
    pub fn format(&self) -> Option<&'a KeyFormat> {
        self.format
    }

    /// Returns the stage for which the prefix stands.
    #[must_use]
    pub fn stage(&self) -> Option<&'a Stage> {
        self.format.and_then(KeyFormat::stage_of_prefix)
    }

    /// Returns the kind for which the prefix stands.
    #[must_use]
    pub fn kind(&self) -> Option<KeyKind> {
        self.format.and_then(KeyFormat::kind_of_prefix)
    }
}

impl KeyFormat {
    /// Parses a text as a key of this format.
    ///
    /// It needs no store: clients use it to refuse a wrong key at login.
    ///
    /// # Errors
    ///
    /// Returns why the text is not a key, in the order prefix, length, characters, checksum. The error
    /// never holds the text.
    pub fn parse<'a>(&'a self, text: &'a str) -> Result<PresentedKey<'a>, FormatError> {
        self.check(text)?;
        Ok(PresentedKey::from_bytes(text.as_bytes())?.with_format(self))
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Tells whether a key may have this byte: visible ASCII, except the separators of lists, parameters
/// and quoted strings.
const fn is_key_character(byte: u8) -> bool {
    byte.is_ascii_graphic() & (byte != b',') & (byte != b';') & (byte != b'"') & (byte != b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyFormats;

    proptest! {
        #[test]
        fn parsing_never_panics_on_any_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            prefixed in any::<bool>(),
        ) {
            let bytes = if prefixed { [&b"ak_"[..], &bytes].concat() } else { bytes };
            if let Ok(key) = PresentedKey::from_bytes(&bytes) {
                prop_assert_eq!(key.reveal().as_bytes(), &bytes);
                prop_assert!(bytes.iter().all(u8::is_ascii_graphic));
            }
            let _ = KeyFormats::from(KeyFormat::default()).parse_bytes(&bytes);
        }
    }

    fn parse(bytes: &[u8]) -> Option<&str> {
        PresentedKey::from_bytes(bytes).ok().map(|key| key.reveal())
    }

    #[test]
    fn visible_ascii_of_bounded_length_may_be_a_key() {
        assert_eq!(parse(b"sk_live_4eC39H.~+/-=!"), Some("sk_live_4eC39H.~+/-=!"));
        assert!(parse(&[b'x'; MAX_KEY_LENGTH]).is_some());
        assert!(parse(&[b'x'; MAX_KEY_LENGTH + 1]).is_none());
    }

    #[test]
    fn lists_spaces_control_and_foreign_bytes_are_no_key() {
        for wrong in [
            &b""[..],
            b" ",
            b"a b",
            b" a",
            b"a\t",
            b"a,b",
            b"a, b",
            b"a;b",
            b"\"a\"",
            b"a\\b",
            b"a\0",
            b"a\x7f",
            b"a\n",
            "ä".as_bytes(),
            b"\xff\xfe",
        ] {
            assert!(parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn debug_does_not_show_the_text() {
        let key = PresentedKey::from_bytes(b"hush").unwrap();
        assert!(!format!("{key:?}").contains("hush"));
    }
}
