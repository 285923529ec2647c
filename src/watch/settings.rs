//! [`StreamWatch`]: how a layer watches open streams.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::KeyEnded;

/// Makes the last event of an event stream.
pub(crate) type LastEvent = dyn Fn(&KeyEnded) -> Option<Bytes> + Send + Sync;

/// How a layer watches open streams, so that they end with their keys. See
/// [`ApiKeyLayer::streams`](crate::ApiKeyLayer::streams).
#[derive(Clone)]
#[must_use]
pub struct StreamWatch {
    pub(crate) is_on: bool,
    pub(crate) reductions: bool,
    pub(crate) cancels_handlers: bool,
    pub(crate) period: Duration,
    pub(crate) max_unchecked: Duration,
    pub(crate) last_event: Option<Arc<LastEvent>>,
}

impl StreamWatch {
    /// Ends streams when their keys end.
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`ignore_reductions`](Self::ignore_reductions) | no: a stream ends if its key no longer allows it |
    /// | [`cancel_handlers`](Self::cancel_handlers) | no: a handler that has not answered continues |
    /// | [`recheck_every`](Self::recheck_every) | 5 seconds |
    /// | [`max_unchecked`](Self::max_unchecked) | 60 seconds |
    /// | [`last_event`](Self::last_event) | none |
    ///
    /// # Examples
    ///
    /// A handler that has not answered ends with its key, too:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, StreamWatch};
    ///
    /// let watch = StreamWatch::new()
    ///     .cancel_handlers()
    ///     .ignore_reductions()
    ///     .recheck_every(Duration::from_secs(1))
    ///     .max_unchecked(Duration::from_secs(10));
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).streams(watch);
    /// assert_eq!(layer.open_streams(), 0);
    /// ```
    pub const fn new() -> Self {
        Self {
            is_on: true,
            reductions: true,
            cancels_handlers: false,
            period: Duration::from_secs(5),
            max_unchecked: Duration::from_secs(60),
            last_event: None,
        }
    }

    /// Lets streams continue after the end of their keys.
    /// [`VerifiedKey::ended`](crate::VerifiedKey::ended) then never resolves.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::FutureExt;
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, StreamWatch};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer().streams(StreamWatch::off());
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    ///
    /// keys.revoke(issued.record.id()).await?;
    /// assert!(admitted.key().unwrap().ended().now_or_never().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn off() -> Self {
        let mut off = Self::new();
        off.is_on = false;
        off
    }

    /// Ends a stream only if its key is no longer valid, and not if the key is valid but no longer
    /// allows the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures_util::FutureExt;
    /// use http::Request;
    /// use tower_api_key::key::Restrictions;
    /// use tower_api_key::{KeyManager, KeyUpdate, MemoryStore, NewKey, StreamWatch};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer().streams(StreamWatch::new().ignore_reductions());
    /// let request = Request::get("/events").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    ///
    /// let mut restrictions = Restrictions::default();
    /// restrictions.endpoints = Some(["GET /bots".parse()?].into());
    /// keys.update(issued.record.id(), &KeyUpdate::new().restrictions(restrictions)).await?;
    /// assert!(admitted.key().unwrap().ended().now_or_never().is_none());
    /// # Ok(())
    /// # }
    /// ```
    pub const fn ignore_reductions(mut self) -> Self {
        self.reductions = false;
        self
    }

    /// Cancels handlers that have not answered when the key ends, and answers with the refusal that a
    /// new request would get.
    ///
    /// By default they continue, because half of their work may be worse than all of it. A cancelled
    /// future is dropped at its current await point. For parts of a handler, use
    /// [`VerifiedKey::while_valid`](crate::VerifiedKey::while_valid).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use axum::{Router, body::Body, routing::get};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, StreamWatch};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let manager = keys.clone();
    /// let id = issued.record.id().clone();
    /// let revoke_and_wait = move || async move {
    ///     manager.revoke(&id).await.unwrap();
    ///     std::future::pending::<()>().await
    /// };
    /// let app = Router::new()
    ///     .route("/", get(revoke_and_wait))
    ///     .layer(keys.layer().streams(StreamWatch::new().cancel_handlers()));
    ///
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal());
    /// let response = app.oneshot(request.body(Body::empty())?).await?;
    /// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn cancel_handlers(mut self) -> Self {
        self.cancels_handlers = true;
        self
    }

    /// Sets how often the store is asked for a key with open streams, if the store does not [report
    /// changes](crate::KeyStore::changes). The default is 5 seconds. The actual time differs by up to a
    /// fifth, so that not all keys are asked for at once.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    ///
    /// # Examples
    ///
    /// A store that does not report changes:
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use async_trait::async_trait;
    /// use http::Request;
    /// use tower_api_key::{
    ///     ApiKeyLayer, EndReason, KeyDigest, KeyManager, KeyRecord, KeyStore, MemoryStore, NewKey,
    ///     StoreError, StreamWatch,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// struct Silent(MemoryStore);
    ///
    /// #[async_trait]
    /// impl KeyStore for Silent {
    ///     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
    ///         self.0.find(digest).await
    ///     }
    /// }
    /// let store = MemoryStore::new();
    /// let keys = KeyManager::new(store.clone());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = ApiKeyLayer::new(Silent(store))
    ///     .streams(StreamWatch::new().recheck_every(Duration::from_millis(10)));
    ///
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// keys.revoke(issued.record.id()).await?;
    /// assert_eq!(admitted.key().unwrap().ended().await.reason(), EndReason::Revoked);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn recheck_every(mut self, period: Duration) -> Self {
        assert!(!period.is_zero(), "`recheck_every` needs a period above 0");
        self.period = period;
        self
    }

    /// Sets the time without an answer of the store after which streams end as
    /// [unavailable](super::EndReason::Unavailable). The default is a minute.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    /// use std::time::Duration;
    ///
    /// use async_trait::async_trait;
    /// use http::Request;
    /// use tower_api_key::{
    ///     ApiKeyLayer, EndReason, KeyDigest, KeyManager, KeyRecord, KeyStore, MemoryStore, NewKey,
    ///     StoreError, StreamWatch,
    /// };
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// /// A store whose server fails after the first look-up.
    /// struct Failing(MemoryStore, AtomicBool);
    ///
    /// #[async_trait]
    /// impl KeyStore for Failing {
    ///     async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
    ///         if self.1.swap(true, Relaxed) {
    ///             return Err(StoreError::new("connection refused"));
    ///         }
    ///         self.0.find(digest).await
    ///     }
    /// }
    /// let store = MemoryStore::new();
    /// let key = KeyManager::new(store.clone()).issue(NewKey::named("a device")).await?.secret;
    /// let watch = StreamWatch::new()
    ///     .recheck_every(Duration::from_millis(10))
    ///     .max_unchecked(Duration::from_millis(50));
    /// let layer = ApiKeyLayer::new(Failing(store, AtomicBool::new(false))).streams(watch);
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// assert_eq!(admitted.key().unwrap().ended().await.reason(), EndReason::Unavailable);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn max_unchecked(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "`max_unchecked` needs a time above 0");
        self.max_unchecked = time;
        self
    }

    /// Sets the last event of an event stream (`text/event-stream`) that ends with its key: the text of
    /// the event with the empty line after it, or nothing.
    ///
    /// Clients that read an event stream as one result, such as a completion, then see that it is
    /// incomplete. The event is not sent into compressed streams.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::get};
    /// use futures_util::{StreamExt, stream};
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, StreamWatch};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let streams = StreamWatch::new()
    ///     .last_event(|ended| Some(format!("event: error\ndata: {ended}\n\n").into()));
    /// let events = || async {
    ///     let first = stream::iter([Ok::<_, std::io::Error>("data: 1\n\n")]);
    ///     let body = Body::from_stream(first.chain(stream::pending()));
    ///     ([("content-type", "text/event-stream")], body)
    /// };
    /// let app = Router::new().route("/", get(events)).layer(keys.layer().streams(streams));
    ///
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal());
    /// let response = app.oneshot(request.body(Body::empty())?).await?;
    /// let mut body = response.into_body().into_data_stream();
    /// assert_eq!(body.next().await.unwrap()?, "data: 1\n\n");
    /// let (last, _) = tokio::join!(body.next(), keys.revoke(issued.record.id()));
    /// assert_eq!(last.unwrap()?, "event: error\ndata: the API key is not valid any more\n\n");
    /// # Ok(())
    /// # }
    /// ```
    pub fn last_event<F>(mut self, event: F) -> Self
    where
        F: Fn(&KeyEnded) -> Option<Bytes> + Send + Sync + 'static,
    {
        self.last_event = Some(Arc::new(event));
        self
    }
}

impl Default for StreamWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StreamWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWatch")
            .field("is_on", &self.is_on)
            .field("reductions", &self.reductions)
            .field("cancels_handlers", &self.cancels_handlers)
            .field("period", &self.period)
            .field("max_unchecked", &self.max_unchecked)
            .field("max_unchecked", &self.max_unchecked)
            .field("last_event", &self.last_event.is_some())
            .finish()
    }
}
