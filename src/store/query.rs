//! [`KeyQuery`]: which keys are listed, page by page.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;

use super::{KeyRecord, KeyState};
use crate::clock::microseconds;
use crate::key::{KeyId, TenantId};

/// The most keys that a page has.
const MAX_LIMIT: usize = 1000;

/// Says which keys are to be listed. The default lists all, the newest first.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::{KeyQuery, KeyState};
///
/// let query = KeyQuery::new().tenant("acme".parse()?).state(KeyState::Active).limit(20);
/// assert_eq!(query.limit, 20);
/// # Ok::<_, tower_api_key::key::IdError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct KeyQuery {
    /// Whose keys.
    pub tenant: TenantFilter,
    /// Keys in this state only.
    pub state: Option<KeyState>,
    /// The moment at which keys are in a state. A [`KeyManager`](crate::KeyManager) sets it.
    pub at: SystemTime,
    /// Only keys that were not used since, nor issued.
    pub unused_since: Option<SystemTime>,
    /// Only keys that should be replaced by then.
    pub rotation_due_by: Option<SystemTime>,
    /// Only keys that come after this one.
    pub after: Option<KeyCursor>,
    /// How many keys a page has at most: 1 to 1000, 100 by default.
    pub limit: usize,
}

/// Whose keys are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenantFilter {
    /// Everybody's. The default.
    #[default]
    Any,
    /// Those of this tenant.
    Of(TenantId),
    /// Those of no tenant.
    Nobody,
}

impl TenantFilter {
    /// Tells whether keys of this tenant are listed.
    #[must_use]
    pub fn matches(&self, tenant: Option<&TenantId>) -> bool {
        match self {
            Self::Any => true,
            Self::Of(listed) => tenant == Some(listed),
            Self::Nobody => tenant.is_none(),
        }
    }
}

impl From<Option<TenantId>> for TenantFilter {
    fn from(tenant: Option<TenantId>) -> Self {
        tenant.map_or(Self::Nobody, Self::Of)
    }
}

impl KeyQuery {
    /// Lists all keys.
    pub fn new() -> Self {
        Self {
            tenant: TenantFilter::Any,
            state: None,
            at: SystemTime::now(),
            unused_since: None,
            rotation_due_by: None,
            after: None,
            limit: 100,
        }
    }

    /// Lists the keys of `tenant` only.
    pub fn tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = TenantFilter::Of(tenant);
        self
    }

    /// Lists keys in this state only.
    pub fn state(mut self, state: KeyState) -> Self {
        self.state = Some(state);
        self
    }

    /// Lists only keys that were neither used nor issued since `time`.
    pub fn unused_since(mut self, time: SystemTime) -> Self {
        self.unused_since = Some(time);
        self
    }

    /// Lists only keys that should be replaced by `time`.
    pub fn rotation_due_by(mut self, time: SystemTime) -> Self {
        self.rotation_due_by = Some(time);
        self
    }

    /// Goes on where a [page](KeyPage::next) ended.
    pub fn after(mut self, cursor: impl Into<Option<KeyCursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Sets how many keys a page has at most; fewer than 1 are 1, more than 1000 are 1000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Tells whether a key is to be listed, on whichever page.
    #[must_use]
    pub fn matches(&self, key: &StoredKey) -> bool {
        let record = &*key.record;
        self.tenant.matches(record.tenant.as_ref())
            && self.state.is_none_or(|state| record.state(self.at) == state)
            && self.unused_since.is_none_or(|time| {
                key.last_used_at.is_none_or(|used_at| used_at < time) && record.created_at < time
            })
            && self
                .rotation_due_by
                .is_none_or(|time| record.rotation_due_at.is_some_and(|due_at| due_at <= time))
    }

    /// Tells whether a key comes after the [cursor](Self::after), if there is one: in the order of lists,
    /// which is by the time of issue in microseconds and then by id, both descending.
    ///
    /// In SQL, it is `(created_at, id) < ($1, $2)` with the [time](KeyCursor::created_at) and the
    /// [id](KeyCursor::id) of the cursor, where the ids are compared byte by byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cmp::Reverse;
    ///
    /// use tower_api_key::store::{KeyCursor, KeyPage, KeyQuery, StoredKey};
    ///
    /// /// Answers a query from all that there is.
    /// fn list(all: &[StoredKey], query: &KeyQuery) -> KeyPage {
    ///     let matching = all.iter().filter(|key| query.matches(key));
    ///     let mut keys: Vec<_> =
    ///         matching.filter(|key| query.is_after_cursor(&key.record)).cloned().collect();
    ///     keys.sort_by_cached_key(|key| Reverse(KeyCursor::of(&key.record)));
    ///     keys.truncate(query.page_size() + 1);
    ///     query.page(keys)
    /// }
    /// # let page = list(&[], &KeyQuery::new());
    /// # assert_eq!(page, KeyPage::new(Vec::new(), None));
    /// ```
    #[must_use]
    pub fn is_after_cursor(&self, record: &KeyRecord) -> bool {
        self.after.as_ref().is_none_or(|after| KeyCursor::of(record) < *after)
    }

    /// Returns how many keys a page has at most: the [limit](Self::limit), or the nearest that is
    /// allowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::KeyQuery;
    ///
    /// assert_eq!([0, 20, 5000].map(|limit| KeyQuery::new().limit(limit).page_size()), [1, 20, 1000]);
    /// ```
    #[must_use]
    pub fn page_size(&self) -> usize {
        self.limit.clamp(1, MAX_LIMIT)
    }

    /// Makes the page from keys that follow the cursor in order, with one more than the
    /// [page has](Self::page_size) if there is one: it tells that there is another page.
    #[must_use]
    pub fn page(&self, mut keys: Vec<StoredKey>) -> KeyPage {
        let is_last = keys.len() <= self.page_size();
        keys.truncate(self.page_size());
        let last = if is_last { None } else { keys.last() };
        let next = last.map(|key| KeyCursor::of(&key.record));
        KeyPage { keys, next }
    }
}

impl Default for KeyQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// A record, and what is kept beside it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredKey {
    /// The record.
    pub record: Arc<KeyRecord>,
    /// When the key was last used, if that is kept. It may be a minute behind.
    pub last_used_at: Option<SystemTime>,
}

impl StoredKey {
    /// Puts them together.
    #[must_use]
    pub const fn new(record: Arc<KeyRecord>, last_used_at: Option<SystemTime>) -> Self {
        Self { record, last_used_at }
    }
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys, the newest first.
    pub keys: Vec<StoredKey>,
    /// Where the next page begins, if there is one.
    pub next: Option<KeyCursor>,
}

impl KeyPage {
    /// Makes a page.
    #[must_use]
    pub const fn new(keys: Vec<StoredKey>, next: Option<KeyCursor>) -> Self {
        Self { keys, next }
    }
}

/// A place in a list, which stays what it is when keys come and go.
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
        Self { created_at: microseconds(record.created_at), id: record.id.clone() }
    }

    /// Returns when the key was issued, to the microsecond.
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

/// The error of a text that is no place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a cursor is what a page gave as the next")]
pub struct ParseCursorError;

impl FromStr for KeyCursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (created_at, id) = text.split_once('.').ok_or(ParseCursorError)?;
        // Beyond this no time of a system and no column of a database reaches.
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
