//! Connecting a [`RedisRateLimiter`] to its server.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::RedisRateLimiter;
use crate::limit::LimiterError;
use crate::redis::{Connection, Demands, Eviction, LIFETIME};

const PREFIX: &str = "{api-keys}:limit:";

/// Configures a [`RedisRateLimiter`], and connects it when it is awaited.
///
/// # Errors
///
/// Awaiting it returns an error, without the password, if the server cannot be reached or refuses the
/// connection, is a replica, evicts keys without [acceptance](Self::accept_eviction), or is part of a
/// cluster that keeps the levels on another node.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use tower_api_key::limit::RedisRateLimiter;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = RedisRateLimiter::connect("redis://127.0.0.1:6379")
///     .key_prefix("{acme}:limit:")
///     .accept_eviction()
///     .connection_lifetime(Duration::from_secs(30))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "it connects only when it is awaited"]
pub struct RedisRateLimiterBuilder {
    url: String,
    demands: Demands,
    lifetime: Duration,
}

impl RedisRateLimiterBuilder {
    pub(super) fn url(url: &str) -> Self {
        Self { url: url.to_owned(), demands: demands(), lifetime: LIFETIME }
    }

    /// Sets the prefix of the names of levels. The default is `{api-keys}:limit:`.
    ///
    /// Limiters with the same prefix count together. In a cluster, the prefix needs a part in braces,
    /// which puts all names in one slot.
    pub fn key_prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.demands.prefix = prefix.into();
        self
    }

    /// Accepts a server that evicts keys when its memory is full, such as a cache.
    ///
    /// A limit whose level was evicted starts whole again.
    pub fn accept_eviction(mut self) -> Self {
        self.demands.eviction = Eviction::Any;
        self
    }

    /// Sets how long a connection is used. The default is a minute. After half of it, another
    /// connection takes its place, so that the successor of a server is found.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn connection_lifetime(mut self, lifetime: Duration) -> Self {
        assert!(!lifetime.is_zero(), "the lifetime of a connection must not be 0");
        self.lifetime = lifetime;
        self
    }

    async fn connect(self) -> Result<RedisRateLimiter, LimiterError> {
        let prefix = Arc::clone(&self.demands.prefix);
        let connection = Connection::open(&self.url, self.demands, self.lifetime).await;
        Ok(RedisRateLimiter { connection: connection.map_err(LimiterError::new)?, prefix })
    }
}

impl IntoFuture for RedisRateLimiterBuilder {
    type Output = Result<RedisRateLimiter, LimiterError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for RedisRateLimiterBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRateLimiterBuilder")
            .field("prefix", &self.demands.prefix)
            .field("eviction", &self.demands.eviction)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// What a limiter requires of its server by default.
pub(super) fn demands() -> Demands {
    Demands { prefix: PREFIX.into(), eviction: Eviction::None }
}
