//! [`PostgresInvalidations`]: notifications of changes by PostgreSQL.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool, Row as _};

use super::connections::{Connections, Settings};
use super::server::{Server, Standing};
use crate::store::sql::failed;
use crate::store::{Invalidation, InvalidationSource, StoreError, Subscription};

/// Notifies a [`CachedStore`](crate::store::CachedStore) of changes in PostgreSQL, by `LISTEN` and
/// `NOTIFY`.
///
/// Each node has two extra connections for it, with the settings of the pool: one listens, and one
/// sends the heartbeats. So it works even if all connections of the pool are in use. Both are renewed
/// every half minute, the new ones before the old ones are closed, because after a failover an old
/// connection may still lead to the former primary.
///
/// # Deployment caveats
///
/// * Connect to the server itself. A pooler that reassigns connections after each transaction, such as
///   PgBouncer with `pool_mode = transaction`, accepts `LISTEN` and delivers nothing. The cache
///   notices, because its heartbeats do not arrive: it logs that notifications are lost, and looks up
///   every key. [`PostgresStore`](crate::PostgresStore) does not work there either.
/// * A standby sends no notifications, and does not accept `LISTEN`.
/// * Callbacks of the pool after connecting, such as `SET ROLE`, do not run here.
/// * A heartbeat is a small transaction.
/// * If the server turns out to be another one, the [store](crate::PostgresStore::invalidations) renews
///   all its connections. A [pool](crate::PostgresStore::from_pool) that the application shares keeps
///   those that are in use at that moment: set its `max_lifetime`.
#[derive(Clone)]
pub struct PostgresInvalidations {
    connections: Connections,
    channel: Arc<str>,
    beating: Arc<Mutex<Beating>>,
}

/// The connection of the heartbeats while none is being sent.
#[derive(Default)]
struct Beating {
    connection: Option<PgConnection>,
    /// How often it was replaced.
    number: u64,
}

impl PostgresInvalidations {
    /// Listens on `channel` of the database that the pool is connected to.
    ///
    /// Its payloads are those of [`Invalidation`].
    #[must_use]
    pub fn new(pool: PgPool, channel: impl Into<Arc<str>>) -> Self {
        Self::of(Connections::of(pool, Settings::default()), channel.into())
    }

    pub(super) fn of(connections: Connections, channel: Arc<str>) -> Self {
        Self { connections, channel, beating: Arc::default() }
    }

    /// Makes a connection to a server that accepts changes: a standby sends no notifications.
    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let options = self.connections.options();
        let server = Server::of(&options);
        let connected = options.connect().await;
        let mut connection = connected.map_err(|error| server.unreachable(error))?;
        match Standing::ask(&mut connection).await.map_err(failed)? {
            Standing::Primary => Ok(connection),
            Standing::Standby(_) => Err(server.is_standby()),
        }
    }

    async fn listen(&self) -> Result<PgListener, StoreError> {
        let options = PgConnectOptions::clone(&self.connections.options());
        // A pool of its own, since a dropped listener keeps its connection until the server has
        // answered, which it may never do.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await.map_err(failed)?;
        Ok(listener)
    }

    /// Notifies in one message, and asks whether the server is a standby: a prepared statement would
    /// need a pooler's help.
    async fn notify(
        &self,
        connection: &mut PgConnection,
        message: Invalidation,
    ) -> Result<(), StoreError> {
        let channel = self.channel.replace('"', "\"\"");
        let notify = format!("SELECT pg_is_in_recovery(); NOTIFY \"{channel}\", '{message}'");
        let notified = sqlx::raw_sql(AssertSqlSafe(notify)).fetch_all(connection).await;
        for row in notified.map_err(failed)? {
            if row.try_get(0).map_err(failed)? {
                return Err(self.connections.server().is_standby());
            }
        }
        Ok(())
    }

    fn beating(&self) -> MutexGuard<'_, Beating> {
        self.beating.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl InvalidationSource for PostgresInvalidations {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        // First, because its errors say at once what is wrong with the server.
        let connection = self.connect().await?;
        let listener = self.listen().await?;
        // Of the same age as the listener. One that sends meanwhile is not kept.
        let mut beating = self.beating();
        beating.connection = Some(connection);
        beating.number += 1;
        drop(beating);
        Ok(Box::new(Listening(Some(listener))))
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        // Taken, so that a connection that fails or hangs is not used again.
        let (connection, taken) = {
            let mut beating = self.beating();
            (beating.connection.take(), beating.number)
        };
        let mut connection = match connection {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        self.notify(&mut connection, Invalidation::Heartbeat(number)).await?;
        let mut beating = self.beating();
        if beating.number == taken {
            beating.connection = Some(connection);
        }
        Ok(())
    }

    fn lifetime(&self) -> Option<Duration> {
        Some(self.connections.lifetime())
    }

    fn server_changed(&self) {
        self.connections.renew();
    }
}

/// A subscription, until it is lost: a listener would connect again without saying so.
struct Listening(Option<PgListener>);

#[async_trait]
impl Subscription for Listening {
    async fn next(&mut self) -> Result<Invalidation, StoreError> {
        let lost = || StoreError::new("the connection to PostgreSQL was lost");
        let listener = self.0.as_mut().ok_or_else(lost)?;
        match listener.try_recv().await {
            Ok(Some(notification)) => Ok(Invalidation::from_text(notification.payload())),
            other => {
                self.0 = None;
                Err(other.map_or_else(failed, |_| lost()))
            }
        }
    }
}

impl fmt::Debug for PostgresInvalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresInvalidations")
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}
