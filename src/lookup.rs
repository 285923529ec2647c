//! Asking the store, so that whatever it does the server lives on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::key::{KeyDigest, KeyHasher};
use crate::reject::{Rejection, RejectionKind};
use crate::store::{KeyRecord, KeyStore, StoreError};

/// A record, and the digest for which the store returned it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Arc<KeyRecord>,
    pub(crate) digest: KeyDigest,
}

/// The answer of a store, or the wait for it.
pub(crate) enum Lookup {
    Done(Result<Found, Rejection>),
    Waiting(WaitingLookup),
}

pub(crate) type WaitingLookup = Pin<Box<dyn Future<Output = Result<Found, Rejection>> + Send>>;

/// Asks for each digest of `key` in turn; from the first that is not at hand, in a future.
pub(crate) fn look_up(
    store: &Arc<dyn KeyStore>,
    hasher: &KeyHasher,
    key: &str,
    timeout: Duration,
) -> Lookup {
    let mut digests = hasher.digests(key);
    while let Some(digest) = digests.next() {
        match catch_unwind(AssertUnwindSafe(|| store.find_now(&digest))) {
            Ok(Poll::Ready(Some(record))) => return Lookup::Done(Ok(Found { record, digest })),
            Ok(Poll::Ready(None)) => {}
            Ok(Poll::Pending) => {
                let open = std::iter::once(digest).chain(digests).collect();
                return Lookup::Waiting(Box::pin(wait(Arc::clone(store), open, timeout)));
            }
            Err(panic) => return Lookup::Done(Err(panicked(&*panic))),
        }
    }
    Lookup::Done(Err(RejectionKind::Unknown.into()))
}

async fn wait(
    store: Arc<dyn KeyStore>,
    digests: Vec<KeyDigest>,
    timeout: Duration,
) -> Result<Found, Rejection> {
    let asked = tokio_timeout(timeout, find_first(&*store, &digests));
    match AssertUnwindSafe(asked).catch_unwind().await {
        Ok(Ok(Ok(Some(found)))) => Ok(found),
        Ok(Ok(Ok(None))) => Err(RejectionKind::Unknown.into()),
        Ok(Ok(Err(error))) => Err(unavailable(error)),
        Ok(Err(elapsed)) => Err(unavailable(StoreError::new(format!(
            "no answer within {timeout:?} ({elapsed})"
        )))),
        Err(panic) => Err(panicked(&*panic)),
    }
}

/// Starts the timer when it is first polled, so that a missing runtime is caught like any
/// other panic.
async fn tokio_timeout<F: Future>(
    timeout: Duration,
    future: F,
) -> Result<F::Output, tokio::time::error::Elapsed> {
    tokio::time::timeout(timeout, future).await
}

async fn find_first(
    store: &dyn KeyStore,
    digests: &[KeyDigest],
) -> Result<Option<Found>, StoreError> {
    for digest in digests {
        if let Some(record) = store.find(digest).await? {
            return Ok(Some(Found {
                record,
                digest: *digest,
            }));
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

    use async_trait::async_trait;

    use super::*;
    use crate::store::MemoryStore;

    struct Panics;

    #[async_trait]
    impl KeyStore for Panics {
        async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
            panic!("on purpose")
        }
    }

    #[test]
    fn without_a_runtime_a_lookup_fails_and_does_not_panic() {
        let store: Arc<dyn KeyStore> = Arc::new(Panics);
        let lookup = look_up(&store, &KeyHasher::sha256(), "k", Duration::from_secs(1));
        let Lookup::Waiting(lookup) = lookup else {
            panic!("the store is not in memory")
        };
        let rejection = lookup.now_or_never().unwrap().unwrap_err();
        assert_eq!(rejection.kind(), RejectionKind::Unavailable);
        let reason = rejection.source().unwrap().to_string();
        assert!(reason.contains("no reactor running"), "{reason}");
    }

    #[test]
    fn a_key_hashed_with_an_old_pepper_is_found() {
        let keys = MemoryStore::with_hasher(KeyHasher::hmac_sha256(&[1; 32]));
        let issued = keys.issue(crate::store::NewKey::named("old")).unwrap();
        let store: Arc<dyn KeyStore> = Arc::new(keys);
        let hasher = KeyHasher::hmac_sha256(&[2; 32]).or_hmac_sha256(&[1; 32]);
        let lookup = look_up(
            &store,
            &hasher,
            issued.secret.reveal(),
            Duration::from_secs(1),
        );
        let Lookup::Done(Ok(found)) = lookup else {
            panic!("the key is in memory")
        };
        assert_eq!(found.record, issued.record);
        assert_eq!(found.digest, issued.record.digest);
    }
}
