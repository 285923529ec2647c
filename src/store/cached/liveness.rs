//! [`Liveness`]: whether the cache hears of changes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Until when everything that was invalidated has been heard.
///
/// A moment rather than a flag: a task that is stalled cannot lower a flag, but the moment
/// passes.
pub(super) struct Liveness(AtomicU64);

impl Liveness {
    /// Nothing has to be heard.
    pub(super) fn forever() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// Nothing was heard yet.
    pub(super) fn lost() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn is_live(&self, now: u64) -> bool {
        now < self.0.load(Ordering::SeqCst)
    }

    pub(super) fn set_until(&self, moment: u64) {
        self.0.store(moment, Ordering::SeqCst);
    }

    pub(super) fn lose(&self) {
        self.set_until(0);
    }
}
