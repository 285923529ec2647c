//! [`Connections`]: a pool that recovers under load, and that leads to the current server.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Error, PgPool, Postgres};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::server::{Server, Standing};
use crate::store::StoreError;
use crate::store::share::{Place, SHARE, Share};

/// How long to wait for a connection: less than the five seconds that the layer waits, so that
/// the log has the reason.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// The time limit for finding out why there is no connection, and how long the reason is reused.
const REASON: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1));

/// The shortest time between two replacements of all connections.
const TURN_OVER: Duration = Duration::from_secs(1);

/// How long a connection is used by default: half as long as a cache serves a record.
const LIFETIME: Duration = Duration::from_secs(30);

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    LookUp,
    List,
    Change,
}

/// How connections are used.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// The maximum age of a connection.
    pub(super) lifetime: Duration,
    /// The maximum lag of a standby that is asked for keys.
    pub(super) max_lag: Option<Duration>,
    /// The number of connections for lists and changes.
    pub(super) share: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lifetime: LIFETIME, max_lag: None, share: SHARE }
    }
}

/// A pool, and a queue of the callers that take connections from it.
///
/// A pool has one limit for waiting in line and for connecting. When its server comes back under
/// load, the next caller has nearly used up its time, and gives up a connection that is half made; so
/// does each one after it, while the load lasts. Here the next caller has the full time to connect, and a
/// begun connection is completed even if no caller waits for it any more.
///
/// Each server is asked whether it is a standby, and no connection is used for longer than its lifetime:
/// after a failover, an old connection may lead to the former primary, which accepts keys that were
/// revoked since.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    pool: RwLock<PgPool>,
    /// Whether only this store uses the pool.
    is_own: bool,
    /// How often all connections were replaced.
    epoch: AtomicU64,
    turns: Arc<Semaphore>,
    share: Share,
    /// How many callers wait for a connection.
    waiting: AtomicUsize,
    max_lag: Option<Duration>,
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "only a cache asks for it"))]
    lifetime: Duration,
    turned_over: std::sync::Mutex<Option<Instant>>,
    reason: Mutex<Option<(Instant, StoreError)>>,
}

/// A connection, and the turn that ends with it.
pub(super) struct Taken {
    pub(super) connection: PoolConnection<Postgres>,
    _turn: OwnedSemaphorePermit,
    _place: Option<Place>,
    connections: Connections,
    epoch: u64,
}

impl Taken {
    /// Returns the connection to the pool, unless all were replaced meanwhile.
    pub(super) fn give_back(mut self) {
        if self.connections.epoch() != self.epoch {
            self.connection.close_on_drop();
        }
    }
}

