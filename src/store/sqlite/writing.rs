//! [`Writing`]: a writing connection, which is not reused if a write fails.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, query, query_scalar};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::store::share::{Place, Share};

/// The writers: SQLite has one writer at a time, and waiting writers must not take all connections from
/// readers.
#[derive(Clone)]
pub(super) struct Writers {
    pool: SqlitePool,
    turn: Arc<Mutex<()>>,
    share: Share,
    /// Whether the database ends with its connection.
    is_in_memory: bool,
}

impl Writers {
    pub(super) async fn of(pool: SqlitePool, share: Share) -> sqlx::Result<Self> {
        let file = "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = 'main'";
        let file: String = query_scalar(file).persistent(false).fetch_one(&pool).await?;
        Ok(Self { pool, turn: Arc::default(), share, is_in_memory: file.is_empty() })
    }

    /// Tells whether the database ends with its only connection.
    #[cfg(feature = "cache")]
    pub(super) const fn is_in_memory(&self) -> bool {
        self.is_in_memory
    }

    /// Waits for its turn, and takes a connection for one statement.
    pub(super) async fn take(&self) -> sqlx::Result<Writing> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let place = self.share.for_change().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let connection = self.pool.acquire().await?;
        let taken = Some((connection, Turn { _turn: turn, _place: place }));
        Ok(Writing { taken, is_in_memory: self.is_in_memory })
    }

    /// Begins a transaction that writes from the start: one that reads first may find that it cannot
    /// write.
    pub(super) async fn begin(&self) -> sqlx::Result<Writing> {
        let mut writing = self.take().await?;
        // Not by `sqlx`, which still assumes a transaction after SQLite itself has rolled it back, such
        // as when the disk is full.
        query("BEGIN IMMEDIATE").execute(writing.connection()).await?;
        Ok(writing)
    }
}

/// A writing connection. If it is dropped before [`give_back`](Self::give_back), such as when a write
/// fails or is cancelled, it is closed, and uncommitted changes are undone.
pub(super) struct Writing {
    taken: Option<(PoolConnection<Sqlite>, Turn)>,
    is_in_memory: bool,
}

/// The place that only one writer has.
struct Turn {
    _turn: OwnedMutexGuard<()>,
    _place: Place,
}

impl Writing {
    pub(super) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.taken.as_mut().expect("it has its connection until it is given back").0
    }

    /// Returns the connection to the pool.
    pub(super) fn give_back(mut self) {
        self.taken = None;
    }

    pub(super) async fn commit(self) -> sqlx::Result<()> {
        self.end("COMMIT").await
    }

    pub(super) async fn roll_back(self) -> sqlx::Result<()> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &'static str) -> sqlx::Result<()> {
        query(how).execute(self.connection()).await?;
        self.give_back();
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let Some((mut connection, turn)) = self.taken.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        let is_in_memory = self.is_in_memory;
        runtime.spawn(async move {
            if is_in_memory {
                // The database ends with it. An error means that SQLite has undone it already.
                let _ = query("ROLLBACK").execute(&mut *connection).await;
            } else {
                let _ = connection.close().await;
            }
            // The next writer has nothing left to wait for.
            drop(turn);
        });
    }
}
