//! [`Entry`]: a key with open streams.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use super::wakers::{Place, Wakers};
use super::{Authority, EndReason};
use crate::key::KeyDigest;
use crate::store::KeyRecord;
use crate::trace;

/// The state that all streams of a key share, with a version that tells when streams have to check.
pub(crate) struct Entry {
    pub(super) digest: KeyDigest,
    pub(super) authority: Arc<dyn Authority>,
    /// Incremented, and all streams woken, whenever streams have to check.
    version: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    record: Arc<KeyRecord>,
    ended: Option<EndReason>,
    wakers: Wakers,
    /// The number of questions to the store.
    asked: u64,
    /// The question of the last known answer: the answer to the later question counts.
    answered: u64,
    /// Whether streams have to check the next answer, whatever it is.
    doubted: bool,
}

/// Taken before the store is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question(u64);

/// The state of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid { expires_at: Option<SystemTime> },
    Ended,
}

/// What a stream sees when it checks.
pub(super) struct Look {
    pub(super) version: usize,
    pub(super) record: Arc<KeyRecord>,
    pub(super) ended: Option<EndReason>,
}

impl Entry {
    pub(super) fn new(authority: &Arc<dyn Authority>, record: &Arc<KeyRecord>) -> Self {
        Self {
            digest: record.digest,
            authority: Arc::clone(authority),
            version: AtomicUsize::new(0),
            state: Mutex::new(State {
                record: Arc::clone(record),
                ended: None,
                wakers: Wakers::default(),
                asked: 0,
                answered: 0,
                doubted: false,
            }),
        }
    }

    /// Returns the version, which is incremented whenever streams have to [look](Self::look).
    #[inline]
    pub(super) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn look(&self) -> Look {
        let state = self.lock();
        Look { version: self.version(), record: Arc::clone(&state.record), ended: state.ended }
    }

    /// Registers `waker` for the next version after `seen`, and returns whether `seen` is current.
    pub(super) fn wait(&self, seen: usize, place: &mut Option<Place>, waker: &Waker) -> bool {
        let mut state = self.lock();
        let is_current = self.version() == seen;
        if is_current {
            state.wakers.put(place, waker.clone());
        }
        is_current
    }

    pub(super) fn leave(&self, place: Place) {
        self.lock().wakers.leave(place);
    }

    /// Makes all streams check the next answer.
    pub(super) fn doubt(&self) {
        self.lock().doubted = true;
    }

    /// To be taken before the store is asked.
    pub(super) fn question(&self) -> Question {
        let mut state = self.lock();
        state.asked += 1;
        Question(state.asked)
    }

    /// Stores an answer of the store, unless the answer to a later question is known.
    pub(super) fn answer(&self, question: Question, found: Option<Arc<KeyRecord>>) -> Standing {
        let judged = self.judge(found.clone());
        let mut state = self.lock();
        if state.ended.is_some() {
            return Standing::Ended;
        }
        if question.0 <= state.answered {
            return Standing::Valid { expires_at: state.record.expires_at() };
        }
        state.answered = question.0;
        match judged {
            Ok(record) => {
                let expires_at = record.expires_at();
                // A store that loads a new record each time has changed nothing.
                if std::mem::take(&mut state.doubted) || *record != *state.record {
                    state.record = record;
                    self.wake(state);
                }
                Standing::Valid { expires_at }
            }
            Err(reason) => {
                state.ended = Some(reason);
                if let Some(record) = found.filter(|record| record.digest == self.digest) {
                    state.record = record;
                }
                self.wake(state);
                Standing::Ended
            }
        }
    }

    /// Checks the key as the layer does for new requests.
    fn judge(&self, found: Option<Arc<KeyRecord>>) -> Result<Arc<KeyRecord>, EndReason> {
        let record = found.ok_or(EndReason::Removed)?;
        if record.digest != self.digest {
            trace::foreign_record(record.id.as_str(), "its digest is another");
            return Err(EndReason::Removed);
        }
        match EndReason::of_state(record.state_by(|| self.authority.now())) {
            Some(reason) => Err(reason),
            None => Ok(record),
        }
    }

    /// Ends the key, unless it has ended.
    pub(super) fn end(&self, reason: EndReason) {
        let mut state = self.lock();
        if state.ended.is_none() {
            state.ended = Some(reason);
            self.wake(state);
        }
    }

    /// Wakes all streams without a change.
    pub(super) fn rouse(&self) {
        self.wake(self.lock());
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        // Under the lock, so that each waiter has seen the version for which it is woken.
        self.version.fetch_add(1, Ordering::Release);
        let wakers = state.wakers.take();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