/// Counts a waiting caller, until there is an answer or the wait is given up.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn of(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connections {
    /// Returns a function for the pool and the number of waiting callers, while the store exists.
    #[cfg(feature = "metrics")]
    pub(super) fn statistics(
        &self,
    ) -> impl Fn() -> Option<(PgPool, usize)> + Send + Sync + 'static + use<> {
        let shared = Arc::downgrade(&self.0);
        move || {
            let connections = Self(shared.upgrade()?);
            Some((connections.pool(), connections.0.waiting.load(Ordering::Relaxed)))
        }
    }

    /// Makes a pool.
    pub(super) fn to(options: PgConnectOptions, settings: Settings) -> Self {
        let lifetime = settings.lifetime;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name(env!("CARGO_PKG_NAME")),
        };
        // PgBouncer refuses what `sqlx` sets by default, which only matters for floating-point numbers.
        let options = options.extra_float_digits(None);
        let pool = PgPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // Asking for the server's state tests the connection.
            .test_before_acquire(false)
            .max_lifetime(lifetime)
            .before_acquire(move |_, connection| {
                Box::pin(async move { Ok(connection.age < lifetime) })
            });
        Self::new(pool.connect_lazy_with(options), true, settings)
    }

    /// Uses the connections of a shared pool.
    pub(super) fn of(pool: PgPool, settings: Settings) -> Self {
        Self::new(pool, false, settings)
    }

    fn new(pool: PgPool, is_own: bool, settings: Settings) -> Self {
        let Settings { lifetime, max_lag, share } = settings;
        let share = Share::new(share, pool.options().get_max_connections());
        let turns = usize::try_from(pool.options().get_max_connections());
        let turns = turns.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            pool: RwLock::new(pool),
            is_own,
            epoch: AtomicU64::new(0),
            turns: Arc::new(Semaphore::new(turns)),
            share,
            waiting: AtomicUsize::new(0),
            max_lag,
            lifetime,
            turned_over: std::sync::Mutex::default(),
            reason: Mutex::default(),
        }))
    }

    pub(super) fn pool(&self) -> PgPool {
        self.0.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the connection options, which can change, such as when a password does.
    pub(super) fn options(&self) -> Arc<PgConnectOptions> {
        self.pool().connect_options()
    }

    /// Returns the maximum lifetime of a connection.
    #[cfg(feature = "cache")]
    pub(super) fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// Returns the maximum lag of a standby that is asked for keys.
    pub(super) fn max_lag(&self) -> Option<Duration> {
        self.0.max_lag
    }

    pub(super) async fn take(&self, purpose: Purpose) -> Result<Taken, StoreError> {
        let _waiting = Waiting::of(&self.0.waiting);
        let within = self.pool().options().get_acquire_timeout();
        let deadline = Instant::now() + within;
        let Ok(place) = timeout(within, self.place(purpose)).await else {
            return Err(self.server().busy_for_management(self.0.share.size(), within));
        };
        let place = place?;
        let left = deadline.saturating_duration_since(Instant::now());
        let turn = timeout(left, Arc::clone(&self.0.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(self.reason(within).await) };
        let connections = self.clone();
        // A task, which is not dropped with the waiting caller.
        let taken = tokio::spawn(async move {
            let epoch = connections.epoch();
            let connection = connections.acquire(purpose).await?;
            Ok(Taken { connection, _turn: turn, _place: place, connections, epoch })
        });
        taken.await.map_err(StoreError::new)?
    }

    /// Waits for a place in the share, for a list or a change.
    async fn place(&self, purpose: Purpose) -> Result<Option<Place>, StoreError> {
        match purpose {
            Purpose::LookUp => Ok(None),
            Purpose::List => self.0.share.for_list().await.map(Some),
            Purpose::Change => self.0.share.for_change().await.map(Some),
        }
    }

    fn epoch(&self) -> u64 {
        self.0.epoch.load(Ordering::SeqCst)
    }

    /// Takes a connection to a server that may be asked.
    async fn acquire(&self, purpose: Purpose) -> Result<PoolConnection<Postgres>, StoreError> {
        let mut has_turned_over = false;
        let within = self.pool().options().get_acquire_timeout();
        let deadline = Instant::now() + within;
        loop {
            let mut connection = self.any().await?;
            let left = deadline.saturating_duration_since(Instant::now());
            let standing = match timeout(left, Standing::ask(&mut connection)).await {
                Ok(Ok(standing)) => standing,
                // The other side was gone already: the next one may be there.
                Ok(Err(error)) if is_over(&error) => {
                    drop(connection.detach());
                    continue;
                }
                Ok(Err(error)) => {
                    drop(connection.detach());
                    return Err(self.server().unreachable(error));
                }
                Err(_) => {
                    drop(connection.detach());
                    return Err(self.reason(within).await);
                }
            };
            match self.judge(standing, purpose) {
                Ok(()) => return Ok(connection),
                Err(error) => {
                    connection.close_on_drop();
                    drop(connection);
                    // The other connections may be as old, and new ones may lead to another server.
                    if has_turned_over || !self.turn_over() {
                        return Err(error);
                    }
                    has_turned_over = true;
                }
            }
        }
    }

    /// Takes a connection to any server.
    pub(super) async fn any(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        loop {
            let pool = self.pool();
            match pool.acquire().await {
                Ok(connection) => return Ok(connection),
                // All connections are being replaced.
                Err(Error::PoolClosed) if !self.pool().is_closed() => {}
                Err(Error::PoolTimedOut) => {
                    return Err(self.reason(pool.options().get_acquire_timeout()).await);
                }
                Err(error) => return Err(self.server().unreachable(error)),
            }
        }
    }

    fn judge(&self, standing: Standing, purpose: Purpose) -> Result<(), StoreError> {
        match (standing, self.0.max_lag) {
            (Standing::Primary, _) => Ok(()),
            (Standing::Standby(lag), Some(max_lag)) if purpose != Purpose::Change => match lag {
                Some(lag) if lag <= max_lag => Ok(()),
                _ => Err(self.server().lags(lag, max_lag)),
            },
            (Standing::Standby(_), _) => Err(self.server().is_standby()),
        }
    }

    /// Replaces all connections, because they may lead to the former primary. Returns whether it does
    /// so, which is at most once a second.
    ///
    /// Connections of a shared pool that are in use elsewhere stay.
    pub(super) fn turn_over(&self) -> bool {
        let mut turned_over = self.0.turned_over.lock().unwrap_or_else(PoisonError::into_inner);
        if turned_over.is_some_and(|at| at.elapsed() < TURN_OVER) {
            return false;
        }
        *turned_over = Some(Instant::now());
        drop(turned_over);
        self.renew();
        true
    }

    /// Like [`turn_over`](Self::turn_over), but without a limit.
    pub(super) fn renew(&self) {
        let pool = self.pool();
        if pool.is_closed() {
            return;
        }
        self.0.epoch.fetch_add(1, Ordering::SeqCst);
        if self.0.is_own {
            let options = PgConnectOptions::clone(&pool.connect_options());
            let new = pool.options().clone().connect_lazy_with(options);
            let mut current = self.0.pool.write().unwrap_or_else(PoisonError::into_inner);
            let old = std::mem::replace(&mut *current, new);
            drop(current);
            tokio::spawn(async move { old.close().await });
        } else {
            for _ in 0..pool.size() {
                let Some(connection) = pool.try_acquire() else { break };
                drop(connection.detach());
            }
        }
    }

    /// Finds out why there is no connection: the error of a pool only says that it has waited.
    async fn reason(&self, within: Duration) -> StoreError {
        let mut reason = self.0.reason.lock().await;
        if let Some((at, reason)) = &*reason
            && at.elapsed() < REASON.1
        {
            return reason.clone();
        }
        let (options, server) = (self.options(), self.server());
        let found = match timeout(REASON.0, options.connect()).await {
            Ok(Ok(connection)) => {
                tokio::spawn(connection.close());
                server.busy(self.pool().options().get_max_connections(), within)
            }
            Ok(Err(error)) => server.unreachable(error),
            Err(_) => server.silent(within),
        };
        *reason = Some((Instant::now(), found.clone()));
        found
    }

    pub(super) fn server(&self) -> Server {
        Server::of(&self.options())
    }
}

/// Tells whether a connection has ended, such as because its server was shut down.
fn is_over(error: &Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(error, Error::Io(_) | Error::Protocol(_))
        || code.is_some_and(|code| code.starts_with("57P"))
}
