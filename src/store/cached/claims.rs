//! [`Claims`]: the keys that are being loaded in the background.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::key::KeyDigest;

/// The keys that a task is already loading again.
#[derive(Default)]
pub(super) struct Claims(Mutex<HashSet<KeyDigest>>);

/// Held by the task that loads a key again.
pub(super) struct Claim {
    claims: Arc<Claims>,
    digest: KeyDigest,
}

impl Claims {
    /// Claims a key unless it is claimed.
    pub(super) fn claim(self: &Arc<Self>, digest: &KeyDigest) -> Option<Claim> {
        let claim = || Claim { claims: Arc::clone(self), digest: *digest };
        self.digests().insert(*digest).then(claim)
    }

    fn digests(&self) -> MutexGuard<'_, HashSet<KeyDigest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.digests().remove(&self.digest);
    }
}
