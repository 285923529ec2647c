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
mod usage_days;
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

/// Stores keys in SQLite, in a file or in memory. Requires the feature `sqlite` and Rust 1.94.
///
/// [`open`](Self::open) creates the file and its tables. Several processes may use one file: all of
/// them see a change once it is acknowledged, and a power failure does not lose it, because
/// `synchronous` is `FULL`. A `CachedStore` in front is notified of changes by other processes with
/// `invalidations`. Clones share the store.
///
/// A connection whose write fails, such as on a full disk, is closed: once there is space, the next
/// write works.
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
/// | `api_key_changes` | the last changed keys, for caches (`invalidations`) |
/// | `api_key_migrations` | the oldest `version` whose code may use these tables, and their own, `level` |
///
/// A new version of this crate only adds to the tables, and keeps what the previous version uses: nodes
/// of both versions work at the same time, and nodes of the previous version start again after a
/// rollback.
///
/// Times are microseconds since 1970, in the years 1970 to 9999, and `abilities`, `limits`,
/// `restrictions` and `metadata` are JSON. A record that cannot be stored, such as one with too deeply
/// nested metadata, is an error, and so is a row that cannot be read. Changes by plain SQL take effect,
/// and raise `revision`:
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
    /// Opens the database in a file, and creates missing files and tables.
    ///
    /// Only its owner can read a new file. The journal is a write-ahead log, so that readers and a
    /// writer do not wait for each other; it is in two files beside the database.
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

    /// Opens a new database in memory, which is lost with the store.
    pub fn in_memory() -> SqliteStoreBuilder {
        SqliteStoreBuilder::memory()
    }

    /// Uses the connections of a pool.
    ///
    /// The connections must enforce foreign keys, which is the default of `sqlx`, and use the same database:
    /// in memory, each connection of a pool has a database of its own.
    pub fn from_pool(pool: SqlitePool) -> SqliteStoreBuilder {
        SqliteStoreBuilder::pool(pool)
    }

    /// Closes the database for all clones, once nothing uses it any more.
    ///
    /// Without it, nothing is lost, but the write-ahead log stays beside the file, and must be copied
    /// with it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(feature = "metrics")]
impl SqliteStore {
    /// Returns a function that returns the pool while the store exists.
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
