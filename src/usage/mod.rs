//! [`UsageRecorder`]: how often keys were used and when last, written in the background.

mod builder;
mod counts;
mod last_uses;
mod recorder;
mod tally;
#[cfg(test)]
mod tests;
mod threads;
mod used_key;
mod used_keys;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

pub use self::builder::UsageRecorderBuilder;
use self::last_uses::LastUses;
use self::recorder::{Recorder, Wants};
use crate::observe::{Finished, Interest, Observe};
use crate::reject::RejectionKind;
use crate::store::{RecordUses, StoreError, UsageKind, UsageStore};

/// Counts the requests of each key by the hour, notes when it was last used, and has a [`UsageStore`] keep
/// both.
///
/// It is for an [`ApiKeyLayer`](crate::ApiKeyLayer), as an [observer](crate::ApiKeyLayer::observer). Accepted
/// requests are counted, and refused ones of keys that are known, by the reason; see
/// [the page](crate::guide::usage). [`KeyManager::usage`](crate::KeyManager::usage) tells them.
///
/// * **Requests never wait for it.** Each thread counts for itself, without a lock. A request costs a look into
///   memory and a reading of the clock.
/// * **In batches.** The first use of a key is written at once, together with others that come meanwhile. From
///   then on, one row of each key is written in an interval, by turns when it was last used and how often it was
///   in an hour: by default, 1000 keys cause at most 1000 row updates in any minute and node, however many
///   requests there are. What is listed is then up to two minutes behind, and some seconds, so that keys are
///   written in batches; at most 1000 in one.
/// * **A store that fails, hangs or panics fails no request**, and nothing is lost: counts are kept in memory and
///   written when the store is well again. It is asked after a second, and then less and less often, down to
///   once a minute. Each failure is logged. An outage of more than 24 hours blurs counts: the oldest hours are
///   added to the ones after them.
/// * **Once.** A batch whose answer was lost is sent again as it was, and the store adds it once. What several
///   nodes count is summed up.
/// * **Bounded.** A key of which everything is written is forgotten after an interval; its next use is a first
///   one. Of more than [`max_keys`](UsageRecorderBuilder::max_keys), no others are counted.
/// * **Kept for a time.** Hours are kept for 90 days, and days for 400, unless the
///   [retention](UsageRecorderBuilder::retention) is another. Once an hour, what is too old is deleted, 1000 rows
///   at a time, by every node or [by some](UsageRecorderBuilder::without_pruning).
/// * **Apart.** The record of a key is never written. Its usage outlives it.
///
/// The writer is a task of the tokio runtime in which the first request is served, and ends with
/// it. When the server has stopped, call [`shutdown`](Self::shutdown), so that the last counts are
/// not lost. A process that is killed loses what it had not written: what came within the last two intervals.
/// Once the last clone is dropped, the task tries to write what is left, and ends.
///
/// # Examples
///
/// ```
/// use tower_api_key::{ApiKeyLayer, MemoryStore, UsageRecorder};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_api_key::StoreError> {
/// let keys = MemoryStore::new();
/// let usage = UsageRecorder::new(keys.clone());
/// let layer = ApiKeyLayer::new(keys).observer(usage.clone());
/// // … serve until the server is told to stop, and then:
/// usage.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct UsageRecorder {
    shared: Arc<Shared>,
}

/// What all clones share, and the task does not: it ends when this is dropped.
struct Shared {
    recorder: Arc<Recorder>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl UsageRecorder {
    /// Has `store` keep how often and when keys were used, with the settings that [`builder`](Self::builder)
    /// begins with.
    pub fn new(store: impl UsageStore + 'static) -> Self {
        Self::builder(store).build()
    }

    /// Begins with these settings:
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`interval`](UsageRecorderBuilder::interval) | 60 seconds |
    /// | [`write_timeout`](UsageRecorderBuilder::write_timeout) | 5 seconds |
    /// | [`max_keys`](UsageRecorderBuilder::max_keys) | 1 000 000 |
    /// | [`retention`](UsageRecorderBuilder::retention) | hours for 90 days, days for 400 |
    /// | [`clock`](UsageRecorderBuilder::clock) | the operating system's |
    pub fn builder(store: impl UsageStore + 'static) -> UsageRecorderBuilder {
        UsageRecorderBuilder::new(Arc::new(store))
    }

