//! [`Threads`]: the counts of each thread, so that threads share nothing.

use std::cell::RefCell;
use std::sync::Arc;

use thread_local::ThreadLocal;

use super::used_key::{Cell, Moment, UsedKey};
use crate::key::{KeyDigest, KeyId};

/// The most keys for which a thread has a cell, each of some 100 bytes.
const SLOTS: usize = 4096;

/// The cells of each thread, by the digest of the key. A thread without a cell for a key uses the count that
/// threads share.
#[derive(Default)]
pub(super) struct Threads(ThreadLocal<Slots>);

#[derive(Default)]
struct Slots(RefCell<Vec<Slot>>);

#[derive(Default)]
struct Slot {
    /// The mark of the key that was missed last. A key that is missed twice in a row gets the cell.
    missed: Option<u32>,
    cell: Option<Arc<Cell>>,
}

impl Threads {
    /// Counts an accepted request, if this thread has a cell for the key.
    #[inline]
    pub(super) fn accept(&self, id: &KeyId, digest: &KeyDigest, now: Moment) -> bool {
        let Some(Slots(slots)) = self.0.get() else { return false };
        let Ok(slots) = slots.try_borrow() else { return false };
        let cell = slots.get(slot_of(digest)).and_then(|slot| slot.cell.as_ref());
        cell.is_some_and(|cell| cell.id() == id && cell.accept(now))
    }

    /// Records a key without a cell in this thread, and creates a cell if the key is used again.
    pub(super) fn missed(&self, digest: &KeyDigest, key: &UsedKey) {
        let Slots(slots) = self.0.get_or_default();
        let Ok(mut slots) = slots.try_borrow_mut() else { return };
        if slots.is_empty() {
            slots.resize_with(SLOTS, Slot::default);
        }
        let Some(slot) = slots.get_mut(slot_of(digest)) else { return };
        let mark = Some(mark_of(digest));
        // A cell with another hour, or a closed one, is replaced at once.
        let has_cell = slot.cell.as_ref().is_some_and(|cell| cell.id() == key.id());
        if slot.missed == mark || has_cell {
            slot.cell = key.cell();
        }
        slot.missed = mark;
    }
}

fn slot_of(digest: &KeyDigest) -> usize {
    // Stores and layers place keys by other bytes.
    let [.., a, b, _, _, _, _] = *digest.as_bytes();
    usize::from(u16::from_le_bytes([a, b])) % SLOTS
}

fn mark_of(digest: &KeyDigest) -> u32 {
    let [.., a, b, c, d] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyHasher;

    #[test]
    fn a_key_that_is_used_again_gets_a_cell() {
        let threads = Threads::default();
        let keys = ["a", "b"].map(|name| UsedKey::new(name.parse().unwrap(), None));
        let digest = KeyHasher::sha256().digest("a");
        let now = Moment::of(1);
        let accept = |key: &UsedKey| {
            let counted = threads.accept(key.id(), &digest, now);
            if !counted {
                threads.missed(&digest, key);
            }
            counted
        };
        assert_eq!([0; 4].map(|_| accept(&keys[0])), [false, false, true, true]);
        // Another key, in the same slot.
        assert_eq!([0; 3].map(|_| accept(&keys[1])), [false, true, true]);
        assert_eq!(keys[0].take_hour().unwrap().counts.accepted(), 2);
        keys[1].close();
        assert!(!accept(&keys[1]) && !accept(&keys[1]));
        let elsewhere = std::thread::scope(|scope| {
            scope.spawn(|| threads.accept(keys[0].id(), &digest, now)).join().unwrap()
        });
        assert!(!elsewhere);
    }
}
