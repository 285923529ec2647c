//! [`Memory`]: what the tasks of a cache share.

use std::sync::Arc;

use super::entries::{Entries, Known};
use super::grace::Grace;
use super::liveness::Liveness;
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::key::{KeyDigest, TenantId};
use crate::store::{KeyChanges, KeyRecord, Token};

/// How long ago the last tick of the system was at most, in nanoseconds: fifty times as long as its ticks take
/// at most. If the virtual processor that counts them is held up, others count them after five (Linux 5.18,
/// "tick: Detect and fix jiffies update stall").
const LONGEST_TICK: u64 = 500_000_000;

pub(super) struct Memory {
    pub(super) entries: Entries,
    pub(super) liveness: Liveness,
    /// None if nothing is served while the store cannot be reached.
    pub(super) grace: Option<Grace>,
    pub(super) clock: Timer,
    pub(super) changes: KeyChanges,
}

/// The clock that measures ages.
pub(super) enum Timer {
    Monotonic(MonotonicClock),
    Set(Box<dyn Clock>),
}

impl Memory {
    /// Returns what is known of a key and may be served.
    pub(super) fn look(&self, digest: &KeyDigest) -> Known {
        let now = self.now();
        // Asked first, so that a record that is forgotten before the cache becomes live is not found.
        if self.liveness.is_live(now) { self.entries.look(digest, now) } else { Known::Nothing }
    }

    /// Returns a record that threads may keep.
    pub(super) fn look_to_keep(&self, digest: &KeyDigest) -> Option<(Arc<KeyRecord>, Token)> {
        let now = self.now();
        // Asked first, as above.
        if self.liveness.is_live(now) { self.entries.look_to_keep(digest, now) } else { None }
    }

    /// Tells whether a thread may still serve what it keeps.
    pub(super) fn still_holds(&self, digest: &KeyDigest, token: Token) -> bool {
        // What holds at a later moment holds now, too, and a clock that is late is read in a fourth of the time.
        self.at_the_latest().is_some_and(|later| self.holds_at(digest, token, later))
            || self.holds_at(digest, token, self.now())
    }

    #[inline]
    fn holds_at(&self, digest: &KeyDigest, token: Token, now: u64) -> bool {
        // Asked first, as above, and by the clock, so that a stalled subscriber keeps nothing alive.
        self.liveness.is_live(now) && self.entries.still_holds(digest, token, now)
    }

    /// Forgets what was loaded of a key until now, and notifies its open streams, which look it up again.
    pub(super) fn forget(&self, digest: &KeyDigest) {
        self.entries.forget(digest);
        self.changes.changed(digest);
    }

    /// Forgets what was loaded of the keys of a tenant until now.
    pub(super) fn forget_tenant(&self, tenant: &TenantId) {
        self.entries.forget_tenant(tenant);
        self.changes.tenant_changed(tenant);
    }

    /// Forgets what was loaded of all keys until now.
    pub(super) fn forget_all(&self) {
        self.entries.forget_all();
        self.changes.all_changed();
    }

    pub(super) fn is_live(&self) -> bool {
        self.liveness.is_live(self.now())
    }

    /// Returns a moment that is not before the present one, if the last tick of the system is known.
    #[inline]
    fn at_the_latest(&self) -> Option<u64> {
        match &self.clock {
            Timer::Monotonic(clock) => Some(clock.ticked()?.saturating_add(LONGEST_TICK)),
            Timer::Set(_) => None,
        }
    }

    pub(super) fn now(&self) -> u64 {
        match &self.clock {
            Timer::Monotonic(clock) => clock.elapsed(),
            Timer::Set(clock) => nanoseconds(clock.now()),
        }
    }

    /// Returns the record of a key that may be served if the store cannot be reached.
    pub(super) fn in_grace(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let grace = self.grace.as_ref()?;
        // Read before the record: a later heartbeat does not confirm a record that was forgotten before it.
        let proved_until = self.liveness.proved_until();
        let now = self.now();
        let (record, loaded_at) = self.entries.remembered(digest, now)?;
        grace.covers(loaded_at.max(proved_until), now).then_some(record)
    }

    /// Returns such a record if its look-up has just failed.
    pub(super) fn meanwhile(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let is_failing = self.grace.as_ref()?.is_failing(digest, self.now());
        if is_failing { self.in_grace(digest) } else { None }
    }

    /// Notes that the look-up of a key failed.
    pub(super) fn failed(&self, digest: &KeyDigest) {
        if let Some(grace) = &self.grace {
            grace.failed(digest, self.now());
        }
    }

    /// Notes that the store has answered for a key.
    pub(super) fn answered(&self, digest: &KeyDigest) {
        if let Some(grace) = &self.grace {
            grace.answered(digest);
        }
    }
}
