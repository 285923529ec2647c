//! How a server is connected to.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::RedisStore;
use crate::redis::{Connection, Demands, Eviction, LIFETIME};
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
    url: String,
    demands: Demands,
    lifetime: Duration,
}

impl RedisStoreBuilder {
    pub(super) fn url(url: &str) -> Self {
        Self { url: url.to_owned(), demands: demands(), lifetime: LIFETIME }
    }

    /// Sets with what the names of everything that is kept begin. By default, `{api-keys}:`.
    ///
    /// Applications that share a server need prefixes of their own. In a cluster, one needs a part in
    /// braces, by which all names are in one slot.
    pub fn key_prefix(mut self, prefix: impl Into<Arc<str>>) -> Self {
        self.demands.prefix = prefix.into();
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
        assert!(!lifetime.is_zero(), "a connection has to live for some time");
        self.lifetime = lifetime;
        self
    }

    async fn connect(self) -> Result<RedisStore, StoreError> {
        let prefix = Arc::clone(&self.demands.prefix);
        let connection = Connection::open(&self.url, self.demands, self.lifetime).await;
        Ok(RedisStore::over(connection.map_err(StoreError::new)?, prefix))
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
            .field("prefix", &self.demands.prefix)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// What a store asks of its server, unless it is told to have other names there.
pub(super) fn demands() -> Demands {
    // No record expires by the server's clock.
    Demands { prefix: PREFIX.into(), eviction: Eviction::OfWhatExpires }
}
