//! [`CachedStore`]: records in memory in front of a store.
//!
//! These parts prevent that a revoked key is served:
//!
//! 1. [`generations`]: an invalidation outdates what was loaded before it, and the loads that are running
//!    while it happens.
//! 2. [`entries`]: an entry is served only while its generation is current, and for a limited time.
//! 3. [`flights`]: a request joins no load that began before the last invalidation.
//! 4. [`liveness`]: nothing is served from memory if the cache may have missed its invalidation.
//! 5. [`repository`]: a change that is made through the cache applies to it before it returns.
//! 6. [`grace`]: while the store cannot be reached, records are served only within the configured time.
//!
//! Threads of a layer keep some records in front of the cache. They serve no revoked key, because they ask
//! the cache each time whether their token [still holds](entries::Entries::still_holds):
//!
//! 1. The token has the [edition](crate::store::editions) of the key from before the record was looked up
//!    in the entries. An invalidation (1 and 5), or a new entry, begins another edition before any thread can
//!    find the new record. So a thread serves what the entries hold, or held until they were full.
//! 2. The token has the time at which the record was loaded. A thread serves it for nine tenths of the time to
//!    live, so never longer than the entries would. After that, it asks the cache.
//! 3. The clock ends a subscription (4), and is asked before the edition: a record that was forgotten
//!    before the cache became live again is seen to be forgotten. The clock may be that of the system's
//!    ticks, which is late: half a second is added to it, and what does not hold then is judged by the exact one.
//! 4. A record that is served because the store cannot be reached (6) comes without a token.
//! 5. A caller that changes a record, or reads a newer one, [notifies the cache](crate::KeyRepository::record_changed)
//!    first. That begins another edition, too, because threads may keep records that the entries evicted.
//!
//! Loads (3) and the watchers of streams do not see what threads keep.

mod beats;
mod bounded;
mod builder;
mod claims;
mod entries;
mod flights;
mod generations;
mod grace;
mod liveness;
mod memory;
mod renewal;
mod repository;
mod session;
mod span;
mod stamp;
#[cfg(feature = "metrics")]
mod statistics;
mod subscriber;
mod subscribing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

pub use self::builder::CachedStoreBuilder;
use self::claims::{Claim, Claims};
use self::entries::Known;
use self::flights::{Flights, Loaded};
use self::memory::Memory;
use self::stamp::Stamp;
use crate::contain;
use crate::immediate::Immediate;
use crate::key::KeyDigest;
use crate::store::way::{Way, note};
use crate::store::{KeyChanges, KeyRecord, KeyStore, StoreError, Token};
use crate::trace::Repeats;

/// The time limit of a load in the background, and the pause after one that failed.
const REFRESH: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// Caches records in memory in front of any store, and removes them when they are changed.
///
/// A recently used key is found at once. Concurrent requests for the same key ask the store once. Errors
/// are not cached. Verdicts are not cached either: each use checks whether the key has expired or has
/// reached its limits. Clones share the cache.
///
/// # Revocation
///
/// A change through the cache, by [`commit`](crate::store::KeyRepository::commit), applies on this
/// node before it returns. On other nodes it applies
///
/// * when the notification arrives, if the caches are
///   [invalidated by](CachedStoreBuilder::invalidated_by) a source, and
/// * at the latest after [`max_staleness`](CachedStoreBuilder::max_staleness), not counting the time for
///   which the machine sleeps. After a failover, it can take [longer](crate::guide::failover): without a
///   source, add the time for which the store's connections may lead to the former server.
///
/// Give the cache to the [`KeyManager`](crate::KeyManager), too: a change that bypasses the cache applies
/// only when the notification arrives.
///
/// A cache with a source serves from memory only while its subscription is live. It sends itself
/// heartbeats through the source. When three are missing, or the source reports a loss, each request asks
/// the store until the subscription is live again and the cache is cleared. [`is_live`](Self::is_live)
/// returns the current state. A source may have its subscriptions
/// [renewed](crate::store::InvalidationSource::lifetime): the new one begins before the old one ends, and the
/// cache is cleared only if the new one leads to another server.
///
/// While the store cannot be reached, requests are answered with 503, unless a
/// [grace](CachedStoreBuilder::serve_while_unreachable) is set.
///
/// The store must return current records: from a replica that lags behind the database, the cache would
/// load again the record that it has just removed.
///
/// # Examples
///
/// ```
/// use tower_api_key::{CachedStore, KeyManager, KeyStore, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let database = MemoryStore::new();
/// let issued = KeyManager::new(database.clone()).issue(NewKey::named("reports")).await?;
/// let digest = issued.record.digest();
/// let keys = CachedStore::builder(database).capacity(10_000).build();
/// assert!(keys.find_now(&digest).answer().is_none());
/// keys.find(&digest).await?;
/// assert!(keys.find_now(&digest).answer().is_some());
/// let keys = KeyManager::new(keys); // and `keys.layer()`
/// # Ok(())
/// # }
/// ```
pub struct CachedStore<S>(Arc<Inner<S>>);

