//! [`LastUsed`]: when keys were last used, written in the background.

mod builder;
mod recorder;
#[cfg(test)]
mod tests;
mod used_keys;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use self::builder::LastUsedBuilder;
use self::recorder::Recorder;
use self::used_keys::Noted;
use crate::head::RequestHead;
use crate::key::KeyId;
use crate::observe::{Detail, Observe};
use crate::store::{RecordUses, StoreError};
use crate::verify::VerifiedKey;

/// Notes when each key was last used, and has a [`RecordUses`] keep it.
///
/// It is for an [`ApiKeyLayer`](crate::ApiKeyLayer), as an
/// [observer](crate::ApiKeyLayer::observer):
///
/// * The first use of a key is written at once, together with others that come meanwhile. Later
///   uses are written together, once an interval: by default, 1000 keys cause at most 1000 row
///   updates in any minute, however many requests there are. What is listed is then a minute
///   behind, and some seconds, so that keys are written in batches; at most 1000 in one.
/// * Requests never wait for it. A use costs a look into memory and a reading of the clock.
/// * A repository that fails, hangs or panics fails no request, and no use is lost: the latest of
///   each key is kept in memory and written when the repository is well again. It is asked after
///   a second, and then less and less often, down to once a minute. Each failure is logged.
/// * A key that was not used for an interval is forgotten; its next use is a first one.
/// * When a key was used is kept beside its record. The record is never written.
///
/// The writer is a task of the tokio runtime in which the first request is served, and ends with
/// it. When the server has stopped, call [`shutdown`](Self::shutdown), so that the last uses are
/// not lost. Once the last clone is dropped, the task tries to write what is left, and ends.
///
/// # Examples
///
/// ```
/// use tower_api_key::{ApiKeyLayer, LastUsed, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_api_key::StoreError> {
/// let keys = MemoryStore::new();
/// let last_used = LastUsed::new(keys.clone());
/// let layer = ApiKeyLayer::new(keys).observer(last_used.clone());
/// // … serve until the server is told to stop, and then:
/// last_used.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct LastUsed {
    shared: Arc<Shared>,
}

/// What all clones share, and the task does not: it ends when this is dropped.
struct Shared {
    recorder: Arc<Recorder>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl LastUsed {
    /// Has `repository` keep when keys were used, with the settings that [`builder`](Self::builder)
    /// begins with.
    pub fn new(repository: impl RecordUses + 'static) -> Self {
        Self::builder(repository).build()
    }

    /// Begins with these settings:
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`interval`](LastUsedBuilder::interval) | 60 seconds |
    /// | [`write_timeout`](LastUsedBuilder::write_timeout) | 5 seconds |
    /// | [`max_keys`](LastUsedBuilder::max_keys) | 1 000 000 |
    /// | [`clock`](LastUsedBuilder::clock) | the operating system's |
    pub fn builder(repository: impl RecordUses + 'static) -> LastUsedBuilder {
        LastUsedBuilder::new(Arc::new(repository))
    }

    fn with_recorder(recorder: Recorder) -> Self {
        let shared = Shared { recorder: Arc::new(recorder), task: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Writes all uses so far, also those of keys that were written less than an interval ago.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository failed or took too long. What was not written is
    /// tried again in the background, and by the next `flush`.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.shared.recorder.write_all().await
    }

    /// Ends the task in the background and writes all uses so far. Later ones are not noted.
    ///
    /// It takes as long as the repository does, and with one that hangs the
    /// [`write_timeout`](LastUsedBuilder::write_timeout).
    ///
    /// # Errors
    ///
    /// Returns an error if the repository failed or took too long. What was not written can be
    /// tried again by [`flush`](Self::flush), and is lost if it is not.
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        self.shared.recorder.close();
        let task = self.shared.task().take();
        if let Some(task) = task {
            // What it was about to write is written here.
            task.abort();
            let _ = task.await;
        }
        self.flush().await
    }

    /// Returns what counts the uses that are not written, and does not keep the recorder.
    #[cfg(feature = "metrics")]
    pub(crate) fn backlog_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        let recorder = Arc::downgrade(&self.shared.recorder);
        move || Some(recorder.upgrade()?.backlog())
    }

    fn note(&self, id: &KeyId) {
        if self.shared.recorder.note(id) == Noted::First {
            self.shared.start();
        }
    }
}

impl LastUsedBuilder {
    /// Makes the recorder. Nothing runs before the first use.
    pub fn build(self) -> LastUsed {
        LastUsed::with_recorder(Recorder::new(self))
    }
}

impl Observe for LastUsed {
    fn admitted(&self, key: &VerifiedKey, _: &RequestHead<'_>) {
        self.note(key.id());
    }

    fn detail(&self) -> Detail {
        Detail::Nothing
    }
}

impl Shared {
    /// Starts the task, if it does not run: here and not sooner, because layers are often made
    /// before there is a runtime.
    fn start(&self) {
        let mut task = self.task();
        let runs = task.as_ref().is_some_and(|task| !task.is_finished());
        if runs || self.recorder.is_closed() {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => *task = Some(runtime.spawn(Arc::clone(&self.recorder).run())),
            Err(error) => crate::trace::uses_not_written(&error),
        }
    }

    fn task(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.recorder.close();
    }
}

impl fmt::Debug for LastUsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastUsed").finish_non_exhaustive()
    }
}
