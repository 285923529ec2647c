//! Contains panics and hangs of foreign code: stores, limiters, observers, sinks, callbacks, and guards on trial.
//!
//! The crate calls them through this file, so that a panic, or a future that hangs, fails one request
//! and not the server. Code that decides within a request, such as a guard or an extractor, is called
//! like a handler: its panic ends the call, and the request is not accepted.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;

/// The reason why foreign code returned no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Panicked(String),
    TimedOut(Duration),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(message) => write!(f, "it panicked: {message}"),
            Self::TimedOut(time) => write!(f, "no answer within {time:?}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Calls foreign code whose answer is needed.
pub(crate) fn call<T>(foreign: impl FnOnce() -> T) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(foreign)).map_err(|panic| panicked(&*panic))
}

/// Calls foreign code that returns nothing, and logs a panic as one of `who`.
pub(crate) fn notify(who: &'static str, foreign: impl FnOnce()) {
    if let Err(failure) = call(foreign) {
        crate::trace::panicked(who, &failure);
    }
}

/// Waits for foreign code.
pub(crate) async fn wait<T>(foreign: impl Future<Output = T>) -> Result<T, Failure> {
    AssertUnwindSafe(foreign).catch_unwind().await.map_err(|panic| panicked(&*panic))
}

/// Waits for foreign code, at most for `timeout`.
///
/// Without a runtime there is no timer: that is a failure, too.
pub(crate) async fn wait_within<T>(
    timeout: Duration,
    foreign: impl Future<Output = T>,
) -> Result<T, Failure> {
    // The timer panics within the future, where it is caught.
    let in_time = AssertUnwindSafe(async { tokio::time::timeout(timeout, foreign).await });
    match in_time.catch_unwind().await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err(Failure::TimedOut(timeout)),
        Err(panic) => Err(panicked(&*panic)),
    }
}

#[cold]
fn panicked(panic: &(dyn Any + Send)) -> Failure {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Failure::Panicked(message.unwrap_or("a panic without a message").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let failure = call(|| panic!("out of {}", "luck")).unwrap_err();
        assert_eq!(failure.to_string(), "it panicked: out of luck");
        let failure = wait(async { panic!("no luck") }).now_or_never().unwrap();
        assert_eq!(failure, Err::<(), _>(Failure::Panicked("no luck".to_owned())));
        let failure = call(|| std::panic::panic_any(7)).unwrap_err();
        assert_eq!(failure.to_string(), "it panicked: a panic without a message");
    }

    #[test]
    fn without_a_runtime_there_is_a_failure_and_no_panic() {
        let waited = wait_within(Duration::from_secs(1), async {}).now_or_never().unwrap();
        let failure = waited.unwrap_err().to_string();
        assert!(failure.contains("no reactor running"), "{failure}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_is_a_failure_after_the_time() {
        let waited = wait_within(Duration::from_secs(1), std::future::pending::<()>()).await;
        assert_eq!(waited, Err(Failure::TimedOut(Duration::from_secs(1))));
    }
}
