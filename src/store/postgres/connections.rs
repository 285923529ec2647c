//! [`Connections`]: a pool that comes back under load.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Error, PgPool, Postgres};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// A pool, and whose turn it is to take a connection from it.
///
/// A pool has one limit for waiting in line and for connecting. When its server comes back under
/// load, those who are next have waited for nearly as long as they may, and each gives up the
/// connection that it has half made, for as long as the load lasts. Here whoever is next has all
/// the time to connect, and what was begun is ended also when nobody waits for it any more.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) pool: PgPool,
    turns: Arc<Semaphore>,
}

/// A connection, and the turn that is over with it.
pub(super) type Taken = (PoolConnection<Postgres>, OwnedSemaphorePermit);

impl Connections {
    pub(super) fn of(pool: PgPool) -> Self {
        let turns = usize::try_from(pool.options().get_max_connections());
        let turns = turns.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self { pool, turns: Arc::new(Semaphore::new(turns)) }
    }

    pub(super) async fn take(&self) -> sqlx::Result<Taken> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = timeout(self.pool.options().get_acquire_timeout(), turn).await;
        let turn = turn.map_err(|_| Error::PoolTimedOut)?.map_err(|_| Error::PoolClosed)?;
        let pool = self.pool.clone();
        // Not dropped with who waits for it.
        let taken = tokio::spawn(async move { pool.acquire().await.map(|taken| (taken, turn)) });
        taken.await.map_err(|_| Error::WorkerCrashed)?
    }
}
