//! [`UsageRecorder`]: counts the requests of each key, and writes the counts in the background.

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

/// Counts the requests of each key by the hour, records when it was last used, and writes both to a
/// [`UsageStore`].
///
/// Add it to an [`ApiKeyLayer`](crate::ApiKeyLayer) as an [observer](crate::ApiKeyLayer::observer). It counts
/// accepted requests, and refused requests of known keys by their reason; see the
/// [guide](crate::guide::usage). [`KeyManager::usage`](crate::KeyManager::usage) returns the counts.
///
/// * **Requests never wait for it.** Each thread has its own counts, without a lock. A request costs one look into
///   memory and one reading of the clock.
/// * **In batches.** The first use of a key is written at once, together with other first uses. Later, the recorder
///   writes one row per key and interval: its last use and its counts in turn. By default, 1000 keys cause at most
///   1000 row updates per minute and node, for any number of requests. So lists are up to two minutes behind,
///   plus some seconds to fill batches of at most 1000 keys.
/// * **A store that fails, hangs or panics fails no request.** Counts stay in memory until the store works again.
///   The recorder retries after one second, and then less often, down to once a minute. Each failure is logged.
///   After an outage of more than 24 hours, the oldest hours are added to the hours after them.
/// * **Once.** A batch whose answer was lost is sent again, and the store adds it only once. The store sums the
///   counts of several nodes.
/// * **Bounded.** A key whose counts are written is dropped from memory after an interval. Its next use is a first
///   use again. Beyond [`max_keys`](UsageRecorderBuilder::max_keys), further keys are not counted.
/// * **Pruned.** By default, hours are kept for 90 days and days for 400; see
///   [retention](UsageRecorderBuilder::retention). Once an hour, every node deletes older rows, 1000 at a time,
///   unless it is built [without pruning](UsageRecorderBuilder::without_pruning).
/// * **Separate.** The recorder never writes to the record of a key, and usage outlives the record.
///
/// The writer is a task of the Tokio runtime that serves the first request, and ends with that runtime. When the
/// server has stopped, call [`shutdown`](Self::shutdown) to write the last counts. A process that is killed loses
/// the counts of the last two intervals. When the last clone is dropped, the task tries to write the rest, and then
/// ends.
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
/// // … serve until the server stops, and then:
/// usage.shutdown().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct UsageRecorder {
    shared: Arc<Shared>,
}

/// The state that all clones share. The task does not share it, and ends when this is dropped.
struct Shared {
    recorder: Arc<Recorder>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl UsageRecorder {
    /// Creates a recorder that writes to `store`, with the default settings of [`builder`](Self::builder).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::manage::UsagePeriod;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, UsageRecorder};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let keys = KeyManager::new(store.clone());
    /// let usage = UsageRecorder::new(store);
    /// let layer = keys.layer().observer(usage.clone());
    ///
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let request = http::Request::get("/").header("x-api-key", issued.secret.reveal());
    /// let (mut parts, ()) = request.body(())?.into_parts();
    /// layer.verify(&mut parts).await?.finish(http::Response::new(())).await;
    ///
    /// usage.flush().await?;
    /// let today = SystemTime::now() - Duration::from_secs(60)..SystemTime::now();
    /// let used = keys.usage(issued.record.id(), today, UsagePeriod::Day).await?;
    /// assert_eq!(used.total.accepted(), 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(store: impl UsageStore + 'static) -> Self {
        Self::builder(store).build()
    }

    /// Returns a builder with these default settings:
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`interval`](UsageRecorderBuilder::interval) | 60 seconds |
    /// | [`write_timeout`](UsageRecorderBuilder::write_timeout) | 5 seconds |
    /// | [`max_keys`](UsageRecorderBuilder::max_keys) | 1 000 000 |
    /// | [`retention`](UsageRecorderBuilder::retention) | hours for 90 days, days for 400 |
    /// | [`clock`](UsageRecorderBuilder::clock) | the operating system's; on Linux as of its last tick, some milliseconds ago |
    pub fn builder(store: impl UsageStore + 'static) -> UsageRecorderBuilder {
        UsageRecorderBuilder::new(Arc::new(store))
    }

    /// Returns a builder of a recorder that writes only the last use of each key, without counts.
    ///
    /// Use it for a custom store that implements [`RecordUses`] and not [`UsageStore`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// let builder = UsageRecorder::last_uses_only(MemoryStore::new());
    /// let usage = builder.interval(Duration::from_secs(600)).build();
    /// # assert_eq!(format!("{usage:?}"), "UsageRecorder { .. }");
    /// ```
    pub fn last_uses_only(store: impl RecordUses + 'static) -> UsageRecorderBuilder {
        UsageRecorderBuilder::new(Arc::new(LastUses(store))).without_pruning()
    }

    fn with_recorder(recorder: Recorder) -> Self {
        let shared = Shared { recorder: Arc::new(recorder), task: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Writes all counts and last uses now, without waiting for the interval.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails or takes too long. The rest is written later, in the background or by
    /// the next `flush`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let usage = UsageRecorder::new(MemoryStore::new());
    /// assert!(usage.flush().await.is_ok());
    /// # }
    /// ```
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.shared.recorder.write_all().await
    }

    /// Stops the recorder: ends its task and writes all counts and last uses. Later requests are not counted.
    ///
    /// Each batch takes at most the [`write_timeout`](UsageRecorderBuilder::write_timeout).
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails or takes too long. Call [`flush`](Self::flush) to try again; otherwise,
    /// the rest is lost.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let usage = UsageRecorder::new(MemoryStore::new());
    /// assert!(usage.shutdown().await.is_ok());
    /// # }
    /// ```
    pub async fn shutdown(&self) -> Result<(), StoreError> {
        self.shared.recorder.close();
        let task = self.shared.task().take();
        if let Some(task) = task {
            // `flush` writes what the task has not written.
            task.abort();
            let _ = task.await;
        }
        self.flush().await
    }

    /// Returns a function that returns the number of unwritten rows. It does not keep the recorder alive.
    #[cfg(feature = "metrics")]
    pub(crate) fn backlog_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        let recorder = Arc::downgrade(&self.shared.recorder);
        move || Some(recorder.upgrade()?.backlog())
    }
}

impl UsageRecorderBuilder {
    /// Builds the recorder. Its task starts with the first use of a key.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{MemoryStore, UsageRecorder};
    ///
    /// let usage = UsageRecorder::builder(MemoryStore::new()).build();
    /// assert_eq!(format!("{usage:?}"), "UsageRecorder { .. }");
    /// ```
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

/// Returns the kind under which the refusal of a known key is counted.
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
    /// Starts the task, if it does not run. It does not start earlier, because layers are often built before
    /// there is a runtime.
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
