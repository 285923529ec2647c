//! The write side of [`MemoryStore`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::index::Index;
use super::usage::Usage;
use super::{MemoryStore, Uses};
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::{
    AuditEvent, AuditPage, AuditQuery, CommitError, EndPlace, EndedPage, EndedQuery, KeyBound,
    KeyChange, KeyCursor, KeyPage, KeyQuery, KeyRecord, KeyRepository, KeyUse, RecordUses,
    StoreError, StoredKey, SuspendedTenant, TenantFilter, UsageBatch, UsageBucket, UsageByKeyQuery,
    UsageQuery, UsageRetention, UsageStore, UsageSums,
};

#[async_trait]
impl KeyRepository for MemoryStore {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        let record = self.lock().get(id).cloned();
        Ok(record.map(|record| self.with_use(record)))
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        query.check().map_err(StoreError::answered)?;
        let index = self.lock();
        let uses = self.uses();
        let mut keys = Vec::new();
        let newest = index.newest(&query.tenant, query.after.as_ref());
        for (record, visited) in newest.zip(1..) {
            let key = StoredKey::new(Arc::clone(record), uses.get(&record.id).copied());
            keys.extend(Some(key).filter(|key| query.matches(key)));
            if keys.len() > query.page_size() || visited == query.visits() {
                return Ok(query.page(keys, Some(KeyCursor::of(record))));
            }
        }
        Ok(query.page(keys, None))
    }

    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        let after = query.after_place().map_err(StoreError::answered)?;
        let place = |record: &Arc<KeyRecord>| EndPlace::of(record);
        let all: Vec<_> = self.lock().all().cloned().collect();
        let ended = all.into_iter().filter(|record| query.matches(record));
        let mut keys: Vec<_> =
            ended.filter(|record| after.is_none() || place(record) > after).collect();
        keys.sort_by_cached_key(place);
        keys.truncate(query.page_size());
        Ok(EndedPage::in_order(keys, query))
    }

    /// Keeps the last events.
    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        let mut index = self.lock();
        // On copies first, so that a failed commit changes nothing.
        let mut after = Draft { store: self, index: &index, changed: BTreeMap::new() };
        changes.iter().try_for_each(|change| after.make(change))?;
        let changed = after.changed;
        let before = changed.keys().filter_map(|id| index.get(id)).map(|record| &record.digest);
        let touched = changed.values().map(|(digest, _)| digest).chain(before);
        let touched: BTreeSet<_> = touched.map(|digest| *digest.as_bytes()).collect();
        let touched: Vec<_> = touched.into_iter().map(KeyDigest::from_bytes).collect();
        let changing = self.changing(&touched);
        let records = &self.shared.records;
        // Removed first: a digest may go from one record to another.
        for (id, _) in changed.iter().filter(|(_, (_, record))| record.is_none()) {
            if let Some(old) = index.get(id).cloned() {
                records.remove(&old.digest);
                index.remove(&old);
            }
            self.uses().remove(id);
        }
        for (id, (digest, record)) in changed {
            let Some(record) = record else { continue };
            let record = self.own(record, &mut index);
            // One with the same id may have been removed by the same commit.
            let old = index.get(&id).cloned();
            if let Some(old) = &old {
                index.remove(old);
            }
            index.add(&record);
            records.insert(&record);
            if let Some(old) = old.filter(|old| old.digest != digest) {
                records.remove(&old.digest);
            }
        }
        drop(changing);
        self.events().keep(events);
        drop(index);
        touched.iter().for_each(|digest| self.changed(digest));
        Ok(())
    }

    async fn audit_log(&self, query: &AuditQuery) -> Result<Option<AuditPage>, StoreError> {
        query.check().map_err(StoreError::answered)?;
        self.event_page(query).map(Some)
    }

    async fn prune_audit_log(
        &self,
        before: SystemTime,
        at_most: usize,
    ) -> Result<Option<usize>, StoreError> {
        Ok(Some(self.remove_events(before, at_most)))
    }

    /// Keeps the last events.
    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        events: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let mut index = self.lock();
        let mut suspended = self.suspended_tenants();
        if suspended.contains_key(tenant) == since.is_some() {
            return Ok(false);
        }
        match since {
            Some(since) => suspended.insert(tenant.clone(), since),
            None => suspended.remove(tenant),
        };
        drop(suspended);
        // Rather than at each look-up.
        let tenant_keys = TenantFilter::Of(tenant.clone());
        let records: Vec<_> = index.newest(&tenant_keys, None).cloned().collect();
        let digests: Vec<_> = records.iter().map(|record| record.digest).collect();
        let changing = self.changing(&digests);
        for record in records {
            index.remove(&record);
            let record = self.own(record, &mut index);
            index.add(&record);
            self.shared.records.insert(&record);
        }
        drop(changing);
        self.events().keep(events);
        drop(index);
        self.shared.changes.tenant_changed(tenant);
        Ok(true)
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        let suspended = self.suspended_tenants();
        let tenants = suspended.iter();
        Ok(tenants.map(|(tenant, since)| SuspendedTenant::new(tenant.clone(), *since)).collect())
    }

    fn usage_store(&self) -> Option<&dyn UsageStore> {
        Some(self)
    }
}

