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

/// What all streams of a key share: how the key stands, and a number that tells whether they have to
/// look.
pub(crate) struct Entry {
    pub(super) digest: KeyDigest,
    pub(super) authority: Arc<dyn Authority>,
    /// Grows whenever streams have to look, and then all of them are woken.
    version: AtomicUsize,
    state: Mutex<State>,
}

struct State {
    record: Arc<KeyRecord>,
    ended: Option<EndReason>,
    wakers: Wakers,
    /// How often the store was asked.
    asked: u64,
    /// Of which question the answer is known: of two answers, the one to the later question counts.
    answered: u64,
    /// Whether streams have to look at the next answer, whatever it is.
    doubted: bool,
}

/// Taken before the store is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question(u64);

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Valid { expires_at: Option<SystemTime> },
    Ended,
}

/// What a stream sees when it looks.
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

    /// Returns a number that grows whenever streams have to [look](Self::look).
    #[inline]
    pub(super) fn version(&self) -> usize {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn look(&self) -> Look {
        let state = self.lock();
        Look { version: self.version(), record: Arc::clone(&state.record), ended: state.ended }
    }

    /// Has `waker` woken when the version is not `seen` any more, and returns whether it still is.
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

    /// Has all streams look at the next answer.
    pub(super) fn doubt(&self) {
        self.lock().doubted = true;
    }

    /// Has to be taken before the store is asked.
    pub(super) fn question(&self) -> Question {
        let mut state = self.lock();
        state.asked += 1;
        Question(state.asked)
    }

    /// Takes note of what the store answered, unless the answer to a later question is known.
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
                // A store that loads a record each time has changed nothing.
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

    /// Judges as the layer judges new requests.
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

    /// Wakes all streams, though nothing has changed.
    pub(super) fn rouse(&self) {
        self.wake(self.lock());
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        // With the lock, so that whoever waits has seen the version for which it is woken.
        self.version.fetch_add(1, Ordering::Release);
        let wakers = state.wakers.take();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
