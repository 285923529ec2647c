//! [`Beats`]: which heartbeats were sent, and when.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::store::StoreError;

/// How many heartbeats are remembered. A heartbeat that arrives after this many later ones is ignored.
const REMEMBERED: usize = 16;

/// The heartbeats of one subscription, distinguished from those of other nodes by their numbers.
pub(super) struct Beats {
    sent: Mutex<VecDeque<Beat>>,
    failure: Mutex<Option<StoreError>>,
}

#[derive(Clone, Copy)]
struct Beat {
    number: u64,
    at: u64,
    /// Whether it was received by the current subscription, and by the next.
    heard: [bool; 2],
}

/// Which of two subscriptions has received a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ear {
    /// The current one.
    Current,
    /// The one that will replace it.
    Next,
}

/// A received heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    /// When it was sent.
    pub(super) sent_at: u64,
    /// Whether both subscriptions have received it, so that one can continue where the other ends.
    pub(super) by_both: bool,
}

impl Beats {
    pub(super) fn new() -> Self {
        Self { sent: Mutex::default(), failure: Mutex::default() }
    }

    /// Notes that a heartbeat is sent, and returns its number.
    pub(super) fn send(&self, now: u64) -> Result<u64, StoreError> {
        let number = getrandom::u64().map_err(|error| StoreError::new(error.to_string()))?;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.truncate(REMEMBERED - 1);
        sent.push_front(Beat { number, at: now, heard: [false; 2] });
        Ok(number)
    }

    /// Notes that the heartbeat with this number was received, if it is one of these.
    pub(super) fn heard(&self, number: u64, by: Ear) -> Option<Heard> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let beat = sent.iter_mut().find(|beat| beat.number == number)?;
        beat.heard[by as usize] = true;
        Some(Heard { sent_at: beat.at, by_both: beat.heard == [true; 2] })
    }

    /// Begins with another next subscription, which has received nothing.
    pub(super) fn forget_ears(&self) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter_mut().for_each(|beat| beat.heard = [false; 2]);
    }

    /// Notes whether the last heartbeat could be sent.
    pub(super) fn note(&self, sent: Result<(), StoreError>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = sent.err();
    }

    /// Returns why the last heartbeat could not be sent.
    pub(super) fn failure(&self) -> Option<StoreError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_heartbeats_are_told_from_others_and_dated_by_when_they_were_sent() {
        let beats = Beats::new();
        let numbers: Vec<_> = (0..20).map(|at| beats.send(at).unwrap()).collect();
        let heard = |number| beats.heard(number, Ear::Current).map(|heard| heard.sent_at);
        assert_eq!(heard(numbers[19]), Some(19));
        assert_eq!(heard(numbers[4]), Some(4));
        assert_eq!(heard(numbers[3]), None, "too long ago");
        assert_eq!(heard(numbers[19].wrapping_add(1)), None);
    }

    #[test]
    fn two_subscriptions_meet_in_a_heartbeat_that_both_have_heard() {
        let beats = Beats::new();
        let [first, second] = [0, 1].map(|at| beats.send(at).unwrap());
        let by_both = |number, by| beats.heard(number, by).unwrap().by_both;
        assert!(!by_both(first, Ear::Current) && !by_both(second, Ear::Next));
        assert!(by_both(second, Ear::Current));
        beats.forget_ears();
        assert!(!by_both(second, Ear::Next));
        assert!(by_both(second, Ear::Current) && by_both(second, Ear::Next));
    }
}
