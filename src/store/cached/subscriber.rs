//! [`Subscriber`]: the source of a cache, and the settings of its subscriptions.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::beats::Beats;
use super::memory::Memory;
use super::span::nanoseconds;
use crate::contain;
use crate::store::{InvalidationSource, StoreError, Subscription};

/// How many heartbeats may be missed.
pub(super) const PATIENCE: u32 = 3;

/// The time limit for subscribing.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Called when the cache begins to get notifications, and when it no longer does.
pub(super) type OnChange = dyn Fn(bool) + Send + Sync;

pub(super) struct Subscriber {
    pub(super) source: Box<dyn InvalidationSource>,
    pub(super) memory: Arc<Memory>,
    pub(super) heartbeat: Duration,
    pub(super) max_staleness: Duration,
    pub(super) on_change: Option<Box<OnChange>>,
}

impl Subscriber {
    /// Sends heartbeats, whether they arrive or not.
    pub(super) async fn beat(&self, beats: &Beats) -> Infallible {
        let mut ticks = interval(self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            beats.note(self.send(beats).await);
        }
    }

    async fn send(&self, beats: &Beats) -> Result<(), StoreError> {
        let number = beats.send(self.memory.now())?;
        match timeout(self.heartbeat, self.source.beat(number)).await {
            Ok(sent) => sent,
            Err(elapsed) => Err(StoreError::new(format!("no heartbeat can be sent: {elapsed}"))),
        }
    }

    pub(super) async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        match timeout(SUBSCRIBE_TIMEOUT, self.source.subscribe()).await {
            Ok(subscribed) => subscribed,
            Err(elapsed) => Err(StoreError::new(format!("cannot subscribe: {elapsed}"))),
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.heartbeat * PATIENCE
    }

    /// Returns when a subscription is renewed: early enough to notice another server before the records in
    /// memory are too old.
    pub(super) fn renewed_after(&self) -> Option<Duration> {
        let left = self.max_staleness.saturating_sub(self.patience());
        self.source.lifetime().map(|lifetime| lifetime.min(left / 2).max(self.heartbeat))
    }

    /// Returns for how long a subscription is relied on.
    pub(super) fn relied_on(&self) -> Option<u64> {
        self.source.lifetime().map(|_| nanoseconds(self.max_staleness))
    }

    pub(super) fn tell(&self, live: bool) {
        let Some(on_change) = &self.on_change else { return };
        contain::notify("a callback for the subscription", || on_change(live));
    }
}
