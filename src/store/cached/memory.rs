//! [`Memory`]: what the tasks of a cache share.

use super::entries::{Entries, Known};
use super::grace::Grace;
use super::liveness::Liveness;
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::key::KeyDigest;

pub(super) struct Memory {
    pub(super) entries: Entries,
    pub(super) liveness: Liveness,
    /// None if nothing is served while the store cannot be reached.
    pub(super) grace: Option<Grace>,
    pub(super) clock: Timer,
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
