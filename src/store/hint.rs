//! Hints: what people may see of a key to recognize it.

use super::KeyRecord;
use crate::key::{KeyFormat, KeyFormats, Secret};

/// What stands in a hint for the characters that are not shown.
const OMITTED: char = '\u{2026}';

/// Returns the prefix and the last four characters.
pub(super) fn hint(format: &KeyFormat, secret: &Secret) -> String {
    let text = secret.reveal();
    format!("{}{OMITTED}{}", format.prefix(), &text[text.len() - 4..])
}

impl KeyRecord {
    /// Returns how the key begins, by its hint: the prefix of its format. It is empty where the hint
    /// is not of this crate's making.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.hint.split_once(OMITTED).map_or("", |(prefix, _)| prefix)
    }
}

impl KeyFormats {
    /// Returns the format with the same prefix as the key of `record`, if there is one whose
    /// prefix stands for the same stage and kind.
    pub(crate) fn with_prefix_of(&self, record: &KeyRecord) -> Option<&KeyFormat> {
        let (prefix, _) = record.hint.split_once(OMITTED)?;
        self.iter().find(|format| {
            format.prefix() == prefix && format.allows(record.stage.as_ref(), record.kind)
        })
    }
}
