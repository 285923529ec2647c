//! [`RedisStore`]: keys in Redis or Valkey.

mod commit;
mod connect;
mod count;
mod decode;
mod draft;
mod ended;
#[cfg(feature = "cache")]
mod invalidations;
mod list;
mod publish;
mod read;
mod repository;
mod steps;
mod suspension;
mod usage;
mod usage_days;

use std::fmt;
use std::sync::Arc;

use redis::Client;

use self::steps::Steps;
use super::TenantFilter;
use crate::key::KeyDigest;
use crate::redis::Connection;

pub use self::connect::RedisStoreBuilder;
#[cfg(feature = "cache")]
pub use self::invalidations::RedisInvalidations;

/// Stores keys in Redis 7 or later, or in Valkey.
///
/// A look-up is one script, which a replica refuses. It reads the record, or those of many keys, and,
/// while any tenant is suspended, the state of the key's tenant. A script makes all changes or none,
/// and publishes them to caches at the same moment. No modules are needed. Clones use the same
/// connections, which reconnect by themselves and are renewed every minute. A command without an answer
/// fails within three seconds, or within six right after a restart.
///
/// A record is JSON under `{api-keys}:key:` and its digest; there are indexes by id, tenant, time and
/// end. The record takes precedence over an index. Fields of newer versions are ignored, and kept when
/// the record is changed.
///
/// Audit events are not stored, because they would fill the memory of the server: give the
/// [`KeyManager`](crate::KeyManager) a [sink](super::AuditSink).
///
/// # Deployment caveats
///
/// * Look-ups have a connection of their own, and lists and changes another. A list visits 100 records
///   a step if it has to read them, one step of a node at a time, and leaves the server to other
///   commands for twice as long after each. Lists compare the records themselves, so they also find
///   changes by nodes of the previous version.
/// * A server that evicts records is refused: one whose `maxmemory-policy` is neither `noeviction` nor
///   a `volatile-…` one, which evicts only expiring entries, and no record expires. If the policy is
///   changed, the server is refused within a minute.
/// * Redis Cluster is not supported. All names have the hash tag `{api-keys}`, and so are on one of its
///   servers: that server is accepted, and the error of the others names it. The store does not follow
///   slots that move later.
/// * A user with few rights needs `EVALSHA`, `EVAL`, `GET`, `MGET`, `HMGET`, `ZMSCORE`, `ZRANGE`,
///   `ZADD`, `ZREM`, `ZCARD`, `HGET`, `HSET`, `HDEL`, `SET`, `DEL`, `PUBLISH` and `SUBSCRIBE`, for
///   usage also `HINCRBY`, `EXPIREAT` and `HGETALL`, the names and the channel of the prefix, and
///   `INFO`. Without `INFO`, a `WARN` event says that it is not known whether the server is a primary
///   or evicts.
///
/// # Replication, failover, restore
///
/// Acknowledged changes are only as safe as the server's settings:
///
/// | setting | without it |
/// |---|---|
/// | `appendonly yes` | a restart loses the changes since the last snapshot: revoked keys work again |
/// | `appendfsync always` | a power failure loses the last second |
/// | `min-replicas-to-write 1`, `min-replicas-max-lag 10` | a primary that is cut off from its replicas, one of which has taken over, continues to accept keys on its side for as long as that lasts; with them, it refuses look-ups and changes ten seconds later |
/// | `replica-serve-stale-data no` | other programs that read from a replica read outdated data; this store does not read there |
/// | `replica-read-only yes`, the default | a former primary that is writable continues to answer; nodes leave it within a minute |
///
/// **Failover.** Replicas are asynchronous: the successor may lack the last changes, and Redis has no
/// setting against it (`WAIT` waits and undoes nothing). If no acknowledged revocation may be lost,
/// keep keys in PostgreSQL. Once a server is a replica, it refuses look-ups, lists, changes, heartbeats
/// and limits itself, and the next request asks the server to which the URL then leads. So a node
/// accepts no key that was revoked meanwhile, and one with a cache none for longer than three
/// heartbeats. If a replaced server does not become a replica, nodes leave it within the
/// [lifetime](RedisStoreBuilder::connection_lifetime) of a connection, if new ones lead to its
/// successor. `FAILOVER` and `CLIENT PAUSE` delay look-ups together with writes: give them a time-out.
/// A primary that cannot write to its disk refuses changes, and continues to find keys.
///
/// **Sentinel.** With a URL such as `redis+sentinel://host-1:26379,host-2:26379/name/0`, all sentinels
/// are asked for each new connection, and the one with the latest failover is used.
///
/// **Restore.** Changes that a backup does not have are undone: keys that were revoked since then are
/// valid again, and keys that were issued since then are unknown. Keep a record of changes elsewhere,
/// with [`JsonLinesAudit`](super::JsonLinesAudit) or `--audit-file` of `api-keys`. With the servers of
/// the application stopped or cut off:
///
/// 1. Restore the file, or let the successor take over, and start the server.
/// 2. Repeat the revocations: `api-keys revoke --ids-stdin` takes the ids from that record.
/// 3. Start the servers of the application, and clear their caches: `api-keys invalidate`, or
///    [`invalidate_everywhere`](super::KeyRepository::invalidate_everywhere).
///
/// # Examples
///
/// ```no_run
/// use tower_api_key::{ApiKeyLayer, RedisStore};
///
/// # async fn start() -> Result<(), tower_api_key::StoreError> {
/// let keys = RedisStore::connect("redis://127.0.0.1:6379").await?;
/// let layer = ApiKeyLayer::new(keys);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStore {
    /// For look-ups alone.
    connection: Connection,
    /// For lists and changes, so that look-ups do not wait for their long answers.
    management: Connection,
    steps: Steps,
    /// Held while keys are counted before one is issued.
    counting: Arc<tokio::sync::Mutex<()>>,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Connects to the server at `url`, such as `redis://:password@127.0.0.1:6379/0`, or to the primary
    /// that sentinels name:
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::RedisStore;
    ///
    /// let url = "redis+sentinel://:password@host-1:26379,host-2:26379/name-of-the-primary/0";
    /// let keys = RedisStore::connect(url).key_prefix("{acme}:").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// User and password are those of the server. Sentinels with a password are not supported.
    pub fn connect(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::url(url)
    }

    /// Connects by `client`, for example one with certificates.
    ///
    /// Set `TCP_NODELAY` in its connection's settings, as [`connect`](Self::connect) does.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::RedisStore;
    ///
    /// let client = redis::Client::open("redis://127.0.0.1:6379")?;
    /// let keys = RedisStore::from_client(client).key_prefix("{acme}:").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_client(client: Client) -> RedisStoreBuilder {
        RedisStoreBuilder::client(client)
    }

    fn over(connection: Connection, prefix: Arc<str>) -> Self {
        let management = connection.demanding(|_| {});
        Self { connection, management, steps: Steps::new(), counting: Arc::default(), prefix }
    }

    /// Returns why it is not known whether the server is a primary, evicts keys or is part of a
    /// cluster, if it could not be asked: the user may not run `INFO`, or an intermediary does not
    /// support it.
    ///
    /// A `WARN` event says so, too.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        self.connection.unchecked()
    }

    /// Returns the source that notifies a cache of changes through this store, on all nodes.
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

    /// A hash with a number for each tenant that has keys, which grows with each change of them.
    fn revisions(&self) -> String {
        self.name("revisions")
    }

    /// A sorted set of ids by the time of the last use, in microseconds; 0 means never.
    fn uses(&self) -> String {
        self.name("uses")
    }

    /// A sorted set of suspended tenants by the time of suspension, in microseconds.
    fn suspended_tenants(&self) -> String {
        self.name("suspended")
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
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
