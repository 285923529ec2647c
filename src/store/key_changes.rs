//! [`KeyChanges`]: reports changes of keys to layers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::contain;
use crate::key::{KeyDigest, TenantId};

/// Reports changed keys to layers, so that open streams end with their keys at once.
///
/// A store that knows of changes has one, returns it from
/// [`KeyStore::changes`](crate::KeyStore::changes), and calls it after each change, once the store
/// returns the new record. Other stores are asked for the keys of open streams periodically.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use async_trait::async_trait;
/// use tower_api_key::store::KeyChanges;
/// use tower_api_key::{KeyDigest, KeyRecord, KeyStore, StoreError};
///
/// struct Directory {
///     changes: KeyChanges,
/// }
///
/// impl Directory {
///     async fn revoke(&self, digest: &KeyDigest) {
///         // …
///         self.changes.changed(digest);
///     }
/// }
///
/// #[async_trait]
/// impl KeyStore for Directory {
///     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
///         # let _ = digest;
///         // …
///         # Ok(None)
///     }
///
///     fn changes(&self) -> Option<&KeyChanges> {
///         Some(&self.changes)
///     }
/// }
/// ```
pub struct KeyChanges {
    listeners: Mutex<Arc<[Weak<dyn Listen>]>>,
    tells_all: Box<dyn Fn() -> bool + Send + Sync>,
}

/// A listener, such as the watcher of open streams.
pub(crate) trait Listen: Send + Sync {
    fn changed(&self, digest: &KeyDigest);

    /// The keys of a tenant were changed, all at once.
    fn tenant_changed(&self, tenant: &TenantId) {
        let _ = tenant;
        self.all_changed();
    }

    fn all_changed(&self);
}

impl KeyChanges {
    /// Creates it for a store that reports every change, by any process.
    #[must_use]
    pub fn new() -> Self {
        Self::while_true(|| true)
    }

    /// Creates it for a store that reports every change only while `tells_all` returns true, such as over
    /// a connection that may be lost. At other times, layers also ask the store periodically.
    #[must_use]
    pub fn while_true(tells_all: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { listeners: Mutex::new(Arc::default()), tells_all: Box::new(tells_all) }
    }

    /// Reports that the record with this digest was changed, added or removed, or may have been.
    ///
    /// Listeners may ask the store before this returns: hold no lock that the store needs for an
    /// answer.
    pub fn changed(&self, digest: &KeyDigest) {
        self.each(|listener| listener.changed(digest));
    }

    /// Reports that every record of a tenant may have changed, such as when it was suspended.
    pub fn tenant_changed(&self, tenant: &TenantId) {
        self.each(|listener| listener.tenant_changed(tenant));
    }

    /// Reports that any record may have changed.
    pub fn all_changed(&self) {
        self.each(|listener| listener.all_changed());
    }

    pub(crate) fn tells_all(&self) -> bool {
        contain::call(|| (self.tells_all)()).unwrap_or(false)
    }

    /// Notifies a listener, as long as it exists.
    pub(crate) fn listen(&self, listener: &Arc<dyn Listen>) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let there = listeners.iter().filter(|known| known.strong_count() > 0).cloned();
        *listeners = there.chain([Arc::downgrade(listener)]).collect();
    }

    fn each(&self, tell: impl Fn(&dyn Listen)) {
        let listeners = Arc::clone(&self.listeners.lock().unwrap_or_else(PoisonError::into_inner));
        listeners.iter().filter_map(Weak::upgrade).for_each(|listener| tell(&*listener));
    }
}

impl Default for KeyChanges {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for KeyChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyChanges").field("tells_all", &self.tells_all()).finish_non_exhaustive()
    }
}
