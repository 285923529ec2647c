//! [`Memory`]: what the tasks of a cache share.

use super::entries::{Entries, Known};
use super::liveness::Liveness;
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::key::KeyDigest;
use crate::store::KeyChanges;

pub(super) struct Memory {
    pub(super) entries: Entries,
    pub(super) liveness: Liveness,
    pub(super) clock: Timer,
    pub(super) changes: KeyChanges,
}

/// What ages are measured by.
pub(super) enum Timer {
    Monotonic(MonotonicClock),
    Set(Box<dyn Clock>),
}

impl Memory {
    /// Returns what is known of a key and may be served.
    pub(super) fn look(&self, digest: &KeyDigest) -> Known {
        let now = self.now();
        // Asked first: what is forgotten before it becomes live is seen to be forgotten then.
        if self.liveness.is_live(now) { self.entries.look(digest, now) } else { Known::Nothing }
    }

    /// Forgets what was loaded of a key until now, and has whoever holds it open ask again.
    pub(super) fn forget(&self, digest: &KeyDigest) {
        self.entries.forget(digest);
        self.changes.changed(digest);
    }

    /// Forgets what was loaded of all keys until now.
    pub(super) fn forget_all(&self) {
        self.entries.forget_all();
        self.changes.all_changed();
    }

    pub(super) fn is_live(&self) -> bool {
        self.liveness.is_live(self.now())
    }

    pub(super) fn now(&self) -> u64 {
        match &self.clock {
            Timer::Monotonic(clock) => clock.elapsed(),
            Timer::Set(clock) => nanoseconds(clock.now()),
        }
    }
}