struct Inner<S> {
    store: Arc<S>,
    memory: Arc<Memory>,
    flights: Arc<Flights>,
    claims: Arc<Claims>,
    subscription: Option<AbortHandle>,
    /// Counts repeated events.
    repeats: Repeats,
}

impl<S> CachedStore<S> {
    /// Makes a cache with the default settings, without a source of notifications from other nodes.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::builder(store).build()
    }

    /// Configures a cache.
    pub fn builder(store: S) -> CachedStoreBuilder<S> {
        CachedStoreBuilder::new(store)
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.0.store
    }

    /// Removes the record of a key from this cache. Call it after a change that bypassed the cache.
    pub fn invalidate(&self, digest: &KeyDigest) {
        self.0.memory.forget(digest);
    }

    /// Clears this cache. Call it after changes that bypassed the cache. To clear the caches of all nodes,
    /// call [`invalidate_everywhere`](crate::KeyRepository::invalidate_everywhere).
    pub fn invalidate_all(&self) {
        self.0.memory.forget_all();
    }

    /// Tells whether keys are served from memory. This is `false` only while the subscription to a source is
    /// lost.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.0.memory.is_live()
    }
}

#[async_trait]
impl<S: KeyStore + 'static> KeyStore for CachedStore<S> {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        match self.find_now(digest) {
            Immediate::Answer(found) => Ok(found),
            Immediate::Ask => self.0.load_or_remember(digest).await,
        }
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        match self.0.memory.look(digest) {
            Known::Fresh(found) => hit(found),
            Known::Aging(found) if self.0.refresh(digest) => hit(found),
            Known::Aging(_) | Known::Nothing => match self.0.memory.meanwhile(digest) {
                Some(record) => {
                    note(Way::Grace);
                    Immediate::Answer(Some(record))
                }
                None => Immediate::Ask,
            },
        }
    }

    fn find_to_keep(
        &self,
        digest: &KeyDigest,
    ) -> Immediate<(Option<Arc<KeyRecord>>, Option<Token>)> {
        match self.0.memory.look_to_keep(digest) {
            Some((record, token)) => Immediate::Answer((Some(record), Some(token))),
            None => self.find_now(digest).map(|found| (found, None)),
        }
    }

    fn still_holds(&self, digest: &KeyDigest, token: Token) -> bool {
        self.0.memory.still_holds(digest, token)
    }

    /// Asks the store for all missing records at once.
    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        let mut found: Vec<_> =
            digests.iter().map(|digest| self.find_now(digest).answer()).collect();
        let missing = digests.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<_> = missing.map(|(digest, _)| *digest).collect();
        match &*missing {
            [] => {}
            // Like a request, and together with requests for the same key.
            [digest] => {
                let record = self.find(digest).await?;
                found.iter_mut().filter(|found| found.is_none()).for_each(|found| {
                    *found = Some(record.clone());
                });
            }
            _ => {
                let mut loaded = self.0.load_many(&missing).await?.into_iter();
                for found in found.iter_mut().filter(|found| found.is_none()) {
                    *found = loaded.next();
                }
            }
        }
        let found: Vec<_> = found.into_iter().flatten().collect();
        if found.len() == digests.len() {
            return Ok(found);
        }
        Err(StoreError::new("the store answered for other keys than it was asked for"))
    }

    /// Reports the changes that were made through this cache, and those of which it was notified.
    fn changes(&self) -> Option<&KeyChanges> {
        Some(&self.0.memory.changes)
    }
}

impl<S> Inner<S> {
    fn new(store: S, memory: Arc<Memory>, subscription: Option<AbortHandle>) -> Self {
        let flights = Arc::new(Flights::new(memory.entries.max_staleness()));
        let (store, claims, repeats) = (Arc::new(store), Arc::default(), Repeats::default());
        Self { store, memory, flights, claims, subscription, repeats }
    }
}

