//! [`Front`]: the keys that a thread of a layer saw last, in front of the store.
//!
//! A thread that is asked again for a key that it saw a short time ago touches nothing that other threads
//! write: neither the map of the store nor the reference counts of the record and of the layer.
//!
//! A revoked key is not served from here, because
//!
//! 1. the store is asked at each request whether what it answered
//!    [still holds](KeyStore::still_holds), and a store that has not said that it can tell is asked for the
//!    record;
//! 2. what is kept is a record and not a verdict: whether the key is the one that was presented, revoked,
//!    disabled or expired, its guards, restrictions and limits are judged at each request;
//! 3. each layer has a front of its own, and one whose settings are changed begins with an empty one;
//! 4. streams are watched by the store, which nothing is in front of there.
//!
//! How the stores can tell is written down with them: for `CachedStore` in `store::cached`, for
//! `MemoryStore` and both in `store::editions`.
//!
//! The front belongs to the layer and its services. When the last of them is dropped, what all threads
//! kept is dropped with it, and with that the store.

use std::cell::RefCell;
use std::sync::Arc;

use thread_local::ThreadLocal;

use crate::gate::Gate;
use crate::key::KeyDigest;
use crate::store::{KeyStore, Token, size_of_record};
use crate::verify::Known;

/// How many keys a thread keeps at most.
const SLOTS: usize = 256;

/// How many bytes a record may have that is kept. So a thread keeps a mebibyte at most, and usually a fifth.
const LARGEST: usize = 4096;

/// A gate, and what threads keep in front of its store. Layers and services share it; what they let through
/// holds the gate alone.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) gate: Arc<Gate>,
    pub(crate) front: Front,
}

impl Entrance {
    pub(crate) fn new(gate: Gate) -> Self {
        Self { gate: Arc::new(gate), front: Front::default() }
    }

    /// Changes how the gate decides. What was kept was kept for the gate as it was.
    pub(crate) fn change(self: &mut Arc<Self>, change: impl FnOnce(&mut Gate)) {
        let Self { gate, front } = Arc::make_mut(self);
        *front = Front::default();
        change(Arc::make_mut(gate));
    }
}

/// What threads keep.
#[derive(Default)]
pub(crate) struct Front(ThreadLocal<Slots>);

/// What one thread keeps. In cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Slots(RefCell<Vec<Slot>>);

#[derive(Default)]
struct Slot {
    /// Of the key that was missed last. What is missed twice in a row is kept.
    missed: Option<u32>,
    kept: Option<(Token, Arc<Known>)>,
}

impl Front {
    /// Returns what this thread keeps of a key, if that still holds.
    #[inline]
    pub(crate) fn get(&self, digest: &KeyDigest, store: &dyn KeyStore) -> Option<Arc<Known>> {
        let slots = self.0.get()?.0.try_borrow().ok()?;
        let (token, known) = slots.get(slot_of(digest))?.kept.as_ref()?;
        // In constant time: `KeyDigest` compares no other way.
        let holds = known.record().digest == *digest && store.still_holds(digest, *token);
        holds.then(|| Arc::clone(known))
    }

    /// Takes note of what the store returned for a key, and keeps it if it is asked for again.
    pub(crate) fn missed(&self, digest: &KeyDigest, token: Token, known: &Arc<Known>) {
        let Slots(slots) = self.0.get_or_default();
        let Ok(mut slots) = slots.try_borrow_mut() else { return };
        if slots.is_empty() {
            slots.resize_with(SLOTS, Slot::default);
        }
        let Some(slot) = slots.get_mut(slot_of(digest)) else { return };
        let mark = Some(mark_of(digest));
        if slot.missed != mark {
            slot.missed = mark;
            return;
        }
        if size_of_record(known.record()) <= LARGEST {
            let before = slot.kept.replace((token, Arc::clone(known)));
            drop(slots);
            drop(before);
        }
    }
}

/// What is kept is kept for one layer and its services.
impl Clone for Front {
    fn clone(&self) -> Self {
        Self::default()
    }
}

fn slot_of(digest: &KeyDigest) -> usize {
    // Another byte than those by which stores place keys.
    usize::from(digest.as_bytes()[12]) % SLOTS
}

fn mark_of(digest: &KeyDigest) -> u32 {
    let [.., a, b, c, d] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}
