//! How a server is connected to.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::Client;

use super::RedisRateLimiter;
use crate::limit::LimiterError;
use crate::redis::{Connect, Demands, Eviction};

const PREFIX: &str = "{api-keys}:limit:";

/// Says how a [`RedisRateLimiter`] is connected, which is done when it is awaited.
///
/// # Errors
///
/// Awaiting it returns an error, which does not repeat the password, if the server cannot be reached
/// or refuses it, if it is a replica, if it evicts keys and that is not
/// [accepted](Self::accept_eviction), or if it is part of a cluster that keeps the levels elsewhere.
#[must_use = "nothing is connected unless it is awaited"]
pub struct RedisRateLimiterBuilder {
    connect: Connect,
}

impl RedisRateLimiterBuilder {
    pub(super) fn url(url: &str) -> Self {
        Self { connect: Connect::to_url(url, demands()) }
    }

    pub(super) fn client(client: Client) -> Self {
        Self { connect: Connect::by_client(client, demands()) }
    }

    /// Sets with what the names of levels begin. By default, `{api-keys}:limit:`.
    ///
    /// Limiters with the same prefix count together. In a cluster, it needs a part in braces, by which
    /// all names are in one slot.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.connect.set_prefix(prefix);
        self
    }

    /// Accepts a server that evicts keys when its memory is full, such as one that is a cache, too.
    ///
    /// A limit whose level was evicted begins anew.
    pub fn accept_eviction(mut self) -> Self {
        self.connect.demands.eviction = Eviction::Any;
        self
    }

    /// Sets for how long a connection is used. By default, a minute. After half of it another takes
    /// its place, and so a server's successor is found.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn connection_lifetime(mut self, lifetime: Duration) -> Self {
        self.connect.set_lifetime(lifetime);
        self
    }

    /// Connects when something is first asked, so that a program starts while the server is away. By default, awaiting
    /// the builder connects, and fails where there is no server that can be used.
    pub fn connect_lazily(mut self) -> Self {
        self.connect.is_lazy = true;
        self
    }

    async fn connect(self) -> Result<RedisRateLimiter, LimiterError> {
        let (connection, prefix) = self.connect.connect().await.map_err(LimiterError::new)?;
        Ok(RedisRateLimiter { connection, prefix })
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
            .field("prefix", &self.connect.demands.prefix)
            .field("eviction", &self.connect.demands.eviction)
            .field("lifetime", &self.connect.lifetime)
            .finish_non_exhaustive()
    }
}

/// What a limiter asks of its server, unless it is told otherwise.
fn demands() -> Demands {
    Demands { prefix: PREFIX.into(), eviction: Eviction::None }
}
