//! [`RedisRateLimiter`]: rate limits that many processes share, in Redis or Valkey.

mod connect;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use redis::Client;

pub use self::connect::RedisRateLimiterBuilder;
use super::gcra::{Change, Gcra};
use super::{LimitDecision, LimiterError, RateLimiter};
use crate::clock::nanoseconds;
use crate::key::RateLimit;
use crate::redis::{Call, Connection, Demands, Eviction, LIFETIME, Script};
use crate::store::KeyRecord;

/// The longest time that the script reads: nineteen digits.
const LONGEST: u64 = 9_999_999_999_999_999_999;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("limits.lua")));

/// Counts requests in Redis 7 or later, or in Valkey, for many processes together.
///
/// The limiter is exact across processes: all processes with the same server together admit as many
/// requests as one would. A script checks all limits of a key in one round trip. It uses the server's
/// clock, and decides like [`MemoryRateLimiter`](super::MemoryRateLimiter), to the nanosecond. Clones
/// use the same connection, which reconnects by itself. A call without an answer fails within three
/// seconds.
///
/// A level is a text whose name is `{api-keys}:limit:` and the id of the first key of a chain of
/// rotations, or the tenant and the limit. It expires when the limit is whole again.
///
/// # Deployment caveats
///
/// * If a server evicts or loses levels, the limits of keys start whole again. A server is refused
///   unless its `maxmemory-policy` is `noeviction`, or eviction is
///   [accepted](RedisRateLimiterBuilder::accept_eviction). Levels need not be written to a disk.
/// * A replica counts nothing: requests with limits then get a 503, or pass with
///   [`allow_when_limiter_fails`](crate::ApiKeyLayer::allow_when_limiter_fails).
/// * The server's clock should not jump, not even at a failover: a jump forward gives every key a whole
///   burst, and a jump back takes the rest of it.
/// * A request counts twice if the connection is lost just after the server counted it.
/// * Redis Cluster is not supported. All names have the hash tag `{api-keys}`, and so are on one of its
///   servers: that server is accepted, and the error of the others names it.
///
/// # Examples
///
/// ```no_run
/// use tower_api_key::{ApiKeyLayer, limit::RedisRateLimiter, store::RedisStore};
///
/// # async fn start() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "redis://127.0.0.1:6379";
/// let keys = RedisStore::connect(url).await?;
/// let layer = ApiKeyLayer::new(keys).rate_limiter(RedisRateLimiter::connect(url).await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisRateLimiter {
    connection: Connection,
    prefix: Arc<str>,
}

impl RedisRateLimiter {
    /// Connects to the server at `url`, such as `redis://:password@127.0.0.1:6379/0`, or to the primary
    /// that sentinels name, like [`RedisStore`](crate::RedisStore).
    pub fn connect(url: &str) -> RedisRateLimiterBuilder {
        RedisRateLimiterBuilder::url(url)
    }

