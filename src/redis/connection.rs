//! [`Connection`]: a connection to Redis that reconnects after failures.

use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "cache")]
use redis::aio::PubSubStream;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value};
use tokio::time::timeout;

use super::endpoint::Endpoint;
#[cfg(feature = "cache")]
use super::failure::cannot_connect;
use super::failure::no_answer;
use super::server::Demands;
use super::socket::{Socket, TIMEOUT};

/// Commands to one server over one socket, in turn. Clones use the same socket.
///
/// A command fails within three seconds, and the next one gets a new connection if the connection was
/// at fault. The `ConnectionManager` of the crate `redis` has two faults: it keeps a connection on
/// which no answers arrive any more, such as to a host that is gone, and it gives up permanently if a
/// restarted server refuses it by other means than closing the socket, such as with a password that is
/// not set yet.
///
/// No connection is used for longer than its lifetime, and another is made after half of it:
/// intermediaries may move only new connections, so an old one may lead to the former primary. Each is
/// made to a server that meets the demands.
#[derive(Clone)]
pub(crate) struct Connection {
    socket: Arc<Socket>,
    repeats: bool,
}

impl Connection {
    /// Connects at the first command.
    pub(crate) fn new(endpoint: Endpoint, demands: Demands, lifetime: Duration) -> Self {
        Self { socket: Arc::new(Socket::new(endpoint, demands, lifetime)), repeats: false }
    }

    /// Connects now.
    pub(crate) async fn open(url: &str, demands: Demands, lifetime: Duration) -> RedisResult<Self> {
        let connection = Self::new(Endpoint::parse(url)?, demands, lifetime);
        connection.socket.connected().await?;
        Ok(connection)
    }

    /// Returns another one to the same place, with other demands.
    pub(crate) fn demanding(&self, demand: impl FnOnce(&mut Demands)) -> Self {
        let mut demands = self.socket.demands.clone();
        demand(&mut demands);
        Self::new(self.socket.endpoint.clone(), demands, self.socket.lifetime)
    }

    /// Returns why the demands could not be checked, if they could not.
    pub(crate) fn unchecked(&self) -> Option<&str> {
        self.socket.unchecked()
    }

    /// Retries once if the connection turns out to be closed, as it may be after an idle time. For
    /// commands that may be run twice.
    pub(crate) fn repeating(&self) -> Self {
        Self { repeats: true, ..self.clone() }
    }

    /// Subscribes to a channel on a connection of its own, which ends when it is lost.
    #[cfg(feature = "cache")]
    pub(crate) async fn subscribe(&self, channel: &str) -> RedisResult<PubSubStream> {
        in_time(async {
            let client = self.socket.endpoint.client().await?;
            let subscription = client.get_async_pubsub().await;
            let mut subscription = subscription.map_err(|error| cannot_connect(&client, error))?;
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
        let (number, connection) = self.socket.connected().await?;
        let answer = send(connection).await;
        self.socket.heard(number, answer.as_ref().err());
        answer
    }
}

async fn in_time<T>(asked: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    timeout(TIMEOUT, asked).await.unwrap_or_else(|_| Err(no_answer()))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.ask(move |mut connection| async move {
            // The crate returns an error of the server as an answer.
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
        self.socket.endpoint.database()
    }
}
