//! [`Liveness`]: whether the cache is notified of changes.

use std::sync::atomic::{AtomicU64, Ordering};

/// The time until which all invalidations have been received.
///
/// It is a time and not a flag: a stalled task cannot clear a flag, but the time passes.
pub(super) struct Liveness {
    until: AtomicU64,
    /// Until when it is known that it had been heard.
    proved_until: AtomicU64,
    /// How long the last heartbeat was on its way.
    delay: AtomicU64,
}

impl Liveness {
    /// No notifications are needed.
    pub(super) fn forever() -> Self {
        Self::until(u64::MAX)
    }

    /// Nothing was received yet.
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

    /// Notes that everything was received until `proved_until`, which is assumed to continue until `until`.
    pub(super) fn prove(&self, proved_until: u64, until: u64) {
        self.proved_until.store(proved_until, Ordering::SeqCst);
        self.until.store(until, Ordering::SeqCst);
    }

    /// Returns until when everything was received. A record that was not forgotten since was current then.
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
