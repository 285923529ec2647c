//! [`CachedStore`]: records in memory in front of a store.
//!
//! What keeps a revoked key from being served:
//!
//! 1. [`generations`]: an invalidation outdates what was loaded before it, also what is being
//!    loaded while it happens.
//! 2. [`entries`]: an entry is served only while its generation lasts, and only so long.
//! 3. [`flights`]: a request joins no load that began before the last invalidation.
//! 4. [`liveness`]: nothing is served from memory that may have been invalidated unheard.
//! 5. [`repository`]: a change that is made through the cache is heeded before it returns.
//! 6. [`grace`]: while the store cannot be reached, nothing is served beyond what was set.
//!
//! Threads of a layer keep some records in front of the cache. What keeps a revoked key from being served
//! by them is that the cache is asked each time whether its token [still holds](entries::Entries::still_holds):
//!
//! 1. The token has the [edition](crate::store::editions) of the key from before the record was looked up
//!    in the entries. What outdates an entry (1 and 5), or puts another in its place, begins another
//!    edition, and does so before anybody can find what is new. So what a thread serves is what the entries
//!    hold, or held until they were full.
//! 2. It has the moment at which the record was loaded. A thread serves it for nine tenths of the time to
//!    live, so never longer than the entries would, and what comes then goes the usual way.
//! 3. The subscription lives by the clock (4), which is asked before the edition is: what is forgotten
//!    before the cache is live again is seen to be forgotten.
//! 4. A record that is served because the store cannot be reached (6) comes without a token.
//! 5. What changes a record, or reads a newer one, [tells the cache](crate::KeyRepository::heed) of it first.
//!    That begins another edition, too: what was pushed out of the entries, threads may keep.
//!
//! Nor do loads (3) and the watchers of streams see what threads keep.

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

/// How long a load in the background may take, and how long it is waited after one that failed.
const REFRESH: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(1));

/// Keeps records in memory in front of any store, and forgets them when they are changed.
///
/// A key that was used a short time ago is found at once. Requests that wait for the same key
/// ask the store once. Errors are not kept. Verdicts are not kept either: whether a key has
/// expired or has reached its limits is judged at each use. A clone is the same cache.
///
/// # Revocation
///
/// A change that is made through the cache, by [`commit`](crate::store::KeyRepository::commit),
/// is heeded by this node before it returns. Other nodes heed it
///
/// * as soon as they hear of it, if the caches are
///   [invalidated by](CachedStoreBuilder::invalidated_by) a source, and
/// * [`max_staleness`](CachedStoreBuilder::max_staleness) after it in any case, the time during
///   which the machine was asleep not counted. A store whose connections may lead to yesterday's server after
///   a failover, and a cache without a source, add [how long they do](crate::guide::failover).
///
/// Give the cache to the [`KeyManager`](crate::KeyManager), too: what is changed past it, it does not
/// know before it is notified.
///
/// A cache with a source serves from memory only while it knows that it hears everything: it
/// sends itself a heartbeat through the source, and when three are missing, or the source says
/// that it was cut off, each request asks the store until the cache hears again, and has
/// forgotten all that it knew. [`is_live`](Self::is_live) tells which is the case. A source may have its
/// subscriptions [renewed](crate::store::InvalidationSource::lifetime): the next one is there before the one
/// before ends, and nothing is forgotten unless it hears another server.
///
/// While the store cannot be reached, nothing can be looked up and requests are answered with 503, unless a
/// [grace](CachedStoreBuilder::serve_while_unreachable) is set.
///
/// The store must answer with what is true now: a replica that lags behind the database has the
/// cache keep what it has just been told to forget.
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
    /// What counts events that come again.
    repeats: Repeats,
}

impl<S> CachedStore<S> {
    /// Makes a cache with the default settings, of a store that nobody else changes soon.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self::builder(store).build()
    }

    /// Begins a cache with other settings.
    pub fn builder(store: S) -> CachedStoreBuilder<S> {
        CachedStoreBuilder::new(store)
    }

    /// Returns the store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.0.store
    }

    /// Forgets what is known of a key. For changes that were made past the cache.
    pub fn invalidate(&self, digest: &KeyDigest) {
        self.0.memory.forget(digest);
    }

    /// Forgets everything. For changes that were made past the cache. It is about this cache:
    /// [`invalidate_everywhere`](crate::KeyRepository::invalidate_everywhere) is about all nodes.
    pub fn invalidate_all(&self) {
        self.0.memory.forget_all();
    }

    /// Returns whether keys are served from memory: always, but for a cache with a source that it
    /// does not hear at the moment.
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

    /// Asks the store for all that is not at hand at once.
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
            // As requests ask, and together with those that ask for the same.
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

    /// Tells what this cache forgets, which is what was changed through it and what it hears of.
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
    /// Asks the store, and takes what is in memory if it cannot be reached and that may be.
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
        // Not what was found before: it may have been changed, or be too old by now.
        let Some(record) = self.memory.in_grace(digest) else { return Err(error) };
        crate::trace::served_while_unreachable(&self.repeats, record.id.as_str(), &error);
        self.memory.failed(digest);
        note(Way::Grace);
        Ok(Some(record))
    }

    /// Asks the store, together with all others who ask for the same.
    async fn load(&self, digest: &KeyDigest) -> Loaded {
        if !self.memory.is_live() {
            // Whoever joined another's load might get what was changed since that began, and
            // whatever was kept would have to be forgotten.
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

    /// Loads a key again in the background, and returns whether somebody does.
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

/// Answers with what is in memory.
fn hit(found: Option<Arc<KeyRecord>>) -> Immediate<Option<Arc<KeyRecord>>> {
    note(Way::Hit);
    Immediate::Answer(found)
}

/// Asks the store and keeps what it answers.
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

/// Asks the store. Many may wait for the answer, so a panic becomes an error to each of them.
async fn ask<S: KeyStore>(store: &S, digest: &KeyDigest) -> Loaded {
    // Within a future, because it may panic before there is one.
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