    /// Uses `client`, for example one with certificates, and connects at the first call.
    ///
    /// Set `TCP_NODELAY` in its connection's settings, as [`connect`](Self::connect) does.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let demands = connect::demands();
        let prefix = Arc::clone(&demands.prefix);
        let connection = Connection::new(client.into(), demands, LIFETIME);
        Self { connection, prefix }
    }

    /// Sets the prefix of the names of levels, like [when
    /// connecting](RedisRateLimiterBuilder::key_prefix). The limiter then has a connection of its own.
    #[must_use]
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        let prefix = Arc::clone(&self.prefix);
        self.demanding(|demands| demands.prefix = prefix)
    }

    /// Accepts a server that evicts keys, like [when
    /// connecting](RedisRateLimiterBuilder::accept_eviction). The limiter then has a connection of its
    /// own.
    #[must_use]
    pub fn accept_eviction(self) -> Self {
        self.demanding(|demands| demands.eviction = Eviction::Any)
    }

    fn demanding(self, demand: impl FnOnce(&mut Demands)) -> Self {
        Self { connection: self.connection.demanding(demand), ..self }
    }

    /// Changes the levels of a key, and tells how its limits stand.
    async fn change(&self, key: &KeyRecord, change: Change) -> Result<LimitDecision, LimiterError> {
        if key.limits().is_empty() {
            return Ok(LimitDecision::new([]));
        }
        let answer = self.run(&self.script(&SCRIPT, key, change), change).await?;
        let decision = answer.decision(key.limits(), change);
        decision.ok_or_else(|| LimiterError::new("Redis returned an impossible decision: check that no other program changes the levels"))
    }

    fn script<'a>(&self, script: &'a Script, key: &KeyRecord, change: Change) -> Call<'a> {
        let mut script = script.call();
        script
            .arg(change.name())
            .arg(change.cost())
            .arg(change.granted_at().map(|at| at.to_string()).unwrap_or_default());
        for limit in key.limits().iter() {
            let spent = limit.interval().saturating_mul(change.cost().into()).min(LONGEST);
            let numbers = format!("{}:{}", limit.interval(), limit.burst());
            script.key(self.level(key, limit));
            script.arg(spent).arg(numbers).arg(Gcra::new(limit).refill());
        }
        script
    }

    async fn run(&self, script: &Call<'_>, change: Change) -> Result<Answer, LimiterError> {
        let mut connection = match change {
            Change::Take(_) => self.connection.repeating(),
            // Given back twice, it would be more than was taken.
            Change::GiveBack { .. } => self.connection.clone(),
        };
        let answer: Vec<String> = script.run(&mut connection).await.map_err(LimiterError::new)?;
        Answer::read(&answer).ok_or_else(|| LimiterError::new("the answer of Redis cannot be read"))
    }

    /// Returns the name under which a level is kept.
    fn level(&self, key: &KeyRecord, limit: &RateLimit) -> String {
        let prefix = &self.prefix;
        match &key.tenant {
            Some(tenant) if limit.is_shared_by_tenant() => {
                format!("{prefix}tenant:{tenant}:{}", limit.level(true))
            }
            _ => format!("{prefix}key:{}:{}", key.counted_id(), limit.level(false)),
        }
    }
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            _ if self.is_nothing() => "peek",
            Self::Take(_) => "take",
            Self::GiveBack { .. } => "give back",
        }
    }

    fn cost(self) -> u32 {
        match self {
            Self::Take(cost) | Self::GiveBack { cost, .. } => cost,
        }
    }

    fn granted_at(self) -> Option<u64> {
        match self {
            Self::Take(_) => None,
            Self::GiveBack { at, .. } => at,
        }
    }
}

/// The answer of the script.
struct Answer {
    now: u64,
    done: bool,
    /// The levels before the change.
    levels: Vec<u64>,
}

impl Answer {
    fn read(answer: &[String]) -> Option<Self> {
        let [now, done, levels @ ..] = answer else { return None };
        let level = |text: &String| if text.is_empty() { Some(0) } else { text.parse().ok() };
        let levels = levels.iter().map(level).collect::<Option<_>>()?;
        Some(Self { now: now.parse().ok()?, done: done == "1", levels })
    }

    /// Returns the state of the limits, unless the answer contradicts the script.
    fn decision(&self, limits: &[RateLimit], change: Change) -> Option<LimitDecision> {
        if self.levels.len() != limits.len() {
            return None;
        }
        let now = self.now;
        let limits: Vec<_> =
            limits.iter().map(Gcra::new).zip(self.levels.iter().copied()).collect();
        let after = limits.iter().map(|(gcra, level)| change.level(*gcra, *level, now));
        let after: Vec<_> = after.collect();
        if after.iter().all(Result::is_ok) != self.done {
            return None;
        }
        let statuses = limits.into_iter().zip(after).map(|((gcra, before), after)| match after {
            Ok(after) => gcra.status(if self.done { after } else { before }, now),
            Err(refused) => refused,
        });
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(now);
        Some(LimitDecision::new(statuses).at(time))
    }
}

#[async_trait]
impl RateLimiter for RedisRateLimiter {
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError> {
        self.change(key, Change::Take(cost)).await
    }

    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        let at = granted.time().map(nanoseconds);
        self.change(key, Change::GiveBack { cost, at }).await
    }
}

impl fmt::Debug for RedisRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisRateLimiter").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
