//! Settings of [`ApiKeyLayer`]: which keys it accepts, and where requests have them.

use std::sync::Arc;
use std::time::Duration;

use super::ApiKeyLayer;
use crate::clock::Clock;
use crate::extract::Extract;
use crate::fallback::Fallback;
use crate::key::KeyScheme;
use crate::limit::MemoryRateLimiter;

impl ApiKeyLayer {
    /// Sets where requests have their key.
    ///
    /// # Panics
    ///
    /// Panics if the [scheme](Self::scheme) has a format whose keys the extractor
    /// [cannot carry](Extract::can_carry).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::Header;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// let layer = keys.layer().extractor(Header::new("x-bots-key"));
    ///
    /// let request = Request::get("/").header("x-bots-key", key.reveal()).body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn extractor(self, extractor: impl Extract + 'static) -> Self {
        self.with(|gate| {
            gate.extractor = Arc::new(extractor);
            gate.check_formats();
            gate.describe_extractor();
        })
    }

    /// Sets the formats of keys and how keys are hashed. The layer refuses a text that has none of the
    /// formats before it hashes it. The keys in the store must have the same scheme.
    ///
    /// [`KeyManager::layer`](crate::KeyManager::layer) makes a layer with the scheme of the manager.
    ///
    /// # Panics
    ///
    /// Panics if the scheme has a format whose keys the [extractor](Self::extractor)
    /// [cannot carry](Extract::can_carry).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{ApiKeyLayer, KeyFormat, KeyScheme, MemoryStore, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let scheme = KeyScheme::new(KeyFormat::new("bots_"));
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).scheme(scheme);
    ///
    /// let request = Request::get("/").header("x-api-key", "other_123").body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::Malformed);
    /// # Ok(())
    /// # }
    /// ```
    pub fn scheme(self, scheme: KeyScheme) -> Self {
        self.with(|gate| {
            Arc::make_mut(&mut gate.rejector).log.formats = scheme.formats().clone();
            gate.scheme = scheme;
            gate.check_formats();
        })
    }

    /// Sets the other system that the layer asks for keys that the store does not know. The returned
    /// record is inserted into the store. See [`Fallback`].
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{Fallback, KeyManager, KeyRecord, MemoryStore, Secret};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let fallback = Fallback::new(store.clone(), |key: Secret| async move {
    ///     // Another system would be asked here.
    ///     let is_known = key.reveal() == "old-key";
    ///     let issued_at = std::time::SystemTime::UNIX_EPOCH;
    ///     Ok(is_known.then(|| {
    ///         let id = tower_api_key::KeyId::generate().unwrap();
    ///         KeyRecord::new(id, Fallback::ANY_DIGEST, "a device", issued_at)
    ///     }))
    /// });
    /// let layer = KeyManager::new(store).layer().fallback(fallback);
    ///
    /// let request = Request::get("/").header("x-api-key", "old-key").body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallback(self, fallback: Fallback) -> Self {
        self.with(|gate| gate.fallback = Some(fallback))
    }

    /// Sets how long a look-up in the store may take. After that, the client gets a 503.
    ///
    /// The timeout needs tokio's timer, unless the store answers at once. It includes the time that a
    /// request waits for other look-ups of its address, because of a [`FailureThrottle`](crate::FailureThrottle).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use async_trait::async_trait;
    /// use http::{Request, StatusCode};
    /// use tower_api_key::{ApiKeyLayer, KeyDigest, KeyRecord, KeyStore, StoreError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// /// A store whose server does not answer.
    /// struct Hanging;
    ///
    /// #[async_trait]
    /// impl KeyStore for Hanging {
    ///     async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
    ///         std::future::pending().await
    ///     }
    /// }
    /// let layer = ApiKeyLayer::new(Hanging).lookup_timeout(Duration::from_millis(10));
    ///
    /// let request = Request::get("/").header("x-api-key", "a-key").body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.into_response().status(), StatusCode::SERVICE_UNAVAILABLE);
    /// # Ok(())
    /// # }
    /// ```
    pub fn lookup_timeout(self, timeout: Duration) -> Self {
        self.with(|gate| gate.lookup_timeout = timeout)
    }

    /// Sets the clock that decides when keys expire. Unless a [limiter](Self::rate_limiter) is set, the
    /// layer counts requests by this clock, too. A [`FailureThrottle`](crate::FailureThrottle) has a
    /// clock of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use http::Request;
    /// use tower_api_key::{Clock, KeyManager, MemoryStore, NewKey, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// /// A clock that is a day fast.
    /// struct Tomorrow;
    ///
    /// impl Clock for Tomorrow {
    ///     fn now(&self) -> SystemTime {
    ///         SystemTime::now() + Duration::from_secs(86_400)
    ///     }
    /// }
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let soon = SystemTime::now() + Duration::from_secs(3600);
    /// let key = keys.issue(NewKey::named("a device").expires_at(soon)).await?.secret;
    /// let layer = keys.layer().clock(Tomorrow);
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().kind(), RejectionKind::Expired);
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.with(|gate| {
            gate.clock = Arc::new(clock);
            if !gate.limiter_was_set {
                let limiter = MemoryRateLimiter::with_clock(Arc::clone(&gate.clock));
                gate.limiter = Arc::new(limiter);
            }
        })
    }

    /// Accepts public keys as well as secret ones.
    ///
    /// By default, the layer refuses public keys, which everyone can read in the source of a page. With
    /// this setting, a public key works only on the sites that its [record](crate::key::Restrictions)
    /// names. On routes for one kind, add [`RequireKind`](crate::RequireKind).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyKind, KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let widget = NewKey::named("widget").kind(KeyKind::Public).origins(["https://shop.example"]);
    /// let key = keys.issue(widget).await?.secret;
    /// let layer = keys.layer().accept_public_keys();
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal());
    /// let here = request.header("origin", "https://shop.example").body(())?;
    /// assert!(layer.verify(&mut here.into_parts().0).await.is_ok());
    /// let request = Request::get("/").header("x-api-key", key.reveal());
    /// let elsewhere = request.header("origin", "https://other.example").body(())?;
    /// assert!(layer.verify(&mut elsewhere.into_parts().0).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn accept_public_keys(self) -> Self {
        self.with(|gate| gate.public_keys = true)
    }

    /// Keeps the credential in the forwarded request, marked as sensitive.
    ///
    /// By default, the layer removes the credential, so that no handler, log or upstream server sees it. A
    /// query parameter cannot be marked.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// let layer = keys.layer().keep_credential();
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let (mut parts, ()) = request.into_parts();
    /// layer.verify(&mut parts).await?;
    /// assert!(parts.headers["x-api-key"].is_sensitive());
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_credential(self) -> Self {
        self.with(|gate| gate.keep_credential = true)
    }
}
