//! [`KeyQuery`]: which keys are listed, page by page.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Actor, KeyCursor, KeyRecord, KeyState};
use crate::key::{InvalidFields, KeyKind, Stage, TenantId};

/// The most keys that a page has.
const MAX_LIMIT: usize = 1000;

/// How many records a page visits by default, and at most.
const VISITED: usize = 10_000;
const MAX_VISITED: usize = 100_000;

/// Says which keys are to be listed. The default lists all, the newest first.
///
/// Setters take texts or values. A query with a text that is not valid lists nothing: what is wrong is returned by
/// [`KeyManager::list`](crate::KeyManager::list), and by each store.
///
/// A page costs the same however many keys there are: it visits at most
/// [so many](Self::max_visited) records and returns those that match. So a page can have fewer keys
/// than it may, or none, and still [go on](KeyPage::next).
///
/// # Examples
///
/// ```
/// use tower_api_key::store::{KeyQuery, KeyState};
///
/// let query = KeyQuery::new().tenant("acme").state(KeyState::Active).limit(20);
/// assert_eq!(query.limit, 20);
/// assert!(query.check().is_ok() && KeyQuery::new().tenant("acme & co").check().is_err());
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
    /// Only keys whose names have this text in them. The letters `A` to `Z` are the same as `a` to
    /// `z`; all else has to be the same byte for byte.
    pub name: Option<String>,
    /// Only keys of this stage, and not those of none, which work in all.
    pub stage: Option<Stage>,
    /// Only keys of this kind.
    pub kind: Option<KeyKind>,
    /// Only keys that this actor issued. Of keys that were not issued by a
    /// [`KeyManager`](crate::KeyManager), or by one of a version that did not note it, it is not
    /// known.
    pub created_by: Option<Actor>,
    /// Only keys that were not used since, nor issued.
    pub unused_since: Option<SystemTime>,
    /// Only keys that should be replaced by then.
    pub rotation_due_by: Option<SystemTime>,
    /// Only keys that come after this one.
    pub after: Option<KeyCursor>,
    /// How many keys a page has at most: 1 to 1000, 100 by default.
    pub limit: usize,
    /// How many records are visited for a page at most: 1 to 100 000, 10 000 by default. A store with
    /// an index for the query visits fewer.
    pub max_visited: usize,
    pub(crate) invalid: InvalidFields,
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
            name: None,
            stage: None,
            kind: None,
            created_by: None,
            unused_since: None,
            rotation_due_by: None,
            after: None,
            limit: 100,
            max_visited: VISITED,
            invalid: InvalidFields::NONE,
        }
    }

    /// Lists the keys of `tenant` only.
    pub fn tenant<T>(mut self, tenant: T) -> Self
    where
        T: TryInto<TenantId, Error: fmt::Display>,
    {
        let tenant = self.invalid.convert("tenant", tenant);
        self.tenant = tenant.map_or(TenantFilter::Nobody, TenantFilter::Of);
        self
    }

    /// Lists keys in this state only.
    pub fn state(mut self, state: KeyState) -> Self {
        self.state = Some(state);
        self
    }

    /// Lists only keys whose names have `part` in them, in upper or lower case as far as the letters
    /// `A` to `Z` go.
    pub fn name(mut self, part: impl Into<String>) -> Self {
        self.name = Some(part.into());
        self
    }

    /// Lists only keys of this stage.
    pub fn stage<S>(mut self, stage: S) -> Self
    where
        S: TryInto<Stage, Error: fmt::Display>,
    {
        self.stage = self.invalid.convert("stage", stage);
        self
    }

    /// Lists only keys of this kind.
    pub fn kind(mut self, kind: KeyKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Lists only keys that `actor` issued.
    pub fn created_by(mut self, actor: impl Into<Actor>) -> Self {
        self.created_by = Some(actor.into());
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

    /// Sets how many records are visited for a page at most; fewer than 1 are 1, more than 100 000
    /// are 100 000.
    pub fn max_visited(mut self, records: usize) -> Self {
        self.max_visited = records;
        self
    }

    /// Refuses a query with fields that are not valid. A store calls it before it reads anything.
    ///
    /// # Errors
    ///
    /// Returns the fields that are not valid.
    pub fn check(&self) -> Result<(), InvalidFields> {
        self.invalid.check()
    }

    /// Tells whether a key is to be listed, on whichever page. If the query is not [valid](Self::check), none is.
    #[must_use]
    pub fn matches(&self, key: &StoredKey) -> bool {
        let record = &*key.record;
        self.invalid.is_empty()
            && self.tenant.matches(record.tenant.as_ref())
            && self.state.is_none_or(|state| record.state(self.at) == state)
            && self.name.as_deref().is_none_or(|part| has(record.name(), part))
            && self.stage.as_ref().is_none_or(|stage| record.stage() == Some(stage))
            && self.kind.is_none_or(|kind| record.kind == kind)
            && self.created_by.as_ref().is_none_or(|by| record.created_by() == Some(by))
            && self.unused_since.is_none_or(|time| {
                key.last_used_at.is_none_or(|used_at| used_at < time) && record.created_at() < time
            })
            && self
                .rotation_due_by
                .is_none_or(|time| record.rotation_due_at().is_some_and(|due_at| due_at <= time))
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
    ///     query.page(keys, None)
    /// }
    /// # let page = list(&[], &KeyQuery::new());
    /// # assert_eq!(page, KeyPage::new(Vec::new(), None));
    /// ```
    #[must_use]
    pub fn is_after_cursor(&self, record: &KeyRecord) -> bool {
        self.after.as_ref().is_none_or(|after| KeyCursor::of(record) < *after)
    }

    /// Returns how many keys a page has at most: the [limit](Self::limit), or the nearest that is
    /// allowed, and not more than are [visited](Self::visits).
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
        self.limit.clamp(1, MAX_LIMIT).min(self.visits())
    }

    /// Returns how many records are visited for a page at most: [`max_visited`](Self::max_visited), or
    /// the nearest that is allowed.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.max_visited.clamp(1, MAX_VISITED)
    }

    /// Makes the page from keys that follow the cursor in order, one more than the
    /// [page has](Self::page_size) if there is another. Without one more, the page goes on at `stopped_at`, the
    /// last record that was visited, if others may follow that were not.
    ///
    /// If the query is not [valid](Self::check), the page is empty and the last one.
    #[must_use]
    pub fn page(&self, mut keys: Vec<StoredKey>, stopped_at: Option<KeyCursor>) -> KeyPage {
        if !self.invalid.is_empty() {
            return KeyPage::new(Vec::new(), None);
        }
        if keys.len() <= self.page_size() {
            return KeyPage { keys, next: stopped_at };
        }
        keys.truncate(self.page_size());
        let next = keys.last().map(|key| KeyCursor::of(&key.record));
        KeyPage { keys, next }
    }
}

