//! [`Revocations`]: a key that is being revoked is not changed by others.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::KeyId;

/// The keys that are being revoked by this process.
///
/// Changes of a key get in each other's way. Whoever holds a key that may manage keys could hold up
/// its own revocation by changing it without pause, if it did not come first.
#[derive(Debug, Default)]
pub(super) struct Revocations(Mutex<Vec<KeyId>>);

/// A key that is being revoked, until it is dropped.
pub(super) struct Revocation<'a> {
    revocations: &'a Revocations,
    id: &'a KeyId,
}

impl Revocations {
    pub(super) fn begin<'a>(&'a self, id: &'a KeyId) -> Revocation<'a> {
        self.ids().push(id.clone());
        Revocation { revocations: self, id }
    }

    pub(super) fn is_under_way(&self, id: &KeyId) -> bool {
        self.ids().contains(id)
    }

    fn ids(&self) -> MutexGuard<'_, Vec<KeyId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Revocation<'_> {
    fn drop(&mut self) {
        let mut ids = self.revocations.ids();
        // One of them, since another may have been begun.
        if let Some(index) = ids.iter().position(|id| id == self.id) {
            ids.swap_remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_under_way_until_the_last_one_ends() {
        let (revocations, id) = (Revocations::default(), "key_1".parse().unwrap());
        let first = revocations.begin(&id);
        let second = revocations.begin(&id);
        drop(first);
        assert!(revocations.is_under_way(&id));
        assert!(!revocations.is_under_way(&"key_2".parse().unwrap()));
        drop(second);
        assert!(!revocations.is_under_way(&id));
    }
}
