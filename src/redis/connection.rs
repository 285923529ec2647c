//! [`Connection`]: a connection to Redis that is made anew when it fails.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "cache")]
use redis::aio::PubSubStream;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo as _, Pipeline, RedisError,
    RedisFuture, RedisResult, ServerErrorKind, Value,
};
use tokio::time::{Instant, timeout};

/// How long a command may take, together with the connecting before it. It is less than the five
/// seconds after which a layer gives up.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For how long the server is left alone after it could not be reached. Commands fail at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Commands to one server over one socket, in turn. A clone uses the same socket.
///
/// A command fails within three seconds, and the next one has a new connection if it was the
/// connection's fault. The `ConnectionManager` of the crate `redis` would do but for two things: it
/// keeps a connection on which nothing is answered any more, such as one to a host that is gone,
/// and it gives up for good when a server that comes back refuses it by other means than closing
/// the socket, such as with a password that is not set yet.
#[derive(Clone)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    repeats: bool,
}

struct Shared {
    client: Client,
    current: Mutex<Option<Current>>,
    /// Held by whoever connects. Says when and why nobody could.
    connecting: tokio::sync::Mutex<Option<(Instant, RedisError)>>,
    /// How many connections there were.
    opened: AtomicU64,
}

struct Current {
    /// Tells it from others, since a socket that is replaced may fail once more.
    number: u64,
    connection: MultiplexedConnection,
    /// Since when somebody asks and nobody is answered.
    waiting_since: Option<Instant>,
}

impl Connection {
    /// Connects when it is first asked.
    pub(crate) fn new(client: Client) -> Self {
        let (current, connecting, opened) = Default::default();
        Self { shared: Arc::new(Shared { client, current, connecting, opened }), repeats: false }
    }

    /// Connects now.
    pub(crate) async fn open(url: &str) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let connection = Self::new(Client::open(info.set_tcp_settings(tcp))?);
        redis::cmd("PING").query_async::<()>(&mut connection.clone()).await?;
        Ok(connection)
    }

    /// Asks once more if the connection turns out to be closed, as it may have been while nobody
    /// asked. For commands that may be run twice.
    pub(crate) fn repeating(&self) -> Self {
        Self { repeats: true, ..self.clone() }
    }

    /// Subscribes to a channel on a connection of its own, which ends when it is lost.
    #[cfg(feature = "cache")]
    pub(crate) async fn subscribe(&self, channel: &str) -> RedisResult<PubSubStream> {
        in_time(async {
            let mut subscription = self.shared.client.get_async_pubsub().await?;
            subscription.subscribe(channel).await?;
            Ok(subscription.into_on_message())
        })
        .await
    }

    async fn ask<T, F>(&self, send: impl Fn(MultiplexedConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        in_time(async {
            match self.ask_once(&send).await {
                Err(error) if self.repeats && error.is_connection_dropped() => {
                    self.ask_once(&send).await
                }
                answer => answer,
            }
        })
        .await
    }

    async fn ask_once<T, F>(&self, send: impl Fn(MultiplexedConnection) -> F) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let (number, connection) = self.connected().await?;
        let answer = send(connection).await;
        self.shared.heard(number, answer.as_ref().err());
        answer
    }

    async fn connected(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        if let Some(current) = self.shared.current() {
            return Ok(current);
        }
        // In a task, so that it goes on when who asks gives up: there would never be a connection
        // if nobody waited for one long enough.
        let shared = Arc::clone(&self.shared);
        let connecting = tokio::spawn(async move { shared.connect().await });
        connecting.await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
    }
}

impl Shared {
    async fn connect(&self) -> RedisResult<(u64, MultiplexedConnection)> {
        let mut failed = self.connecting.lock().await;
        // Somebody else may have been faster, or have failed just now.
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None);
        let connected = self.client.get_multiplexed_async_connection_with_config(&config).await;
        *failed = connected.as_ref().err().map(|error| (Instant::now(), error.clone()));
        connected.map(|connection| self.keep(connection))
    }

    fn keep(&self, connection: MultiplexedConnection) -> (u64, MultiplexedConnection) {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        let waiting_since = Some(Instant::now());
        let current = Current { number, connection: connection.clone(), waiting_since };
        *self.lock() = Some(current);
        (number, connection)
    }

    /// Returns the connection, unless it has been silent for so long that it must be dead.
    ///
    /// That is seen by the next who asks, and not by who waited: the lookups of a layer that is
    /// less patient are dropped.
    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let mut slot = self.lock();
        let current = slot.as_mut()?;
        let since = current.waiting_since.get_or_insert_with(Instant::now);
        if since.elapsed() < TIMEOUT {
            return Some((current.number, current.connection.clone()));
        }
        *slot = None;
        None
    }

    /// Notes that a command was answered, or why not.
    fn heard(&self, number: u64, error: Option<&RedisError>) {
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

/// Tells whether another connection may fare better, also one to whichever server has taken over.
fn is_of_the_connection(error: &RedisError) -> bool {
    let of_a_replica = [ServerErrorKind::ReadOnly, ServerErrorKind::MasterDown];
    error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(error.kind(), ErrorKind::Server(kind) if of_a_replica.contains(&kind))
}

async fn in_time<T>(asked: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let too_late = || io::Error::new(io::ErrorKind::TimedOut, "Redis did not answer in time");
    timeout(TIMEOUT, asked).await.unwrap_or_else(|_| Err(too_late().into()))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(move |mut connection| async move {
            // For the crate, an error that the server sends is an answer.
            connection.send_packed_command(cmd).await?.extract_error()
        }))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(self.ask(move |mut connection| async move {
            connection.send_packed_commands(pipeline, offset, count).await
        }))
    }

    fn get_db(&self) -> i64 {
        self.shared.client.get_connection_info().redis_settings().db()
    }
}