    /// Begins with the same settings, and has `store` keep when keys were last used: how often they were is
    /// kept nowhere.
    ///
    /// For a store of one's own that has a place for the one and none for the other.
    pub fn last_uses_only(store: impl RecordUses + 'static) -> UsageRecorderBuilder {
        UsageRecorderBuilder::new(Arc::new(LastUses(store))).without_pruning()
    }

    fn with_recorder(recorder: Recorder) -> Self {
        let shared = Shared { recorder: Arc::new(recorder), task: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Writes everything so far, also of keys that were written less than an interval ago.
    ///
    /// # Errors
    ///
    /// Returns an error if the store failed or took too long. What was not written is
    /// tried again in the background, and by the next `flush`.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.shared.recorder.write_all().await
    }

    /// Ends the task in the background and writes everything so far. Later requests are not counted.
    ///
    /// It takes as long as the store does, and with one that hangs the
    /// [`write_timeout`](UsageRecorderBuilder::write_timeout).
    ///
    /// # Errors
    ///
    /// Returns an error if the store failed or took too long. What was not written can be
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

    /// Returns what counts the rows that are not written, and does not keep the recorder.
    #[cfg(feature = "metrics")]
    pub(crate) fn backlog_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        let recorder = Arc::downgrade(&self.shared.recorder);
        move || Some(recorder.upgrade()?.backlog())
    }
}

impl UsageRecorderBuilder {
    /// Makes the recorder. Nothing runs before the first use.
    pub fn build(self) -> UsageRecorder {
        UsageRecorder::with_recorder(Recorder::new(self))
    }
}

impl Observe for UsageRecorder {
    fn finished(&self, request: &Finished<'_>) {
        let recorder = &*self.shared.recorder;
        let wants = match (request.rejection(), request.record()) {
            (Some(rejection), Some(key)) => recorder.refuse(key, usage_kind(rejection.kind())),
            (None, Some(key)) if request.is_accepted() => recorder.accept(key),
            _ => return,
        };
        if wants == Wants::ATask {
            self.shared.start();
        }
    }

    fn interest(&self) -> Interest {
        Interest::Outcomes
    }
}

/// Returns as what the refusal of a known key is counted.
fn usage_kind(kind: RejectionKind) -> UsageKind {
    match kind {
        RejectionKind::Disabled => UsageKind::Disabled,
        RejectionKind::Suspended => UsageKind::Suspended,
        RejectionKind::Revoked => UsageKind::Revoked,
        RejectionKind::Expired => UsageKind::Expired,
        RejectionKind::WrongStage => UsageKind::WrongStage,
        RejectionKind::WrongTenant => UsageKind::WrongTenant,
        RejectionKind::MissingAbility => UsageKind::MissingAbility,
        RejectionKind::NotAllowed => UsageKind::NotAllowed,
        RejectionKind::UnknownSession => UsageKind::UnknownSession,
        RejectionKind::RateLimited => UsageKind::RateLimited,
        RejectionKind::Missing
        | RejectionKind::Ambiguous
        | RejectionKind::Malformed
        | RejectionKind::Unknown
        | RejectionKind::Unavailable
        | RejectionKind::MissingLayer => UsageKind::Other,
    }
}

impl Shared {
    /// Starts the task, if it does not run: here and not sooner, because layers are often made
    /// before there is a runtime.
    #[cold]
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

impl fmt::Debug for UsageRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UsageRecorder").finish_non_exhaustive()
    }
}
