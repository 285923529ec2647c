//! [`Turns`]: a queue for the changes of each key.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use crate::key::KeyId;

/// Queues the changes of each key through a manager and its clones.
///
/// Of changes at the same time, all but one would conflict and be retried. So they wait here for their turn. Only
/// callers that see the key enter the queue, so that strangers cannot delay its changes.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<KeyId, Queue>>);

/// The changes of one key that have not ended. A queue without changes is removed.
#[derive(Debug)]
struct Queue {
    /// Whose turn it is.
    present: Ticket,
    waiting: BTreeMap<Ticket, Waker>,
    next_number: u64,
}

/// The place of a change in its queue: by its errand, and then by when it came.
type Ticket = (Errand, u64);

/// The purpose of a change. The first ones here go first.
///
/// The holder of a leaked key may change it all the time. This must not delay its revocation or disabling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Errand {
    Revoke,
    Disable,
    Change,
}

/// The turn of a change, or its place in the queue, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    id: KeyId,
    ticket: Ticket,
    has_waited: bool,
}

impl Turns {
    /// Waits until it is the turn of a change.
    ///
    /// It leaves the queue when it is dropped, while it waits as well as afterwards.
    pub(super) async fn take(self: &Arc<Self>, id: &KeyId, errand: Errand) -> Turn {
        let mut turn = self.enter(id, errand);
        poll_fn(|cx| match self.queues().get_mut(id) {
            Some(queue) if queue.present != turn.ticket => {
                queue.waiting.insert(turn.ticket, cx.waker().clone());
                turn.has_waited = true;
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
        turn
    }

    /// Waits until it is the turn of a change in several queues.
    ///
    /// The queues are entered in the order of the ids, so that no two changes wait for each other.
    pub(super) async fn take_all(
        self: &Arc<Self>,
        mut ids: Vec<KeyId>,
        errand: Errand,
    ) -> Vec<Turn> {
        ids.sort();
        ids.dedup();
        let mut turns = Vec::with_capacity(ids.len());
        for id in &ids {
            turns.push(self.take(id, errand).await);
        }
        turns
    }

    fn enter(self: &Arc<Self>, id: &KeyId, errand: Errand) -> Turn {
        let mut queues = self.queues();
        let ticket = match queues.get_mut(id) {
            Some(queue) => {
                let ticket = (errand, queue.next_number);
                queue.next_number += 1;
                queue.waiting.insert(ticket, Waker::noop().clone());
                ticket
            }
            None => {
                let ticket = (errand, 0);
                let queue = Queue { present: ticket, waiting: BTreeMap::new(), next_number: 1 };
                queues.insert(id.clone(), queue);
                ticket
            }
        };
        Turn { turns: Arc::clone(self), id: id.clone(), ticket, has_waited: false }
    }

    fn queues(&self) -> MutexGuard<'_, HashMap<KeyId, Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Tells whether others may have changed the key while it waited.
    pub(super) const fn has_waited(&self) -> bool {
        self.has_waited
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut queues = self.turns.queues();
        let Some(queue) = queues.get_mut(&self.id) else { return };
        if queue.present != self.ticket {
            queue.waiting.remove(&self.ticket);
        } else if let Some((next, waker)) = queue.waiting.pop_first() {
            queue.present = next;
            // Not while it is locked: a waker may run anything.
            drop(queues);
            waker.wake();
        } else {
            queues.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn id(text: &str) -> KeyId {
        text.parse().unwrap()
    }

    #[test]
    fn a_dropped_turn_leaves_its_queue_and_an_empty_queue_is_removed() {
        let (turns, id) = (Arc::new(Turns::default()), id("key_1"));
        let first = turns.take(&id, Errand::Change).now_or_never().unwrap();
        let mut second = turns.take(&id, Errand::Change).boxed();
        let mut third = turns.take(&id, Errand::Change).boxed();
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        drop(first);
        // It has the turn, and goes before it has learned of it.
        drop(second);
        let third = third.now_or_never().unwrap();
        assert!(third.has_waited());
        let waiting = turns.take(&id, Errand::Revoke).boxed();
        drop((waiting, third));
        assert!(turns.queues().is_empty());
    }

    #[test]
    fn revocations_go_first_and_others_in_the_order_in_which_they_came() {
        let (turns, id) = (Arc::new(Turns::default()), id("key_1"));
        let first = turns.take(&id, Errand::Change).now_or_never().unwrap();
        let errands = [Errand::Change, Errand::Disable, Errand::Change, Errand::Revoke];
        let mut waiting: Vec<_> =
            errands.into_iter().map(|errand| turns.take(&id, errand).boxed()).collect();
        for turn in &mut waiting {
            assert!(turn.now_or_never().is_none());
        }
        let mut turn = first;
        for place in [3, 1, 0, 2] {
            drop(turn);
            turn = (&mut waiting[place]).now_or_never().unwrap();
        }
    }

    #[test]
    fn the_turns_of_other_keys_are_apart() {
        let turns = Arc::new(Turns::default());
        let ids = [id("key_2"), id("key_1"), id("key_2")];
        let both = turns.take_all(ids.to_vec(), Errand::Revoke).now_or_never().unwrap();
        assert_eq!(both.len(), 2);
        assert!(turns.take(&id("key_3"), Errand::Change).now_or_never().is_some());
        assert!(turns.take(&id("key_1"), Errand::Change).now_or_never().is_none());
    }
}
