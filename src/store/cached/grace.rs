//! [`Grace`]: what is served while the store cannot be reached.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::span::nanoseconds;
use crate::key::KeyDigest;

/// How long the store has to answer before a record of which it was heard is served instead.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// For how long nobody asks again for a key for which the store was asked in vain.
const PAUSE: Duration = Duration::from_secs(1);

/// How many keys are remembered for that.
const REMEMBERED: usize = 10_000;

/// For how long records are served after it was last known that they are true, and the keys for which
/// the store was asked in vain.
pub(super) struct Grace {
    age: u64,
    /// Until when nobody asks again. By key: that one cannot be looked up says nothing of others.
    failing: Mutex<HashMap<KeyDigest, u64>>,
}

impl Grace {
    pub(super) fn of(age: Duration) -> Self {
        Self { age: nanoseconds(age), failing: Mutex::default() }
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<KeyDigest, u64>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether a record may be served at `now` that was last known to be true at `confirmed_at`.
    pub(super) fn covers(&self, confirmed_at: u64, now: u64) -> bool {
        now.saturating_sub(confirmed_at) < self.age
    }

    /// Tells whether the store was asked for a key in vain a moment ago.
    pub(super) fn is_failing(&self, digest: &KeyDigest, now: u64) -> bool {
        self.failing().get(digest).is_some_and(|until| now < *until)
    }

    /// Notes that the store was asked for a key in vain.
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
