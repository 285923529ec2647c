//! What a layer answers, and how long responses last.

use std::sync::Arc;
use std::time::Duration;

use super::ApiKeyLayer;
use crate::drain::Drain;
use crate::reject::Respond;
use crate::watch::StreamWatch;

impl ApiKeyLayer {
    /// Sets the form of refusals, of this layer and of guards on routes within.
    pub fn responder(self, responder: impl Respond + 'static) -> Self {
        self.with(|gate| {
            gate.rejector = Arc::new(gate.rejector.with_respond(Arc::new(responder)));
        })
    }

    /// Sets how much of the body of a refused request is read and dropped after the refusal is sent. The
    /// default is 64 MiB within 30 seconds.
    ///
    /// A server that speaks HTTP/1 closes the connection of a request whose body nobody reads. A
    /// client that still sends then sees a broken connection instead of the refusal. So does a proxy,
    /// and nginx treats the server as broken: it sends no request there for ten seconds. Therefore the layer
    /// sends a refusal at once, and a task of tokio's runtime reads the body afterwards.
    /// [Guards](crate::guard) on routes within and the management API do the same, by the settings of
    /// the layer around them.
    ///
    /// * The connection of a body that has more than `max_bytes` is held for two seconds before it is
    ///   closed. The sender then has to stop, and reads the refusal, as nginx does. Clients that read nothing
    ///   before they have sent everything see a broken connection, and Apache answers 502.
    /// * The refusal has `Connection: close` if the length of the body is unknown or above `max_bytes`, or
    ///   if the client `Expect`s an answer before it sends the body.
    /// * Over HTTP/2, where a connection has several streams, a body is read for two seconds at most.
    /// * Each connection, and each stream of HTTP/2, has at most one such task. Their total number has no
    ///   bound of its own: at the bound, every refusal would break connections again. A bound on
    ///   connections bounds it. A graceful shutdown waits for the tasks.
    /// * The body counts as the layers outside of this one forward it: mount layers that decompress
    ///   inside.
    /// * Without a runtime of tokio, or without its timer, the layer drops bodies.
    ///
    /// # Examples
    ///
    /// For uploads of a gigabyte by clients that read nothing before they have sent everything:
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// let layer = ApiKeyLayer::new(MemoryStore::new())
    ///     .drain_refused(1 << 30, Duration::from_secs(120));
    /// ```
    pub fn drain_refused(self, max_bytes: u64, max_time: Duration) -> Self {
        self.with_drain(Drain { max_bytes, max_time })
    }

    /// Drops the body of a refused request, which may break the connection before the client has
    /// read the refusal.
    ///
    /// This is for servers that read on by themselves, or that prefer a broken connection to reading for
    /// clients without a key. See [`drain_refused`](Self::drain_refused).
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
    /// Panics if it has a quote, a backslash, or a character that is not visible ASCII or a
    /// space.
    pub fn realm(self, realm: impl Into<String>) -> Self {
        self.with(|gate| {
            gate.realm = realm.into();
            gate.write_challenge();
        })
    }

    /// Sends the same `WWW-Authenticate` for a missing key as for a wrong one, for APIs whose clients learn
    /// only that they are not authenticated.
    ///
    /// RFC 6750, section 3.1, has no `error` if the credential is missing.
    pub fn generic_challenge(self) -> Self {
        self.with(|gate| {
            gate.generic_challenge = true;
            gate.write_challenge();
        })
    }

    /// Sets how responses are watched that are still being sent when their key ends. By default, they
    /// end with it: see [streams and revocation](crate::guide::streams).
    pub fn streams(self, watch: StreamWatch) -> Self {
        self.with(|gate| gate.watch = watch)
    }

    /// Adds no `Cache-Control` and no `Vary` to responses: the application does.
    ///
    /// By default, the layer adds `Cache-Control: private` to a response to a key that has no
    /// `Cache-Control`, and to every response a `Vary` with all headers in which a key may be. See
    /// [`http_cache`](crate::http_cache).
    pub fn without_cache_headers(self) -> Self {
        self.with(|gate| gate.write_cache_fields(None))
    }
}