#[async_trait]
impl RecordUses for MemoryStore {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let index = self.lock();
        let mut last = self.uses();
        for KeyUse { id, at } in uses.iter().filter(|used| index.get(&used.id).is_some()) {
            let time = last.entry(id.clone()).or_insert(*at);
            *time = (*time).max(*at);
        }
        Ok(())
    }
}

#[async_trait]
impl UsageStore for MemoryStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        self.usage_lock().add(batch);
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        Ok(self.usage_lock().read(query))
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        Ok(self.usage_lock().read_by_key(query))
    }

    async fn sums_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, StoreError> {
        Ok(self.usage_lock().sums_by_key(query))
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        Ok(self.usage_lock().prune(retention, now, at_most))
    }
}

impl MemoryStore {
    fn usage_lock(&self) -> MutexGuard<'_, Usage> {
        self.shared.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_use(&self, record: Arc<KeyRecord>) -> StoredKey {
        let last_used_at = self.uses().get(&record.id).copied();
        StoredKey::new(record, last_used_at)
    }

    /// Returns a record as the store keeps it: with whether its tenant is suspended, and with shared parts.
    /// The caller holds the writers' lock.
    pub(super) fn own(&self, mut record: Arc<KeyRecord>, index: &mut Index) -> Arc<KeyRecord> {
        let is_suspended = self.is_suspended(record.tenant.as_ref());
        if record.suspended != is_suspended {
            Arc::make_mut(&mut record).suspended = is_suspended;
        }
        index.share(&mut record);
        record
    }

    fn is_suspended(&self, tenant: Option<&TenantId>) -> bool {
        tenant.is_some_and(|tenant| self.suspended_tenants().contains_key(tenant))
    }

    fn suspended_tenants(&self) -> MutexGuard<'_, BTreeMap<TenantId, SystemTime>> {
        self.shared.suspended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uses(&self) -> MutexGuard<'_, Uses> {
        self.shared.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records that are about to change.
struct Draft<'a> {
    store: &'a MemoryStore,
    index: &'a Index,
    changed: BTreeMap<KeyId, (KeyDigest, Option<Arc<KeyRecord>>)>,
}

impl Draft<'_> {
    fn make(&mut self, change: &KeyChange) -> Result<(), CommitError> {
        if let KeyChange::Bound(bound) = change {
            return self.check(bound);
        }
        let record = change.record();
        let of_id = self.of_id(&record.id);
        let is_taken = of_id.is_some() || self.has_digest(&record.digest);
        let same = of_id.filter(|of_id| of_id.digest == record.digest);
        change.check(same.as_deref(), is_taken)?;
        let mut needed = change.needed_tenants(same.as_deref());
        if let Some((_, refusal)) = needed.find(|(tenant, _)| self.store.is_suspended(Some(tenant)))
        {
            return Err(refusal);
        }
        drop(needed);
        if change.is_requirement() {
            return Ok(());
        }
        self.changed.insert(record.id.clone(), (record.digest, change.after().cloned()));
        Ok(())
    }

    fn of_id(&self, id: &KeyId) -> Option<Arc<KeyRecord>> {
        match self.changed.get(id) {
            Some((_, changed)) => changed.clone(),
            None => self.index.get(id).cloned(),
        }
    }

    fn check(&self, bound: &KeyBound) -> Result<(), CommitError> {
        let tenant = TenantFilter::from(bound.record.tenant.clone());
        let stored = self.index.newest(&tenant, None);
        let stored = stored.filter(|record| !self.changed.contains_key(&record.id)).cloned();
        let changed = self.changed.values().filter_map(|(_, record)| record.clone());
        let counted = stored.chain(changed).filter(|record| bound.counts(record));
        let one_more = usize::try_from(bound.at_most).unwrap_or(usize::MAX).saturating_add(1);
        match counted.take(one_more).count() < one_more {
            true => Ok(()),
            false => Err(CommitError::Full(bound.at_most)),
        }
    }

    fn has_digest(&self, digest: &KeyDigest) -> bool {
        let mut changed = self.changed.values().filter(|(changed, _)| changed == digest).peekable();
        match changed.peek() {
            // It may have been taken from one record and given to another.
            Some(_) => changed.any(|(_, record)| record.is_some()),
            None => self.store.shared.records.has(digest),
        }
    }
}
