//! [`AuditQuery`] and [`AuditPage`]: reading the stored audit log.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{Actor, ParseCursorError, TenantFilter};
use crate::clock::microseconds;
use crate::key::{InvalidFields, KeyId, TenantId};

/// The most events that a page has.
const MAX_LIMIT: usize = 1000;

/// An audit event that a repository has stored.
///
/// It is as the version that wrote it left it. The records in it have no digests.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// The unique number of the event.
    pub number: i64,
    /// When it was done, by the clock of that node.
    pub at: SystemTime,
    /// The [`Actor`] that did it, as text.
    pub actor: String,
    /// What was done, such as `revoked`.
    pub action: String,
    /// The public id of the key.
    pub key_id: Option<String>,
    /// The tenant of the key.
    pub tenant: Option<String>,
    /// The record before, unless the key was new.
    pub before: Option<Value>,
    /// The record after, unless it was removed.
    pub after: Option<Value>,
}

impl AuditEntry {
    /// Makes an entry, for a custom repository, which then sets the other fields.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::store::{AuditEntry, AuditQuery};
    ///
    /// let mut entry = AuditEntry::new(1, SystemTime::now(), "name:alice", "revoked");
    /// entry.key_id = Some("key_1".to_owned());
    /// let page = AuditQuery::new().page(vec![entry]);
    /// assert_eq!((page.entries.len(), page.next), (1, None));
    /// ```
    #[must_use]
    pub fn new(
        number: i64,
        at: SystemTime,
        actor: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        let (actor, action) = (actor.into(), action.into());
        Self { number, at, actor, action, key_id: None, tenant: None, before: None, after: None }
    }
}

/// Filters and paginates the audit events that [`KeyManager::audit_log`](crate::KeyManager::audit_log) reads.
/// The default reads all, the oldest first.
///
/// # Examples
///
/// ```
/// use tower_api_key::store::AuditQuery;
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// keys.issue(NewKey::named("nightly import").tenant("acme")).await?;
///
/// let mut query = AuditQuery::new().tenant("acme");
/// loop {
///     let page = keys.audit_log(&query).await?;
///     for event in &page.entries {
///         println!("{} {} {:?}", event.actor, event.action, event.key_id);
///     }
///     # assert_eq!(page.entries.len(), 1);
///     let Some(next) = page.next else { break };
///     query = query.after(next);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct AuditQuery {
    /// Only events of keys of these tenants.
    pub tenant: TenantFilter,
    /// Only events of this key.
    pub key_id: Option<KeyId>,
    /// Only what this actor did.
    pub actor: Option<Actor>,
    /// Only events from this time on.
    pub since: Option<SystemTime>,
    /// Only events before this time.
    pub until: Option<SystemTime>,
    /// Whether the newest event is first, instead of the oldest.
    pub newest_first: bool,
    /// Only events that come after this place.
    pub after: Option<AuditCursor>,
    /// The maximum number of events of a page: 1 to 1000, 100 by default.
    pub limit: usize,
    invalid: InvalidFields,
}

impl AuditQuery {
    /// Reads the 100 oldest events.
    pub const fn new() -> Self {
        Self {
            tenant: TenantFilter::Any,
            key_id: None,
            actor: None,
            since: None,
            until: None,
            newest_first: false,
            after: None,
            limit: 100,
            invalid: InvalidFields::NONE,
        }
    }

    /// Reads only events of keys of `tenant`.
    pub fn tenant<T>(mut self, tenant: T) -> Self
    where
        T: TryInto<TenantId, Error: fmt::Display>,
    {
        let tenant = self.invalid.convert("tenant", tenant);
        self.tenant = tenant.map_or(TenantFilter::Nobody, TenantFilter::Of);
        self
    }

    /// Reads only events of one key.
    pub fn key<I>(mut self, id: I) -> Self
    where
        I: TryInto<KeyId, Error: fmt::Display>,
    {
        self.key_id = self.invalid.convert("key", id);
        self
    }

    /// Reads only what `actor` did.
    pub fn actor(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Leaves out events before `time`.
    pub fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Leaves out events at `time` and later.
    pub fn until(mut self, time: SystemTime) -> Self {
        self.until = Some(time);
        self
    }

    /// Reads the newest event first.
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// Continues after a [page](AuditPage::next).
    pub fn after(mut self, cursor: impl Into<Option<AuditCursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Sets the maximum number of events of a page. Less than 1 becomes 1, more than 1000 becomes 1000.
    pub fn limit(mut self, count: usize) -> Self {
        self.limit = count;
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

    /// Returns the maximum number of events of a page: the [limit](Self::limit), or the nearest that is allowed.
    #[must_use]
    pub fn page_size(&self) -> usize {
        self.limit.clamp(1, MAX_LIMIT)
    }

    /// Makes the page from the events that follow the cursor, in order. Pass one more than the page size if
    /// there is another. If the query is not [valid](Self::check), the page is empty and the last one.
    #[must_use]
    pub fn page(&self, mut entries: Vec<AuditEntry>) -> AuditPage {
        if !self.invalid.is_empty() {
            return AuditPage::new(Vec::new(), None);
        }
        let is_last = entries.len() <= self.page_size();
        entries.truncate(self.page_size());
        let last = if is_last { None } else { entries.last() };
        let next = last.map(AuditCursor::of);
        AuditPage { entries, next }
    }
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self::new()
    }
}

/// A page of events.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditPage {
    /// The events, in the order of the query: by time, then by number.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins, if there is one.
    pub next: Option<AuditCursor>,
}

impl AuditPage {
    /// Makes a page.
    #[must_use]
    pub const fn new(entries: Vec<AuditEntry>, next: Option<AuditCursor>) -> Self {
        Self { entries, next }
    }
}

/// A place among the events. It stays valid when events are added or removed. Its text is opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditCursor {
    at: u64,
    number: i64,
}

impl AuditCursor {
    /// Returns the place of an event.
    #[must_use]
    pub fn of(entry: &AuditEntry) -> Self {
        Self { at: microseconds(entry.at), number: entry.number }
    }

    /// Returns when the event was, to the microsecond.
    #[must_use]
    pub fn at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.at)
    }

    /// Returns the number of the event.
    #[must_use]
    pub const fn number(&self) -> i64 {
        self.number
    }
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.number)
    }
}

impl FromStr for AuditCursor {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (at, number) = text.split_once('.').ok_or(ParseCursorError)?;
        // No time of a system and no column of a database reaches beyond this.
        let at = at.parse().ok().filter(|time| *time <= i64::MAX as u64 / 1000);
        Ok(Self {
            at: at.ok_or(ParseCursorError)?,
            number: number.parse().map_err(|_| ParseCursorError)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_text_that_is_no_cursor_is_an_error(text in ".*|[0-9]{1,20}\\.-?[0-9]{1,20}") {
            if let Ok(cursor) = text.parse::<AuditCursor>() {
                prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
                let _ = cursor.at();
            }
        }

        #[test]
        fn a_cursor_is_read_back_from_its_text(at in 0u64..1 << 52, number: i64) {
            let cursor = AuditCursor { at, number };
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
    }
}
