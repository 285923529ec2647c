//! [`Connections`]: a pool that comes back under load, and that leads to the server of today.

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

/// How long is waited for a connection: less than the five seconds that the layer waits, so that
/// the log has the reason.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long it may take to find out why there is no connection, and how long that is believed.
const REASON: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1));

/// How often all connections are made anew at most.
const TURN_OVER: Duration = Duration::from_secs(1);

/// How long a connection is used by default: half as long as a cache serves a record.
const LIFETIME: Duration = Duration::from_secs(30);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    LookUp,
    List,
    Change,
}

/// How connections are used.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// No connection is used once it is as old.
    pub(super) lifetime: Duration,
    /// How far a standby may be behind that is asked for keys.
    pub(super) max_lag: Option<Duration>,
    /// How many connections lists and changes have.
    pub(super) share: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lifetime: LIFETIME, max_lag: None, share: SHARE }
    }
}

/// A pool, and whose turn it is to take a connection from it.
///
/// A pool has one limit for waiting in line and for connecting. When its server comes back under
/// load, those who are next have waited for nearly as long as they may, and each gives up the
/// connection that it has half made, for as long as the load lasts. Here whoever is next has all
/// the time to connect, and what was begun is ended also when nobody waits for it any more.
///
/// Each server is asked whether it is a standby, and no connection is used for longer than its life:
/// after a failover, one that was made before may lead to yesterday's primary, which accepts what
/// was revoked since.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    pool: RwLock<PgPool>,
    /// Whether nobody else uses the pool.
    is_own: bool,
    /// How often all connections were made anew.
    epoch: AtomicU64,
    turns: Arc<Semaphore>,
    share: Share,
    /// How many wait for a connection.
    waiting: AtomicUsize,
    max_lag: Option<Duration>,
    #[cfg_attr(not(feature = "cache"), allow(dead_code, reason = "only a cache asks for it"))]
    lifetime: Duration,
    turned_over: std::sync::Mutex<Option<Instant>>,
    reason: Mutex<Option<(Instant, StoreError)>>,
}

/// A connection, and the turn that is over with it.
pub(super) struct Taken {
    pub(super) connection: PoolConnection<Postgres>,
    _turn: OwnedSemaphorePermit,
    _place: Option<Place>,
    connections: Connections,
    epoch: u64,
}

impl Taken {
    /// Gives the connection back, unless all were made anew meanwhile.
    pub(super) fn give_back(mut self) {
        if self.connections.epoch() != self.epoch {
            self.connection.close_on_drop();
        }
    }
}

/// Counts one who waits, until there is an answer or the wait is given up.
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
    /// Returns what returns the pool and how many wait for it, as long as there is the store.
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
            // They are tested by being asked what the server is.
            .test_before_acquire(false)
            .max_lifetime(lifetime)
            .before_acquire(move |_, connection| {
                Box::pin(async move { Ok(connection.age < lifetime) })
            });
        Self::new(pool.connect_lazy_with(options), true, settings)
    }

    /// Takes the connections of a pool that others use, too.
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

    /// Returns how to connect, which may be changed as passwords are.
    pub(super) fn options(&self) -> Arc<PgConnectOptions> {
        self.pool().connect_options()
    }

    /// Returns the longest life of a connection.
    #[cfg(feature = "cache")]
    pub(super) fn lifetime(&self) -> Duration {
        self.0.lifetime
    }

    /// Returns how far a standby may be behind that is asked for keys.
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
        // Not dropped with who waits for it.
        let taken = tokio::spawn(async move {
            let epoch = connections.epoch();
            let connection = connections.acquire(purpose).await?;
            Ok(Taken { connection, _turn: turn, _place: place, connections, epoch })
        });
        taken.await.map_err(StoreError::new)?
    }

    /// Waits for a place among the lists and changes, if it is one.
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
                    // The others may be of the same time, and new ones lead elsewhere.
                    if has_turned_over || !self.turn_over() {
                        return Err(error);
                    }
                    has_turned_over = true;
                }
            }
        }
    }

    /// Takes a connection whatever its server is.
    pub(super) async fn any(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        loop {
            let pool = self.pool();
            match pool.acquire().await {
                Ok(connection) => return Ok(connection),
                // All connections are being made anew.
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

    /// Has connections made anew: those that there are may lead to yesterday's primary. Returns whether
    /// it does so, which is once a second at most.
    ///
    /// Of a pool that others use, too, those that they use now stay.
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

    /// Like [`turn_over`](Self::turn_over), however often.
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

    /// Finds out why there is no connection. A pool only says that it has waited.
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
