//! [`Bounded`]: a map that does not grow beyond a number of entries.

use std::hash::BuildHasher;
use std::sync::Arc;

use super::entries::Stamp;
use crate::key::KeyDigest;
use crate::store::KeyRecord;

/// In how many parts a large map is kept at most, so that making room is short work.
const PARTS: usize = 64;

/// How many entries a part has room for at least, unless it is the only one.
const SMALLEST: usize = 1024;

/// What the store said of a key, and when.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) found: Option<Arc<KeyRecord>>,
    pub(super) stamp: Stamp,
}

/// Entries by digest. Readers take no lock.
///
/// When a part is full, the quarter of its entries that was loaded longest ago has to go. What is
/// used is loaded again every now and then, so that is what is used least.
pub(super) struct Bounded<H> {
    parts: Box<[papaya::HashMap<KeyDigest, Entry, H>]>,
    /// How many entries a part has room for.
    room: usize,
}

impl<H: BuildHasher + Default> Bounded<H> {
    pub(super) fn at_most(capacity: usize) -> Self {
        let parts = (capacity / SMALLEST).clamp(1, PARTS);
        let room = capacity.div_ceil(parts);
        Self { parts: (0..parts).map(|_| papaya::HashMap::default()).collect(), room }
    }

    /// Reads the entry of a key, if there is one.
    pub(super) fn read<T>(&self, digest: &KeyDigest, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.part(digest).pin().get(digest).map(read)
    }

    pub(super) fn insert(&self, digest: KeyDigest, entry: Entry) {
        let part = self.part(&digest);
        let pinned = part.pin();
        pinned.insert(digest, entry);
        if pinned.len() > self.room {
            make_room(part);
        }
    }

    pub(super) fn remove(&self, digest: &KeyDigest) {
        self.part(digest).pin().remove(digest);
    }

    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(papaya::HashMap::len).sum()
    }

    fn part(&self, digest: &KeyDigest) -> &papaya::HashMap<KeyDigest, Entry, H> {
        // Another byte than those by which a part places its entries.
        &self.parts[usize::from(digest.as_bytes()[16]) % self.parts.len()]
    }
}

fn make_room<H: BuildHasher>(part: &papaya::HashMap<KeyDigest, Entry, H>) {
    let pinned = part.pin();
    let mut times: Vec<_> = pinned.values().map(|entry| entry.stamp.at()).collect();
    let quarter = times.len().div_ceil(4);
    // Others may have removed all of them.
    let Some(index) = quarter.checked_sub(1) else { return };
    let (_, &mut last, _) = times.select_nth_unstable(index);
    let oldest = pinned.iter().filter(|(_, entry)| entry.stamp.at() <= last);
    // Many may have been loaded at the same moment.
    let oldest: Vec<_> = oldest.map(|(digest, _)| *digest).take(quarter).collect();
    for digest in &oldest {
        pinned.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::*;
    use crate::key::KeyHasher;

    fn digest(number: usize) -> KeyDigest {
        KeyHasher::sha256().digest(&number.to_string())
    }

    fn entry(at: u64) -> Entry {
        Entry { found: None, stamp: Stamp::new(0, at) }
    }

    #[test]
    fn the_oldest_go_when_there_is_no_room() {
        let bounded = Bounded::<RandomState>::at_most(100);
        for number in 0..100 {
            bounded.insert(digest(number), entry(number as u64));
        }
        assert_eq!(bounded.len(), 100, "there is room for all");
        bounded.insert(digest(100), entry(100));
        assert_eq!(bounded.len(), 75);
        let is_there = |number| bounded.read(&digest(number), |_| ()).is_some();
        assert!((0..26).all(|number| !is_there(number)) && (26..=100).all(is_there));
    }

    #[test]
    fn it_never_has_more_than_it_may_also_if_time_stands_still() {
        for capacity in [1, 2, 3, 5, 1000, 5000] {
            let bounded = Bounded::<RandomState>::at_most(capacity);
            for number in 0..3 * capacity + 10 {
                bounded.insert(digest(number), entry(7));
                assert!(bounded.len() <= capacity + PARTS, "{capacity}: {}", bounded.len());
            }
            assert!(bounded.len() >= capacity / 2);
        }
    }
}
