//! [`Server`]: the server of a connection, and its errors.

use std::fmt;
use std::io::ErrorKind;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, query_as, raw_sql};
use thiserror::Error;
use tokio::time::timeout;

use crate::store::StoreError;
use crate::store::sql::failed;

/// How often two connections are compared.
const COMPARISONS: usize = 4;

/// The time limit of a second connection.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state of a server that may be asked for keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It accepts changes.
    Primary,
    /// It replays the changes of another server, all of those until this long ago.
    Standby(Option<Duration>),
}

impl Standing {
    /// Asks a server for its state. A role or a database may be read-only by default, which does not
    /// make it a standby.
    pub(super) async fn ask(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let standing = "SELECT pg_is_in_recovery(), CASE WHEN pg_is_in_recovery() THEN \
             (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint \
             END";
        let (is_standby, lag): (bool, Option<i64>) =
            query_as(standing).fetch_one(connection).await?;
        // Its clock may be behind that of the primary.
        let lag = lag.map(|lag| Duration::from_millis(u64::try_from(lag).unwrap_or(0)));
        Ok(if is_standby { Self::Standby(lag) } else { Self::Primary })
    }
}

/// The address of a server for errors: without the user, the password and the database.
#[derive(Clone, Debug)]
pub(super) struct Server(Box<str>);

impl Server {
    pub(super) fn of(options: &PgConnectOptions) -> Self {
        let (host, port) = (options.get_host(), options.get_port());
        Self(match options.get_socket() {
            Some(directory) => format!("{}/.s.PGSQL.{port}", directory.display()).into(),
            None if host.starts_with('/') => format!("{host}/.s.PGSQL.{port}").into(),
            None if host.contains(':') && !host.starts_with('[') => {
                format!("[{host}]:{port}").into()
            }
            None => format!("{host}:{port}").into(),
        })
    }

    /// Wraps the error of a connection that could not be made.
    pub(super) fn unreachable(&self, error: sqlx::Error) -> StoreError {
        let (server, refuses) = (self.clone(), refuses(&error));
        let source = failed(error);
        StoreError::new(if refuses {
            ServerError::Refuses { server, source }
        } else {
            ServerError::Unreachable { server, source }
        })
    }

    pub(super) fn silent(&self, within: Duration) -> StoreError {
        StoreError::new(ServerError::Silent { server: self.clone(), within })
    }

    pub(super) fn busy(&self, connections: u32, within: Duration) -> StoreError {
        StoreError::new(ServerError::Busy { server: self.clone(), connections, within })
    }

    pub(super) fn busy_for_management(&self, connections: u32, within: Duration) -> StoreError {
        let server = self.clone();
        StoreError::new(ServerError::BusyForManagement { server, connections, within })
    }

    pub(super) fn is_standby(&self) -> StoreError {
        StoreError::new(ServerError::Standby { server: self.clone() })
    }

    pub(super) fn lags(&self, lag: Option<Duration>, max_lag: Duration) -> StoreError {
        let server = self.clone();
        StoreError::new(match lag {
            Some(lag) => ServerError::Lags { server, lag, max_lag },
            None => ServerError::LagUnknown { server },
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error of a server that cannot or must not be asked.
#[derive(Debug, Error)]
enum ServerError {
    #[error(
        "PostgreSQL at {server} refuses connections: start it, or correct the host and the port"
    )]
    Refuses { server: Server, source: StoreError },
    #[error("no connection to PostgreSQL at {server}: {}", text(source))]
    Unreachable { server: Server, source: StoreError },
    #[error("PostgreSQL at {server} does not answer: no connection within {within:?}")]
    Silent { server: Server, within: Duration },
    #[error(
        "all {connections} connections to PostgreSQL at {server} are in use, none was free within \
         {within:?}: allow more of them, or find what holds them"
    )]
    Busy { server: Server, connections: u32, within: Duration },
    #[error(
        "the {connections} connections to PostgreSQL at {server} that lists and changes may use were in \
         use for {within:?}: try again, or allow more of them with `management_connections`"
    )]
    BusyForManagement { server: Server, connections: u32, within: Duration },
    #[error(
        "PostgreSQL at {server} is a standby, which learns of revocations late: connect to the \
         primary, or accept a lag with `accept_standby`"
    )]
    Standby { server: Server },
    #[error(
        "PostgreSQL at {server} is a standby that is {lag:?} behind, and {max_lag:?} is accepted: \
         connect to the primary, or check the replication"
    )]
    Lags { server: Server, lag: Duration, max_lag: Duration },
    #[error(
        "PostgreSQL at {server} is a standby that has replayed no change yet, so its lag is \
         not known: connect to the primary, or check the replication"
    )]
    LagUnknown { server: Server },
    #[error(
        "what answers at {server} gives a connection to others after each transaction, as PgBouncer \
         does with `pool_mode = transaction`, which mixes up prepared statements: set `pool_mode = \
         session` for this database, or connect to the server itself"
    )]
    PoolsTransactions { server: Server },
}

fn refuses(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused)
}

/// The text of a database error, without its wrappers.
fn text(error: &StoreError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// Refuses a pooler that reassigns a connection between two transactions.
///
/// Two connections that are open at the same time never have the same server process, and the process
/// of a connection never changes.
pub(super) async fn refuse_transaction_pooling(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
) -> Result<(), StoreError> {
    let server = Server::of(options);
    // A node needs several connections, so a pooler with only one is of no use to it.
    let other = timeout(PATIENCE, options.connect()).await.map_err(|_| server.silent(PATIENCE))?;
    let mut other = other.map_err(|error| server.unreachable(error))?;
    let mut before = None;
    for _ in 0..COMPARISONS {
        let now = [process(connection).await?, process(&mut other).await?];
        if now[0] == now[1] || before.is_some_and(|before| before != now) {
            return Err(StoreError::new(ServerError::PoolsTransactions { server }));
        }
        before = Some(now);
    }
    other.close().await.map_err(failed)
}

/// Returns the server process of a connection, without preparing a statement, which such a pooler may
/// not support.
async fn process(connection: &mut PgConnection) -> Result<i32, StoreError> {
    let row = raw_sql("SELECT pg_backend_pid()").fetch_one(connection).await.map_err(failed)?;
    sqlx::Row::try_get(&row, 0).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_without_its_user_and_password() {
        let named = |url: &str| Server::of(&url.parse().unwrap()).to_string();
        assert_eq!(named("postgres://app:hunter2@db.internal:5433/keys"), "db.internal:5433");
        assert_eq!(named("postgres://app:hunter2@[::1]:5433/keys"), "[::1]:5433");
        assert_eq!(
            named("postgres://app:hunter2@localhost/keys?host=/run/postgresql&port=5433"),
            "/run/postgresql/.s.PGSQL.5433"
        );
    }

    #[test]
    fn a_refusal_names_the_server_and_what_to_do() {
        let server = Server("db:5432".into());
        let refused = sqlx::Error::Io(ErrorKind::ConnectionRefused.into());
        let error = server.unreachable(refused).to_string();
        assert!(error.contains("at db:5432 refuses connections: start it"), "{error}");
        let other = server.unreachable(sqlx::Error::Io(ErrorKind::TimedOut.into())).to_string();
        assert_eq!(other.matches("the key store failed").count(), 1, "{other}");
    }
}
