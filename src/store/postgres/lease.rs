//! [`Lease`]: a connection that does not keep its place in the pool when the server is gone.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, PgPool, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a server has to answer before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(1);

const HELD: &str = "a lease has its connection until it is dropped";

/// A connection of the pool, to be given back when its answers have come.
///
/// When it is dropped before, as when the layer has waited long enough, the pool would wait for the
/// server before it takes the connection back: for minutes, if the network lost the server. Here
/// it waits for a second, and closes the connection then.
pub(super) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    is_for_transaction: bool,
}

impl Lease {
    /// Takes a connection for one statement.
    pub(super) async fn of(pool: &PgPool) -> sqlx::Result<Self> {
        let connection = Some(pool.acquire().await?);
        Ok(Self { connection, is_for_transaction: false })
    }

    /// Takes a connection for a transaction, which is closed if it is dropped: when `sqlx` is
    /// dropped while it begins a transaction, the connection stays in it, and whoever had the
    /// connection next would be in it too.
    pub(super) async fn for_transaction(pool: &PgPool) -> sqlx::Result<Self> {
        let mut lease = Self::of(pool).await?;
        lease.is_for_transaction = true;
        Ok(lease)
    }

    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Deref for Lease {
    type Target = PoolConnection<Postgres>;

    fn deref(&self) -> &Self::Target {
        self.connection.as_ref().expect(HELD)
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.connection.as_mut().expect(HELD)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.is_for_transaction {
            connection.close_on_drop();
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // Reads what was on its way.
            if !matches!(timeout(PATIENCE, connection.ping()).await, Ok(Ok(()))) {
                connection.close_on_drop();
            }
        });
    }
}
