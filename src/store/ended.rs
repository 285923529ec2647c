//! [`EndedQuery`]: pages of revoked and expired keys, without reading those that still work.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use super::{KeyRecord, ParseCursorError, TenantFilter};
use crate::clock::microseconds;
use crate::key::KeyId;

/// The most keys that a page has.
const MAX_LIMIT: usize = 1000;

/// Selects a page of the keys that ended before a time: that were revoked, or else expired, by then.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use tower_api_key::store::EndedQuery;
/// use tower_api_key::{KeyScheme, NewKey};
///
/// let now = SystemTime::now();
/// let soon = now + Duration::from_secs(60);
/// let key = NewKey::named("for a minute").expires_at(soon);
/// let issued = key.generate(&KeyScheme::default())?;
/// assert!(!EndedQuery::before(now).matches(&issued.record));
/// assert!(EndedQuery::before(soon + Duration::from_secs(1)).matches(&issued.record));
/// # Ok::<_, tower_api_key::key::IssueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct EndedQuery {
    /// Keys that ended before this time.
    pub before: SystemTime,
    /// Only keys of these tenants.
    pub tenant: TenantFilter,
    /// Only keys after this place.
    pub after: Option<EndedCursor>,
    /// The maximum number of keys of a page: 1 to 1000, 250 by default.
    pub limit: usize,
}

impl EndedQuery {
    /// Selects the first keys that ended before `time`.
    pub const fn before(time: SystemTime) -> Self {
        Self { before: time, tenant: TenantFilter::Any, after: None, limit: 250 }
    }

    /// Selects only the keys of these tenants.
    pub fn tenant(mut self, tenant: TenantFilter) -> Self {
        self.tenant = tenant;
        self
    }

    /// Continues after a [page](EndedPage::next).
    pub fn after(mut self, cursor: impl Into<Option<EndedCursor>>) -> Self {
        self.after = cursor.into();
        self
    }

    /// Sets the maximum number of keys of a page. Less than 1 becomes 1, more than 1000 becomes 1000.
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Tells whether the query selects a key, on any page.
    #[must_use]
    pub fn matches(&self, record: &KeyRecord) -> bool {
        self.tenant.matches(record.tenant.as_ref())
            && record.ends_at().is_some_and(|ends_at| ends_at < self.before)
    }

    pub(crate) fn page_size(&self) -> usize {
        self.limit.clamp(1, MAX_LIMIT)
    }

    /// Returns the place to continue from, in stores whose order is that of [`EndPlace`].
    pub(crate) fn after_place(&self) -> Result<Option<EndPlace>, ParseCursorError> {
        self.after.as_ref().map(|after| after.as_str().parse()).transpose()
    }
}

/// A page of keys that ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EndedPage {
    /// The records, in the order of the repository. A page can be empty even if more follow.
    pub keys: Vec<Arc<KeyRecord>>,
    /// Where the next page begins, if there may be one.
    pub next: Option<EndedCursor>,
}

impl EndedPage {
    /// Makes a page.
    #[must_use]
    pub const fn new(keys: Vec<Arc<KeyRecord>>, next: Option<EndedCursor>) -> Self {
        Self { keys, next }
    }

    /// Makes the page of keys that are in the order of [`EndPlace`].
    pub(crate) fn in_order(keys: Vec<Arc<KeyRecord>>, query: &EndedQuery) -> Self {
        let last = keys.last().filter(|_| keys.len() >= query.page_size());
        let next = last.and_then(|last| EndPlace::of(last)).map(|place| place.into());
        Self { keys, next }
    }
}

/// A place among the keys that ended. The repository defines its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedCursor(Arc<str>);

impl EndedCursor {
    /// Makes a cursor. Its repository gets it back with the query of the next page.
    #[must_use]
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a key ends, and its id. The order of the texts is that of the places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndPlace {
    /// In microseconds since 1970.
    pub(crate) at: u64,
    pub(crate) id: KeyId,
}

impl EndPlace {
    /// Returns the place of a key, unless it never ends.
    pub(crate) fn of(record: &KeyRecord) -> Option<Self> {
        let at = microseconds(record.ends_at()?);
        Some(Self { at, id: record.id.clone() })
    }
}

impl fmt::Display for EndPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:020}.{}", self.at, self.id)
    }
}

impl FromStr for EndPlace {
    type Err = ParseCursorError;

    fn from_str(text: &str) -> Result<Self, ParseCursorError> {
        let (at, id) = text.split_once('.').ok_or(ParseCursorError)?;
        Ok(Self {
            at: at.parse().map_err(|_| ParseCursorError)?,
            id: id.parse().map_err(|_| ParseCursorError)?,
        })
    }
}

impl From<EndPlace> for EndedCursor {
    fn from(place: EndPlace) -> Self {
        Self::new(place.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::KeyHasher;

    #[test]
    fn a_key_ends_when_it_is_revoked_or_else_expires() {
        let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        let digest = KeyHasher::sha256().digest("k");
        let mut record = KeyRecord::new("key_1.2".parse().unwrap(), digest, "n", at(1));
        let ended = |record: &KeyRecord, second| EndedQuery::before(at(second)).matches(record);
        assert!(!ended(&record, 1 << 40) && EndPlace::of(&record).is_none());
        record.set_expires_at(Some(at(20)));
        assert!(!ended(&record, 20) && ended(&record, 21));
        record.set_revoked_at(Some(at(30)));
        assert!(!ended(&record, 30) && ended(&record, 31));
        record.set_expires_at(None);
        let place = EndPlace::of(&record).unwrap();
        assert_eq!(place.to_string(), "00000000000030000000.key_1.2");
        assert_eq!(place.to_string().parse(), Ok(place));
    }
}
