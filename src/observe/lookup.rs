//! [`Lookup`]: how the look-up of a key ended.

use std::fmt;

/// How the look-up of a key ended, for [observers](super::Observe).
///
/// An unknown key counts in the same way: as a hit if the answer was in memory, as a miss if the request
/// waited for the store.
///
/// # Examples
///
/// ```
/// use tower_api_key::observe::Lookup;
///
/// assert_eq!(Lookup::Coalesced.as_str(), "coalesced");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lookup {
    /// The thread had kept the record from an earlier request.
    Thread,
    /// The store answered at once: it keeps its records in memory, or its cache had this one.
    Hit,
    /// The request waited for the store.
    Miss,
    /// The request waited for another request's look-up of the same key.
    Coalesced,
    /// The store could not be reached, and the cache served an older record: see
    /// `CachedStoreBuilder::serve_while_unreachable`.
    Grace,
    /// The store failed, timed out or panicked.
    Error,
}

impl Lookup {
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 6] =
        [Self::Thread, Self::Hit, Self::Miss, Self::Coalesced, Self::Grace, Self::Error];

    /// Returns the name, such as `hit`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Grace => "grace",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
