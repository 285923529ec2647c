//! [`PostgresStoreBuilder`]: the settings of a store, and its first connection.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgConnectOptions;
use sqlx::{PgConnection, PgPool, query_scalar};

use super::channel::channel;
use super::connections::{Connections, Purpose, Settings};
use super::repository::DIALECT;
use super::server::refuse_transaction_pooling;
use super::{PostgresStore, migrations, owners, rights, triggers};
use crate::store::StoreError;
use crate::store::sql::{Statements, Tables, failed};

/// Configures a [`PostgresStore`]. Awaiting it connects to the database.
///
/// # Errors
///
/// Awaiting it returns an error if
///
/// * the database cannot be reached, or is a standby;
/// * a pooler in between reassigns connections after each transaction;
/// * the tables belong to an untrusted role;
/// * the tables or their triggers cannot be migrated, or may not be read;
/// * a newer version of this crate migrated the tables in a way that this version does not support;
/// * the schema or the table prefix is not a valid name.
#[must_use = "nothing is connected unless it is awaited"]
pub struct PostgresStoreBuilder {
    database: Database,
    schema: Option<String>,
    prefix: String,
    table_owner: Option<String>,
    may_migrate: bool,
    settings: Settings,
}

enum Database {
    Options(Result<Box<PgConnectOptions>, StoreError>),
    Pool(PgPool),
}

impl PostgresStoreBuilder {
    pub(super) fn url(url: &str) -> Self {
        let options = url.parse().map(Box::new).map_err(failed);
        Self::new(Database::Options(options))
    }

    pub(super) fn pool(pool: PgPool) -> Self {
        Self::new(Database::Pool(pool))
    }

    fn new(database: Database) -> Self {
        let (schema, table_owner) = (None, None);
        let (prefix, may_migrate) = (String::new(), true);
        let settings = Settings::default();
        Self { database, schema, prefix, table_owner, may_migrate, settings }
    }

