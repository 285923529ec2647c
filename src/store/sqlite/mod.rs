//! [`SqliteStore`]: keys in SQLite.

mod audit;
mod change_log;
#[cfg(feature = "cache")]
mod invalidations;
mod migration_3;
mod migrations;
mod open;
#[cfg(test)]
mod plans;
mod repository;
mod usage;
mod writing;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use sqlx::SqlitePool;

#[cfg(feature = "cache")]
pub use self::invalidations::SqliteInvalidations;
pub use self::open::SqliteStoreBuilder;
use self::writing::Writers;
use super::share::Share;
use super::sql::Statements;

/// Keeps keys in SQLite, in a file or in memory. Needs the feature `sqlite` and Rust 1.94.
///
/// [`open`](Self::open) creates the file and its tables. Several processes may use one file; a
/// change is found by all of them from the moment it was acknowledged, and is not lost by a
/// power failure: `synchronous` is `FULL`, since with less a revocation may come undone. A
/// `CachedStore` in front hears of the changes of others by `invalidations`. A clone is the same store.
///
/// A connection whose write fails, such as because the disk is full, is closed: once there is room again,
/// the next write works.
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
/// | `api_key_changes` | which keys were changed last, for caches (`invalidations`) |
/// | `api_key_migrations` | the oldest `version` whose code may use these tables, and their own, `level` |
///
/// A new version of this crate that needs more of the tables adds it, and leaves what the version
/// before reads and writes: nodes of both work at the same time, and those of the version before
/// start again after a rollback.
///
/// Times are microseconds since 1970, and `abilities`, `limits`, `restrictions` and `metadata` are
/// JSON. Times are kept to the microsecond, of the years 1970 to 9999; a record that
/// cannot be kept, such as one with metadata that are nested too deep, is an error, and so is a row
/// that cannot be read. What is changed by plain SQL counts, and raises `revision`:
///
/// ```sql
/// UPDATE api_keys SET revoked_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
/// WHERE id = 'key_…' AND revoked_at IS NULL;
/// ```
///
/// # Examples
///
/// ```
/// use tower_api_key::store::KeyChange;
/// use tower_api_key::{ApiKeyLayer, KeyRepository, KeyScheme, NewKey, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = SqliteStore::in_memory().await?; // or open("keys.db")
/// let issued = NewKey::named("reports").generate(&KeyScheme::default())?;
/// keys.commit(&[KeyChange::Insert(issued.record.clone())], &[]).await?;
/// assert_eq!(keys.get(issued.record.id()).await?.unwrap().record.name(), "reports");
/// let layer = ApiKeyLayer::new(keys);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    statements: Arc<Statements>,
    writers: Writers,
    share: Share,
}

impl SqliteStore {
    /// Opens the database in a file, and creates what is missing.
    ///
    /// A new file can be read by its owner only. The journal is a write-ahead log, so that readers
    /// and a writer do not wait for each other; it is kept in two files beside.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tower_api_key::SqliteStore;
    ///
    /// let keys = SqliteStore::open("keys.db").table_prefix("acme_").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(path: impl AsRef<Path>) -> SqliteStoreBuilder {
        SqliteStoreBuilder::file(path.as_ref())
    }

    /// Opens a database of its own in memory, which is forgotten with the store.
    pub fn in_memory() -> SqliteStoreBuilder {
        SqliteStoreBuilder::memory()
    }

    /// Takes the connections of a pool.
    ///
    /// They have to enforce foreign keys, as `sqlx` sets by default, and to be of one database: a
    /// pool of databases in memory has as many of them as connections.
    pub fn from_pool(pool: SqlitePool) -> SqliteStoreBuilder {
        SqliteStoreBuilder::pool(pool)
    }

    /// Closes the database for all clones, once nobody uses it any more.
    ///
    /// Without it nothing is lost either, but the write-ahead log stays beside the file, and
    /// belongs to it when it is copied.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(feature = "metrics")]
impl SqliteStore {
    /// Returns what returns the pool, as long as there is the store.
    pub(crate) fn weak_pool(&self) -> impl Fn() -> Option<SqlitePool> + Send + Sync + 'static {
        let (pool, statements) = (self.pool.clone(), Arc::downgrade(&self.statements));
        move || (statements.strong_count() > 0).then(|| pool.clone())
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("table", &self.statements.tables.keys())
            .finish_non_exhaustive()
    }
}
