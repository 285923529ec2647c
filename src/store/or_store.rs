//! [`OrStore`]: a store with a fallback to another, and [`KeyStoreExt`], which makes it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{KeyChanges, KeyRecord, KeyStore, Listen, StoreError};
use crate::immediate::Immediate;
use crate::key::{KeyDigest, TenantId};

/// Finds keys in one store, and falls back to another for keys that the first does not have. Made by
/// [`KeyStoreExt::or`].
///
/// # What a revocation in the first does
///
/// If the first store has a key, the second is not asked, even if the key is revoked in the first. If the
/// first store fails, the look-up fails: the second may still accept a key that the first has revoked. A
/// record that is *removed* from the first is found in the second again, so revoke keys in the second as
/// well before their records are [pruned](crate::KeyManager::prune).
///
/// # Streams
///
/// [Changes](KeyStore::changes) that either store reports end streams at once. If one of the stores reports
/// none, the layer also looks up keys with open streams
/// [periodically](crate::StreamWatch::recheck_every).
///
/// # Examples
///
/// ```
/// use tower_api_key::store::KeyStoreExt as _;
/// use tower_api_key::{ApiKeyLayer, KeyManager, KeyStore, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (new, old) = (MemoryStore::new(), MemoryStore::new());
/// let issued = KeyManager::new(old.clone()).issue(NewKey::named("of last year")).await?;
///
/// let both = new.or(old);
/// assert!(both.find(&issued.record.digest()).await?.is_some());
/// let layer = ApiKeyLayer::new(both);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OrStore<A, B> {
    first: Arc<A>,
    second: Arc<B>,
    changes: Option<Changes>,
}

/// Combines key stores.
pub trait KeyStoreExt: KeyStore + Sized + 'static {
    /// Makes a store that asks this one first, and `other` for keys that this one does not have, such as
    /// those of an old table.
    ///
    /// `other` is not asked for a key that is revoked here. If this store fails, the look-up fails. See
    /// [`OrStore`].
    fn or<S: KeyStore + 'static>(self, other: S) -> OrStore<Self, S> {
        OrStore::new(self, other)
    }
}

impl<T: KeyStore + 'static> KeyStoreExt for T {}

/// The changes of both stores.
#[derive(Clone)]
struct Changes {
    of_both: Arc<KeyChanges>,
    /// Kept because the stores notify it only while it exists.
    _forward: Arc<dyn Listen>,
}

impl<A: KeyStore + 'static, B: KeyStore + 'static> OrStore<A, B> {
    fn new(first: A, second: B) -> Self {
        let (first, second) = (Arc::new(first), Arc::new(second));
        let changes = Changes::of(&first, &second);
        Self { first, second, changes }
    }
}

impl<A, B> OrStore<A, B> {
    /// Returns the store that is asked first.
    #[must_use]
    pub fn first(&self) -> &A {
        &self.first
    }

    /// Returns the store that is asked for keys that the first does not have.
    #[must_use]
    pub fn second(&self) -> &B {
        &self.second
    }
}

#[async_trait]
impl<A: KeyStore + 'static, B: KeyStore + 'static> KeyStore for OrStore<A, B> {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        // An error of the first is returned: it may have revoked a key that the second still has.
        match self.first.find(digest).await? {
            Some(record) => Ok(Some(record)),
            None => self.second.find(digest).await,
        }
    }

    fn find_now(&self, digest: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        match self.first.find_now(digest) {
            Immediate::Answer(None) => self.second.find_now(digest),
            answer => answer,
        }
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        let mut found = find_all(&*self.first, digests).await?;
        let missing = digests.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<_> = missing.map(|(digest, _)| *digest).collect();
        if !missing.is_empty() {
            let rest = find_all(&*self.second, &missing).await?;
            let gaps = found.iter_mut().filter(|found| found.is_none());
            gaps.zip(rest).for_each(|(gap, rest)| *gap = rest);
        }
        Ok(found)
    }

    fn changes(&self) -> Option<&KeyChanges> {
        self.changes.as_ref().map(|changes| &*changes.of_both)
    }
}

async fn find_all(
    store: &impl KeyStore,
    digests: &[KeyDigest],
) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
    let found = store.find_many(digests).await?;
    // Otherwise it is not known which answer belongs to which key.
    if found.len() == digests.len() {
        return Ok(found);
    }
    Err(StoreError::answered("the store answered for other keys than it was asked for"))
}

impl Changes {
    /// Returns the changes of both stores, if one of them reports any.
    fn of<A, B>(first: &Arc<A>, second: &Arc<B>) -> Option<Self>
    where
        A: KeyStore + 'static,
        B: KeyStore + 'static,
    {
        if first.changes().is_none() && second.changes().is_none() {
            return None;
        }
        let (asked_first, asked_second) = (Arc::clone(first), Arc::clone(second));
        let of_both = Arc::new(KeyChanges::while_true(move || {
            let tells_all =
                |changes: Option<&KeyChanges>| changes.is_some_and(KeyChanges::tells_all);
            tells_all(asked_first.changes()) && tells_all(asked_second.changes())
        }));
        let forward: Arc<dyn Listen> = Arc::new(Forward(Arc::clone(&of_both)));
        for changes in [first.changes(), second.changes()].into_iter().flatten() {
            changes.listen(&forward);
        }
        Some(Self { of_both, _forward: forward })
    }
}

/// Forwards the changes of a store.
struct Forward(Arc<KeyChanges>);

impl Listen for Forward {
    fn changed(&self, digest: &KeyDigest) {
        self.0.changed(digest);
    }

    fn tenant_changed(&self, tenant: &TenantId) {
        self.0.tenant_changed(tenant);
    }

    fn all_changed(&self) {
        self.0.all_changed();
    }
}

impl<A: fmt::Debug, B: fmt::Debug> fmt::Debug for OrStore<A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrStore")
            .field("first", &self.first)
            .field("second", &self.second)
            .finish_non_exhaustive()
    }
}