    /// Keeps the tables in a schema, which is created if it does not exist. The default is the first
    /// existing schema of the connection's search path, such as `public`.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Puts `prefix` in front of the names of the tables: at most 32 of the characters `A-Z`,
    /// `a-z`, `0-9` and `_`, not starting with a digit.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Accepts tables that belong to this role, or to one of its members.
    ///
    /// It is needed if one role creates the tables and another uses them, and the first owns neither
    /// the schema nor the database. The owner of the tables can read and change every key.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::PostgresStore;
    ///
    /// let keys = PostgresStore::connect("postgres://app@localhost/app")
    ///     .table_owner("app_migrations")
    ///     .without_migration()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn table_owner(mut self, role: impl Into<String>) -> Self {
        self.table_owner = Some(role.into());
        self
    }

    /// Does not migrate the tables, and fails if they are older than this crate needs. By default
    /// they are migrated.
    ///
    /// A [page of the guide](crate::guide::roles) lists the rights that are then enough.
    pub fn without_migration(mut self) -> Self {
        self.may_migrate = false;
        self
    }

    /// Uses no connection for longer than this. The default is 30 seconds.
    ///
    /// After a failover behind a proxy or a host name, only new connections lead to the new primary: this is
    /// the longest time for which this node may still ask the former one. The connections of
    /// `invalidations` are renewed at least as often.
    ///
    /// For the connections of your own [pool](PostgresStore::from_pool), set its
    /// [`max_lifetime`](sqlx::pool::PoolOptions::max_lifetime) instead.
    ///
    /// # Panics
    ///
    /// Panics if it is less than a second.
    pub fn connection_lifetime(mut self, lifetime: Duration) -> Self {
        assert!(lifetime >= Duration::from_secs(1), "a connection lives for a second at least");
        self.settings.lifetime = lifetime;
        self
    }

    /// Sets how many connections lists, changes and other writes, such as of last uses, may use. The
    /// default is 2 of 10.
    ///
    /// The rest is for look-ups, which so do not wait for lists and changes. If the pool has several
    /// connections, one is always reserved for look-ups. If lists and changes have several, one is
    /// reserved for changes, so that a revocation waits for no list. A list or change that gets no
    /// connection within the pool's time-out is an error.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn management_connections(mut self, connections: u32) -> Self {
        assert!(connections > 0, "lists and changes need a connection");
        self.settings.share = connections;
        self
    }

    /// Looks up keys on a standby, too, if it has replayed all changes from before `max_lag` ago. By default,
    /// a standby is refused, because it accepts a revoked key until it has replayed the revocation.
    ///
    /// The lag is the time since the commit of the last replayed transaction
    /// (`pg_last_xact_replay_timestamp`), so
    ///
    /// * the clocks of both servers must agree;
    /// * the standby of an idle primary seems to lag. A node at the primary that sends heartbeats for a
    ///   `CachedStore` prevents that, with a change each second.
    ///
    /// Changes still need the primary. A standby sends no notifications: a cache over it applies
    /// changes after its `max_staleness` and the lag.
    pub fn accept_standby(mut self, max_lag: Duration) -> Self {
        self.settings.max_lag = Some(max_lag);
        self
    }

    async fn connect(self) -> Result<PostgresStore, StoreError> {
        // Invalid names are found without a server.
        Tables::new(self.schema.as_deref(), &self.prefix).map_err(StoreError::new)?;
        let connections = match self.database {
            Database::Options(options) => Connections::to(*options?, self.settings),
            Database::Pool(pool) => {
                warn_of_long_lives(&pool, self.settings.lifetime);
                Connections::of(pool, self.settings)
            }
        };
        // First of all: no other check is reliable behind such a pooler.
        let options = connections.options();
        refuse_transaction_pooling(&mut *connections.any().await?, &options).await?;
        let mut taken = connections.take(Purpose::LookUp).await?;
        let connection = &mut *taken.connection;
        check_encoding(connection).await?;
        let schema = match self.schema {
            Some(schema) => schema,
            None => current_schema(connection).await?,
        };
        let tables = Tables::new(Some(&schema), &self.prefix).map_err(StoreError::new)?;
        let (owner, may_migrate) = (self.table_owner.as_deref(), self.may_migrate);
        owners::check(connection, &tables, &schema, owner, may_migrate).await?;
        migrations::migrate(connection, &tables, &schema, may_migrate).await?;
        // Another role may have created them in between.
        owners::check(connection, &tables, &schema, owner, may_migrate).await?;
        triggers::check(connection, &tables, may_migrate).await?;
        rights::check(connection, &tables).await?;
        taken.give_back();
        let channel = channel(&schema, &tables.bare("api_keys")).into();
        let statements = Arc::new(Statements::new(tables, DIALECT));
        Ok(PostgresStore { connections, statements, channel })
    }
}

impl IntoFuture for PostgresStoreBuilder {
    type Output = Result<PostgresStore, StoreError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.connect())
    }
}

impl fmt::Debug for PostgresStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStoreBuilder")
            .field("schema", &self.schema)
            .field("prefix", &self.prefix)
            .field("table_owner", &self.table_owner)
            .field("may_migrate", &self.may_migrate)
            .field("lifetime", &self.settings.lifetime)
            .field("max_lag", &self.settings.max_lag)
            .field("management_connections", &self.settings.share)
            .finish_non_exhaustive()
    }
}

/// The pool of an application keeps its connections for half an hour by default.
fn warn_of_long_lives(pool: &PgPool, lifetime: Duration) {
    let longest = pool.options().get_max_lifetime();
    if longest.is_none_or(|longest| longest > lifetime) {
        crate::trace::connections_live_long(longest);
    }
}

/// Refuses databases that cannot store every text, or do not compare names like this crate.
async fn check_encoding(connection: &mut PgConnection) -> Result<(), StoreError> {
    let encoding = query_scalar("SHOW server_encoding").persistent(false);
    let encoding: String = encoding.fetch_one(connection).await.map_err(failed)?;
    match &*encoding {
        "UTF8" => Ok(()),
        _ => Err(StoreError::new(format!("the database's encoding is {encoding} and not UTF8"))),
    }
}

/// Asks in which schema tables are created. All statements name it, so that they do not depend on the
/// search path of their connection.
async fn current_schema(connection: &mut PgConnection) -> Result<String, StoreError> {
    let schema = query_scalar("SELECT current_schema()::text").persistent(false);
    let schema: Option<String> = schema.fetch_one(connection).await.map_err(failed)?;
    schema.ok_or_else(|| {
        StoreError::new("no schema of the connection's search path exists; set one to be created")
    })
}
