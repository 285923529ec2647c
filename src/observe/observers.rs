//! [`Observers`]: the observers of a layer.

use std::sync::Arc;

use thread_local::ThreadLocal;

use super::{Detail, EndedStream, Observe};
use crate::clock::Clock;
use crate::contain;
use crate::head::RequestHead;
use crate::verify::VerifiedKey;

/// What is called for a key that should be replaced.
pub(crate) type OnRotationDue = dyn Fn(&VerifiedKey) + Send + Sync;

/// The observers of a layer.
#[derive(Default)]
pub(crate) struct Observers {
    all: Vec<Arc<dyn Observe>>,
    /// What requests of a thread hold until their end. Threads count references to their own, so that they
    /// do not wait for each other.
    of_threads: ThreadLocal<Arc<OfThread>>,
    on_rotation_due: Vec<Arc<OnRotationDue>>,
}

/// All observers. In cache lines of its own.
#[repr(align(128))]
pub(super) struct OfThread(pub(super) Box<[Arc<dyn Observe>]>);

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observe>) {
        self.all.push(observer);
        self.of_threads.clear();
    }

    pub(crate) fn add_on_rotation_due(&mut self, observer: Arc<OnRotationDue>) {
        self.on_rotation_due.push(observer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns how much of a request that begins is wanted at its end.
    pub(crate) fn detail(&self) -> Detail {
        let mut most = Detail::Nothing;
        for observer in &self.all {
            contain::notify("an observer", || most = most.max(observer.detail()));
        }
        most
    }

    pub(super) fn of_thread(&self) -> Arc<OfThread> {
        let own = || Arc::new(OfThread(self.all.iter().cloned().collect()));
        Arc::clone(self.of_threads.get_or(own))
    }

    pub(crate) fn stream_ended(&self, stream: &EndedStream<'_>) {
        for observer in &self.all {
            contain::notify("an observer", || observer.stream_ended(stream));
        }
    }

    #[inline]
    pub(crate) fn admitted<'r>(
        &self,
        key: &VerifiedKey,
        head: impl FnOnce() -> RequestHead<'r>,
        clock: &dyn Clock,
    ) {
        if !self.all.is_empty() {
            self.tell_admitted(key, &head());
        }
        if !self.on_rotation_due.is_empty() {
            self.tell_rotation_due(key, clock);
        }
    }

    fn tell_admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        for observer in &self.all {
            contain::notify("an observer", || observer.admitted(key, head));
        }
    }

    fn tell_rotation_due(&self, key: &VerifiedKey, clock: &dyn Clock) {
        if key.rotation_due_at().is_some() && key.is_rotation_due(clock.now()) {
            for observer in &self.on_rotation_due {
                contain::notify("an observer of rotations", || observer(key));
            }
        }
    }
}

/// Without what threads hold of the one before.
impl Clone for Observers {
    fn clone(&self) -> Self {
        let (all, on_rotation_due) = (self.all.clone(), self.on_rotation_due.clone());
        Self { all, of_threads: ThreadLocal::new(), on_rotation_due }
    }
}
