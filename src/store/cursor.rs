//! [`KeyCursor`]: a place in a list of keys.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::KeyRecord;
use crate::clock::microseconds;
use crate::key::KeyId;

/// A place in a list of keys, which stays valid when keys are added or removed.
///
/// Lists are ordered by the time of issue, in microseconds, and then by id, both descending. As text
/// it is opaque to clients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyCursor {
    created_at: u64,
    id: KeyId,
}

impl KeyCursor {
    /// Returns the place of a key.
    #[must_use]
    pub fn of(record: &KeyRecord) -> Self {
        Self { created_at: microseconds(record.created_at()), id: record.id.clone() }
    }

    /// Creates the place of a key that was issued at this time.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) fn new(created_at: SystemTime, id: KeyId) -> Self {
        Self { created_at: microseconds(created_at), id }
    }

    /// Tells whether this place comes before that of a record in a list.
    pub(super) fn is_newer_than(&self, record: &KeyRecord) -> bool {
        let order = |at: u64, id: &KeyId| self.created_at.cmp(&at).then_with(|| self.id.cmp(id));
        order(microseconds(record.created_at()), &record.id).is_gt()
    }

    /// Returns the time of issue, to the microsecond.
    #[must_use]
    pub fn created_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.created_at)
    }

    /// Returns the id of the key.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }
}

impl fmt::Display for KeyCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at, self.id)
    }
}

/// The error of a text that is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid cursor: pass the `next` of a previous page")]
pub struct ParseCursorError;

impl FromStr for KeyCursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (created_at, id) = text.split_once('.').ok_or(ParseCursorError)?;
        // No system time and no database column exceeds this.
        let created_at = created_at.parse().ok().filter(|time| *time <= i64::MAX as u64 / 1000);
        Ok(Self {
            created_at: created_at.ok_or(ParseCursorError)?,
            id: id.parse().map_err(|_| ParseCursorError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyHasher;

    #[test]
    fn a_cursor_is_read_back_from_its_text() {
        let record = KeyRecord::new(
            "key_1.2".parse().unwrap(),
            KeyHasher::sha256().digest("k"),
            "n",
            SystemTime::now(),
        );
        let cursor = KeyCursor::of(&record);
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    proptest! {
        #[test]
        fn a_text_that_is_no_cursor_is_an_error(text in ".*") {
            if let Ok(cursor) = text.parse::<KeyCursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
                let _ = cursor.created_at();
            }
        }
    }
}
