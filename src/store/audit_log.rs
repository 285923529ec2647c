//! [`AuditEntry`]: an event as a database has kept it.

use std::time::SystemTime;

use serde_json::Value;

/// An event that a store for an SQL database has kept in its table.
///
/// It is as it was written, by whichever version, and the records in it have no digests. The method
/// `audit_log` of `SqliteStore` and of `PostgresStore` reads them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// By which the events are in order, but for those that were made at the same time.
    pub number: i64,
    /// When it was done, by the clock of who did it.
    pub at: SystemTime,
    /// Who did it.
    pub actor: String,
    /// What was done, such as `revoked`.
    pub action: String,
    /// The public id of the key.
    pub key_id: Option<String>,
    /// On whose behalf the key acts.
    pub tenant: Option<String>,
    /// The record as it was, unless the key was new.
    pub before: Option<Value>,
    /// The record as it was from then on, unless it was removed.
    pub after: Option<Value>,
}

/// Which events are read: a page of them, the oldest first.
///
/// # Examples
///
/// ```
/// use tower_api_key::SqliteStore;
/// use tower_api_key::store::AuditQuery;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = SqliteStore::in_memory().await?;
/// let mut query = AuditQuery::new();
/// loop {
///     let page = keys.audit_log(&query).await?;
///     let Some(last) = page.last() else { break };
///     query = query.after(last.number);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditQuery {
    /// Only events from this time on.
    pub since: Option<SystemTime>,
    /// Only events after the one of this [number](AuditEntry::number).
    pub after: Option<i64>,
    /// At most so many.
    pub limit: u32,
}

impl AuditQuery {
    /// Asks for the 100 oldest events.
    #[must_use]
    pub const fn new() -> Self {
        Self { since: None, after: None, limit: 100 }
    }

    /// Leaves out what was done before.
    #[must_use]
    pub const fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Goes on behind the event of this number, which was the last of a page.
    #[must_use]
    pub const fn after(mut self, number: i64) -> Self {
        self.after = Some(number);
        self
    }

    /// Sets how many events a page has at most.
    #[must_use]
    pub const fn limit(mut self, count: u32) -> Self {
        self.limit = count;
        self
    }
}

impl Default for AuditQuery {
    fn default() -> Self {
        Self::new()
    }
}
