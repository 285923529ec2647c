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

/// Says how a [`RedisStore`] is connected, which is done when it is awaited.
///
/// # Errors
///
/// Awaiting it returns an error, which does not repeat the password, if the server cannot be reached
/// or refuses it, if it is a replica, if it evicts keys, or if it is part of a cluster that keeps the
/// keys elsewhere.
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

    /// Sets with what the names of everything that is kept begin. By default, `{api-keys}:`.
    ///
    /// Applications that share a server need prefixes of their own. In a cluster, one needs a part in
    /// braces, by which all names are in one slot.
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.connect.set_prefix(prefix);
        self
    }

    /// Sets for how long a connection is used. By default, a minute.
    ///
    /// After half of it another takes its place. So it bounds for how long a node goes by a server
    /// that a proxy or a name leads to no more, where nothing else tells it.
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

/// What a store asks of its server, unless it is told to have other names there.
fn demands() -> Demands {
    // No record expires by the server's clock.
    Demands { prefix: PREFIX.into(), eviction: Eviction::OfWhatExpires }
}
