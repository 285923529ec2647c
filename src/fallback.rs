//! [`Fallback`]: asks another system for keys that the store does not know.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use zeroize::Zeroizing;

use crate::clock::to_microsecond;
use crate::contain;
use crate::key::{KeyDigest, KeyScheme, Secret};
use crate::store::{
    Actor, AuditAction, AuditEvent, AuditSink, CommitError, KeyChange, KeyRecord, KeyRepository,
    StoreError,
};

/// The default number of attempts at the same time.
const AT_MOST: usize = 16;

/// The shortest part of a key that errors are searched for, so that they do not show it.
const SHORTEST_PART: usize = 8;

/// Asks another system about keys that the store does not know, and adopts the valid ones.
///
/// Use it for keys that another system stored as salted hashes, such as bcrypt or Argon2, which cannot
/// be looked up. The layer passes the text of the key to that system, and inserts the record that it
/// returns into the repository, under the digest of the layer's [scheme](crate::KeyScheme). The next
/// request finds the record in the store, and the other system is not asked again. Then the key is
/// managed like any other. If the hashes can be looked up, [import](crate::KeyManager::import) the
/// keys instead: see [the guide](crate::guide::migrating).
///
/// # What protects it
///
/// * The layer asks only for keys that have a [format](crate::key::KeyFormats) of the scheme, and that
///   the store does not know under any hash. A revoked, disabled or expired key is known. If the store
///   fails, the layer does not ask.
/// * At most [`at_most`](Self::at_most) attempts run at the same time. Requests with the same key wait
///   for the same attempt.
/// * An attempt, and the wait for it, are part of the look-up. After the layer's [lookup
///   timeout](crate::ApiKeyLayer::lookup_timeout) the answer is 503. The attempt continues and counts
///   until it ends, so give it its own timeout.
/// * Set a [throttle](crate::ApiKeyLayer::failure_throttle): otherwise every wrong key costs a slow
///   hash. With a throttle, no more requests of an address wait than the address may still fail. A key
///   that the other system does not know counts as a failure.
/// * An error or a panic is answered with 503. No event and no error holds the text of the key.
/// * The layer verifies, guards and limits the returned record like any other.
///
/// A record that is removed from the repository is adopted again. So end a key in the other system,
/// too, before it is [pruned](crate::KeyManager::prune). If another key of the repository has the same
/// id, the look-up fails.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::store::AuditEvent;
/// use tower_api_key::{FailureThrottle, Fallback, KeyManager, KeyRecord, MemoryStore, Secret, StoreError};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone)] struct OldTable;
/// # struct Row { id: String, owner: String, issued_at: std::time::SystemTime }
/// # impl OldTable {
/// #     async fn verify(&self, key: String) -> Result<Option<Row>, std::io::Error> {
/// #         let row = Row { id: "7".into(), owner: "a device".into(), issued_at: std::time::UNIX_EPOCH };
/// #         Ok((key == "old-key-of-acme").then_some(row))
/// #     }
/// # }
/// # let old = OldTable;
/// let store = MemoryStore::new();
/// let fallback = Fallback::new(store.clone(), move |key: Secret| {
///     let old = old.clone();
///     async move {
///         // Finds the row by the public part of the key, and compares by bcrypt on another thread.
///         let row = old.verify(key.reveal().to_owned()).await.map_err(StoreError::new)?;
///         let Some(row) = row else { return Ok(None) };
///         let id = row.id.parse().map_err(StoreError::new)?;
///         // The layer sets the digest.
///         Ok(Some(KeyRecord::new(id, Fallback::ANY_DIGEST, row.owner, row.issued_at)))
///     }
/// })
/// .at_most(4)
/// .audit(|event: &AuditEvent| eprintln!("adopted {:?}", event.key_id()));
/// let keys = KeyManager::new(store);
/// let layer =
///     keys.layer().fallback(fallback).failure_throttle(FailureThrottle::new("20 per minute"));
///
/// let request = Request::get("/").header("x-api-key", "old-key-of-acme").body(())?;
/// let admitted = layer.verify(&mut request.into_parts().0).await?;
/// assert_eq!(admitted.key().unwrap().name(), "a device");
/// assert!(keys.get(admitted.key().unwrap().id()).await.is_ok()); // it is in the store now
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use]
pub struct Fallback {
    shared: Arc<Inner>,
    sinks: Vec<Arc<dyn AuditSink>>,
}

