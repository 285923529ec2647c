//! [`DatabaseArgs`] and [`Database`]: the database of the keys.

use std::path::Path;
use std::sync::Arc;

use clap::Args;
use tower_api_key::store::Propagation;
use tower_api_key::{KeyRepository, PostgresStore, RedisStore, SqliteStore};

use crate::exit::Failure;
use crate::surplus::Surplus;
use crate::url::{DatabaseUrl, UrlError, has_password};

/// The database of the keys
#[derive(Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct DatabaseArgs {
    /// The URL of the database, such as `sqlite:keys.db`, `postgres://app@host/app` or
    /// `redis://host`; by default the environment variable DATABASE_URL
    ///
    /// With Redis Sentinel, use `redis+sentinel://host-1,host-2/name`.
    /// A URL with a password belongs in DATABASE_URL: others can see the arguments of a command.
    #[arg(long, global = true, value_name = "URL")]
    database: Option<String>,
    /// PostgreSQL: the schema of the tables; by default the first of the search path
    #[arg(long, global = true, value_name = "NAME")]
    schema: Option<String>,
    /// SQLite and PostgreSQL: the prefix of the names of the tables
    #[arg(long, global = true, value_name = "PREFIX")]
    table_prefix: Option<String>,
    /// PostgreSQL: the role that created the tables, if it is neither yours nor the owner of the
    /// database or the schema
    #[arg(long, global = true, value_name = "ROLE")]
    table_owner: Option<String>,
    /// Redis: the prefix of the names of all keys; by default `{api-keys}:`
    #[arg(long, global = true, value_name = "PREFIX")]
    key_prefix: Option<String>,
}

/// Whether a missing database is created.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Refuse,
}

impl DatabaseArgs {
    pub(crate) async fn open(self, missing: Missing) -> Result<Database, Failure> {
        self.check_names()?;
        match self.url()? {
            DatabaseUrl::Sqlite(path) => self.open_sqlite(&path, missing).await,
            DatabaseUrl::Postgres(url) => self.connect_postgres(&url, missing).await,
            DatabaseUrl::Redis(url) => self.connect_redis(&url).await,
        }
    }

    fn url(&self) -> Result<DatabaseUrl, UrlError> {
        match &self.database {
            Some(url) if has_password(url) => Err(UrlError::Password),
            Some(url) => parse("--database", url),
            None => {
                let url = std::env::var_os("DATABASE_URL").ok_or(UrlError::None)?;
                parse("DATABASE_URL", url.to_str().ok_or(UrlError::NotText)?)
            }
        }
    }

    fn check_names(&self) -> Result<(), Failure> {
        for (option, name) in [
            ("--schema", &self.schema),
            ("--table-prefix", &self.table_prefix),
            ("--key-prefix", &self.key_prefix),
        ] {
            let Some(name) = name else { continue };
            match Surplus::check(name) {
                // As good as no prefix.
                Err(Surplus::Nothing) if option != "--schema" => {}
                Err(surplus) => return Err(Failure::usage(format!("{option} {surplus}"))),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn open_sqlite(self, path: &Path, missing: Missing) -> Result<Database, Failure> {
        self.refuse("--schema", self.schema.as_ref(), "SQLite")?;
        self.refuse("--table-owner", self.table_owner.as_ref(), "SQLite")?;
        self.refuse("--key-prefix", self.key_prefix.as_ref(), "SQLite")?;
        let builder = SqliteStore::open(path).table_prefix(self.table_prefix.unwrap_or_default());
        let store = match missing {
            Missing::Make => builder.await?,
            Missing::Refuse if matches!(path.try_exists(), Ok(false)) => {
                return Err(Failure::NoDatabase(path.display().to_string()));
            }
            Missing::Refuse => builder.without_migration().await?,
        };
        Ok(Database::Sqlite(store))
    }

    async fn connect_postgres(self, url: &str, missing: Missing) -> Result<Database, Failure> {
        self.refuse("--key-prefix", self.key_prefix.as_ref(), "PostgreSQL")?;
        let prefix = self.table_prefix.unwrap_or_default();
        let mut builder = PostgresStore::connect(url).table_prefix(prefix);
        if let Some(schema) = self.schema {
            builder = builder.schema(schema);
        }
        if let Some(owner) = self.table_owner {
            builder = builder.table_owner(owner);
        }
        if missing == Missing::Refuse {
            builder = builder.without_migration();
        }
        Ok(Database::Postgres(builder.await?))
    }

    async fn connect_redis(self, url: &str) -> Result<Database, Failure> {
        self.refuse("--schema", self.schema.as_ref(), "Redis")?;
        self.refuse("--table-prefix", self.table_prefix.as_ref(), "Redis")?;
        self.refuse("--table-owner", self.table_owner.as_ref(), "Redis")?;
        let mut builder = RedisStore::connect(url);
        if let Some(prefix) = self.key_prefix {
            builder = builder.key_prefix(prefix);
        }
        Ok(Database::Redis(builder.await?))
    }

    /// Refuses an option that would be ignored: the caller means another database.
    fn refuse(&self, option: &str, value: Option<&String>, kind: &str) -> Result<(), Failure> {
        match value {
            Some(_) => {
                Err(Failure::usage(format!("{option} has no meaning for {kind}: leave it out")))
            }
            None => Ok(()),
        }
    }
}

/// Parses the URL of a variable or an option.
fn parse(place: &'static str, url: &str) -> Result<DatabaseUrl, UrlError> {
    Surplus::check(url).map_err(|surplus| UrlError::Surplus(place, surplus))?;
    url.parse()
}

/// An open database.
pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
    Redis(RedisStore),
}

impl Database {
    pub(crate) fn repository(&self) -> Arc<dyn KeyRepository> {
        match self {
            Self::Sqlite(store) => Arc::new(store.clone()),
            Self::Postgres(store) => Arc::new(store.clone()),
            Self::Redis(store) => Arc::new(store.clone()),
        }
    }

    /// Returns a sentence about when servers see a change.
    pub(crate) fn when_seen(&self, propagation: Propagation) -> String {
        let notifies = match self {
            Self::Sqlite(_) => {
                "Servers with a cache see it within 250 ms if they look for changes \
                 (`SqliteStore::invalidations`), and otherwise"
            }
            Self::Postgres(_) | Self::Redis(_) => {
                "Servers with a cache see it as soon as they are notified, and otherwise"
            }
        };
        match propagation {
            Propagation::Immediate => format!(
                "Servers that ask this database see it from now on. {notifies} when what they \
                 remember is too old (`max_staleness`)."
            ),
            Propagation::Notified { at_the_latest } => {
                format!("Servers are notified, and see it within {at_the_latest:?}.")
            }
            Propagation::Within(time) => format!("Servers see it within {time:?}."),
            _ => "It is not known when servers see it.".to_owned(),
        }
    }

    /// Closes the database, so that no other files are left beside a SQLite file.
    pub(crate) async fn close(self) {
        if let Self::Sqlite(store) = self {
            store.close().await;
        }
    }
}
