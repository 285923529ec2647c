//! [`Deadline`]: the end of a call of the manager.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::ManageError;
use crate::contain;
use crate::store::StoreError;

/// How long a call may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// The time at which a call has to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    at: Option<Instant>,
    time: Duration,
}

impl Deadline {
    pub(super) fn after(time: Duration) -> Self {
        Self { at: Instant::now().checked_add(time), time }
    }

    /// Waits for a call, and drops it at the deadline. By the contract of repositories, a dropped change is made
    /// as a whole or not at all.
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