impl<S: KeyStore + 'static> Inner<S> {
    /// Asks the store. If it cannot be reached, returns the record in memory that the grace covers.
    async fn load_or_remember(&self, digest: &KeyDigest) -> Loaded {
        if self.memory.in_grace(digest).is_none() {
            return self.load(digest).await;
        }
        let error = match tokio::time::timeout(grace::PATIENCE, self.load(digest)).await {
            Ok(Err(error)) if error.is_outage() => error,
            Ok(answered) => {
                self.memory.answered(digest);
                return answered;
            }
            Err(_) => StoreError::new(format!("no answer within {:?}", grace::PATIENCE)),
        };
        // Looked up again: the first one may have been changed, or be too old by now.
        let Some(record) = self.memory.in_grace(digest) else { return Err(error) };
        crate::trace::served_while_unreachable(&self.repeats, record.id.as_str(), &error);
        self.memory.failed(digest);
        note(Way::Grace);
        Ok(Some(record))
    }

    /// Asks the store, once for all concurrent requests for the same key.
    async fn load(&self, digest: &KeyDigest) -> Loaded {
        if !self.memory.is_live() {
            // A joined load might return a record that was changed since it began, and a kept record
            // would have to be forgotten.
            return ask(&*self.store, digest).await;
        }
        let stamp = || self.memory.entries.stamp(digest, self.memory.now());
        let known = || match self.memory.look(digest) {
            Known::Fresh(found) => Some(found),
            _ => None,
        };
        let mut begun = false;
        let load = |stamp| {
            begun = true;
            load(Arc::clone(&self.store), Arc::clone(&self.memory), *digest, stamp)
        };
        match self.flights.join(digest, stamp, known, load) {
            Ok(flight) => {
                let loaded = flight.await;
                if !begun {
                    note(Way::Joined);
                }
                loaded
            }
            Err(known) => {
                note(Way::Hit);
                Ok(known)
            }
        }
    }

    /// Asks the store for several keys at once.
    async fn load_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        let Memory { entries, .. } = &*self.memory;
        let keeps = self.memory.is_live();
        let now = self.memory.now();
        // Before the store is asked.
        let stamps: Vec<_> = digests.iter().map(|digest| entries.stamp(digest, now)).collect();
        let mut loaded = self.store.find_many(digests).await?;
        if keeps && loaded.len() == digests.len() {
            for ((digest, stamp), found) in digests.iter().zip(stamps).zip(&mut loaded) {
                entries.keep(digest, stamp, found);
            }
        }
        Ok(loaded)
    }

    /// Loads a key again in the background, and returns whether a task does.
    fn refresh(self: &Arc<Self>, digest: &KeyDigest) -> bool {
        let Ok(runtime) = Handle::try_current() else { return false };
        if let Some(claim) = self.claims.claim(digest) {
            runtime.spawn(Arc::clone(self).refresh_claimed(*digest, claim));
        }
        true
    }

    async fn refresh_claimed(self: Arc<Self>, digest: KeyDigest, _claim: Claim) {
        let loaded = tokio::time::timeout(REFRESH.0, self.load(&digest)).await;
        drop(self);
        if !matches!(loaded, Ok(Ok(_))) {
            // A store that fails is not asked at every request.
            tokio::time::sleep(REFRESH.1).await;
        }
    }
}

/// Answers from memory.
fn hit(found: Option<Arc<KeyRecord>>) -> Immediate<Option<Arc<KeyRecord>>> {
    note(Way::Hit);
    Immediate::Answer(found)
}

/// Asks the store and caches the answer.
async fn load<S: KeyStore>(
    store: Arc<S>,
    memory: Arc<Memory>,
    digest: KeyDigest,
    stamp: Stamp,
) -> Loaded {
    let mut found = ask(&*store, &digest).await?;
    memory.entries.keep(&digest, stamp, &mut found);
    Ok(found)
}

/// Asks the store. Many requests may wait for the answer, so a panic becomes an error for each.
async fn ask<S: KeyStore>(store: &S, digest: &KeyDigest) -> Loaded {
    // Within a future, because `find` may panic before it returns one.
    let asked = contain::wait(async { store.find(digest).await });
    asked.await.unwrap_or_else(|failure| Err(StoreError::answered(failure)))
}

impl<S> Drop for Inner<S> {
    fn drop(&mut self) {
        if let Some(subscription) = &self.subscription {
            subscription.abort();
        }
    }
}

impl<S> Clone for CachedStore<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> fmt::Debug for CachedStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, unknown) = self.0.memory.entries.len();
        f.debug_struct("CachedStore")
            .field("records", &records)
            .field("bytes", &self.0.memory.entries.bytes())
            .field("unknown", &unknown)
            .field("loads", &self.0.flights.len())
            .field("is_live", &self.is_live())
            .finish_non_exhaustive()
    }
}
