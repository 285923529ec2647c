//! [`Grace`]: what is served while the store cannot be reached.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::span::nanoseconds;
use crate::key::KeyDigest;

/// How long the store has to answer before a record in memory is served instead.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// The pause before the store is asked again for a key after a failed look-up.
const PAUSE: Duration = Duration::from_secs(1);

/// How many keys with failed look-ups are remembered.
const REMEMBERED: usize = 10_000;

/// For how long records are served after they were last known to be current, and the keys whose look-up
/// failed.
pub(super) struct Grace {
    age: u64,
    /// When the store is asked again, by key: one failed look-up says nothing about other keys.
    failing: Mutex<HashMap<KeyDigest, u64>>,
}

impl Grace {
    pub(super) fn of(age: Duration) -> Self {
        Self { age: nanoseconds(age), failing: Mutex::default() }
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<KeyDigest, u64>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether a record that was last known to be current at `confirmed_at` may be served at `now`.
    pub(super) fn covers(&self, confirmed_at: u64, now: u64) -> bool {
        now.saturating_sub(confirmed_at) < self.age
    }

    /// Tells whether the look-up of a key has just failed.
    pub(super) fn is_failing(&self, digest: &KeyDigest, now: u64) -> bool {
        self.failing().get(digest).is_some_and(|until| now < *until)
    }

    /// Notes that the look-up of a key failed.
    pub(super) fn failed(&self, digest: &KeyDigest, now: u64) {
        let mut failing = self.failing();
        if failing.len() >= REMEMBERED {
            failing.retain(|_, until| now < *until);
        }
        if failing.len() < REMEMBERED {
            failing.insert(*digest, now.saturating_add(nanoseconds(PAUSE)));
        }
    }

    /// Notes that the store has answered for a key.
    pub(super) fn answered(&self, digest: &KeyDigest) {
        self.failing().remove(digest);
    }
}
