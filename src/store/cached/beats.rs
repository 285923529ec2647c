//! [`Beats`]: which heartbeats were sent, and when.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::store::StoreError;

/// How many heartbeats are remembered. One that comes later than this many others is late.
const REMEMBERED: usize = 16;

/// The heartbeats of one subscription, told from those of other nodes by their numbers.
pub(super) struct Beats {
    sent: Mutex<VecDeque<Beat>>,
    failure: Mutex<Option<StoreError>>,
}

#[derive(Clone, Copy)]
struct Beat {
    number: u64,
    at: u64,
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
        sent.push_front(Beat { number, at: now });
        Ok(number)
    }

    /// Returns when the heartbeat with this number was sent, if it is one of these.
    pub(super) fn heard(&self, number: u64) -> Option<u64> {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.iter().find(|beat| beat.number == number).map(|beat| beat.at)
    }

    /// Notes how the last heartbeat went.
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
        assert_eq!(beats.heard(numbers[19]), Some(19));
        assert_eq!(beats.heard(numbers[4]), Some(4));
        assert_eq!(beats.heard(numbers[3]), None, "too long ago");
        assert_eq!(beats.heard(numbers[19].wrapping_add(1)), None);
    }
}
