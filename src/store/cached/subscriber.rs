//! [`Subscriber`]: the task that hears what others change.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout, timeout_at};

use super::beats::Beats;
use super::memory::Memory;
use crate::contain;
use crate::store::{Invalidation, InvalidationSource, StoreError, Subscription};

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
    pub(super) on_change: Option<Box<OnChange>>,
}

impl Subscriber {
    /// Subscribes, again and again, until it is aborted.
    pub(super) async fn run(self) {
        let mut told = None;
        let mut pause = PAUSES.0;
        loop {
            let mut session = Session { subscriber: &self, told: &mut told, was_live: false };
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
    async fn beat(&self, beats: &Beats) -> Infallible {
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

    fn patience(&self) -> Duration {
        self.heartbeat * PATIENCE
    }

    fn tell(&self, live: bool) {
        let Some(on_change) = &self.on_change else { return };
        contain::notify("a callback for the subscription", || on_change(live));
    }
}

/// One subscription, from its beginning to its loss.
struct Session<'a> {
    subscriber: &'a Subscriber,
    /// What was told last: whether it lives.
    told: &'a mut Option<bool>,
    was_live: bool,
}

impl Session<'_> {
    /// Heeds what it hears, and returns why it hears nothing any more.
    async fn listen(&mut self) -> StoreError {
        let subscriber = self.subscriber;
        let subscription = match timeout(SUBSCRIBE_TIMEOUT, subscriber.source.subscribe()).await {
            Ok(Ok(subscription)) => subscription,
            Ok(Err(error)) => return error,
            Err(elapsed) => return StoreError::new(format!("cannot subscribe: {elapsed}")),
        };
        let beats = Beats::new();
        let (hear, beat) = (self.hear(subscription, &beats), subscriber.beat(&beats));
        match select(pin!(hear), pin!(beat)).await {
            Either::Left((reason, _)) => reason,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn hear(&mut self, mut subscription: Box<dyn Subscription>, beats: &Beats) -> StoreError {
        let memory = &self.subscriber.memory;
        let patience = self.subscriber.patience();
        let mut silent_at = Instant::now() + patience;
        loop {
            let heard = match timeout_at(silent_at, subscription.next()).await {
                Ok(Ok(heard)) => heard,
                Ok(Err(error)) => return error,
                Err(_) => {
                    let silence = || format!("no heartbeat was heard within {patience:?}");
                    return beats.failure().unwrap_or_else(|| StoreError::new(silence()));
                }
            };
            match heard {
                Invalidation::Key(digest) => memory.forget(&digest),
                Invalidation::Everything => memory.forget_all(),
                Invalidation::Heartbeat(number) => {
                    if let Some(sent_at) = beats.heard(number) {
                        silent_at = Instant::now() + patience;
                        self.proved(sent_at);
                    }
                }
            }
        }
    }

    /// Takes note that all was heard that was changed until `sent_at`.
    ///
    /// Only this makes a subscription live, and not that the server accepted it: something in
    /// between, such as a pool of connections, may have subscribed somebody else.
    fn proved(&mut self, sent_at: u64) {
        let memory = &self.subscriber.memory;
        if !self.was_live {
            // What was changed before the subscription was not heard.
            memory.forget_all();
            self.was_live = true;
        }
        // Counted from when it was sent: one that was on its way for long proves little.
        let patience = self.subscriber.patience().as_nanos();
        let until = sent_at.saturating_add(u64::try_from(patience).unwrap_or(u64::MAX));
        memory.liveness.set_until(until);
        if memory.now() >= until {
            return self.tell_lost(&StoreError::new("heartbeats come too late"));
        }
        if self.told.replace(true) != Some(true) {
            crate::trace::subscribed();
            self.subscriber.tell(true);
        }
    }

    fn lost(&mut self, reason: &StoreError) {
        self.subscriber.memory.liveness.lose();
        self.tell_lost(reason);
    }

    fn tell_lost(&mut self, reason: &StoreError) {
        if self.told.replace(false) != Some(false) {
            crate::trace::unsubscribed(reason);
            self.subscriber.tell(false);
        }
    }
}
