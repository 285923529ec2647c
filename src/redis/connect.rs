//! [`Connect`]: how a server is to be connected to.

use std::sync::Arc;
use std::time::Duration;

use redis::{Client, RedisResult};

use super::LIFETIME;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::server::Demands;

/// What is said of a connection before there is one.
pub(crate) struct Connect {
    endpoint: RedisResult<Endpoint>,
    pub(crate) demands: Demands,
    pub(crate) lifetime: Duration,
    pub(crate) is_lazy: bool,
}

impl Connect {
    pub(crate) fn to_url(url: &str, demands: Demands) -> Self {
        Self::to(Endpoint::parse(url), demands)
    }

    pub(crate) fn by_client(client: Client, demands: Demands) -> Self {
        Self::to(Ok(client.into()), demands)
    }

    fn to(endpoint: RedisResult<Endpoint>, demands: Demands) -> Self {
        Self { endpoint, demands, lifetime: LIFETIME, is_lazy: false }
    }

    pub(crate) fn set_prefix(&mut self, prefix: impl Into<String>) {
        self.demands.prefix = prefix.into().into();
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: Duration) {
        assert!(!lifetime.is_zero(), "the lifetime of a connection must not be 0");
        self.lifetime = lifetime;
    }

    /// Returns the connection, and with what the names of all that is kept begin.
    pub(crate) async fn connect(self) -> RedisResult<(Connection, Arc<str>)> {
        let prefix = Arc::clone(&self.demands.prefix);
        let connection = Connection::new(self.endpoint?, self.demands, self.lifetime);
        if !self.is_lazy {
            connection.open().await?;
        }
        Ok((connection, prefix))
    }
}
