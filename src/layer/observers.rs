//! Settings of [`ApiKeyLayer`]: what observes its requests.

use std::sync::Arc;

use super::ApiKeyLayer;
use crate::observe::Observe;
use crate::verify::VerifiedKey;

impl ApiKeyLayer {
    /// Adds an observer of requests, after those added before.
    ///
    /// The layer calls observers at two moments; see [`Observe`]. The observer `UsageRecorder` (feature
    /// `usage`) counts the requests of each key, and records when it was last used.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, RequestHead, VerifiedKey};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .observer(|key: &VerifiedKey, head: &RequestHead<'_>| {
    ///         println!("{} {} by {}", head.method(), head.uri().path(), key.id());
    ///     });
    /// ```
    pub fn observer(self, observer: impl Observe + 'static) -> Self {
        self.with(|gate| gate.observers.add(Arc::new(observer)))
    }

    /// Adds a callback for requests whose key [should have been replaced] by now, after the callbacks
    /// added before. The request passes all the same.
    ///
    /// The layer calls it after the [observers](Self::observer), for every accepted request with such a
    /// key. The layer reads its [clock](Self::clock) only for keys with a rotation date.
    ///
    /// [should have been replaced]: VerifiedKey::rotation_due_at
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .on_rotation_due(|key| eprintln!("{} ({}) is to be rotated", key.id(), key.name()));
    /// ```
    pub fn on_rotation_due(self, observer: impl Fn(&VerifiedKey) + Send + Sync + 'static) -> Self {
        self.with(|gate| gate.observers.add_on_rotation_due(Arc::new(observer)))
    }

    /// Hides the addresses of clients in events, for logs that must not hold personal data.
    ///
    /// Repeated events then differ only by their kind and key.
    pub fn hide_client_addresses(self) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).log.hides_clients = true)
    }
}
