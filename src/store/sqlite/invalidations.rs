//! [`SqliteInvalidations`]: notifications of changes by other processes in the same file.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{
    ConnectOptions as _, Row as _, SqlStr, Sqlite, SqliteConnection, SqlitePool, query,
    query_scalar,
};
use tokio::sync::broadcast::{Receiver, Sender, channel, error::TryRecvError};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::SqliteStore;
use crate::key::{KeyDigest, TenantId};
use crate::store::sql::{constant, failed};
use crate::store::{Invalidation, InvalidationSource, StoreError, Subscription};

/// How often to look for changes.
const EVERY: Duration = Duration::from_millis(100);

/// How many heartbeats are kept for a subscription that is late.
const BEATS: usize = 64;

/// Notifies a cache of changes that other processes, such as the command line, make in the file of a
/// [`SqliteStore`]. Made by [`SqliteStore::invalidations`].
///
/// SQLite has no notifications, so a subscription polls: every 100 ms, by `PRAGMA data_version` over a
/// connection of its own, which costs some microseconds and locks nothing. Only if another connection
/// has committed, it reads the table `api_key_changes`, which triggers keep. So a cache sees a change
/// within 250 ms, unless the machine is so busy that a poll takes longer than 150 ms.
///
/// The table keeps the last 4096 changes. A cache that missed more, or whose file was restored
/// meanwhile, clears its records. Heartbeats are not written to the file: one arrives after a poll that
/// began after it was sent.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::{ApiKeyLayer, CachedStore, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_api_key::StoreError> {
/// let database = SqliteStore::in_memory().await?; // or open("keys.db")
/// let source = database.invalidations();
/// let keys = CachedStore::builder(database).invalidated_by(source).build();
/// let layer = ApiKeyLayer::new(keys);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteInvalidations {
    pool: SqlitePool,
    is_in_memory: bool,
    log: Log,
    beats: Sender<u64>,
    every: Duration,
}

/// The statements over the log.
#[derive(Clone)]
struct Log {
    last: SqlStr,
    since: SqlStr,
}

impl SqliteStore {
    /// Returns the source that notifies a [`CachedStore`](crate::CachedStore) of changes by others, in
    /// this process and in all that use the same file.
    #[must_use]
    pub fn invalidations(&self) -> SqliteInvalidations {
        let changes = self.statements.tables.changes();
        let log = Log {
            last: constant(format!(
                "SELECT number, digest, tenant FROM {changes} ORDER BY number DESC LIMIT 1"
            )),
            since: constant(format!(
                "SELECT number, digest, tenant FROM {changes} WHERE number >= $1 ORDER BY number"
            )),
        };
        SqliteInvalidations {
            pool: self.pool.clone(),
            is_in_memory: self.writers.is_in_memory(),
            log,
            beats: channel(BEATS).0,
            every: EVERY,
        }
    }
}

impl SqliteInvalidations {
    /// Sets how often to look for changes. The default is every 100 ms.
    ///
    /// # Panics
    ///
    /// Panics if it is zero.
    #[must_use]
    pub fn every(mut self, period: Duration) -> Self {
        assert!(!period.is_zero(), "the period must not be 0");
        self.every = period;
        self
    }

    async fn connect(&self) -> Result<Reader, StoreError> {
        if self.pool.is_closed() {
            return Err(failed(sqlx::Error::PoolClosed));
        }
        if self.is_in_memory {
            // There is no other connection, and this one must be returned.
            return Ok(Reader::Shared);
        }
        let options = self.pool.connect_options();
        Ok(Reader::Own(Box::new(options.connect().await.map_err(failed)?)))
    }
}

#[async_trait]
impl InvalidationSource for SqliteInvalidations {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut subscription = Looks {
            // Before anything is read, so that no heartbeat is missed.
            sent: self.beats.subscribe(),
            reader: self.connect().await?,
            pool: self.pool.clone(),
            log: self.log.clone(),
            version: None,
            last: None,
            beats: Vec::new(),
            heard: VecDeque::new(),
            ticks,
        };
        let version = subscription.version().await?;
        subscription.last = subscription.read_last().await?;
        subscription.version = version;
        Ok(Box::new(subscription))
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        // Fails only without subscribers, which then need no heartbeat.
        let _ = self.beats.send(number);
        Ok(())
    }
}

impl fmt::Debug for SqliteInvalidations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteInvalidations").field("every", &self.every).finish_non_exhaustive()
    }
}

/// The connection that looks.
enum Reader {
    Own(Box<SqliteConnection>),
    /// One of the pool, taken for each look.
    Shared,
}

/// A subscription that looks again and again.
struct Looks {
    sent: Receiver<u64>,
    reader: Reader,
    pool: SqlitePool,
    log: Log,
    /// The last `data_version`, which counts the commits of other connections.
    version: Option<i64>,
    /// The last change that was read.
    last: Option<Change>,
    /// The heartbeats that were sent before the running look.
    beats: Vec<u64>,
    heard: VecDeque<Invalidation>,
    ticks: Interval,
}

