//! [`Streams`]: all that a layer let through and that is still open.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::entry::{Entry, Question, Standing};
use super::schedule::Schedule;
use super::{Authority, task};
use crate::contain;
use crate::immediate::Immediate;
use crate::key::{KeyDigest, KeyId};
use crate::store::{KeyRecord, Listen};

/// The open streams of a layer. A layer with other settings has others.
#[derive(Default)]
pub(crate) struct Streams(Arc<Registry>);

#[derive(Default)]
pub(super) struct Registry {
    state: Mutex<State>,
    /// Whether the task has something to do.
    nudged: AtomicBool,
    pub(super) task: AtomicWaker,
    has_task: AtomicBool,
    listens: OnceListen,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) schedule: Schedule,
    /// Also those of keys that have ended.
    streams: usize,
    /// When the task looks again by itself.
    pub(super) next: Option<Instant>,
}

impl Streams {
    /// Returns the number of open streams.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().streams
    }

    /// Returns the number of open streams of one key.
    pub(crate) fn len_of(&self, id: &KeyId) -> usize {
        self.0.lock().schedule.streams_of(id)
    }

    /// Adds a stream that was let through with `record`.
    pub(super) fn open(
        &self,
        authority: &Arc<dyn Authority>,
        record: &Arc<KeyRecord>,
    ) -> Arc<Entry> {
        let registry = &self.0;
        let changes = authority.store().changes();
        if let Some(changes) = changes {
            registry.listens.0.call_once(|| {
                let listener: Arc<dyn Listen> = Arc::clone(registry) as _;
                changes.listen(&listener);
            });
        }
        let (now, settings) = (Instant::now(), authority.settings());
        let (entry, is_new) = {
            let mut state = registry.lock();
            state.streams += 1;
            state.schedule.add(record, now, settings, || Entry::new(authority, record))
        };
        // From now on the store's word is heard. What it said before, it says again.
        registry.ask_now(&entry, changes.is_some_and(|changes| changes.tells_all()));
        self.start(authority);
        if is_new {
            let sooner = record.expires_at.is_some()
                || registry.lock().next.is_none_or(|next| now + settings.period < next);
            if sooner {
                registry.nudge();
            }
        }
        entry
    }

    /// Takes away a stream.
    pub(super) fn close(&self, entry: &Arc<Entry>) {
        let mut state = self.0.lock();
        state.streams -= 1;
        state.schedule.close(entry);
    }

    /// Has the store asked again, because two streams know something else of the same key.
    pub(super) fn doubt(&self, entry: &Arc<Entry>) {
        entry.doubt();
        self.0.ask_now(entry, true);
    }

    /// Starts the task unless it runs, or there is no runtime.
    #[inline]
    pub(super) fn start(&self, authority: &Arc<dyn Authority>) {
        if !self.0.has_task.load(Ordering::SeqCst) {
            self.start_task(authority);
        }
    }

    #[cold]
    fn start_task(&self, authority: &Arc<dyn Authority>) {
        let Ok(runtime) = Handle::try_current() else { return };
        if !self.0.has_task.swap(true, Ordering::SeqCst) {
            runtime.spawn(task::run(Arc::clone(&self.0), Arc::clone(authority)));
        }
    }
}

impl Registry {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the store for an answer that is at hand. If there is none and it `matters`, the task asks.
    fn ask_now(&self, entry: &Arc<Entry>, matters: bool) {
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

    /// Tells whether the task was nudged since it was asked last.
    pub(super) fn was_nudged(&self) -> bool {
        self.nudged.swap(false, Ordering::SeqCst)
    }

    /// Notes that the task is gone.
    pub(super) fn task_is_gone(&self) {
        self.has_task.store(false, Ordering::SeqCst);
    }

    /// Has what is still open start another task.
    pub(super) fn rouse_all(&self) {
        let entries = self.lock().schedule.entries();
        entries.iter().for_each(|entry| entry.rouse());
    }

    /// Lets the task end if nothing is open.
    pub(super) fn task_may_end(&self) -> bool {
        let state = self.lock();
        let may = state.schedule.is_empty();
        if may {
            // With the lock: who comes next starts another one.
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

    fn all_changed(&self) {
        self.lock().schedule.ask_for_all(Instant::now());
        self.nudge();
    }
}

impl Clone for Streams {
    /// Makes another one that is empty.
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Whether the store was asked to tell of changes.
struct OnceListen(Once);

impl Default for OnceListen {
    fn default() -> Self {
        Self(Once::new())
    }
}
