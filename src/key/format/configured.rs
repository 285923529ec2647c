//! Formats from a configuration, whose mistakes are errors and not panics.

use thiserror::Error;

use super::KeyFormat;
use crate::key::{Alphabet, Checksum};

/// The fewest random bits of a format: with fewer, keys can be guessed.
const MIN_ENTROPY_BITS: usize = 128;

impl KeyFormat {
    /// Like [`new`](Self::new), for a prefix from outside.
    ///
    /// # Errors
    ///
    /// Returns an error if the prefix has more than 32 characters, one that is not in `A-Z`,
    /// `a-z`, `0-9`, `_` or `-`, or does not start with a letter or digit.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyFormat;
    /// use tower_api_key::key::KeyFormatError;
    ///
    /// assert_eq!(KeyFormat::try_new("sk_live_")?.prefix(), "sk_live_");
    /// assert_eq!(KeyFormat::try_new("sk live").unwrap_err(), KeyFormatError::Prefix);
    /// # Ok::<_, KeyFormatError>(())
    /// ```
    pub fn try_new(prefix: &str) -> Result<Self, KeyFormatError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let starts_well = prefix.bytes().next().is_none_or(|first| first.is_ascii_alphanumeric());
        if prefix.len() > 32 || !prefix.bytes().all(plain) || !starts_well {
            return Err(KeyFormatError::Prefix);
        }
        Ok(Self {
            prefix: prefix.to_owned(),
            alphabet: Alphabet::Base62,
            body: 40,
            checksum: Checksum::none(),
            stage: None,
            kind: None,
        })
    }

    /// Like [`body`](Self::body), for a length from outside.
    ///
    /// # Errors
    ///
    /// Returns an error if the body has fewer than 128 bits of entropy or more than 200
    /// characters.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::KeyFormatError;
    /// use tower_api_key::{Alphabet, KeyFormat};
    ///
    /// assert!(KeyFormat::new("sk_").try_body(Alphabet::Hex, 32).is_ok());
    /// let error = KeyFormat::new("sk_").try_body(Alphabet::Hex, 8).unwrap_err();
    /// assert_eq!(error, KeyFormatError::Body);
    /// ```
    pub fn try_body(self, alphabet: Alphabet, length: usize) -> Result<Self, KeyFormatError> {
        if length > 200 || alphabet.entropy_bits(length) < MIN_ENTROPY_BITS {
            return Err(KeyFormatError::Body);
        }
        Ok(Self { alphabet, body: length, ..self })
    }
}

/// The error of an impossible key format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyFormatError {
    /// The prefix is too long, has another character, or does not start with a letter or digit.
    #[error(
        "the prefix of a key format has at most 32 characters of A-Z, a-z, 0-9, `_` and `-`, the \
         first of them a letter or digit"
    )]
    Prefix,
    /// The body can be guessed, or is too long.
    #[error("the body of a key needs at least 128 bits of entropy and at most 200 characters")]
    Body,
}
