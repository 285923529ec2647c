//! [`Observers`]: the observers of a layer.

use std::sync::Arc;

use thread_local::ThreadLocal;

use super::seen::OfThread;
use super::{Detail, EndedStream, Interest, Observe};
use crate::clock::Clock;
use crate::contain;
use crate::head::RequestHead;
use crate::verify::VerifiedKey;

/// The callback for a key that should be replaced.
pub(crate) type OnRotationDue = dyn Fn(&VerifiedKey) + Send + Sync;

/// The observers of a layer.
#[derive(Default)]
pub(crate) struct Observers {
    all: Vec<Arc<dyn Observe>>,
    /// The observers that are interested in more than outcomes.
    curious: Vec<Arc<dyn Observe>>,
    /// The copy that requests without a key hold until their end. Each thread has its own copy, so that threads
    /// do not contend for one reference count.
    of_threads: ThreadLocal<Arc<OfThread>>,
    on_rotation_due: Vec<Arc<OnRotationDue>>,
}

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observe>) {
        let mut interest = Interest::Everything;
        contain::notify("an observer", || interest = observer.interest());
        if interest == Interest::Everything {
            self.curious.push(Arc::clone(&observer));
        }
        self.all.push(observer);
        self.of_threads.clear();
    }

    pub(crate) fn add_on_rotation_due(&mut self, observer: Arc<OnRotationDue>) {
        self.on_rotation_due.push(observer);
    }

    /// Returns how much detail the observers want of a new request.
    #[inline]
    pub(crate) fn detail(&self) -> Detail {
        let has_others = self.curious.len() < self.all.len();
        let least = if has_others { Detail::Outcome } else { Detail::Nothing };
        if self.curious.is_empty() { least } else { self.most_detail(least) }
    }

    fn most_detail(&self, least: Detail) -> Detail {
        let mut most = least;
        for observer in &self.curious {
            contain::notify("an observer", || most = most.max(observer.detail()));
        }
        most
    }

    pub(super) fn of_thread(&self) -> Arc<OfThread> {
        let own = || Arc::new(OfThread(self.all.iter().cloned().collect()));
        Arc::clone(self.of_threads.get_or(own))
    }

    #[inline]
    pub(super) fn all(&self) -> &[Arc<dyn Observe>] {
        &self.all
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
        if !self.curious.is_empty() {
            self.tell_admitted(key, &head());
        }
        if !self.on_rotation_due.is_empty() {
            self.tell_rotation_due(key, clock);
        }
    }

    fn tell_admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        for observer in &self.curious {
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

/// The clone starts without the copies of threads.
impl Clone for Observers {
    fn clone(&self) -> Self {
        let Self { all, curious, of_threads: _, on_rotation_due } = self;
        Self {
            all: all.clone(),
            curious: curious.clone(),
            of_threads: ThreadLocal::new(),
            on_rotation_due: on_rotation_due.clone(),
        }
    }
}
