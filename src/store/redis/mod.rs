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

/// Keeps keys in Redis 7 or later, or in Valkey.
///
/// A lookup is one script, which a replica refuses: it gets the record, or those of many keys, and,
/// while any tenant is suspended, asks for that of the key. Changes are made by a script, so that
/// all of them are made or none, and are published in the same moment to those who cache. No modules
/// are needed. A clone uses the same connections, which come back by themselves and are replaced every
/// minute; a command that is not answered fails within three seconds, or within six right after a
/// restart.
///
/// A record is JSON under `{api-keys}:key:` and its digest; indices by id, tenant, time and when keys end
/// are beside it. What it says counts, whatever an index says. Fields that this version does not know are
/// ignored, and kept when the record is changed.
///
/// Audit events are not kept, since they would fill the memory of the server: give the [`KeyManager`](crate::KeyManager) a
/// [sink](super::AuditSink).
///
/// # Deployment caveats
///
/// * Look-ups have a connection of their own, and lists and changes another. A list visits 100 records a
///   step where it has to look at them, one step of a node at a time, and leaves the server to others for
///   twice as long after each. What a list asks for is compared with the records themselves, so it finds
///   what nodes of the version before have changed.
/// * A server that evicts records is refused: one whose `maxmemory-policy` is neither `noeviction` nor
///   one of `volatile-…`, which evict what expires, as no record does. Nor is it used once that is
///   changed, within a minute.
/// * Redis Cluster is not spoken. All names have the hash tag `{api-keys}`, and so are on one of its
///   servers: that is accepted, and others are refused by an error that names it. What moves there
///   later is not followed.
/// * A user whom the server lets do little needs `EVALSHA`, `EVAL`, `GET`, `MGET`, `HMGET`, `ZMSCORE`,
///   `ZRANGE`, `ZADD`, `ZREM`, `ZCARD`, `HGET`, `HSET`, `HDEL`, `SET`, `DEL`, `PUBLISH` and
///   `SUBSCRIBE`, for usage also `HINCRBY`, `EXPIREAT` and `HGETALL`, the names and the channel of the prefix, and `INFO`: without it, an event at `WARN`
///   says that it is not known whether the server is a primary or evicts.
///
/// # Replication, failover, restore
///
/// What was acknowledged is safe only as far as the server's settings go:
///
/// | setting | without it |
/// |---|---|
/// | `appendonly yes` | a restart loses what was changed since the last snapshot: revoked keys work again |
/// | `appendfsync always` | a power failure loses the last second |
/// | `min-replicas-to-write 1`, `min-replicas-max-lag 10` | a primary that was cut off from its replicas, one of which has taken over, goes on, and is believed by the nodes on its side for as long as that lasts; with them, it refuses look-ups and changes ten seconds later |
/// | `replica-serve-stale-data no` | other programs that read from a replica read what is not true any more; this store does not read there |
/// | `replica-read-only yes`, the default | a primary of yesterday that may be written to believes itself; nodes leave it within a minute |
///
/// **Failover.** Replicas are asynchronous: the successor may lack the last changes, and Redis has no
/// setting against it (`WAIT` waits and undoes nothing). Where no acknowledged revocation may be lost,
/// keep keys in PostgreSQL. From the moment in which a server is a replica it refuses look-ups, lists,
/// changes, heartbeats and limits by itself, and the next request asks whichever server the URL leads
/// to then. So a node accepts no key that was revoked meanwhile, and one with a cache none for longer
/// than three heartbeats. A server that was replaced without being told so is left within the
/// [lifetime](RedisStoreBuilder::connection_lifetime) of a connection, if new ones lead to its
/// successor. `FAILOVER` and `CLIENT PAUSE` hold look-ups up with the writes: give them a time-out.
/// A primary that cannot write to its disk refuses changes, and goes on to find keys.
///
/// **Sentinel.** A URL such as `redis+sentinel://host-1:26379,host-2:26379/name/0` has all of them asked
/// for each new connection, and the one believed that heard last of a failover.
///
/// **Restore.** What a backup does not have is undone: keys that were revoked since then are valid
/// again, and keys that were issued since then are not. Keep a record of changes elsewhere, as
/// [`JsonLinesAudit`](super::JsonLinesAudit) does, and `--audit-file` of `api-keys`. With the servers of
/// the application stopped or cut off:
///
/// 1. Restore the file, or have the successor take over, and start the server.
/// 2. Revoke again: `api-keys revoke --ids-stdin` takes the ids from that record.
/// 3. Let the servers of the application in, and have them forget what they know:
///    `api-keys invalidate`, or [`invalidate_everywhere`](super::KeyRepository::invalidate_everywhere).
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
    /// For lists and changes, whose long answers nobody else has to wait for.
    management: Connection,
    steps: Steps,
    /// Held by those who count keys before they issue one.
    counting: Arc<tokio::sync::Mutex<()>>,
    prefix: Arc<str>,
}

impl RedisStore {
    /// Connects to the server at `url`, such as `redis://:password@127.0.0.1:6379/0`, or to the one
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
    /// User and password are those of the server. Sentinels with a password are not spoken to.
    pub fn connect(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::url(url)
    }

    /// Connects by `client`, such as one with certificates.
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

    /// Returns why it is not known whether the server is a primary, evicts keys or is part of a cluster,
    /// if it could not be asked: the user may not run `INFO`, or something in between does not know it.
    ///
    /// An event at `WARN` says so, too.
    #[must_use]
    pub fn unchecked(&self) -> Option<&str> {
        self.connection.unchecked()
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

    /// A hash with a number for each tenant that has keys, which grows with each change of them.
    fn revisions(&self) -> String {
        self.name("revisions")
    }

    /// A sorted set with each id, by when it was last used in microseconds; 0 is never.
    fn uses(&self) -> String {
        self.name("uses")
    }

    /// A sorted set of the suspended tenants, by since when they are, in microseconds.
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
