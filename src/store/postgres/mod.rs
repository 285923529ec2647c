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

use std::fmt;
use std::sync::Arc;

use sqlx::PgPool;

pub use self::connect::PostgresStoreBuilder;
use self::connections::Connections;
#[cfg(feature = "cache")]
pub use self::invalidations::PostgresInvalidations;
use super::sql::Statements;

/// Keeps keys in PostgreSQL. Needs the feature `postgres`, Rust 1.94 and PostgreSQL 12.
///
/// [`connect`](Self::connect) creates the tables, also when several nodes start at once. A clone is
/// the same store. Connections that the server closed are replaced.
///
/// For connections with TLS, let your own `Cargo.toml` ask for `sqlx` with one of its features, such
/// as `tls-rustls`.
///
/// # Tables
///
/// | table | has |
/// |---|---|
/// | `api_keys` | one row a key |
/// | `api_key_uses` | when a key was last used |
/// | `api_key_usage` | one row a key and hour, or day once hours are too old, with how many requests were accepted and refused |
/// | `api_key_usage_writers` | which batch of usage each node has added last |
/// | `api_key_suspensions` | the tenants that are [suspended](crate::KeyManager::suspend) |
/// | `api_key_audit` | the events of changes, with the records before and after, without digests |
/// | `api_key_migrations` | the oldest `version` whose code may use these tables, and their own, `level` |
///
/// A new version of this crate that needs more of the tables adds it, and leaves what the version
/// before reads and writes: nodes of both work at the same time, and those of the version before
/// start again after a rollback.
///
/// Times are kept to the microsecond, of the years 1970 to 9999. A record that cannot be kept, such
/// as one with a zero byte in its name or with metadata that are nested too deep, is an error, and
/// so is a row that cannot be read. What is changed by plain SQL counts, raises `revision`,
/// and is notified as any other change:
///
/// ```sql
/// UPDATE api_keys SET revoked_at = now() WHERE id = 'key_…' AND revoked_at IS NULL;
/// ```
///
/// # Deployment caveats
///
/// * Connect to the server, or through a pooler that keeps a connection for a session, as PgBouncer does
///   with `pool_mode = session`; it needs no other settings. One that gives a connection to somebody else
///   after each transaction (`pool_mode = transaction`) mixes up prepared statements: lookups fail, or worse.
///   It is refused.
/// * A server that only verifies keys needs to read some of the tables, and no other rights:
///   [which](crate::guide::roles).
/// * A node has up to 10 connections, and two more for each
///   cache that hears of changes (`invalidations`). Another two are there for a moment when these are
///   made anew, one more while the store connects, and one to find out why there is none.
/// * Of these, lists, changes and notes of use have [two](PostgresStoreBuilder::management_connections), so
///   look-ups wait for none of them, and a change waits for no list.
/// * Version 3 of the tables has more indexes. Changes wait while the migration makes them, some seconds
///   for a million keys; look-ups do not.
/// * A standby is refused, unless its lag is [accepted](PostgresStoreBuilder::accept_standby). After a failover,
///   no connection leads to yesterday's primary for longer than it
///   [lives](PostgresStoreBuilder::connection_lifetime). What a failover can lose, and which settings prevent
///   that, is on [a page](crate::guide::failover) of its own.
/// * A change is acknowledged when it is on the disk, also where `synchronous_commit` is `off`, and waits for a
///   synchronous standby for as long as it takes.
/// * The database has the encoding UTF8; any other is refused.
/// * Tables that somebody else made are refused: before PostgreSQL 15, every role may create some in
///   the schema `public`. They have to belong to the role that connects, to the owner of the database
///   or of the schema, to a superuser, or to the
///   [table owner](PostgresStoreBuilder::table_owner) that is named.
/// * A change waits for a row that another transaction has locked for three seconds, and for any
///   statement for five, and is not made then; a shorter `lock_timeout` or `statement_timeout` of yours
///   stays. Nothing but the latter bounds how long a list takes. Whoever cannot wait drops the future: a
///   change is then made as a whole or not at all.
///
/// # Notifications
///
/// A trigger notifies of each change of `api_keys`, in its transaction, on a channel that is named
/// as the schema and the table are, such as `public.api_keys`, or, where that has more than 63
/// bytes, `api_keys.` and the first 32 hexadecimal digits of its SHA-256. The payload is the
/// digest in hexadecimal digits, `tenant` and its id if that was suspended or resumed, or `*` after `TRUNCATE` and
/// [when it is asked for](crate::KeyRepository::invalidate_everywhere). The triggers are `ENABLE ALWAYS`, so
/// that changes by a replication are notified of, too: connecting checks that and mends it, or says
/// which statement does.
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
    /// Connects to the database of a URL, such as `postgres://user:password@host/database`, and
    /// creates what is missing.
    ///
    /// There are up to 10 connections, each of which is tested before it is used, and used for
    /// [half a minute](PostgresStoreBuilder::connection_lifetime).
    pub fn connect(url: &str) -> PostgresStoreBuilder {
        PostgresStoreBuilder::url(url)
    }

    /// Takes the connections of a pool.
    ///
    /// It should wait for a connection less than the five seconds that a layer waits for the
    /// record, and have a [`max_lifetime`](sqlx::pool::PoolOptions::max_lifetime) of some 30 seconds: so
    /// long may a connection lead to yesterday's primary after a failover. A longer one is an event of the
    /// feature `tracing`, at `WARN`.
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

    /// Returns the name of the channel on which changes are notified.
    ///
    /// It is for a `PostgresInvalidations` over a pool of another kind, or for a program of yours that
    /// listens.
    #[must_use]
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Tells a [`CachedStore`](crate::CachedStore) of every change of these keys, on whichever node.
    #[cfg(feature = "cache")]
    #[must_use]
    pub fn invalidations(&self) -> PostgresInvalidations {
        PostgresInvalidations::of(self.connections.clone(), Arc::clone(&self.channel))
    }
}

#[cfg(feature = "metrics")]
impl PostgresStore {
    /// Returns what returns the pool and how many wait for it, as long as there is the store.
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
