//! [`SqliteStoreBuilder`]: the settings of a store, and opening its database.

use std::error::Error;
use std::fmt;
use std::future::IntoFuture;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use thiserror::Error;

use super::writing::Writers;
use super::{SqliteStore, migrations};
use crate::store::StoreError;
use crate::store::share::{SHARE, Share};
use crate::store::sql::{Dialect, Statements, Tables, TablesError, failed};

const DIALECT: Dialect = Dialect {
    age_of_tenant: "created_at",
    time_of_tenant: |time| time,
    by_index: |index| format!(" INDEXED BY {index}"),
    // A transaction that writes is alone.
    locking: "",
    lower_name: "lower(name)",
    position: "instr",
    keeps_zero: true,
};

/// How long to wait for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait for a connection: less than the five seconds that the layer waits, so that
/// the log has the reason.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// Configures a [`SqliteStore`]. Awaiting it opens the database.
///
/// # Errors
///
/// Awaiting it returns an error if the database cannot be opened, if a newer version of this crate
/// migrated its tables in a way that this version does not support, or if the table prefix is not a
/// valid name.
#[must_use = "nothing is opened unless it is awaited"]
pub struct SqliteStoreBuilder {
    database: Database,
    prefix: String,
    may_migrate: bool,
    share: u32,
}

enum Database {
    File(PathBuf),
    Memory,
    Pool(SqlitePool),
}

impl SqliteStoreBuilder {
    pub(super) fn file(path: &Path) -> Self {
        // As it is called everywhere, and no file that anybody wants.
        let in_memory = path.as_os_str() == ":memory:";
        Self::new(if in_memory { Database::Memory } else { Database::File(path.to_owned()) })
    }

    pub(super) fn memory() -> Self {
        Self::new(Database::Memory)
    }

    pub(super) fn pool(pool: SqlitePool) -> Self {
        Self::new(Database::Pool(pool))
    }

    fn new(database: Database) -> Self {
        Self { database, prefix: String::new(), may_migrate: true, share: SHARE }
    }

    /// Puts `prefix` in front of the names of the tables: at most 32 of the characters `A-Z`,
    /// `a-z`, `0-9` and `_`, not starting with a digit.
    pub fn table_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Does not create or migrate the file and its tables, and fails if there is no file, or if the
    /// tables are older than this crate needs. By default they are created and migrated.
    pub fn without_migration(mut self) -> Self {
        self.may_migrate = false;
        self
    }

    /// Sets how many connections lists and changes may use. The default is 2 of 10: one for
    /// changes, which are made one after the other, and one for lists.
    ///
    /// The rest is for look-ups, which so do not wait for lists and changes. A database in memory has
    /// one connection for all.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    pub fn management_connections(mut self, connections: u32) -> Self {
        assert!(connections > 0, "lists and changes need a connection");
        self.share = connections;
        self
    }

    async fn open(self) -> Result<SqliteStore, StoreError> {
        let file = match &self.database {
            Database::File(path) => Some(path.clone()),
            Database::Memory | Database::Pool(_) => None,
        };
        let opened = self.open_unnamed().await;
        opened.map_err(|error| match file {
            Some(path) => name_file(error, path),
            None => error,
        })
    }

    async fn open_unnamed(self) -> Result<SqliteStore, StoreError> {
        let tables = Tables::new(None, &self.prefix).map_err(StoreError::new)?;
        let pool = match self.database {
            Database::File(path) => open_file(&path, self.may_migrate).await?,
            Database::Memory => open_memory().await.map_err(failed)?,
            Database::Pool(pool) => pool,
        };
        let share = Share::new(self.share, pool.options().get_max_connections());
        let writers = Writers::of(pool.clone(), share.clone()).await.map_err(failed)?;
        migrations::migrate(&pool, &writers, &tables, self.may_migrate).await?;
        let statements = Statements::new(tables, DIALECT).with_plain_parameters();
        Ok(SqliteStore { pool, statements: Arc::new(statements), writers, share })
    }
}

/// Names the file in an error. A [`TablesError`] stays as it is, because callers look for it.
fn name_file(error: StoreError, path: PathBuf) -> StoreError {
    match error.source().is_some_and(|source| source.is::<TablesError>()) {
        true => error,
        false => error.map_source(|source| FileError { path, source }),
    }
}

/// The error of a file that cannot be opened as a database.
#[derive(Debug, Error)]
#[error("the database {path:?} cannot be opened: {source}")]
struct FileError {
    path: PathBuf,
    source: Arc<dyn Error + Send + Sync>,
}

impl IntoFuture for SqliteStoreBuilder {
    type Output = Result<SqliteStore, StoreError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl fmt::Debug for SqliteStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStoreBuilder")
            .field("prefix", &self.prefix)
            .field("may_migrate", &self.may_migrate)
            .field("management_connections", &self.share)
            .finish_non_exhaustive()
    }
}

async fn open_file(path: &Path, may_create: bool) -> Result<SqlitePool, StoreError> {
    open_or_create(path, may_create).map_err(StoreError::new)?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = pool.connect_with(options).await.map_err(failed)?;
    if may_create {
        write_ahead(&pool).await.map_err(failed)?;
    }
    Ok(pool)
}

/// Sets the journal, which the file remembers.
async fn write_ahead(pool: &SqlitePool) -> sqlx::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        // SQLite itself does not wait here when another does the same.
        match sqlx::query("PRAGMA journal_mode = WAL").execute(pool).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            outcome => return outcome.map(drop),
        }
    }
}

/// Tells whether an error is `SQLITE_BUSY` in one of its variants.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}

/// Sees that there is a file that can be written. To one that is created, SQLite gives the files
/// beside it the same mode.
fn open_or_create(path: &Path, may_create: bool) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(may_create).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

async fn open_memory() -> sqlx::Result<SqlitePool> {
    let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
    // A connection has a database of its own, which ends with it: it is never closed for having
    // been idle or old, nor because a test of it was not waited for.
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
}
