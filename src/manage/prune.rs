//! Removing the records of revoked and expired keys.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::SystemTime;

use super::turns::Errand;
use super::{KeyManager, ManageError};
use crate::store::{
    AuditAction, CommitError, EndedPage, EndedQuery, KeyChange, KeyRecord, TenantFilter,
};

/// How many keys are removed at once, unless the repository finds fewer. Each transaction writes most pages of
/// an index anew whose values are random.
const BATCH: usize = 1000;

/// The progress of [`KeyManager::prune_with`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneProgress {
    /// The number of removed keys.
    pub removed: usize,
    /// The number of keys that were found. Those that were changed in between are not removed.
    pub found: usize,
}

impl KeyManager {
    /// Removes the records of keys that were revoked or expired before `time`, and returns how many were
    /// removed.
    ///
    /// Their secrets are then refused as unknown. Keys are removed in batches, each with its audit events in one
    /// transaction. A key that is changed in between stays. If the call fails or its future is dropped, earlier
    /// batches stay removed; call it again to go on. The [deadline](Self::deadline) is that of each page and of
    /// each batch.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
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
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// keys.revoke(issued.record.id()).await?;
    /// let month = Duration::from_secs(30 * 24 * 3600);
    /// assert_eq!(keys.prune(SystemTime::now() - month).await?, 0);
    /// assert_eq!(keys.prune(SystemTime::now()).await?, 1);
    /// assert!(keys.get(issued.record.id()).await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prune(&self, time: SystemTime) -> Result<usize, ManageError> {
        Ok(self.prune_with(time, |_| ControlFlow::Continue(())).await?.removed)
    }

    /// Like [`prune`](Self::prune), but calls `progress` after each batch. `progress` returns whether to go on.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use std::time::SystemTime;
    ///
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let pruned = keys
    ///     .prune_with(SystemTime::now(), |progress| {
    ///         println!("{} keys removed", progress.removed);
    ///         if progress.removed < 100_000 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    ///     })
    ///     .await?;
    /// assert_eq!(pruned.removed, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prune_with(
        &self,
        time: SystemTime,
        mut progress: impl FnMut(PruneProgress) -> ControlFlow<()> + Send,
    ) -> Result<PruneProgress, ManageError> {
        let mut query = EndedQuery::before(time.min(self.now())).limit(BATCH);
        let mut pruned = PruneProgress::default();
        loop {
            let EndedPage { keys, next } = self.in_time(self.ended(&query)).await?;
            pruned.found += keys.len();
            pruned.removed += self.remove_each(keys).await?;
            let flow = progress(pruned);
            match next {
                Some(next) if flow.is_continue() => query = query.after(next),
                _ => return Ok(pruned),
            }
        }
    }

    /// Returns a page of the keys that ended, of those that the owner sees.
    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, ManageError> {
        let visible = self.authority().await?.visible(TenantFilter::Any);
        Ok(self.settings.repository.ended(&query.clone().tenant(visible)).await?)
    }

    /// Removes records all at once, or in smaller and smaller parts if some were changed. Returns how many were
    /// removed.
    async fn remove_each(&self, records: Vec<Arc<KeyRecord>>) -> Result<usize, ManageError> {
        let (mut removed, mut parts) = (0, vec![records]);
        while let Some(mut part) = parts.pop() {
            match &part[..] {
                [] => {}
                [record] => removed += usize::from(self.in_time(self.remove(record)).await?),
                all if self.in_time(self.remove_all(all)).await? => removed += all.len(),
                all => {
                    let second = part.split_off(all.len() / 2);
                    parts.extend([second, part]);
                }
            }
        }
        Ok(removed)
    }

    /// Removes records. Returns `false` if one of them, or the owner, was changed in the meantime.
    async fn remove_all(&self, records: &[Arc<KeyRecord>]) -> Result<bool, ManageError> {
        let ids = records.iter().map(|record| record.id.clone()).collect();
        let _turns = self.settings.turns.take_all(ids, Errand::Change).await;
        let authority = self.authority().await?;
        let visible = authority.visible(TenantFilter::Any);
        if !records.iter().all(|record| visible.matches(record.tenant.as_ref())) {
            return Ok(false);
        }
        let now = self.now();
        let event = |record| self.event(now, AuditAction::Removed, Some(record), None);
        let events: Vec<_> = records.iter().map(event).collect();
        let changes: Vec<_> = records.iter().cloned().map(KeyChange::Remove).collect();
        match self.commit(&authority, &changes, &events).await {
            Ok(()) => Ok(true),
            Err(CommitError::Conflict) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a record, unless it was changed in the meantime.
    async fn remove(&self, record: &Arc<KeyRecord>) -> Result<bool, ManageError> {
        let errand = Errand::Change;
        let _turn = self.settings.turns.take(&record.id, errand).await;
        for attempt in 0..errand.attempts() {
            let authority = self.authority().await?;
            if !authority.visible(TenantFilter::Any).matches(record.tenant.as_ref()) {
                return Ok(false);
            }
            let event = self.event(self.now(), AuditAction::Removed, Some(record), None);
            let changes = [KeyChange::Remove(Arc::clone(record))];
            match self.commit(&authority, &changes, &[event]).await {
                Ok(()) => return Ok(true),
                Err(CommitError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
            // It may be the owner that was changed.
            let key = self.settings.repository.get(&record.id).await?;
            if key.is_none_or(|key| key.record.revision != record.revision) {
                return Ok(false);
            }
            errand.pause(attempt).await;
        }
        Err(ManageError::Conflict)
    }
}
