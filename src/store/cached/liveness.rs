//! [`Liveness`]: whether the cache hears of changes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Until when everything that was invalidated has been heard.
///
/// A moment rather than a flag: a task that is stalled cannot lower a flag, but the moment
/// passes.
pub(super) struct Liveness {
    until: AtomicU64,
    /// Until when it is known that it had been heard.
    proved_until: AtomicU64,
    /// How long the last heartbeat was on its way.
    delay: AtomicU64,
}

impl Liveness {
    /// Nothing has to be heard.
    pub(super) fn forever() -> Self {
        Self::until(u64::MAX)
    }

    /// Nothing was heard yet.
    pub(super) fn lost() -> Self {
        Self::until(0)
    }

    fn until(until: u64) -> Self {
        let [until, proved_until, delay] = [until, 0, 0].map(AtomicU64::new);
        Self { until, proved_until, delay }
    }

    pub(super) fn is_live(&self, now: u64) -> bool {
        now < self.until.load(Ordering::SeqCst)
    }

    /// Takes note that everything was heard until `proved_until`, which is believed of what follows
    /// until `until`.
    pub(super) fn prove(&self, proved_until: u64, until: u64) {
        self.proved_until.store(proved_until, Ordering::SeqCst);
        self.until.store(until, Ordering::SeqCst);
    }

    /// Returns until when everything was heard. What was not forgotten since is known to have been
    /// true then.
    pub(super) fn proved_until(&self) -> u64 {
        self.proved_until.load(Ordering::SeqCst)
    }

    /// Notes how long a heartbeat was on its way.
    pub(super) fn heard_after(&self, delay: u64) {
        self.delay.store(delay, Ordering::Relaxed);
    }

    /// Returns how long the last heartbeat was on its way.
    #[cfg(feature = "metrics")]
    pub(super) fn delay(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.delay.load(Ordering::Relaxed))
    }

    pub(super) fn lose(&self) {
        self.until.store(0, Ordering::SeqCst);
    }
}