struct Inner {
    ask: Box<Ask>,
    repository: Arc<dyn KeyRepository>,
    attempts: Arc<Semaphore>,
    flights: Mutex<Flights>,
}

type Ask =
    dyn Fn(Secret) -> BoxFuture<'static, Result<Option<KeyRecord>, StoreError>> + Send + Sync;

type Answer = Result<Option<Arc<KeyRecord>>, StoreError>;

/// The running attempts.
type Flights = HashMap<KeyDigest, Shared<BoxFuture<'static, Answer>>>;

impl Fallback {
    /// Placeholder for the digest of a record that the fallback returns: the layer sets the right one.
    pub const ANY_DIGEST: KeyDigest = KeyDigest::from_bytes([0; 32]);

    /// Calls `ask` for keys that the store does not know, and inserts the returned records into
    /// `repository`.
    ///
    /// The repository is the store of the layer, or its clone. If the store is a `CachedStore`, pass
    /// the cache: it then forgets that the key was unknown.
    pub fn new<F, A>(repository: impl KeyRepository + 'static, ask: F) -> Self
    where
        F: Fn(Secret) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Option<KeyRecord>, StoreError>> + Send + 'static,
    {
        let shared = Inner {
            ask: Box::new(move |key| Box::pin(ask(key))),
            repository: Arc::new(repository),
            attempts: Arc::new(Semaphore::new(AT_MOST)),
            flights: Mutex::default(),
        };
        Self { shared: Arc::new(shared), sinks: Vec::new() }
    }

    /// Sets how many attempts run at the same time. The default is 16. Further requests wait until
    /// their look-up times out.
    ///
    /// # Panics
    ///
    /// Panics if it is 0, or if the fallback was cloned or is in use already.
    pub fn at_most(mut self, attempts: usize) -> Self {
        assert!(attempts > 0, "a fallback needs at least one attempt at a time");
        let shared =
            Arc::get_mut(&mut self.shared).expect("call `at_most` before the fallback is cloned");
        shared.attempts = Arc::new(Semaphore::new(attempts.min(Semaphore::MAX_PERMITS)));
        self
    }

    /// Adds a sink for the event of each adopted key. A repository that stores events stores this one
    /// anyway.
    pub fn audit(mut self, sink: impl AuditSink + 'static) -> Self {
        self.sinks.push(Arc::new(sink));
        self
    }

    /// Prepares an attempt for a key that has one of the formats of the scheme.
    pub(crate) fn attempt(&self, key: &[u8], scheme: &KeyScheme) -> Option<Attempt> {
        // The formats were checked already.
        let key = Zeroizing::new(str::from_utf8(key).ok()?.to_owned());
        let digest = scheme.digest(&key);
        Some(Attempt { fallback: self.clone(), key, digest })
    }
}

/// A key to ask the other system for.
pub(crate) struct Attempt {
    fallback: Fallback,
    key: Zeroizing<String>,
    digest: KeyDigest,
}

impl Attempt {
    /// Asks for the key, or waits for an attempt with the same key. Returns the record and the digest
    /// under which it was adopted.
    pub(crate) async fn run(self) -> Result<Option<(Arc<KeyRecord>, KeyDigest)>, StoreError> {
        let digest = self.digest;
        let shared = Arc::clone(&self.fallback.shared);
        let known = shared.flights().get(&digest).cloned();
        let flight = match known {
            Some(flight) => flight,
            None => {
                // Waits within the request, so that a dropped request leaves no waiting attempt behind.
                let place = Arc::clone(&shared.attempts).acquire_owned().await;
                self.join(place.map_err(StoreError::new)?)
            }
        };
        Ok(flight.await?.map(|record| (record, digest)))
    }

