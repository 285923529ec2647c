//! How a server is connected to.

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::Client;

use super::RedisStore;
use crate::redis::{Connect, Demands, Eviction};
use crate::store::StoreError;

const PREFIX: &str = "{api-keys}:";

/// Configures a [`RedisStore`]. Awaiting it connects to the server.
///
/// # Errors
///
/// Awaiting it returns an error if the server cannot be reached, refuses the connection, is a replica,
/// evicts keys, or is part of a cluster that keeps the keys on another server. The error does not contain
/// the password.
#[must_use = "nothing is connected unless it is awaited"]
pub struct RedisStoreBuilder {
    connect: Connect,
}

impl RedisStoreBuilder {
    pub(super) fn url(url: &str) -> Self {
        Self { connect: Connect::to_url(url, demands()) }
    }

    pub(super) fn client(client: Client) -> Self {
        Self { connect: Connect::by_client(client, demands()) }
    }

    /// Sets the prefix of all key names in Redis. The default is `{api-keys}:`.
    ///
    /// Applications that share a server need different prefixes. In a cluster, the prefix needs a part in
    /// braces (a hash tag), so that all names are in one slot.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.connect.set_prefix(prefix);
        self
    }

    /// Sets for how long a connection is used. The default is a minute.
    ///
    /// A new connection replaces it after half of that time. So this is the longest time for which a node
    /// uses a former server, to which its proxy or host name no longer leads, if nothing tells it earlier.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn connection_lifetime(mut self, lifetime: Duration) -> Self {
        self.connect.set_lifetime(lifetime);
        self
    }

    /// Connects at the first command, so that a program can start while the server is down. By default,
    /// awaiting the builder connects, and fails if there is no usable server.
    pub fn connect_lazily(mut self) -> Self {
        self.connect.is_lazy = true;
        self
    }

    async fn connect(self) -> Result<RedisStore, StoreError> {
        let (connection, prefix) = self.connect.connect().await.map_err(StoreError::new)?;
        Ok(RedisStore::over(connection, prefix))
    }
}

impl IntoFuture for RedisStoreBuilder {
    type Output = Result<RedisStore, StoreError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.connect.demands.prefix)
            .field("lifetime", &self.connect.lifetime)
            .finish_non_exhaustive()
    }
}

/// The store's demands on its server, with the default prefix.
fn demands() -> Demands {
    // No record expires by the server's clock.
    Demands { prefix: PREFIX.into(), eviction: Eviction::OfWhatExpires }
}