/// Tells whether `part` is in `name`, for which ASCII letters are the same in both cases.
///
/// Every database can say this, in whatever language it is set up.
fn has(name: &str, part: &str) -> bool {
    let (name, part) = (name.as_bytes(), part.as_bytes());
    part.is_empty() || name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
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
    /// When the key was last used, if a `UsageRecorder` (feature `usage`) on the layer keeps it. It may be a minute
    /// behind.
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
    /// Where the next page begins, if others may follow, also after a page that has few keys or none.
    pub next: Option<KeyCursor>,
}

impl KeyPage {
    /// Makes a page.
    #[must_use]
    pub const fn new(keys: Vec<StoredKey>, next: Option<KeyCursor>) -> Self {
        Self { keys, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_by_any_part_of_it() {
        for part in [
            "",
            "n",
            "N",
            "Night",
            "NIGHTLY IM",
            "port",
            "rt \u{c9}",
            "Nightly import \u{c9}t\u{e9}",
        ] {
            assert!(has("Nightly import \u{c9}t\u{e9}", part), "{part}");
        }
        // Letters beyond `A` to `Z` have no case here, and neither have what stands beside them.
        for part in ["\u{e9}T", "import \u{e9}", "Nightly  ", "nightly import \u{c9}t\u{e9}!"] {
            assert!(!has("Nightly import \u{c9}t\u{e9}", part), "{part}");
        }
        assert!(!has("a[b", "a{b") && !has("", "x"));
    }

    #[test]
    fn a_page_is_no_larger_than_what_it_visits() {
        let size = |limit, visited| KeyQuery::new().limit(limit).max_visited(visited).page_size();
        assert_eq!((size(0, 0), size(100, 7), size(7, 100)), (1, 7, 7));
        assert_eq!((size(usize::MAX, usize::MAX), KeyQuery::new().visits()), (1000, 10_000));
    }
}