    /// Starts an attempt, unless another request with the same key was faster.
    ///
    /// The attempt continues if all requests are dropped: its work on other threads cannot be cancelled,
    /// and has to count.
    fn join(self, place: OwnedSemaphorePermit) -> Shared<BoxFuture<'static, Answer>> {
        let shared = Arc::clone(&self.fallback.shared);
        let digest = self.digest;
        let mut flights = shared.flights();
        if let Some(flight) = flights.get(&digest) {
            return flight.clone();
        }
        let landing = Landing { shared: Arc::clone(&shared), digest };
        let attempt = tokio::spawn(async move {
            let _landed = (landing, place);
            self.ask().await
        });
        let answered = attempt.map(|ended| ended.unwrap_or_else(|error| Err(lost(&error))));
        let flight = answered.boxed().shared();
        flights.insert(digest, flight.clone());
        flight
    }

    async fn ask(self) -> Answer {
        let Inner { ask, repository, .. } = &*self.fallback.shared;
        // Another request may have adopted the key meanwhile.
        if let Some(record) = repository.find_stored(&self.digest).await? {
            return Ok(Some(record));
        }
        let key = Secret::new(self.key.clone());
        let asked = contain::wait(async move { ask(key).await }).await;
        let asked = asked.unwrap_or_else(|failure| Err(StoreError::new(failure)));
        match asked.map_err(|error| self.without_key(error))? {
            Some(record) => self.adopt(record).await,
            None => Ok(None),
        }
    }

    async fn adopt(&self, mut record: KeyRecord) -> Answer {
        record.digest = self.digest;
        record.set_created_at(to_microsecond(record.created_at()));
        record.set_expires_at(record.expires_at().map(to_microsecond));
        record.revision = 0;
        let (record, repository) = (Arc::new(record), &self.fallback.shared.repository);
        let (at, actor) = (to_microsecond(SystemTime::now()), Actor::from("fallback"));
        let after = Some(Arc::clone(&record));
        let event = AuditEvent::new(at, actor, AuditAction::Imported, None, after);
        let insertion = [KeyChange::Insert(Arc::clone(&record))];
        match repository.commit(&insertion, std::slice::from_ref(&event)).await {
            Ok(()) => {
                for sink in &self.fallback.sinks {
                    contain::notify("an audit sink", || sink.record(&event));
                }
                Ok(Some(record))
            }
            // Another node was faster, or another key has this id.
            Err(CommitError::Exists) => match repository.find_stored(&self.digest).await? {
                Some(record) => Ok(Some(record)),
                None => Err(StoreError::answered(format!(
                    "the fallback returned a record with the id {}, which another key has: \
                     return a record with another id",
                    record.id
                ))),
            },
            Err(CommitError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::answered(error)),
        }
    }

    /// Replaces an error that holds the key, because errors are logged.
    fn without_key(&self, error: StoreError) -> StoreError {
        let key = &**self.key;
        let secret = key.rsplit('|').next().filter(|secret| secret.len() >= SHORTEST_PART);
        let parts = [Some(key), secret];
        let shows = |text: &str| parts.iter().flatten().any(|part| text.contains(*part));
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            if shows(&error.to_string()) || shows(&format!("{error:?}")) {
                return StoreError::new(
                    "the fallback failed; its error holds the key and is left out",
                );
            }
            cause = error.source();
        }
        error
    }
}

impl Inner {
    fn flights(&self) -> std::sync::MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the error of an attempt that panicked, or whose runtime ended. It leaves out the panic's
/// message, which may hold the key.
fn lost(error: &JoinError) -> StoreError {
    StoreError::new(if error.is_panic() { "the repository panicked" } else { "the runtime ended" })
}

/// Removes an attempt that has ended from the list.
struct Landing {
    shared: Arc<Inner>,
    digest: KeyDigest,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.shared.flights().remove(&self.digest);
    }
}

impl fmt::Debug for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = self.shared.attempts.available_permits();
        f.debug_struct("Fallback").field("free", &free).finish_non_exhaustive()
    }
}
