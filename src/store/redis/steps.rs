//! [`Steps`]: the share of the server for lists.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::store::StoreError;

/// The pause after a step, as a multiple of it, and its maximum.
const REST: u32 = 2;
const LONGEST_REST: Duration = Duration::from_millis(50);

/// Runs the steps of lists one after the other, because a server does one thing at a time and look-ups
/// must not wait for lists. After each step, the server is left to other commands for twice as long. So
/// at most one step of a node delays a look-up, and usually none does, however many lists there are.
#[derive(Clone)]
pub(super) struct Steps(Arc<Semaphore>);

impl Steps {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }

    /// Runs a step when it is its turn.
    pub(super) async fn take<T>(
        &self,
        step: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let turn = Arc::clone(&self.0).acquire_owned().await.map_err(StoreError::new)?;
        let begun = Instant::now();
        let answer = step.await;
        let rest = (begun.elapsed() * REST).min(LONGEST_REST);
        // The caller has its answer, and does not wait for the pause.
        tokio::spawn(async move {
            sleep(rest).await;
            drop(turn);
        });
        answer
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steps_are_taken_one_by_one_with_a_rest_after_each() {
        let steps = Steps::new();
        let step = async || {
            sleep(Duration::from_millis(10)).await;
            Ok(Instant::now())
        };
        let begun = Instant::now();
        let (one, other) = tokio::join!(steps.take(step()), steps.take(step()));
        assert_eq!(one.unwrap() - begun, Duration::from_millis(10));
        assert_eq!(other.unwrap() - begun, Duration::from_millis(10 + 20 + 10));
        let mut third = Box::pin(steps.take(async { Ok(()) }));
        assert!((&mut third).now_or_never().is_none(), "it did not wait for the rest");
        third.await.unwrap();
        assert_eq!(begun.elapsed(), Duration::from_millis(40 + 20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_that_is_given_up_is_in_nobodys_way() {
        let steps = Steps::new();
        let never = steps.take(std::future::pending::<Result<(), StoreError>>());
        assert!(never.now_or_never().is_none());
        steps.take(async { Ok(()) }).await.unwrap();
    }
}
