//! [`Socket`]: how a connection is made and replaced.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, RedisError, RedisResult, ServerErrorKind};
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::Endpoint;
use super::failure::{cannot_connect, no_answer};
use super::server::Demands;

/// How long a connection may be silent while a command waits, and how long a command may take,
/// including connecting. It is less than the five seconds after which a layer gives up.
pub(super) const TIMEOUT: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the server is not contacted after it could not be reached. Commands then fail at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The pause after a connection could not be renewed.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// The current connection, and how another is made.
pub(super) struct Socket {
    pub(super) endpoint: Endpoint,
    pub(super) demands: Demands,
    pub(super) lifetime: Duration,
    current: Mutex<Option<Current>>,
    /// Held while connecting. Has the time and the reason of the last failure.
    connecting: tokio::sync::Mutex<Option<(Instant, RedisError)>>,
    /// The number of connections so far.
    opened: AtomicU64,
    /// Why the demands could not be checked, if they could not.
    unchecked: OnceLock<String>,
}

struct Current {
    /// Identifies it, because a replaced socket may fail later.
    number: u64,
    connection: MultiplexedConnection,
    opened_at: Instant,
    /// Whether its successor is being made.
    is_renewed: bool,
    /// The time since which commands wait without an answer.
    waiting_since: Option<Instant>,
}

impl Socket {
    /// Connects at the first command.
    pub(super) fn new(endpoint: Endpoint, demands: Demands, lifetime: Duration) -> Self {
        let (current, connecting, opened, unchecked) = Default::default();
        Self { endpoint, demands, lifetime, current, connecting, opened, unchecked }
    }

    /// Returns the error that kept the server from reporting what it is.
    pub(super) fn unchecked(&self) -> Option<&str> {
        self.unchecked.get().map(String::as_str)
    }

    /// Returns the current connection, or a new one.
    pub(super) async fn connected(self: &Arc<Self>) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(current) = self.current() {
            if self.is_to_be_renewed(current.0) {
                tokio::spawn(Arc::clone(self).renew(current.0));
            }
            return Ok(current);
        }
        // In a task, so that it continues when the caller gives up: otherwise, if no caller waited long
        // enough, there would never be a connection.
        let socket = Arc::clone(self);
        let connecting = tokio::spawn(async move { socket.connect().await });
        connecting.await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }

    async fn connect(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut failed = self.connecting.lock().await;
        // Another caller may have been faster, or have failed just now.
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let opened = self.open().await;
        *failed = opened.as_ref().err().map(|error| (Instant::now(), error.clone()));
        self.keep(opened?);
        self.current().ok_or_else(no_answer)
    }

    /// Replaces a connection in use by a new one. If that fails, it is retried before the old one's
    /// lifetime ends, and later callers get the reason.
    async fn renew(self: Arc<Self>, number: u64) {
        match self.open().await {
            Ok(connection) => self.keep(connection),
            Err(_) => {
                sleep(RENEWAL_PAUSE).await;
                if let Some(current) = &mut *self.lock()
                    && current.number == number
                {
                    current.is_renewed = false;
                }
            }
        }
    }

    async fn open(&self) -> RedisResult<MultiplexedConnection> {
        let client = self.endpoint.client().await?;
        let opened = timeout(CONNECT_TIMEOUT, self.open_at(&client)).await;
        let opened = opened.unwrap_or_else(|_| Err(no_answer()));
        opened.map_err(|error| cannot_connect(&client, error))
    }

    async fn open_at(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // Logged once, and not for each connection.
        if let Some(error) = self.demands.check(&mut connection).await?
            && self.unchecked.set(error.to_string()).is_ok()
        {
            crate::trace::redis_unchecked(&error);
        }
        Ok(connection)
    }

    fn keep(&self, connection: MultiplexedConnection) {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let (opened_at, is_renewed, waiting_since) = (Instant::now(), false, None);
        let current = Current { number, connection, opened_at, is_renewed, waiting_since };
        *self.lock() = Some(current);
    }

    /// Tells, once, that a connection has served half of its lifetime.
    fn is_to_be_renewed(&self, number: u64) -> bool {
        let mut slot = self.lock();
        let Some(current) = slot.as_mut() else { return false };
        let is_due = current.number == number
            && !current.is_renewed
            && current.opened_at.elapsed() >= self.lifetime / 2;
        current.is_renewed |= is_due;
        is_due
    }

    /// Returns the connection, unless its lifetime is over, or it has been silent for so long that it
    /// must be dead.
    ///
    /// The next caller detects the latter, not the one that waited: look-ups of an impatient layer are
    /// dropped.
    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let mut slot = self.lock();
        let current = slot.as_mut()?;
        let since = current.waiting_since.get_or_insert_with(Instant::now);
        if since.elapsed() < TIMEOUT && current.opened_at.elapsed() < self.lifetime {
            return Some((current.number, current.connection.clone()));
        }
        *slot = None;
        None
    }

    /// Notes the result of a command.
    pub(super) fn heard(&self, number: u64, error: Option<&RedisError>) {
        let mut slot = self.lock();
        if let Some(current) = slot.as_mut()
            && current.number == number
        {
            if error.is_some_and(is_of_the_connection) {
                *slot = None;
            } else {
                current.waiting_since = None;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Current>> {
        // Nothing panics while it is held.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells whether a new connection may succeed, possibly to the successor of the server.
fn is_of_the_connection(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, ClusterDown, MasterDown, Moved, ReadOnly};

    let of_a_replica = [ReadOnly, MasterDown];
    let of_a_cluster = [Moved, Ask, ClusterDown];
    let is_one_of = |kinds: &[ServerErrorKind]| matches!(error.kind(), ErrorKind::Server(kind) if kinds.contains(&kind));
    error.is_io_error()
        || error.is_unrecoverable_error()
        || is_one_of(&of_a_replica)
        || is_one_of(&of_a_cluster)
}
