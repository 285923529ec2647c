//! [`Renewal`]: the subscription that will replace the current one.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, pending, select};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::beats::Ear;
use super::subscriber::Subscriber;
use crate::store::{Invalidation, StoreError, Subscription};

/// The pause after a subscription that could not be made.
const PAUSE: Duration = Duration::from_secs(1);

/// How far the next subscription is.
pub(super) struct Renewal<'a> {
    subscriber: &'a Subscriber,
    stage: Stage<'a>,
    /// Why there is none.
    failure: Option<StoreError>,
}

enum Stage<'a> {
    Never,
    Waits(Pin<Box<Sleep>>),
    Subscribes(BoxFuture<'a, Result<Next, StoreError>>),
    Hears(Next, Pin<Box<Sleep>>),
}

/// A subscription that was made beside another.
pub(super) struct Next {
    pub(super) subscription: Box<dyn Subscription>,
    /// Before it was made.
    pub(super) begun: u64,
    /// When the last heartbeat that it has received was sent.
    pub(super) proof: Option<u64>,
}

/// What has happened to a subscription or to the next one.
pub(super) enum Event {
    /// One of them has received something.
    Heard(Invalidation, Ear),
    /// The next one is complete from now on.
    Subscribed,
    /// The next one is still to come.
    Waits,
    /// The current one has ended, or is silent.
    Lost(Option<StoreError>),
}

impl<'a> Renewal<'a> {
    /// Begins to wait, if subscriptions are renewed.
    pub(super) fn of(subscriber: &'a Subscriber) -> Self {
        let stage = match subscriber.renewed_after() {
            Some(time) => Stage::Waits(Box::pin(sleep(time))),
            None => Stage::Never,
        };
        Self { subscriber, stage, failure: None }
    }

    /// Continues until something has happened. A dropped call loses nothing.
    pub(super) async fn step(&mut self) -> Event {
        let outcome = match &mut self.stage {
            Stage::Never => pending().await,
            Stage::Waits(until) => {
                until.as_mut().await;
                self.stage = Stage::Subscribes(Box::pin(subscribe(self.subscriber)));
                return Event::Waits;
            }
            Stage::Subscribes(next) => match next.await {
                Ok(next) => {
                    let patience = Instant::now() + self.subscriber.patience();
                    self.stage = Stage::Hears(next, Box::pin(sleep_until(patience)));
                    return Event::Subscribed;
                }
                Err(error) => error,
            },
            Stage::Hears(next, patience) => match heard(next, patience).await {
                Ok(heard) => return Event::Heard(heard, Ear::Next),
                Err(error) => error,
            },
        };
        self.failure = Some(outcome);
        self.stage = Stage::Waits(Box::pin(sleep(PAUSE.min(self.subscriber.heartbeat))));
        Event::Waits
    }

    /// Notes that the next subscription has received a heartbeat that was sent at `sent_at`.
    pub(super) fn prove(&mut self, sent_at: u64) {
        if let Stage::Hears(next, _) = &mut self.stage {
            next.proof = next.proof.max(Some(sent_at));
        }
    }

    /// Returns the next subscription if it has received a heartbeat, and begins to wait again.
    pub(super) fn take(&mut self) -> Option<Next> {
        match std::mem::replace(&mut self.stage, Stage::Never) {
            Stage::Hears(next, _) if next.proof.is_some() => {
                *self = Self::of(self.subscriber);
                Some(next)
            }
            stage => {
                self.stage = stage;
                None
            }
        }
    }

    /// Returns why there is no next subscription.
    pub(super) fn failure(&mut self) -> Option<StoreError> {
        self.failure.take()
    }
}

async fn subscribe(subscriber: &Subscriber) -> Result<Next, StoreError> {
    let begun = subscriber.memory.now();
    let subscription = subscriber.subscribe().await?;
    Ok(Next { subscription, begun, proof: None })
}

async fn heard(
    next: &mut Next,
    patience: &mut Pin<Box<Sleep>>,
) -> Result<Invalidation, StoreError> {
    let is_proved = next.proof.is_some();
    let heard = next.subscription.next();
    // A subscription that has received its heartbeats is kept: the other one may be late.
    if is_proved {
        return heard.await;
    }
    match select(heard, patience.as_mut()).await {
        Either::Left((heard, _)) => heard,
        Either::Right(_) => Err(StoreError::new("a new subscription hears no heartbeat")),
    }
}
