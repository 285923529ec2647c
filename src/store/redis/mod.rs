//! [`RedisStore`]: keys in Redis or Valkey.

mod commit;
mod draft;
#[cfg(feature = "cache")]
mod invalidations;
mod list;
mod publish;
mod repository;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use redis::{Client, FromRedisValue, RedisResult};

use super::{KeyRecord, KeyStore, StoreError, TenantFilter};
use crate::key::KeyDigest;
use crate::redis::Connection;

#[cfg(feature = "cache")]
pub use self::invalidations::RedisInvalidations;

/// Keeps keys in Redis 7 or later, or in Valkey.
///
/// A lookup is one `GET`. Changes are made by a script, so that all of them are made or none, and
/// are published in the same moment to those who cache. No modules are
/// needed. A clone uses the same connection, which comes back by itself; a command that is not
/// answered fails within three seconds, or within six right after a restart.
///
/// A record is JSON under `{api-keys}:key:` and its digest; indices by id, tenant and time are
/// beside it. What it says counts, whatever an index says. Fields that this version does not know are
/// ignored, and kept when the record is changed.
///
/// Audit events are not kept: give the [`KeyManager`](crate::KeyManager) a
/// [sink](super::AuditSink).
///
/// # Deployment caveats
///
/// * Set `maxmemory-policy noeviction`. A server that evicts keys loses records, or indices
///   without which a key is not found to be revoked.
/// * Set `appendonly yes`, with `appendfsync always` if not even the last second may be lost. A
///   revocation that is lost with the server's memory was acknowledged and is none.
/// * Replicas are asynchronous: a failover can lose the last changes. `min-replicas-to-write`
///   makes that less likely and not impossible. Where it matters, keep keys in PostgreSQL.
/// * Redis Cluster is not spoken. All names have the hash tag `{api-keys}`, so that a proxy in
///   front of one finds them on one node.
///
/// # Examples
///
/// ```no_run
/// use tower_api_key::{ApiKeyLayer, store::RedisStore};
///
/// # async fn start() -> Result<(), tower_api_key::StoreError> {
/// let keys = RedisStore::connect("redis://127.0.0.1:6379").await?;
/// let layer = ApiKeyLayer::new(keys);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    connection: Connection,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Connects to the server at `url`, such as `redis://:password@127.0.0.1:6379/0`.
    ///
    /// # Errors
    ///
    /// Returns an error, which does not repeat the password, if the server cannot be reached or
    /// refuses it.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Ok(Self::of(Connection::open(url).await.map_err(StoreError::new)?))
    }

    /// Uses `client`, such as one with certificates, and connects when it is first asked.
    ///
    /// Set `TCP_NODELAY` in its connection's settings, as [`connect`](Self::connect) does.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::of(Connection::new(client))
    }

    fn of(connection: Connection) -> Self {
        Self { connection, prefix: "{api-keys}:".into() }
    }

    /// Sets with what the names of everything that is kept begin. By default, `{api-keys}:`.
    ///
    /// Applications that share a server need prefixes of their own. For a cluster behind a proxy,
    /// one needs braces.
    #[must_use]
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Returns where a cache hears of the changes that are made through this store, on whichever
    /// node.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn invalidations(&self) -> RedisInvalidations {
        RedisInvalidations::new(self.connection.clone(), &self.channel())
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The record as JSON.
    fn record(&self, digest: &KeyDigest) -> String {
        self.name(&format!("key:{digest}"))
    }

    /// A hash with the digest of each id.
    fn ids(&self) -> String {
        self.name("ids")
    }

    /// A sorted set with each id, by when it was last used in microseconds; 0 is never.
    fn uses(&self) -> String {
        self.name("uses")
    }

    /// A sorted set of the [places](list::place) of keys.
    fn index(&self, tenant: &TenantFilter) -> String {
        match tenant {
            TenantFilter::Any => self.name("all"),
            TenantFilter::Of(tenant) => self.name(&format!("tenant:{tenant}")),
            TenantFilter::Nobody => self.name("tenant:"),
        }
    }

    /// Where the digests of changed keys are published.
    fn channel(&self) -> String {
        self.name("changes")
    }

    /// Asks, and once more if the connection was closed.
    async fn read<T: FromRedisValue>(&self, cmd: &redis::Cmd) -> Result<T, StoreError> {
        let answer: RedisResult<T> = cmd.query_async(&mut self.connection.repeating()).await;
        answer.map_err(StoreError::new)
    }
}

#[async_trait]
impl KeyStore for RedisStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let json: Option<Vec<u8>> = self.read(redis::cmd("GET").arg(self.record(digest))).await?;
        json.map(|json| decode(&json, digest)).transpose()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// Reads what is kept under `digest`.
fn decode(json: &[u8], digest: &KeyDigest) -> Result<Arc<KeyRecord>, StoreError> {
    let record: KeyRecord = serde_json::from_slice(json).map_err(StoreError::new)?;
    if record.digest != *digest {
        return Err(StoreError::new("a record is kept under the digest of another key"));
    }
    Ok(Arc::new(record))
}
