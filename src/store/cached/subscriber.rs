//! [`Subscriber`]: the task that hears what others change.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::beats::Beats;
use super::builder::nanoseconds;
use super::memory::Memory;
use super::session::Session;
use crate::contain;
use crate::store::{InvalidationSource, StoreError, Subscription};

/// How many heartbeats may be missed.
pub(super) const PATIENCE: u32 = 3;

/// How long it may take to subscribe.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it is waited before subscribing again: twice as long each time.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Is told when the cache begins to hear of changes, and when it does not any more.
pub(super) type OnChange = dyn Fn(bool) + Send + Sync;

pub(super) struct Subscriber {
    pub(super) source: Box<dyn InvalidationSource>,
    pub(super) memory: Arc<Memory>,
    pub(super) heartbeat: Duration,
    pub(super) max_staleness: Duration,
    pub(super) on_change: Option<Box<OnChange>>,
}

impl Subscriber {
    /// Subscribes, again and again, until it is aborted.
    pub(super) async fn run(self) {
        let mut told = None;
        let mut pause = PAUSES.0;
        loop {
            let mut session = Session::of(&self, &mut told);
            // A source that panics is one that failed: nobody else would subscribe again.
            let reason = contain::wait(session.listen()).await.unwrap_or_else(StoreError::new);
            session.lost(&reason);
            if session.was_live {
                pause = PAUSES.0;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Sends heartbeats, whether they are heard or not.
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

    /// Returns after what time a subscription is renewed: so early that another server is noticed before
    /// what is in memory is too old.
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
