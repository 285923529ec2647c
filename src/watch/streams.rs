//! [`Streams`]: all open streams of a layer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::entry::Entry;
use super::registry::Registry;
use super::{Authority, Kind, task};
use crate::key::KeyId;
use crate::store::{KeyRecord, Listen};

/// The open streams of a layer. A layer with other settings has its own.
#[derive(Default)]
pub(crate) struct Streams(Arc<Registry>);

impl Streams {
    /// Returns the number of open streams.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().streams
    }

    /// Returns a counter of open streams, which does not keep the layer.
    #[cfg(feature = "metrics")]
    pub(crate) fn counter(&self) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        let registry = Arc::downgrade(&self.0);
        move || Some(registry.upgrade()?.lock().streams)
    }

    /// Returns the number of open streams of one key.
    pub(crate) fn len_of(&self, id: &KeyId) -> usize {
        self.0.lock().schedule.streams_of(id)
    }

    /// Adds a stream that was admitted with `record`, or another waiter for the key's end.
    pub(super) fn open(
        &self,
        authority: &Arc<dyn Authority>,
        record: &Arc<KeyRecord>,
        kind: Kind,
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
            state.streams += usize::from(kind == Kind::Stream);
            state.schedule.add(record, kind, now, settings, || Entry::new(authority, record))
        };
        // From now on the store reports changes. It repeats earlier ones.
        registry.ask_now(&entry, changes.is_some_and(|changes| changes.tells_all()));
        self.start(authority);
        if is_new {
            let sooner = record.expires_at().is_some()
                || registry.lock().next.is_none_or(|next| now + settings.period < next);
            if sooner {
                registry.nudge();
            }
        }
        entry
    }

    /// Removes a stream or waiter.
    pub(super) fn close(&self, entry: &Arc<Entry>, kind: Kind) {
        let mut state = self.0.lock();
        state.streams -= usize::from(kind == Kind::Stream);
        state.schedule.close(entry, kind);
    }

    /// Asks the store again, because two streams have different records of the same key.
    pub(super) fn doubt(&self, entry: &Arc<Entry>) {
        entry.doubt();
        self.0.ask_now(entry, true);
    }

    /// Starts the task, unless it runs or there is no runtime.
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

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Clone for Streams {
    /// Makes an empty one.
    fn clone(&self) -> Self {
        Self::default()
    }
}
