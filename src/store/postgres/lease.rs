//! [`Lease`]: a connection that does not block its place in the pool when the server is gone.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{Connection as _, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connections::{Connections, Purpose, Taken};
use crate::store::StoreError;

/// How long a server has to answer before its connection is given up.
const PATIENCE: Duration = Duration::from_secs(1);

const HELD: &str = "a lease has its connection until it is dropped";

/// A connection of the pool, to be returned once its answers have arrived.
///
/// If a connection is dropped earlier, such as after a time-out of the layer, the pool waits for the
/// server before it reuses the place: for minutes, if the network lost the server. This type waits for
/// a second, and then closes the connection.
pub(super) struct Lease {
    taken: Option<Taken>,
    is_for_transaction: bool,
}

impl Lease {
    /// Takes a connection for one statement.
    pub(super) async fn of(
        connections: &Connections,
        purpose: Purpose,
    ) -> Result<Self, StoreError> {
        let taken = Some(connections.take(purpose).await?);
        Ok(Self { taken, is_for_transaction: false })
    }

    /// Takes a connection for a transaction, and closes it if dropped: if `sqlx` is dropped while it
    /// begins a transaction, the connection stays in it, and its next user would be in it, too.
    pub(super) async fn for_transaction(connections: &Connections) -> Result<Self, StoreError> {
        let mut lease = Self::of(connections, Purpose::Change).await?;
        lease.is_for_transaction = true;
        Ok(lease)
    }

    pub(super) fn give_back(mut self) {
        if let Some(taken) = self.taken.take() {
            taken.give_back();
        }
    }

    /// Closes the connection.
    pub(super) fn close(mut self) {
        if let Some(mut taken) = self.taken.take() {
            taken.connection.close_on_drop();
        }
    }
}

impl Deref for Lease {
    type Target = PoolConnection<Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.taken.as_ref().expect(HELD).connection
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.taken.as_mut().expect(HELD).connection
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut taken) = self.taken.take() else { return };
        if self.is_for_transaction {
            taken.connection.close_on_drop();
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            // Reads what was on its way.
            if !matches!(timeout(PATIENCE, taken.connection.ping()).await, Ok(Ok(()))) {
                taken.connection.close_on_drop();
            }
            taken.give_back();
        });
    }
}
