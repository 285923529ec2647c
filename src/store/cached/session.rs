//! [`Session`]: receives notifications, from one loss to the next.

use std::pin::pin;

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout_at};

use super::beats::{Beats, Ear, Heard};
use super::renewal::{Event, Next, Renewal};
use super::span::nanoseconds;
use super::subscriber::Subscriber;
use crate::store::{Invalidation, StoreError, Subscription};

/// One subscription, with those that replace it, from its beginning to its loss.
pub(super) struct Session<'a> {
    subscriber: &'a Subscriber,
    /// The state that was reported last: whether the subscription is live.
    told: &'a mut Option<bool>,
    pub(super) was_live: bool,
    /// A moment before the current subscription was made.
    begun: u64,
}

impl<'a> Session<'a> {
    pub(super) fn of(subscriber: &'a Subscriber, told: &'a mut Option<bool>) -> Self {
        Self { subscriber, told, was_live: false, begun: subscriber.memory.now() }
    }

    /// Applies notifications until the subscription is lost, and returns why.
    pub(super) async fn listen(&mut self) -> StoreError {
        let subscriber = self.subscriber;
        let subscription = match subscriber.subscribe().await {
            Ok(subscription) => subscription,
            Err(error) => return error,
        };
        let beats = Beats::new();
        let (hear, beat) = (self.hear(subscription, &beats), subscriber.beat(&beats));
        match select(pin!(hear), pin!(beat)).await {
            Either::Left((reason, _)) => reason,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn hear(&mut self, mut current: Box<dyn Subscription>, beats: &Beats) -> StoreError {
        let subscriber = self.subscriber;
        let silence = || Instant::now() + subscriber.patience();
        let mut silent_at = silence();
        let mut renewal = Renewal::of(subscriber);
        loop {
            match next_event(&mut current, silent_at, &mut renewal).await {
                Event::Heard(heard, by) => {
                    let Some(beat) = self.apply(heard, beats, by) else { continue };
                    if by == Ear::Next {
                        renewal.prove(beat.sent_at);
                    }
                    if beat.by_both
                        && let Some(next) = renewal.take()
                    {
                        // Nothing was missed: the old one received everything until then, and the new one
                        // receives everything from then on.
                        self.begun = next.begun;
                        current = next.subscription;
                    } else if by == Ear::Next {
                        continue;
                    }
                    silent_at = silence();
                    self.proved(beat.sent_at);
                }
                Event::Subscribed => beats.forget_ears(),
                Event::Waits => {}
                Event::Lost(reason) => {
                    let Some(next) = renewal.take() else {
                        return reason.or_else(|| beats.failure()).unwrap_or_else(|| self.silent());
                    };
                    silent_at = silence();
                    current = self.moved(next);
                }
            }
            if self.is_too_old() {
                let none = || StoreError::new("no new subscription was made in time");
                return renewal.failure().unwrap_or_else(none);
            }
        }
    }

    /// Forgets invalidated records. For a heartbeat of this node, returns what is known of it.
    fn apply(&self, heard: Invalidation, beats: &Beats, by: Ear) -> Option<Heard> {
        let memory = &self.subscriber.memory;
        match heard {
            Invalidation::Key(digest) => memory.forget(&digest),
            Invalidation::Tenant(tenant) => memory.forget_tenant(&tenant),
            Invalidation::Everything => memory.forget_all(),
            Invalidation::Heartbeat(number) => return beats.heard(number, by),
        }
        None
    }

    /// Continues with a subscription to another server, whose changes the current one has not received.
    fn moved(&mut self, next: Next) -> Box<dyn Subscription> {
        crate::trace::moved();
        self.subscriber.memory.liveness.lose();
        self.was_live = false;
        self.begun = next.begun;
        if let Some(sent_at) = next.proof {
            self.proved(sent_at);
        }
        next.subscription
    }

    fn silent(&self) -> StoreError {
        let patience = self.subscriber.patience();
        StoreError::new(format!("no heartbeat was heard within {patience:?}"))
    }

    fn is_too_old(&self) -> bool {
        let now = self.subscriber.memory.now();
        let age = now.saturating_sub(self.begun);
        self.subscriber.relied_on().is_some_and(|longest| age >= longest)
    }

    /// Notes that all changes until `sent_at` were received.
    ///
    /// Only this makes a subscription live. That the server accepted it is not enough: an
    /// intermediary, such as a connection pooler, may have subscribed another client.
    fn proved(&mut self, sent_at: u64) {
        let Subscriber { memory, source, .. } = self.subscriber;
        if !self.was_live {
            // Changes from before the subscription were missed. From now on, records must be loaded from
            // the server of the subscription.
            source.server_changed();
            memory.forget_all();
            self.was_live = true;
        }
        // Counted from when it was sent: a heartbeat that took long proves little.
        let mut until = sent_at.saturating_add(nanoseconds(self.subscriber.patience()));
        if let Some(longest) = self.subscriber.relied_on() {
            until = until.min(self.begun.saturating_add(longest));
        }
        memory.liveness.prove(sent_at, until);
        let now = memory.now();
        memory.liveness.heard_after(now.saturating_sub(sent_at));
        if now >= until {
            return self.tell_lost(&StoreError::new("heartbeats come too late"));
        }
        if self.told.replace(true) != Some(true) {
            crate::trace::subscribed();
            self.subscriber.tell(true);
        }
    }

    pub(super) fn lost(&mut self, reason: &StoreError) {
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

/// Waits for the next notification of either subscription.
async fn next_event(
    current: &mut Box<dyn Subscription>,
    silent_at: Instant,
    renewal: &mut Renewal<'_>,
) -> Event {
    match select(pin!(timeout_at(silent_at, current.next())), pin!(renewal.step())).await {
        Either::Left((Ok(Ok(heard)), _)) => Event::Heard(heard, Ear::Current),
        Either::Left((Ok(Err(error)), _)) => Event::Lost(Some(error)),
        Either::Left((Err(_), _)) => Event::Lost(None),
        Either::Right((event, _)) => event,
    }
}
