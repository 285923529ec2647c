//! [`KeyQuery`]: filters and pages of a list of keys.

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

/// Filters and paginates the keys that are listed. The default lists all keys, the newest first.
///
/// Setters take texts or values. A query with an invalid text lists nothing:
/// [`KeyManager::list`](crate::KeyManager::list) and every store return what is wrong.
///
/// The cost of a page does not grow with the number of keys: it visits at most
/// [`max_visited`](Self::max_visited) records and returns those that match. So a page can have fewer keys
/// than the limit, or none, and still have a [next page](KeyPage::next).
///
/// # Examples
///
/// ```
/// use tower_api_key::store::KeyState;
/// use tower_api_key::KeyQuery;
///
/// let query = KeyQuery::new().tenant("acme").state(KeyState::Active).limit(20);
/// assert_eq!(query.limit, 20);
/// assert!(query.check().is_ok() && KeyQuery::new().tenant("acme & co").check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
#[non_exhaustive]
pub struct KeyQuery {
    /// Only keys of these tenants.
    pub tenant: TenantFilter,
    /// Only keys in this state.
    pub state: Option<KeyState>,
    /// The moment at which keys are in a state. A [`KeyManager`](crate::KeyManager) sets it.
    pub at: SystemTime,
    /// Only keys whose names contain this text. The letters `A` to `Z` match `a` to `z`; all other bytes must be
    /// equal.
    pub name: Option<String>,
    /// Only keys of this stage. Keys without a stage, which work in all stages, are left out.
    pub stage: Option<Stage>,
    /// Only keys of this kind.
    pub kind: Option<KeyKind>,
    /// Only keys that this actor issued. The actor is unknown for keys that no
    /// [`KeyManager`](crate::KeyManager) issued, or a version that did not record it.
    pub created_by: Option<Actor>,
    /// Only keys that were neither used nor issued since this time.
    pub unused_since: Option<SystemTime>,
    /// Only keys that should be replaced by this time.
    pub rotation_due_by: Option<SystemTime>,
    /// Only keys after this place in the list.
    pub after: Option<KeyCursor>,
    /// The maximum number of keys of a page: 1 to 1000, 100 by default.
    pub limit: usize,
    /// The maximum number of records that are visited for a page: 1 to 100 000, 10 000 by default. A store
    /// with an index for the query visits fewer.
    pub max_visited: usize,
    pub(crate) invalid: InvalidFields,
}

/// Selects keys by their tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenantFilter {
    /// Keys of all tenants and of none. The default.
    #[default]
    Any,
    /// Keys of this tenant.
    Of(TenantId),
    /// Keys without a tenant.
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

    /// Lists only the keys of `tenant`.
    pub fn tenant<T>(mut self, tenant: T) -> Self
    where
        T: TryInto<TenantId, Error: fmt::Display>,
    {
        let tenant = self.invalid.convert("tenant", tenant);
        self.tenant = tenant.map_or(TenantFilter::Nobody, TenantFilter::Of);
        self
    }

    /// Lists only keys in this state.
    pub fn state(mut self, state: KeyState) -> Self {
        self.state = Some(state);
        self
    }

    /// Lists only keys whose names contain `part`. The case of the letters `A` to `Z` is ignored.
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

    /// Continues after a [page](KeyPage::next).
    pub fn after(mut self, cursor: impl Into<Option<KeyCursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Sets the maximum number of keys of a page. Less than 1 becomes 1, more than 1000 becomes 1000.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Sets the maximum number of records that are visited for a page. Less than 1 becomes 1, more than
    /// 100 000 becomes 100 000.
    pub fn max_visited(mut self, records: usize) -> Self {
        self.max_visited = records;
        self
    }

    /// Refuses a query with invalid fields. A store calls it before it reads anything.
    ///
    /// # Errors
    ///
    /// Returns the invalid fields.
    pub fn check(&self) -> Result<(), InvalidFields> {
        self.invalid.check()
    }

    /// Tells whether a key belongs in the list, on any page. A query that is not [valid](Self::check) matches none.
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

    /// Tells whether a key comes after the [cursor](Self::after), if there is one. Lists are ordered by the
    /// time of issue in microseconds and then by id, both descending.
    ///
    /// In SQL, this is `(created_at, id) < ($1, $2)` with the [time](KeyCursor::created_at) and the
    /// [id](KeyCursor::id) of the cursor. Ids are compared byte by byte.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cmp::Reverse;
    ///
    /// use tower_api_key::store::{KeyCursor, KeyPage, StoredKey};
    /// use tower_api_key::KeyQuery;
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

    /// Returns the maximum number of keys of a page: the [limit](Self::limit), or the nearest that is
    /// allowed, but at most the number of [visited](Self::visits) records.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::KeyQuery;
    ///
    /// assert_eq!([0, 20, 5000].map(|limit| KeyQuery::new().limit(limit).page_size()), [1, 20, 1000]);
    /// ```
    #[must_use]
    pub fn page_size(&self) -> usize {
        self.limit.clamp(1, MAX_LIMIT).min(self.visits())
    }

    /// Returns the maximum number of records that are visited for a page: [`max_visited`](Self::max_visited),
    /// or the nearest that is allowed.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.max_visited.clamp(1, MAX_VISITED)
    }

    /// Makes the page from the keys that follow the cursor, in order.
    ///
    /// Pass one key more than the [page size](Self::page_size) if there is another. Otherwise, the next page
    /// begins after `stopped_at`: the last visited record, if unvisited ones may follow.
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

/// Tells whether `name` contains `part`, ignoring the case of ASCII letters.
///
/// Every database can compare this way, with any locale.
fn has(name: &str, part: &str) -> bool {
    let (name, part) = (name.as_bytes(), part.as_bytes());
    part.is_empty() || name.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
}

impl Default for KeyQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// A record, and when its key was last used.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredKey {
    /// The record.
    pub record: Arc<KeyRecord>,
    /// When the key was last used, if the layer has a `UsageRecorder` (feature `usage`). It may be a minute behind.
    pub last_used_at: Option<SystemTime>,
}

impl StoredKey {
    /// Makes a stored key from its parts.
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
    /// Where the next page begins, if more keys may follow. A page with few keys or none can have one, too.
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
