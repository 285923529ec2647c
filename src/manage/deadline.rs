//! Every call ends in time.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::{KeyManager, ManageError};
use crate::contain;
use crate::store::StoreError;

/// How long a call may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// When a call has to have ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    time: Duration,
}

impl Deadline {
    fn after(time: Duration) -> Self {
        Self { at: Instant::now().checked_add(time), time }
    }

    /// Waits for the end of a call, or else drops it. Of a change that is dropped nothing is made,
    /// or all of it: that is the contract of repositories.
    pub(super) async fn bound<T, E: Into<ManageError>>(
        self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T, ManageError> {
        let call = async {
            match self.at {
                Some(at) => timeout_at(at, call).await,
                None => Ok(call.await),
            }
        };
        // A panic of the store, or of a timer without a runtime, fails one call.
        match contain::wait(call).await {
            Ok(Ok(outcome)) => outcome.map_err(Into::into),
            Ok(Err(_)) => Err(ManageError::Deadline(self.time)),
            Err(failure) => Err(StoreError::new(failure).into()),
        }
    }
}

impl KeyManager {
    /// Sets how long a call may take. The default is 10 seconds.
    ///
    /// A call that takes longer is [`ManageError::Deadline`]. It leaves nothing half done; whether a
    /// change that was about to be made was made is not known. [`prune`](Self::prune), which may
    /// have much to do, takes the time for each page and each key.
    ///
    /// Some stores give up earlier by themselves.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// let keys = KeyManager::new(MemoryStore::new()).deadline(Duration::from_secs(5));
    /// ```
    pub fn deadline(self, time: Duration) -> Self {
        self.with(|settings| settings.deadline = time)
    }

    pub(super) fn begin(&self) -> Deadline {
        Deadline::after(self.settings.deadline)
    }

    pub(super) async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, ManageError>>,
    ) -> Result<T, ManageError> {
        self.begin().bound(call).await
    }
}
