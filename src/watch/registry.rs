//! [`Registry`]: the keys of all open streams of a layer, and the store's notifications of changes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::entry::{Entry, Question, Standing};
use super::schedule::Schedule;
use crate::contain;
use crate::immediate::Immediate;
use crate::key::{KeyDigest, TenantId};
use crate::store::{KeyRecord, Listen};

#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Whether the task has work.
    nudged: AtomicBool,
    pub(super) task: AtomicWaker,
    pub(super) has_task: AtomicBool,
    pub(super) listens: OnceListen,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    /// Includes streams of keys that have ended.
    pub(super) streams: usize,
    /// When the task runs again without a wake-up.
    pub(super) next: Option<Instant>,
}

impl Registry {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses an answer that the store has at once. If there is none and it `matters`, the task asks.
    pub(super) fn ask_now(&self, entry: &Arc<Entry>, matters: bool) {
        let (asked_at, question) = (Instant::now(), entry.question());
        let store = entry.authority.store();
        match contain::call(|| store.find_now(&entry.digest)) {
            Ok(Immediate::Answer(found)) => self.answer(entry, question, found, asked_at),
            _ if matters => {
                self.lock().schedule.ask_soon(entry);
                self.nudge();
            }
            _ => {}
        }
    }

    pub(super) fn answer(
        &self,
        entry: &Arc<Entry>,
        question: Question,
        found: Option<Arc<KeyRecord>>,
        asked_at: Instant,
    ) {
        let standing = entry.answer(question, found);
        let settings = entry.authority.settings();
        self.lock().schedule.answered(entry, standing, asked_at, settings);
    }

    /// Ends a key that is known to have ended.
    pub(super) fn end(&self, entry: &Arc<Entry>, reason: super::EndReason) {
        entry.end(reason);
        self.lock().schedule.answered(
            entry,
            Standing::Ended,
            Instant::now(),
            entry.authority.settings(),
        );
    }

    pub(super) fn nudge(&self) {
        self.nudged.store(true, Ordering::SeqCst);
        self.task.wake();
    }

    /// Tells whether the task was woken since the last call.
    pub(super) fn was_nudged(&self) -> bool {
        self.nudged.swap(false, Ordering::SeqCst)
    }

    /// Notes that the task is gone.
    pub(super) fn task_is_gone(&self) {
        self.has_task.store(false, Ordering::SeqCst);
    }

    /// Makes the open streams start another task.
    pub(super) fn rouse_all(&self) {
        let entries = self.lock().schedule.entries();
        entries.iter().for_each(|entry| entry.rouse());
    }

    /// Lets the task end if nothing is open.
    pub(super) fn task_may_end(&self) -> bool {
        let state = self.lock();
        let may = state.schedule.is_empty();
        if may {
            // Under the lock: the next stream starts another task.
            self.has_task.store(false, Ordering::SeqCst);
        }
        may
    }
}

impl Listen for Registry {
    fn changed(&self, digest: &KeyDigest) {
        let entry = self.lock().schedule.get(digest).cloned();
        if let Some(entry) = entry {
            self.ask_now(&entry, true);
        }
    }

    fn tenant_changed(&self, tenant: &TenantId) {
        let entries = self.lock().schedule.entries();
        let is_theirs = |entry: &Arc<Entry>| entry.look().record.tenant.as_ref() == Some(tenant);
        for entry in entries.into_iter().filter(is_theirs) {
            self.ask_now(&entry, true);
        }
    }

    fn all_changed(&self) {
        self.lock().schedule.ask_for_all(Instant::now());
        self.nudge();
    }
}

/// Whether the store was asked to report changes.
pub(super) struct OnceListen(pub(super) Once);

impl Default for OnceListen {
    fn default() -> Self {
        Self(Once::new())
    }
}
