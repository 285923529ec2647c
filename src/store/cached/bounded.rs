//! [`Bounded`]: a map with a limit of entries and of bytes.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::stamp::Stamp;
use crate::key::KeyDigest;
use crate::store::{ByDigest, size_of_record};

/// The maximum number of parts of a large map, so that making room is quick.
const PARTS: usize = 64;

/// The minimum capacity of a part, unless it is the only one.
const SMALLEST: usize = 1024;

/// An entry's content: a record, or only a digest.
pub(super) trait Kept: Borrow<KeyDigest> + Eq + Hash {
    /// Estimates how many bytes it has allocated.
    fn heap_size(&self) -> usize;
}

impl Kept for ByDigest {
    fn heap_size(&self) -> usize {
        size_of_record(&self.0)
    }
}

impl Kept for KeyDigest {
    fn heap_size(&self) -> usize {
        0
    }
}

/// When an entry was loaded, and its approximate size in bytes.
struct Entry {
    stamp: Stamp,
    size: usize,
}

/// Entries by digest. Readers take no lock, and one thread writes at a time; any may remove.
///
/// When a part is full, it evicts the quarter of its entries that was loaded longest ago. Used entries
/// are loaded again periodically, so these are the least used ones. When all entries together are too
/// large, the parts make room in turn.
pub(super) struct Bounded<K, H> {
    parts: Box<[Part<K, H>]>,
    /// The capacity of a part.
    room: usize,
    /// The size of all entries, and its maximum.
    bytes: AtomicUsize,
    max_bytes: usize,
    /// Which part makes room next.
    next: AtomicUsize,
    /// How many entries were evicted.
    evicted: AtomicU64,
}

type Part<K, H> = papaya::HashMap<K, Entry, H>;

