//! [`PostgresInvalidations`]: changes that PostgreSQL notifies of.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, PgPool};

use crate::store::sql::failed;
use crate::store::{Invalidation, InvalidationSource, StoreError, Subscription};

/// Tells a [`CachedStore`](crate::store::CachedStore) what is changed in PostgreSQL, by `LISTEN`
/// and `NOTIFY`.
///
/// Each node has two connections of its own for it, made as those of the pool are: one listens,
/// and one sends the heartbeats. A pool whose connections are all in use holds up neither.
///
/// # Deployment caveats
///
/// * Connect to the server itself. A pooler that gives a connection to somebody else after each
///   transaction, as PgBouncer does with `pool_mode = transaction`, accepts `LISTEN` and delivers
///   nothing. The cache notices, since it never hears its heartbeats: it logs that changes are not
///   heard of, and looks up every key. Nor does [`PostgresStore`](crate::PostgresStore) work there.
/// * A standby server notifies of nothing, and neither accepts `LISTEN`.
/// * What the pool does after it has connected, such as `SET ROLE`, is not done here.
/// * A heartbeat is a small transaction.
#[derive(Clone)]
pub struct PostgresInvalidations {
    /// For how to connect, which may be changed as passwords are.
    pool: PgPool,
    channel: Arc<str>,
    /// The connection of the heartbeats while none is being sent.
    beating: Arc<Mutex<Option<PgConnection>>>,
}

impl PostgresInvalidations {
    /// Listens on `channel` of the database that the pool is connected to.
    ///
    /// Its payloads are those of [`Invalidation`].
    #[must_use]
    pub fn new(pool: PgPool, channel: impl Into<Arc<str>>) -> Self {
        Self { pool, channel: channel.into(), beating: Arc::default() }
    }

    /// Notifies in one message: a prepared statement would need a pooler's help.
    async fn notify(
        &self,
        connection: &mut PgConnection,
        message: Invalidation,
    ) -> Result<(), sqlx::Error> {
        let channel = self.channel.replace('"', "\"\"");
        let notify = AssertSqlSafe(format!("NOTIFY \"{channel}\", '{message}'"));
        sqlx::raw_sql(notify).execute(connection).await.map(drop)
    }

    fn keep(&self, connection: Option<PgConnection>) -> Option<PgConnection> {
        let mut kept = self.beating.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut kept, connection)
    }
}

#[async_trait]
impl InvalidationSource for PostgresInvalidations {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        // A pool of its own, since a dropped listener keeps its connection until the server has
        // answered, which it may never do.
        let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = pool.connect_with(options).await.map_err(failed)?;
        let mut listener = PgListener::connect_with(&pool).await.map_err(failed)?;
        listener.eager_reconnect(false);
        listener.listen(&self.channel).await.map_err(failed)?;
        Ok(Box::new(Listening(Some(listener))))
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        // Taken, so that a connection that fails or hangs is not used again.
        let mut connection = match self.keep(None) {
            Some(connection) => connection,
            None => self.pool.connect_options().connect().await.map_err(failed)?,
        };
        let message = Invalidation::Heartbeat(number);
        self.notify(&mut connection, message).await.map_err(failed)?;
        self.keep(Some(connection));
        Ok(())
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
