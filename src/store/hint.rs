//! [`KeyHint`]: the parts of a key by which people recognize it.

use std::fmt;

use crate::key::{Compact, KeyFormat, KeyFormats, KeyKind, Secret, Stage, Thin};

/// Stands for the hidden characters of a hint.
const OMITTED: char = '\u{2026}';

/// The parts of a key by which people recognize it: its prefix and its last four characters.
///
/// A store keeps it as its [text](Self::as_str), such as `sk_live_…x789`.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::KeyHint;
///
/// let hint = KeyHint::new("sk_live_", "x789");
/// assert_eq!(hint.to_string(), "sk_live_…x789");
/// assert_eq!(KeyHint::from_text("sk_live_…x789"), hint);
/// assert_eq!((hint.prefix(), hint.last_four()), (Some("sk_live_"), "x789"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct KeyHint(Compact<15, Thin>);

impl KeyHint {
    /// Creates the hint of a key with this prefix and these last characters.
    #[must_use]
    pub fn new(prefix: &str, last_four: &str) -> Self {
        Self((&*format!("{prefix}{OMITTED}{last_four}")).into())
    }

    /// Reads a stored hint. A text of another form is shown unchanged, and has no prefix.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self((&*text.into()).into())
    }

    pub(super) fn of(format: &KeyFormat, secret: &Secret) -> Self {
        let text = secret.reveal();
        Self::new(format.prefix(), &text[text.len() - 4..])
    }

    /// Returns the text, which is empty if no hint is known.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns the start of the key: the prefix of its format.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.as_str().split_once(OMITTED).map(|(prefix, _)| prefix)
    }

    /// Returns the end of the key.
    #[must_use]
    pub fn last_four(&self) -> &str {
        self.as_str().split_once(OMITTED).map_or(self.as_str(), |(_, last_four)| last_four)
    }
}

impl fmt::Display for KeyHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq<str> for KeyHint {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for KeyHint {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl crate::key::HeapSize for KeyHint {
    fn heap_size(&self) -> usize {
        self.0.heap_size()
    }
}

impl KeyFormats {
    /// Returns the format with the prefix of a key's hint, if the prefix of one stands for the stage
    /// and the kind of the key.
    pub(crate) fn with_prefix_of(
        &self,
        hint: &KeyHint,
        stage: Option<&Stage>,
        kind: KeyKind,
    ) -> Option<&KeyFormat> {
        let prefix = hint.prefix()?;
        self.iter().find(|format| format.prefix() == prefix && format.allows(stage, kind))
    }
}