impl<K: Kept, H: BuildHasher + Default> Bounded<K, H> {
    pub(super) fn at_most(capacity: usize, max_bytes: usize) -> Self {
        let parts = (capacity / SMALLEST).clamp(1, PARTS);
        let room = capacity.div_ceil(parts);
        let parts = (0..parts).map(|_| papaya::HashMap::default()).collect();
        let (bytes, next, evicted) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicU64::new(0));
        Self { parts, room, bytes, max_bytes, next, evicted }
    }

    /// Reads the entry of a key, if there is one.
    pub(super) fn read<T>(
        &self,
        digest: &KeyDigest,
        read: impl FnOnce(&K, Stamp) -> T,
    ) -> Option<T> {
        self.part(digest).pin().get_key_value(digest).map(|(kept, entry)| read(kept, entry.stamp))
    }

    /// Keeps an entry, unless it is larger than the whole map may be.
    pub(super) fn insert(&self, kept: K, stamp: Stamp) {
        let size = size_of::<(K, Entry)>() + kept.heap_size();
        self.insert_entry(kept, Entry { stamp, size });
    }

    fn insert_entry(&self, kept: K, entry: Entry) {
        let digest = *kept.borrow();
        if entry.size > self.max_bytes {
            return self.remove(&digest);
        }
        let part = self.part(&digest);
        let pinned = part.pin();
        // Added before the entry can be removed, so that the sum is never negative.
        self.bytes.fetch_add(entry.size, Ordering::Relaxed);
        if let Some(old) = pinned.insert(kept, entry) {
            self.bytes.fetch_sub(old.size, Ordering::Relaxed);
        }
        free(part);
        if pinned.len() > self.room {
            self.make_room(part, &digest);
        }
        let mut parts_without = 0;
        while self.bytes() > self.max_bytes && parts_without < self.parts.len() {
            let next = self.next.fetch_add(1, Ordering::Relaxed) % self.parts.len();
            let has_made_room = self.make_room(&self.parts[next], &digest);
            parts_without = if has_made_room { 0 } else { parts_without + 1 };
        }
    }

    pub(super) fn remove(&self, digest: &KeyDigest) {
        let part = self.part(digest);
        if self.remove_of(part, digest) {
            free(part);
        }
    }

    fn remove_of(&self, part: &Part<K, H>, digest: &KeyDigest) -> bool {
        let pinned = part.pin();
        let removed = pinned.remove(digest).map(|removed| removed.size);
        self.bytes.fetch_sub(removed.unwrap_or_default(), Ordering::Relaxed);
        removed.is_some()
    }

    /// Returns the size of all entries.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how many entries were evicted.
    #[cfg(any(test, feature = "metrics"))]
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(papaya::HashMap::len).sum()
    }

    fn part(&self, digest: &KeyDigest) -> &Part<K, H> {
        // Another byte than those by which a part places its entries.
        &self.parts[usize::from(digest.as_bytes()[16]) % self.parts.len()]
    }

    /// Removes the oldest entries of a part, but not `new`. Returns whether there were any.
    fn make_room(&self, part: &Part<K, H>, new: &KeyDigest) -> bool {
        let pinned = part.pin();
        let entries = || pinned.iter().filter(|(kept, _)| *(*kept).borrow() != *new);
        let mut times: Vec<_> = entries().map(|(_, entry)| entry.stamp.at()).collect();
        let quarter = times.len().div_ceil(4);
        // Others may have removed all of them.
        let Some(index) = quarter.checked_sub(1) else { return false };
        let (_, &mut last, _) = times.select_nth_unstable(index);
        let oldest = entries().filter(|(_, entry)| entry.stamp.at() <= last);
        // Many may have been loaded at the same moment.
        let oldest: Vec<KeyDigest> = oldest.map(|(kept, _)| *kept.borrow()).take(quarter).collect();
        for digest in &oldest {
            if self.remove_of(part, digest) {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
        free(part);
        true
    }
}

/// Makes the map free removed entries once no thread reads them. Otherwise it keeps 32 of them for each thread
/// until more are removed, and the tables that became too small, which may be much memory.
fn free<K, H>(part: &Part<K, H>) {
    papaya::Guard::flush(&part.guard());
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::key::KeyHasher;

    fn digest(number: usize) -> KeyDigest {
        KeyHasher::sha256().digest(&number.to_string())
    }

    fn stamp(at: usize) -> Stamp {
        Stamp::new(0, 0, at as u64)
    }

    fn entry_of(at: usize, size: usize) -> Entry {
        Entry { stamp: stamp(at), size }
    }

    type Digests = Bounded<KeyDigest, RandomState>;

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let bounded = Digests::at_most(100, usize::MAX);
        for number in 0..100 {
            bounded.insert(digest(number), stamp(number));
        }
        assert_eq!(bounded.len(), 100, "there is room for all");
        bounded.insert(digest(100), stamp(100));
        assert_eq!((bounded.len(), bounded.evicted()), (76, 25));
        let is_there = |number| bounded.read(&digest(number), |_, _| ()).is_some();
        assert!((0..25).all(|number| !is_there(number)) && (25..=100).all(is_there));
    }

    #[test]
    fn it_never_has_more_than_it_may_also_if_time_stands_still() {
        for capacity in [1, 2, 3, 5, 1000, 5000] {
            let bounded = Digests::at_most(capacity, usize::MAX);
            for number in 0..3 * capacity + 10 {
                bounded.insert(digest(number), stamp(7));
                assert!(bounded.len() <= capacity + PARTS, "{capacity}: {}", bounded.len());
            }
            assert!(bounded.len() >= capacity / 2);
        }
    }

    #[test]
    fn it_is_never_larger_than_it_may_be() {
        for capacity in [100, 5000, 100_000] {
            let bounded = Digests::at_most(capacity, 10_000);
            for number in 0..3000 {
                bounded.insert_entry(digest(number), entry_of(number, 1 + number % 1000));
                assert!(bounded.bytes() <= 10_000, "{capacity}: {}", bounded.bytes());
                assert!(bounded.read(&digest(number), |_, _| ()).is_some(), "what is new stays");
            }
            assert!(bounded.len() >= 5, "{}", bounded.len());
            // As much as may be is kept, and more is not.
            bounded.insert_entry(digest(0), entry_of(3000, 10_000));
            assert_eq!((bounded.len(), bounded.bytes()), (1, 10_000));
            bounded.insert_entry(digest(1), entry_of(3001, 10_001));
            assert_eq!((bounded.len(), bounded.bytes()), (1, 10_000));
            // In place of what was there.
            bounded.insert_entry(digest(0), entry_of(3002, 7));
            assert_eq!((bounded.len(), bounded.bytes()), (1, 7));
            bounded.insert_entry(digest(0), entry_of(3003, 10_001));
            bounded.remove(&digest(0));
            assert_eq!((bounded.len(), bounded.bytes()), (0, 0));
        }
    }
}
