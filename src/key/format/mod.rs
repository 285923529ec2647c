//! [`KeyFormat`]: the prefix, the body and the checksum of keys.

use std::fmt;

use zeroize::Zeroizing;

pub use self::configured::KeyFormatError;
use self::error::Cause;
pub use self::error::{FormatError, GenerateError};
use super::{Alphabet, Checksum, KeyKind, Secret, Stage};
use crate::valid::valid;

mod configured;
mod error;
mod scanners;

/// The longest text that can be a key, in bytes.
///
/// Longer texts are refused before they are hashed, whatever the formats are.
pub const MAX_KEY_LENGTH: usize = 256;

/// The format of API keys: a prefix, a random body, and optionally a checksum.
///
/// People and secret scanners recognize a key by its prefix, which may also stand for a [`Stage`] or a
/// [`KeyKind`]. The default format is `ak_`, 40 random characters in base 62 (238 bits) and a CRC-32:
/// 49 bytes in all, which take one block of SHA-256.
///
/// Servers generate and check keys with it. Clients use [`parse`](Self::parse) to refuse a wrong key at
/// login.
///
/// # Examples
///
/// ```
/// use tower_api_key::{Alphabet, Checksum, KeyFormat, KeyKind};
///
/// let live = KeyFormat::new("sk_live_").body(Alphabet::Hex, 40).stage("live");
/// let secret = live.generate()?;
/// assert_eq!(secret.reveal().len(), 48);
/// assert_eq!(live.parse(secret.reveal()).unwrap().stage().unwrap(), "live");
/// assert!(live.parse("sk_test_1234").is_err());
/// assert_eq!(live.regex(), r"sk_live_[0-9a-f]{40}\b");
/// assert_eq!((live.prefix(), live.len()), ("sk_live_", 48));
/// assert_eq!(live.stage_of_prefix().unwrap(), "live");
/// assert!(live.characters().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
///
/// let widget = KeyFormat::new("pk_").kind(KeyKind::Public).checksum(Checksum::crc32());
/// assert_eq!(widget.kind_of_prefix(), Some(KeyKind::Public));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct KeyFormat {
    prefix: String,
    alphabet: Alphabet,
    body: usize,
    checksum: Checksum,
    stage: Option<Stage>,
    kind: Option<KeyKind>,
}

impl KeyFormat {
    /// Creates a format with `prefix`, a body of 40 base-62 characters and no checksum.
    ///
    /// The prefix may contain `_`, as in `sk_live_`, and may be empty.
    ///
    /// # Panics
    ///
    /// Panics if the prefix has more than 32 characters, one that is not in `A-Z`, `a-z`,
    /// `0-9`, `_` or `-`, or does not start with a letter or digit.
    #[must_use]
    #[track_caller]
    pub fn new(prefix: &str) -> Self {
        let format = Self::try_new(prefix);
        valid(format.map_err(|error| format!("{error}; this one is {prefix:?}")))
    }

    /// Sets the alphabet and the length of the random body.
    ///
    /// # Panics
    ///
    /// Panics if the body has fewer than 128 bits of entropy or more than 200 characters.
    #[must_use]
    #[track_caller]
    pub fn body(self, alphabet: Alphabet, length: usize) -> Self {
        let name = alphabet.name();
        let format = self.try_body(alphabet, length);
        valid(format.map_err(|error| format!("{error}; {length} {name} characters were asked for")))
    }

    /// Sets the checksum at the end.
    #[must_use]
    pub fn checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = checksum;
        self
    }

    /// Makes the prefix stand for a stage.
    ///
    /// Keys that are issued in this format have the stage. A record with another stage is refused.
    ///
    /// # Panics
    ///
    /// Panics if `stage` does not parse.
    #[must_use]
    #[track_caller]
    pub fn stage<S>(mut self, stage: S) -> Self
    where
        S: TryInto<Stage, Error: fmt::Display>,
    {
        self.stage = Some(valid(stage.try_into()));
        self
    }

    /// Makes the prefix stand for a kind.
    ///
    /// Keys that are issued in this format have the kind. A record with another kind is refused.
    #[must_use]
    pub fn kind(mut self, kind: KeyKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Returns the prefix.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Returns the stage for which the prefix stands.
    #[must_use]
    pub fn stage_of_prefix(&self) -> Option<&Stage> {
        self.stage.as_ref()
    }

    /// Returns the kind for which the prefix stands.
    #[must_use]
    pub fn kind_of_prefix(&self) -> Option<KeyKind> {
        self.kind
    }

    /// Returns the characters of keys of this format, some of them twice.
    ///
    /// An [`Extract`](crate::Extract) uses them to tell whether it [can
    /// carry](crate::Extract::can_carry) such keys.
    pub fn characters(&self) -> impl Iterator<Item = u8> + '_ {
        // The checksum is written in the alphabet of the body.
        self.prefix.bytes().chain(self.alphabet.characters().iter().copied())
    }

    /// Tells whether a key of this format may have this stage and this kind.
    pub(crate) fn allows(&self, stage: Option<&Stage>, kind: KeyKind) -> bool {
        self.allows_stage(stage) && self.allows_kind(kind)
    }

    pub(super) fn allows_stage(&self, stage: Option<&Stage>) -> bool {
        self.stage.as_ref().is_none_or(|own| Some(own) == stage)
    }

    pub(super) fn allows_kind(&self, kind: KeyKind) -> bool {
        self.kind.is_none_or(|own| own == kind)
    }

    /// Tells whether the formats differ only in what follows the prefix.
    pub(super) fn means_the_same_as(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.stage == other.stage && self.kind == other.kind
    }

    /// Returns the length of a whole key in characters.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no key is empty")]
    pub fn len(&self) -> usize {
        self.prefix.len() + self.body + self.checksum.length(self.alphabet)
    }

    /// Generates a new key from the operating system's random numbers.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system has no randomness to give, or if the format
    /// lacks the secret of its checksum ([`Checksum::keyed_unchecked`]).
    pub fn generate(&self) -> Result<Secret, GenerateError> {
        if !self.checksum.is_known() {
            return Err(GenerateError(Cause::Checksum));
        }
        // Allocated at once, because growing would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(self.len()));
        text.push_str(&self.prefix);
        super::random_text(self.alphabet, self.body, &mut text)?;
        self.checksum.push(&mut text, self.prefix.len(), self.alphabet);
        Ok(Secret::new(text))
    }

    /// Checks a text, in the order prefix, length, characters, checksum.
    pub(super) fn check(&self, text: &str) -> Result<(), FormatError> {
        let rest = text.strip_prefix(&self.prefix).ok_or(FormatError::Prefix)?;
        if text.len() != self.len() {
            return Err(FormatError::Length);
        }
        if !rest.bytes().all(|byte| self.alphabet.contains(byte)) {
            return Err(FormatError::Character);
        }
        let (checked, found) = text.split_at(self.prefix.len() + self.body);
        let fits = self.checksum.verify(checked, self.prefix.len(), found, self.alphabet);
        fits.then_some(()).ok_or(FormatError::Checksum)
    }
}

impl Default for KeyFormat {
    fn default() -> Self {
        Self::new("ak_").checksum(Checksum::crc32())
    }
}

impl fmt::Display for KeyFormat {
    /// Describes the format to a user who typed a wrong key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.len() - self.prefix.len();
        write!(f, "`{}` followed by {count} {} characters", self.prefix, self.alphabet.name())
    }
}

const _: () = assert!(32 + 200 + 16 <= MAX_KEY_LENGTH, "every format's keys are accepted");

#[cfg(test)]
mod tests;
