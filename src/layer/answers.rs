//! Settings of [`ApiKeyLayer`]: what it answers, and how long responses last.

use std::sync::Arc;
use std::time::Duration;

use super::ApiKeyLayer;
use crate::drain::Drain;
use crate::reject::Respond;
use crate::watch::StreamWatch;

impl ApiKeyLayer {
    /// Sets the form of refusals, for this layer and for guards on routes inside it.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, Responder};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new()).layer().responder(Responder::json());
    ///
    /// let request = Request::get("/").body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.into_response().body(), r#"{"message":"An API key is required"}"#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn responder(self, responder: impl Respond + 'static) -> Self {
        self.with(|gate| {
            gate.rejector = Arc::new(gate.rejector.with_respond(Arc::new(responder)));
        })
    }

    /// Sets how much of the body of a refused request is read and dropped after the refusal is sent. The
    /// default is 64 MiB within 30 seconds.
    ///
    /// A server that speaks HTTP/1 closes the connection of a request whose body was not read. A client
    /// that is still sending then sees a broken connection instead of the refusal. So does a proxy:
    /// nginx then treats the server as broken and sends it no request for ten seconds. Therefore the
    /// layer sends a refusal at once, and a task of tokio's runtime reads the body afterwards.
    /// [Guards](crate::guard) on routes and the management API do the same, with the settings of the
    /// layer around them.
    ///
    /// * If the body has more than `max_bytes`, the connection stays open for two seconds and is then
    ///   closed. The sender stops in this time and reads the refusal, as nginx does. Clients that read
    ///   nothing before they have sent everything see a broken connection, and Apache answers 502.
    /// * The refusal has `Connection: close` if the length of the body is unknown or above `max_bytes`,
    ///   or if the client sent `Expect` and waits for an answer before it sends the body.
    /// * Over HTTP/2, whose connections have several streams, a body is read for two seconds at most.
    /// * Each connection, and each stream of HTTP/2, has at most one such task. There is no bound on
    ///   their total number, because every refusal beyond it would break a connection again. Bound the
    ///   number of connections instead. A graceful shutdown waits for the tasks.
    /// * The size of the body is counted as the outer layers forward it: mount layers that decompress
    ///   inside of this one.
    /// * Without a tokio runtime, or without its timer, the layer drops bodies.
    ///
    /// # Examples
    ///
    /// For uploads of a gigabyte by clients that read nothing before they have sent everything:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use axum::body::Body;
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_api_key::{KeyManager, MemoryStore};
    /// use tower_layer::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new())
    ///     .layer()
    ///     .drain_refused(1 << 30, Duration::from_secs(120));
    ///
    /// let app = layer.layer(axum::Router::new());
    /// let upload = Request::post("/files").body(Body::from(vec![0; 1 << 20]))?;
    /// let response = app.oneshot(upload).await?;
    /// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    /// assert!(!response.headers().contains_key("connection")); // it stays open
    /// # Ok(())
    /// # }
    /// ```
    pub fn drain_refused(self, max_bytes: u64, max_time: Duration) -> Self {
        self.with_drain(Drain { max_bytes, max_time })
    }

    /// Drops the body of a refused request. This can break the connection before the client has read
    /// the refusal.
    ///
    /// Use it for servers that read the rest of bodies themselves, or that prefer a broken connection
    /// to reading for clients without a key. See [`drain_refused`](Self::drain_refused).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    /// use std::sync::Arc;
    ///
    /// use axum::body::{Body, Bytes};
    /// use http::Request;
    /// use tower::ServiceExt;
    /// use tower_api_key::{KeyManager, MemoryStore};
    /// use tower_layer::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new()).layer().drop_refused();
    ///
    /// let was_read = Arc::new(AtomicBool::new(false));
    /// let reading = Arc::clone(&was_read);
    /// let body = Body::from_stream(futures_util::stream::poll_fn(move |_| {
    ///     reading.store(true, Relaxed);
    ///     std::task::Poll::Ready(None::<Result<Bytes, std::io::Error>>)
    /// }));
    /// let response = layer.layer(axum::Router::new()).oneshot(Request::post("/").body(body)?).await?;
    /// tokio::task::yield_now().await;
    /// assert!(response.status().is_client_error() && !was_read.load(Relaxed));
    /// # Ok(())
    /// # }
    /// ```
    pub fn drop_refused(self) -> Self {
        self.with_drain(Drain::OFF)
    }

    fn with_drain(self, drain: Drain) -> Self {
        self.with(|gate| Arc::make_mut(&mut gate.rejector).drain = drain)
    }

    /// Sets the realm of `WWW-Authenticate`.
    ///
    /// # Panics
    ///
    /// Panics if the realm has a quote, a backslash, or a character other than visible ASCII and
    /// spaces.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new()).layer().realm("bots");
    ///
    /// let request = Request::get("/").body(())?;
    /// let response = layer.verify(&mut request.into_parts().0).await.unwrap_err().into_response();
    /// assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="bots""#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn realm(self, realm: impl Into<String>) -> Self {
        self.with(|gate| {
            gate.realm = realm.into();
            gate.write_challenge();
        })
    }

    /// Sends the same `WWW-Authenticate` for a missing key as for a wrong one: clients then learn only
    /// that they are not authenticated.
    ///
    /// Otherwise the challenge has no `error` if the credential is missing (RFC 6750, section 3.1).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let layer = KeyManager::new(MemoryStore::new()).layer().generic_challenge();
    ///
    /// let without_key = Request::get("/").body(())?;
    /// let response = layer.verify(&mut without_key.into_parts().0).await.unwrap_err().into_response();
    /// let challenge = &response.headers()["www-authenticate"];
    /// assert_eq!(challenge, r#"Bearer realm="api", error="invalid_token""#);
    /// # Ok(())
    /// # }
    /// ```
    pub fn generic_challenge(self) -> Self {
        self.with(|gate| {
            gate.generic_challenge = true;
            gate.write_challenge();
        })
    }

    /// Sets what happens to responses that are still being sent when their key ends. By default they
    /// end with it: see [streams and revocation](crate::guide::streams).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use http::Request;
    /// use tower_api_key::{EndReason, KeyManager, MemoryStore, NewKey, StreamWatch};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device")).await?;
    /// let layer = keys.layer().streams(StreamWatch::new().max_unchecked(Duration::from_secs(10)));
    ///
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// let ended = admitted.key().unwrap().ended();
    /// keys.revoke(issued.record.id()).await?;
    /// assert_eq!(ended.await.reason(), EndReason::Revoked);
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams(self, watch: StreamWatch) -> Self {
        self.with(|gate| gate.watch = watch)
    }

    /// Adds no `Cache-Control` and no `Vary` to responses: the application sets them.
    ///
    /// By default, the layer adds `Cache-Control: private` to responses to a key that have no
    /// `Cache-Control`, and to every response a `Vary` with all headers that may hold a key. See
    /// [`http_cache`](crate::http_cache).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response};
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// let layer = keys.layer().without_cache_fields();
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let admitted = layer.verify(&mut request.into_parts().0).await?;
    /// assert!(admitted.finish(Response::new("…")).await.headers().is_empty());
    /// # Ok(())
    /// # }
    /// ```
    pub fn without_cache_fields(self) -> Self {
        self.with(|gate| gate.write_cache_fields(None))
    }
}
