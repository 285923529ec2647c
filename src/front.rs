//! [`Front`]: a cache per thread, in front of the store, of the keys that a layer saw last.
//!
//! For a key that a thread saw a short time ago, the thread touches no memory that other threads write:
//! neither the map of the store nor the reference counts of the record and of the layer.
//!
//! A revoked key is never accepted from here, because
//!
//! 1. each request asks the store whether its answer [still holds](KeyStore::still_holds); a store that
//!    cannot tell is asked for the record;
//! 2. the front keeps a record and not a verdict: each request compares the presented key, and checks
//!    whether the key is revoked, disabled or expired, its guards, its restrictions and its limits;
//! 3. each layer has its own front, and a layer whose settings change starts with an empty one;
//! 4. the store watches streams, without a front.
//!
//! The stores document how they can tell: for `CachedStore` in `store::cached`, for
//! `MemoryStore` and both in `store::editions`.
//!
//! The front belongs to the layer and its services. When the last of them is dropped, the records of all
//! threads are dropped with it, and with them the store.

use std::cell::RefCell;
use std::sync::Arc;

use thread_local::ThreadLocal;

use crate::gate::Gate;
use crate::key::KeyDigest;
use crate::store::{KeyStore, Token, size_of_record};
use crate::verify::Known;

/// The most keys that a thread keeps.
const SLOTS: usize = 256;

/// The largest record that is kept, in bytes. So a thread keeps at most one mebibyte, and usually a fifth of it.
const LARGEST: usize = 4096;

/// A gate, and the front of its store. Layers and services share it. Admitted requests hold only the
/// gate.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) gate: Arc<Gate>,
    pub(crate) front: Front,
}

impl Entrance {
    pub(crate) fn new(gate: Gate) -> Self {
        Self { gate: Arc::new(gate), front: Front::default() }
    }

    /// Changes the settings of the gate. Empties the front, whose records refer to the old gate.
    pub(crate) fn change(self: &mut Arc<Self>, change: impl FnOnce(&mut Gate)) {
        let Self { gate, front } = Arc::make_mut(self);
        *front = Front::default();
        change(Arc::make_mut(gate));
    }
}

/// The records that all threads keep.
#[derive(Default)]
pub(crate) struct Front(ThreadLocal<Slots>);

/// The records of one thread. Aligned to have its own cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Slots(RefCell<Vec<Slot>>);

#[derive(Default)]
struct Slot {
    /// The mark of the key that was missed last. A key that is missed twice in a row is kept.
    missed: Option<u32>,
    kept: Option<(Token, Arc<Known>)>,
}

impl Front {
    /// Returns the record that this thread keeps of a key, if it still holds.
    #[inline]
    pub(crate) fn get(&self, digest: &KeyDigest, store: &dyn KeyStore) -> Option<Arc<Known>> {
        let slots = self.0.get()?.0.try_borrow().ok()?;
        let (token, known) = slots.get(slot_of(digest))?.kept.as_ref()?;
        // In constant time: `KeyDigest` has no other comparison.
        let holds = known.record().digest == *digest && store.still_holds(digest, *token);
        holds.then(|| Arc::clone(known))
    }

    /// Records what the store returned for a key, and keeps it if the key is looked up again.
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

/// The clone starts empty: a front belongs to one layer and its services.
impl Clone for Front {
    fn clone(&self) -> Self {
        Self::default()
    }
}

fn slot_of(digest: &KeyDigest) -> usize {
    // Stores place keys by other bytes.
    usize::from(digest.as_bytes()[12]) % SLOTS
}

fn mark_of(digest: &KeyDigest) -> u32 {
    let [.., a, b, c, d] = *digest.as_bytes();
    u32::from_le_bytes([a, b, c, d])
}