/// A row of the log.
#[derive(Clone, PartialEq)]
struct Change {
    number: i64,
    of: Of,
}

/// The keys that may have changed.
#[derive(Clone, PartialEq)]
enum Of {
    Key(KeyDigest),
    Tenant(TenantId),
    All,
}

#[async_trait]
impl Subscription for Looks {
    async fn next(&mut self) -> Result<Invalidation, StoreError> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(heard);
            }
            self.ticks.tick().await;
            self.look().await?;
        }
    }
}

impl Looks {
    /// Notes all changes since the last look. Nothing is noted before all changes are read, so a dropped
    /// look loses nothing.
    async fn look(&mut self) -> Result<(), StoreError> {
        self.take_beats()?;
        let version = self.version().await?;
        if version.is_none() || version != self.version {
            let first = self.last.as_ref().map_or(0, |last| last.number);
            let since = query(self.log.since.clone()).bind(first);
            let rows = match self.reader().await? {
                Borrowed::Own(own) => since.fetch_all(own).await,
                Borrowed::Shared(mut shared) => since.fetch_all(&mut *shared).await,
            };
            let rows = rows.map_err(failed)?;
            let changes = rows.iter().map(Change::read).collect::<Result<Vec<_>, _>>()?;
            match self.follow(&changes) {
                Some(known) => {
                    self.heard.extend(changes[known..].iter().map(Change::invalidation));
                    self.last = changes.into_iter().next_back();
                }
                None => {
                    // Changes in between are covered by invalidating everything.
                    self.last = self.read_last().await?;
                    self.heard.push_back(Invalidation::Everything);
                }
            }
            self.version = version;
        }
        self.heard.extend(self.beats.drain(..).map(Invalidation::Heartbeat));
        Ok(())
    }

    /// Returns how many of these changes were read before. `None` if they do not begin with the last read
    /// change, or if any is missing.
    fn follow(&self, changes: &[Change]) -> Option<usize> {
        let known = usize::from(self.last.is_some());
        let first = self.last.as_ref().map_or(1, |last| last.number);
        let begins = changes.get(..known)?.first() == self.last.as_ref();
        let is_whole = (first..).zip(changes).all(|(number, change)| change.number == number);
        (begins && is_whole).then_some(known)
    }

    fn take_beats(&mut self) -> Result<(), StoreError> {
        if self.pool.is_closed() {
            return Err(failed(sqlx::Error::PoolClosed));
        }
        loop {
            match self.sent.try_recv() {
                Ok(number) => self.beats.push(number),
                Err(TryRecvError::Lagged(_)) => {
                    return Err(StoreError::new("the changes in SQLite are not looked at in time"));
                }
                Err(_) => return Ok(()),
            }
        }
    }

    /// Returns a number that changes with each commit of another connection. `None` if it is not known.
    async fn version(&mut self) -> Result<Option<i64>, StoreError> {
        let Reader::Own(connection) = &mut self.reader else { return Ok(None) };
        let version = query_scalar("PRAGMA data_version").fetch_one(&mut **connection).await;
        version.map(Some).map_err(failed)
    }

    async fn read_last(&mut self) -> Result<Option<Change>, StoreError> {
        let last = query(self.log.last.clone());
        let row = match self.reader().await? {
            Borrowed::Own(own) => last.fetch_optional(own).await,
            Borrowed::Shared(mut shared) => last.fetch_optional(&mut *shared).await,
        };
        row.map_err(failed)?.as_ref().map(Change::read).transpose()
    }

    async fn reader(&mut self) -> Result<Borrowed<'_>, StoreError> {
        Ok(match &mut self.reader {
            Reader::Own(connection) => Borrowed::Own(connection),
            Reader::Shared => Borrowed::Shared(self.pool.acquire().await.map_err(failed)?),
        })
    }
}

/// A connection for one statement.
enum Borrowed<'a> {
    Own(&'a mut SqliteConnection),
    Shared(PoolConnection<Sqlite>),
}

impl Change {
    fn read(row: &SqliteRow) -> Result<Self, StoreError> {
        let number = row.try_get("number").map_err(failed)?;
        let digest: Option<&[u8]> = row.try_get("digest").map_err(failed)?;
        let tenant: Option<&str> = row.try_get("tenant").map_err(failed)?;
        let of = match (digest, tenant) {
            (Some(digest), None) => digest.try_into().ok().map(KeyDigest::from_bytes).map(Of::Key),
            (None, Some(tenant)) => tenant.parse().ok().map(Of::Tenant),
            _ => None,
        };
        // A change that cannot be read may be of any key.
        Ok(Self { number, of: of.unwrap_or(Of::All) })
    }

    fn invalidation(&self) -> Invalidation {
        match &self.of {
            Of::Key(digest) => Invalidation::Key(*digest),
            Of::Tenant(tenant) => Invalidation::Tenant(tenant.clone()),
            Of::All => Invalidation::Everything,
        }
    }
}

const _: fn() = || {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<Arc<SqliteInvalidations>>();
};
