//! Asking the store, so that whatever it does the server lives on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::key::KeyDigest;
use crate::reject::{Rejection, RejectionKind};
use crate::store::{KeyRecord, KeyStore, StoreError};

/// A record, and the digest for which the store returned it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Arc<KeyRecord>,
    pub(crate) digest: KeyDigest,
}

/// A lookup that waits for the store.
pub(crate) type WaitingLookup = Pin<Box<dyn Future<Output = Result<Found, Rejection>> + Send>>;

/// Asks for one digest, if the answer is at hand.
pub(crate) fn look_up_now(
    store: &dyn KeyStore,
    digest: &KeyDigest,
) -> Result<Poll<Option<Arc<KeyRecord>>>, Rejection> {
    catch_unwind(AssertUnwindSafe(|| store.find_now(digest))).map_err(|panic| panicked(&*panic))
}

/// Asks for several digests in turn, in a future.
pub(crate) fn look_up(
    store: &Arc<dyn KeyStore>,
    digests: Vec<KeyDigest>,
    timeout: Duration,
) -> WaitingLookup {
    Box::pin(wait(Arc::clone(store), digests, timeout))
}

async fn wait(
    store: Arc<dyn KeyStore>,
    digests: Vec<KeyDigest>,
    timeout: Duration,
) -> Result<Found, Rejection> {
    // Within a future, so that a missing runtime, at which the timer panics, is caught too.
    let asked = async { tokio::time::timeout(timeout, find_first(&*store, &digests)).await };
    match AssertUnwindSafe(asked).catch_unwind().await {
        Ok(Ok(Ok(Some(found)))) => Ok(found),
        Ok(Ok(Ok(None))) => Err(RejectionKind::Unknown.into()),
        Ok(Ok(Err(error))) => Err(unavailable(error)),
        Ok(Err(elapsed)) => {
            Err(unavailable(StoreError::new(format!("no answer within {timeout:?} ({elapsed})"))))
        }
        Err(panic) => Err(panicked(&*panic)),
    }
}

async fn find_first(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
) -> Result<Option<Found>, StoreError> {
    for digest in digests {
        if let Some(record) = store.find(digest).await? {
            return Ok(Some(Found { record, digest: *digest }));
        }
    }
    Ok(None)
}

fn unavailable(error: StoreError) -> Rejection {
    Rejection::new(RejectionKind::Unavailable).with_source(error)
}

fn panicked(panic: &(dyn Any + Send)) -> Rejection {
    let message = panic.downcast_ref::<&str>().copied();
    let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let message = message.unwrap_or("a panic without a message");
    unavailable(StoreError::new(format!("it panicked: {message}")))
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn without_a_runtime_a_lookup_fails_and_does_not_panic() {
        let store: Arc<dyn KeyStore> = Arc::new(MemoryStore::new());
        let digests = vec![KeyDigest::from_bytes([0; 32])];
        let lookup = look_up(&store, digests, Duration::from_secs(1));
        let rejection = lookup.now_or_never().unwrap().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        let reason = rejection.source().unwrap().to_string();
        assert!(reason.contains("no reactor running"), "{reason}");
    }
}
