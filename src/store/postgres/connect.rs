//! How the database is connected to.

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

/// Says how a [`PostgresStore`] is connected, which is done when it is awaited.
///
/// # Errors
///
/// Awaiting it returns an error if the database cannot be connected to, if it is a standby, if a pooler
/// in between gives connections to others after each transaction, if its tables belong to somebody who
/// cannot be trusted, if they or their triggers cannot be migrated or may not be read, if a newer version of this crate
/// migrated them in a way that this one cannot go on with, or if the schema or the table prefix is no
/// name.
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

    /// Keeps the tables in a schema, which is created if there is none. By default, it is the
    /// first that there is of the connection's search path, such as `public`.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Puts `prefix` in front of the names of the tables: at most 32 of the characters `A-Z`,
    /// `a-z`, `0-9` and `_`, the first of which is no digit.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Accepts tables that belong to this role, or to one of its members.
    ///
    /// It is needed where one role makes the tables and another uses them, and the first owns neither
    /// the schema nor the database. Who owns the tables can read and change every key.
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

    /// Leaves the tables as they are, and fails if they are older than this crate needs. By default
    /// they are migrated.
    ///
    /// What rights are enough then is on [a page](crate::guide::roles) of its own.
    pub fn without_migration(mut self) -> Self {
        self.may_migrate = false;
        self
    }

    /// Uses no connection for longer than this. The default is 30 seconds.
    ///
    /// It bounds for how long this node may ask yesterday's primary after a failover behind a proxy or
    /// a name that moves new connections only. The connections of
    /// `invalidations` are renewed as often at least.
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

    /// Has lists, changes and other writes, such as of when keys were last used, use so many of the
    /// connections at most. By default 2 of 10.
    ///
    /// The rest is for look-ups, which so wait for none of them: whatever this says, one connection
    /// is kept for look-ups, if the pool has several. Of several that lists and changes have, one is
    /// kept for changes, so that a revocation waits for no list. One that finds none free for as long
    /// as the pool waits for a connection is an error.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn management_connections(mut self, connections: u32) -> Self {
        assert!(connections > 0, "lists and changes need a connection");
        self.settings.share = connections;
        self
    }

    /// Looks keys up on a standby, too, if it has repeated all that was changed until `max_lag` ago. By
    /// default, a standby is refused: a key that was revoked is accepted there until it hears of it.
    ///
    /// How far it is behind is told by when the last transaction that it has repeated was committed
    /// (`pg_last_xact_replay_timestamp`), so
    ///
    /// * the clocks of both servers have to agree;
    /// * a primary that changes nothing seems to be behind. A node there that sends heartbeats for a
    ///   `CachedStore` changes something each second.
    ///
    /// Changes need the primary as before. A standby sends no notifications: of a
    /// cache over it, changes are noticed after its `max_staleness` and the lag.
    pub fn accept_standby(mut self, max_lag: Duration) -> Self {
        self.settings.max_lag = Some(max_lag);
        self
    }

    async fn connect(self) -> Result<PostgresStore, StoreError> {
        // What is wrong with the names is known without a server.
        Tables::new(self.schema.as_deref(), &self.prefix).map_err(StoreError::new)?;
        let connections = match self.database {
            Database::Options(options) => Connections::to(*options?, self.settings),
            Database::Pool(pool) => {
                warn_of_long_lives(&pool, self.settings.lifetime);
                Connections::of(pool, self.settings)
            }
        };
        // First of all: nothing is certain otherwise.
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
        // Somebody else may have made them in between.
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

/// A pool of the application's own keeps its connections for half an hour by default.
fn warn_of_long_lives(pool: &PgPool, lifetime: Duration) {
    let longest = pool.options().get_max_lifetime();
    if longest.is_none_or(|longest| longest > lifetime) {
        crate::trace::connections_live_long(longest);
    }
}

/// Refuses databases that cannot keep every text, nor compare names as this crate does.
async fn check_encoding(connection: &mut PgConnection) -> Result<(), StoreError> {
    let encoding = query_scalar("SHOW server_encoding").persistent(false);
    let encoding: String = encoding.fetch_one(connection).await.map_err(failed)?;
    match &*encoding {
        "UTF8" => Ok(()),
        _ => Err(StoreError::new(format!("the database's encoding is {encoding} and not UTF8"))),
    }
}

/// Asks where tables are created, so that all statements name it, and mean the same whatever the
/// search path of their connection is.
async fn current_schema(connection: &mut PgConnection) -> Result<String, StoreError> {
    let schema = query_scalar("SELECT current_schema()::text").persistent(false);
    let schema: Option<String> = schema.fetch_one(connection).await.map_err(failed)?;
    schema.ok_or_else(|| {
        StoreError::new("no schema of the connection's search path exists; set one to be created")
    })
}
