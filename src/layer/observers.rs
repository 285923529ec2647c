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
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use std::sync::Arc;
    ///
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, RequestHead, VerifiedKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// let uses = Arc::new(AtomicU64::new(0));
    /// let counter = Arc::clone(&uses);
    /// let layer = keys.layer().observer(move |key: &VerifiedKey, head: &RequestHead<'_>| {
    ///     println!("{} {} by {}", head.method(), head.uri().path(), key.id());
    ///     counter.fetch_add(1, Relaxed);
    /// });
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// layer.verify(&mut request.into_parts().0).await?;
    /// assert_eq!(uses.load(Relaxed), 1);
    /// # Ok(())
    /// # }
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
    /// use std::sync::{Arc, Mutex};
    /// use std::time::SystemTime;
    ///
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = NewKey::named("a device").rotation_due_at(SystemTime::now());
    /// let key = keys.issue(key).await?.secret;
    /// let due = Arc::new(Mutex::new(Vec::new()));
    /// let names = Arc::clone(&due);
    /// let layer =
    ///     keys.layer().on_rotation_due(move |key| names.lock().unwrap().push(key.name().to_owned()));
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// layer.verify(&mut request.into_parts().0).await?;
    /// assert_eq!(*due.lock().unwrap(), ["a device"]);
    /// # Ok(())
    /// # }
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
