//! [`Grace`]: what is served while the store cannot be reached.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::builder::nanoseconds;
use super::memory::Memory;
use crate::key::KeyDigest;
use crate::store::KeyRecord;

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
}

impl Memory {
    /// Returns the record of a key that may be served if the store cannot be reached.
    pub(super) fn in_grace(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let grace = self.grace.as_ref()?;
        // Read before the record is: what was heard later says nothing of what was forgotten before.
        let proved_until = self.liveness.proved_until();
        let now = self.now();
        let (record, loaded_at) = self.entries.remembered(digest, now)?;
        let confirmed_at = loaded_at.max(proved_until);
        (now.saturating_sub(confirmed_at) < grace.age).then_some(record)
    }

    /// Returns such a record if the store was asked for it in vain a moment ago.
    pub(super) fn meanwhile(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let failing_until = self.grace.as_ref()?.failing().get(digest).copied()?;
        if self.now() < failing_until { self.in_grace(digest) } else { None }
    }

    /// Notes that the store was asked for a key in vain.
    pub(super) fn failed(&self, digest: &KeyDigest) {
        let Some(grace) = &self.grace else { return };
        let now = self.now();
        let mut failing = grace.failing();
        if failing.len() >= REMEMBERED {
            failing.retain(|_, until| now < *until);
        }
        if failing.len() < REMEMBERED {
            failing.insert(*digest, now.saturating_add(nanoseconds(PAUSE)));
        }
    }

    /// Notes that the store has answered for a key.
    pub(super) fn answered(&self, digest: &KeyDigest) {
        if let Some(grace) = &self.grace {
            grace.failing().remove(digest);
        }
    }
}
