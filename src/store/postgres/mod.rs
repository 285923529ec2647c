//! [`PostgresStore`]: keys in PostgreSQL.

mod attempts;
mod audit;
mod channel;
mod connect;
mod connections;
#[cfg(feature = "cache")]
mod invalidations;
mod lease;
mod migration_3;
mod migrations;
mod owners;
#[cfg(test)]
mod plans;
mod repository;
mod rights;
mod server;
mod triggers;
mod types;
mod usage;
mod usage_days;

use std::fmt;
use std::sync::Arc;

use sqlx::PgPool;

pub use self::connect::PostgresStoreBuilder;
use self::connections::Connections;
#[cfg(feature = "cache")]
pub use self::invalidations::PostgresInvalidations;
use super::sql::Statements;

/// Stores keys in PostgreSQL. Requires the feature `postgres`, Rust 1.94 and PostgreSQL 12.
///
/// [`connect`](Self::connect) creates the tables, even if several nodes start at once. Clones share the
/// store. Connections that the server closed are replaced.
///
/// For connections with TLS, add `sqlx` with one of its features, such as `tls-rustls`, to your own
/// `Cargo.toml`.
///
/// # Tables
///
/// | table | content |
/// |---|---|
/// | `api_keys` | one row for each key |
/// | `api_key_uses` | when a key was last used |
/// | `api_key_usage` | one row for each key and hour, or day once hours are too old, with the numbers of accepted and refused requests |
/// | `api_key_usage_days` | one row for each key and 32 days, with the numbers of accepted and refused requests of each day |
/// | `api_key_usage_writers` | the last batch of usage of each node |
/// | `api_key_suspensions` | the tenants that are [suspended](crate::KeyManager::suspend) |
/// | `api_key_audit` | the events of changes, with the records before and after, without digests |
/// | `api_key_migrations` | the oldest `version` whose code may use these tables, and their own, `level` |
///
/// A new version of this crate only adds to the tables, and keeps what the previous version uses: nodes
/// of both versions work at the same time, and nodes of the previous version start again after a
/// rollback.
///
/// Times are stored to the microsecond, in the years 1970 to 9999. A record that cannot be stored, such
/// as one with a zero byte in its name or with too deeply nested metadata, is an error, and so is a row
/// that cannot be read. Changes by plain SQL take effect, raise `revision`, and are notified like any
/// other change:
///
/// ```sql
/// UPDATE api_keys SET revoked_at = now() WHERE id = 'key_…' AND revoked_at IS NULL;
/// ```
///
/// # Deployment caveats
///
/// * Connect to the server, or through a pooler that keeps a connection for a session, such as
///   PgBouncer with `pool_mode = session`; it needs no other settings. A pooler that reassigns
///   connections after each transaction (`pool_mode = transaction`) mixes up prepared statements, so
///   that look-ups fail, or worse. It is refused.
/// * A server that only verifies keys needs only the [rights](crate::guide::roles) to read some of the
///   tables.
/// * A node has up to 10 connections, and two more for each cache with `invalidations`. Another two
///   exist for a moment while these are renewed, one more while the store connects, and one to find out
///   why it cannot.
/// * Of these, lists, changes and last uses have [two](PostgresStoreBuilder::management_connections),
///   so look-ups never wait for them, and a change waits for no list.
/// * Version 3 of the tables has more indexes. Changes wait while the migration creates them, some
///   seconds for a million keys; look-ups do not wait.
/// * A standby is refused, unless its lag is [accepted](PostgresStoreBuilder::accept_standby). After a
///   failover, no connection leads to the former primary for longer than its
///   [lifetime](PostgresStoreBuilder::connection_lifetime). The page about
///   [failover](crate::guide::failover) lists what a failover can lose, and the settings that prevent
///   it.
/// * A change is acknowledged when it is on the disk, even if `synchronous_commit` is `off`, and waits
///   for a synchronous standby without a time limit.
/// * The database has the encoding UTF8; any other is refused.
/// * Tables of an untrusted role are refused, because before PostgreSQL 15 every role may create tables
///   in the schema `public`. They have to belong to the connecting role, to the owner of the database
///   or of the schema, to a superuser, or to the [table owner](PostgresStoreBuilder::table_owner).
/// * A change waits at most three seconds for a row that another transaction has locked, and five for
///   any statement, and then fails; a shorter `lock_timeout` or `statement_timeout` of yours stays.
///   Only the latter bounds the time of a list. A caller that cannot wait drops the future: the change
///   is then made completely or not at all.
///
/// # Notifications
///
/// A trigger notifies of each change of `api_keys`, in its transaction. The channel is named after the
/// schema and the table, such as `public.api_keys`; if that has more than 63 bytes, it is `api_keys.`
/// and the first 32 hexadecimal digits of its SHA-256. The payload is the digest in hexadecimal digits,
/// `tenant` and its id if that was suspended or resumed, or `*` after `TRUNCATE` and [on
/// request](crate::KeyRepository::invalidate_everywhere). The triggers are `ENABLE ALWAYS`, so that
/// replicated changes are notified, too: connecting checks and repairs that, or returns the statement
/// that does.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tower_api_key::{ApiKeyLayer, PostgresStore};
///
/// let keys = PostgresStore::connect("postgres://app@localhost/app").schema("auth").await?;
/// let layer = ApiKeyLayer::new(keys);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    connections: Connections,
    statements: Arc<Statements>,
    channel: Arc<str>,
}

impl PostgresStore {
    /// Connects to the database of a URL, such as `postgres://user:password@host/database`, and creates
    /// missing tables.
    ///
    /// There are up to 10 connections. Each is tested before it is used, and is used for [half a
    /// minute](PostgresStoreBuilder::connection_lifetime).
    pub fn connect(url: &str) -> PostgresStoreBuilder {
        PostgresStoreBuilder::url(url)
    }

    /// Uses the connections of a pool.
    ///
    /// Its acquire time-out should be below the five seconds that a layer waits for a record. Its
    /// [`max_lifetime`](sqlx::pool::PoolOptions::max_lifetime) should be some 30 seconds, because after
    /// a failover a connection may lead to the former primary for that long. A longer one is a `WARN`
    /// event of the feature `tracing`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// use sqlx::postgres::PgPoolOptions;
    /// use tower_api_key::PostgresStore;
    ///
    /// let pool = PgPoolOptions::new()
    ///     .acquire_timeout(Duration::from_secs(3))
    ///     .max_lifetime(Duration::from_secs(30))
    ///     .connect("postgres://app@localhost/app")
    ///     .await?;
    /// let keys = PostgresStore::from_pool(pool).table_prefix("acme_").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn from_pool(pool: PgPool) -> PostgresStoreBuilder {
        PostgresStoreBuilder::pool(pool)
    }

    /// Returns the name of the channel for notifications of changes.
    ///
    /// Use it for a `PostgresInvalidations` over another kind of pool, or for a program of yours that
    /// listens.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Returns the source that notifies a [`CachedStore`](crate::CachedStore) of changes of these keys, on all nodes.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn invalidations(&self) -> PostgresInvalidations {
        PostgresInvalidations::of(self.connections.clone(), Arc::clone(&self.channel))
    }
}

#[cfg(feature = "metrics")]
impl PostgresStore {
    /// Returns a function for the pool and the number of waiting callers, while the store exists.
    pub(crate) fn pool_statistics(
        &self,
    ) -> impl Fn() -> Option<(sqlx::PgPool, usize)> + Send + Sync + 'static + use<> {
        self.connections.statistics()
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("table", &self.statements.tables.keys())
            .finish_non_exhaustive()
    }
}
