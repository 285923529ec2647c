//! The audit log that the repository keeps.

use std::ops::ControlFlow;
use std::time::SystemTime;

use super::{Excess, KeyManager, ManageError};
use crate::store::{AuditPage, AuditQuery};

/// How many events one statement removes.
const BATCH: usize = 1000;

impl KeyManager {
    /// Returns a page of the audit log: which actor changed which key, in the order of time.
    ///
    /// The stores for SQL databases keep each event in the transaction of its change, until they are
    /// [pruned](Self::prune_audit_log). A [`MemoryStore`](crate::MemoryStore) keeps the last 10 000.
    /// Redis keeps none, to save memory: add a [sink](Self::audit) to the manager.
    ///
    /// On behalf of an owner, only events of keys of its tenant are returned. Events stay when a key is
    /// removed.
    ///
    /// # Errors
    ///
    /// Returns [`ManageError::NoAuditLog`] if the repository keeps no events, and an error if the store
    /// fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::AuditQuery;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new()).acting_as("alice@acme.example");
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// keys.revoke(issued.record.id()).await?;
    ///
    /// let query = AuditQuery::new().key(issued.record.id().clone()).newest_first();
    /// let page = keys.audit_log(&query).await?;
    /// let actions: Vec<_> = page.entries.iter().map(|event| &*event.action).collect();
    /// assert_eq!(actions, ["revoked", "issued"]);
    /// assert_eq!(page.entries[0].actor, "name:alice@acme.example");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn audit_log(&self, query: &AuditQuery) -> Result<AuditPage, ManageError> {
        self.in_time(self.visible_events(query)).await
    }

    async fn visible_events(&self, query: &AuditQuery) -> Result<AuditPage, ManageError> {
        let mut query = query.clone();
        query.tenant = self.authority().await?.visible(query.tenant);
        let page = self.settings.repository.audit_log(&query).await?;
        page.ok_or(ManageError::NoAuditLog)
    }

    /// Removes audit events that are older than `time`, and returns how many were removed.
    ///
    /// Events are removed in batches, the oldest first. If the call fails or its future is dropped, earlier
    /// batches stay removed; call it again to go on. The [deadline](Self::deadline) is that of each batch. A
    /// manager that acts on behalf of an owner may not prune, so that no owner removes its own traces.
    ///
    /// # Errors
    ///
    /// Returns an error if the repository keeps no events, if the manager acts on behalf of an owner, or
    /// if the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// keys.issue(NewKey::named("nightly import")).await?;
    /// let year = Duration::from_secs(365 * 24 * 3600);
    /// assert_eq!(keys.prune_audit_log(SystemTime::now() - year).await?, 0);
    /// assert_eq!(keys.prune_audit_log(SystemTime::now()).await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prune_audit_log(&self, time: SystemTime) -> Result<usize, ManageError> {
        self.prune_audit_log_with(time, |_| ControlFlow::Continue(())).await
    }

    /// Like [`prune_audit_log`](Self::prune_audit_log), but calls `progress` after each batch with the number of
    /// events removed so far. `progress` returns whether to go on.
    ///
    /// # Errors
    ///
    /// Like [`prune_audit_log`](Self::prune_audit_log).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// keys.issue(NewKey::named("nightly import")).await?;
    /// let removed = keys.prune_audit_log_with(SystemTime::now(), |removed| {
    ///     println!("{removed} events removed");
    ///     ControlFlow::Continue(())
    /// });
    /// assert_eq!(removed.await?, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prune_audit_log_with(
        &self,
        time: SystemTime,
        mut progress: impl FnMut(usize) -> ControlFlow<()> + Send,
    ) -> Result<usize, ManageError> {
        let (time, mut removed) = (time.min(self.now()), 0);
        loop {
            let batch = self.in_time(self.remove_events(time)).await?;
            removed += batch;
            if progress(removed).is_break() || batch < BATCH {
                return Ok(removed);
            }
        }
    }

    async fn remove_events(&self, time: SystemTime) -> Result<usize, ManageError> {
        if self.authority().await?.is_bounded() {
            return Err(Excess::Management.into());
        }
        let removed = self.settings.repository.prune_audit_log(time, BATCH).await?;
        removed.ok_or(ManageError::NoAuditLog)
    }
}
