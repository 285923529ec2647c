//! [`Editions`]: tells whether a recent answer is still current.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::KeyDigest;

/// The number of counters.
///
/// Keys with the same counter become outdated together, which is always safe and costs each thread one
/// look-up in the store. So a key that changes all the time affects one in a thousand others.
const COUNTERS: usize = 1 << 10;

/// The lower bits count the running changes, and the others the completed ones.
const OVER: u64 = 1 << 16;

/// Counts the changes of a store, for [tokens](crate::store::Token).
///
/// A change is announced before it is made, and completed before it is acknowledged. While one is
/// running, nothing has an edition. So an answer with the current edition is what the store holds: once
/// any reader may find the new record, no reader gets the old one.
pub(super) struct Editions(Box<[AtomicU64]>);

impl Editions {
    /// Returns the edition of a key, to be taken before the store is asked. None while the key is being
    /// changed.
    pub(super) fn current(&self, digest: &KeyDigest) -> Option<u64> {
        let edition = self.counter(digest).load(Ordering::SeqCst);
        edition.is_multiple_of(OVER).then_some(edition)
    }

    /// Tells whether nothing has changed since a key had this edition.
    pub(super) fn is_current(&self, digest: &KeyDigest, edition: u64) -> bool {
        self.counter(digest).load(Ordering::SeqCst) == edition
    }

    /// Announces a change of a key, which is completed when the returned value is dropped.
    pub(super) fn changing(&self, digest: &KeyDigest) -> Changing<'_> {
        let counter = self.counter(digest);
        counter.fetch_add(1, Ordering::SeqCst);
        Changing(counter)
    }

    /// Outdates answers about a key.
    #[cfg(feature = "cache")]
    pub(super) fn advance(&self, digest: &KeyDigest) {
        self.counter(digest).fetch_add(OVER, Ordering::SeqCst);
    }

    /// Outdates all answers.
    #[cfg(feature = "cache")]
    pub(super) fn advance_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(OVER, Ordering::SeqCst);
        }
    }

    fn counter(&self, digest: &KeyDigest) -> &AtomicU64 {
        // Other bytes than those that maps use to place entries.
        let [.., first, second, _, _] = *digest.as_bytes();
        &self.0[usize::from(u16::from_le_bytes([first, second])) % COUNTERS]
    }
}

impl Default for Editions {
    fn default() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }
}

/// A running change.
#[must_use = "the change is completed when this is dropped"]
pub(super) struct Changing<'a>(&'a AtomicU64);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(OVER - 1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(last: u8) -> KeyDigest {
        KeyDigest::from_bytes([last; 32])
    }

    #[test]
    fn a_change_outdates_what_was_found_before_it_and_while_it_is_made() {
        let editions = Editions::default();
        let before = editions.current(&key(1)).unwrap();
        let of_another = editions.current(&key(2)).unwrap();
        assert!(editions.is_current(&key(1), before));
        // Two at once; one ends first.
        let [first, second] = [(); 2].map(|()| editions.changing(&key(1)));
        assert!(!editions.is_current(&key(1), before));
        assert_eq!(editions.current(&key(1)), None);
        drop(first);
        assert_eq!(editions.current(&key(1)), None);
        drop(second);
        let after = editions.current(&key(1)).unwrap();
        assert_ne!(after, before);
        assert!(editions.is_current(&key(1), after) && !editions.is_current(&key(1), before));
        assert!(editions.is_current(&key(2), of_another));
    }
}
