//! The write side of [`CachedStore`]: it forgets the records that it changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::CachedStore;
use super::memory::Memory;
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::{
    AuditEvent, AuditPage, AuditQuery, CommitError, EndedPage, EndedQuery, KeyChange, KeyPage,
    KeyQuery, KeyRecord, KeyRepository, KeyUse, Propagation, RecordUses, StoreError, StoredKey,
    SuspendedTenant, UsageBatch, UsageBucket, UsageByKeyQuery, UsageQuery, UsageRetention,
    UsageStore, UsageSums,
};

#[async_trait]
impl<S: KeyRepository + 'static> KeyRepository for CachedStore<S> {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.0.store.get(id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.0.store.list(query).await
    }

    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        self.0.store.ended(query).await
    }

    /// Continues if it is dropped, so that changed records are also forgotten.
    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let changed = changes.iter().filter(|change| !change.is_requirement());
        let digests = changed.map(|change| change.record().digest).collect();
        let forget = Forget { memory: Arc::clone(&self.0.memory), digests };
        let store = Arc::clone(&self.0.store);
        let (changes, events) = (changes.to_vec(), events.to_vec());
        to_the_end(async move {
            let _forget = forget;
            store.commit(&changes, &events).await
        })
        .await
    }

    /// Continues if it is dropped, like [`commit`](Self::commit).
    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let forget = ForgetTenant(Arc::clone(&self.0.memory), tenant.clone());
        let store = Arc::clone(&self.0.store);
        let events = events.to_vec();
        to_the_end(async move {
            let ForgetTenant(_, tenant) = &forget;
            store.set_suspended(tenant, since, &events).await
        })
        .await
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        self.0.store.suspended().await
    }

    async fn audit_log(&self, query: &AuditQuery) -> Result<Option<AuditPage>, StoreError> {
        self.0.store.audit_log(query).await
    }

    async fn prune_audit_log(
        &self,
        before: SystemTime,
        at_most: usize,
    ) -> Result<Option<usize>, StoreError> {
        self.0.store.prune_audit_log(before, at_most).await
    }

    async fn find_stored(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.store.find_stored(digest).await
    }

    /// Forgets an older record of the key, and running loads: a caller reads a key before changing it, and
    /// may find that another node has already made the change.
    fn record_changed(&self, record: &KeyRecord) {
        self.0.store.record_changed(record);
        let Memory { entries, .. } = &*self.0.memory;
        // Loads first: they keep their records before they end.
        if self.0.flights.is_loading(&record.digest) || !entries.has_only(record) {
            self.0.memory.forget(&record.digest);
        } else {
            entries.take_back(&record.digest);
        }
    }

    /// Clears the cache of this node even if the others cannot be notified, or if the future is dropped.
    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        let _forget = ForgetAll(&self.0.memory);
        self.0.store.invalidate_everywhere().await
    }

    fn usage_store(&self) -> Option<&dyn UsageStore> {
        self.0.store.usage_store()
    }

    fn propagation(&self) -> Propagation {
        let before = match self.0.store.propagation() {
            Propagation::Immediate => Duration::ZERO,
            Propagation::Notified { at_the_latest } => at_the_latest,
            Propagation::Within(time) => time,
        };
        let at_the_latest = before.saturating_add(self.0.memory.entries.max_staleness());
        match self.0.subscription {
            Some(_) => Propagation::Notified { at_the_latest },
            None => Propagation::Within(at_the_latest),
        }
    }
}

/// Usage is not cached.
#[async_trait]
impl<S: UsageStore + 'static> UsageStore for CachedStore<S> {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        self.0.store.add_usage(batch).await
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        self.0.store.usage(query).await
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        self.0.store.usage_by_key(query).await
    }

    async fn sums_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
        self.0.store.sums_by_key(query).await
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        self.0.store.prune_usage(retention, now, at_most).await
    }
}

#[async_trait]
impl<S: RecordUses + 'static> RecordUses for CachedStore<S> {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.0.store.record_uses(uses).await
    }
}

/// Waits for a change that continues if this is dropped.
async fn to_the_end<T: Send + 'static>(
    change: impl Future<Output = Result<T, CommitError>> + Send + 'static,
) -> Result<T, CommitError> {
    match Handle::try_current() {
        Ok(runtime) => match runtime.spawn(change).await {
            Ok(committed) => committed,
            Err(error) => Err(StoreError::new(error).into()),
        },
        Err(_) => change.await,
    }
}

/// Forgets keys when it is dropped: after changes that were made, or that may have been made.
struct Forget {
    memory: Arc<Memory>,
    digests: Vec<KeyDigest>,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.digests.iter().for_each(|digest| self.memory.forget(digest));
    }
}

/// Forgets the keys of a tenant when it is dropped.
struct ForgetTenant(Arc<Memory>, TenantId);

impl Drop for ForgetTenant {
    fn drop(&mut self) {
        self.0.forget_tenant(&self.1);
    }
}

/// Forgets everything when it is dropped.
struct ForgetAll<'a>(&'a Memory);

impl Drop for ForgetAll<'_> {
    fn drop(&mut self) {
        self.0.forget_all();
    }
}
