//! The write side of [`MemoryStore`].

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::{MemoryStore, Uses};
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::{
    AuditEvent, CommitError, KeyChange, KeyCursor, KeyPage, KeyQuery, KeyRecord, KeyRepository,
    KeyUse, RecordUses, StoreError, StoredKey, SuspendedTenant,
};

#[async_trait]
impl KeyRepository for MemoryStore {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        Ok(Self::get(self, id).map(|record| self.with_use(record)))
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        let follows = |record: &KeyRecord| {
            query.after.as_ref().is_none_or(|after| KeyCursor::of(record) < *after)
        };
        let records = Self::list(self).into_iter().filter(|record| follows(record));
        let keys = records.map(|record| self.with_use(record));
        let mut keys: Vec<_> = keys.filter(|key| query.matches(key)).collect();
        keys.sort_by_cached_key(|key| std::cmp::Reverse(KeyCursor::of(&key.record)));
        Ok(query.page(keys))
    }

    /// Keeps no events.
    async fn commit(&self, changes: &[KeyChange], _: &[AuditEvent]) -> Result<(), CommitError> {
        let mut digests = self.lock();
        // On copies first, so that what fails has changed nothing.
        let mut after = Draft { store: self, digests: &digests, changed: BTreeMap::new() };
        changes.iter().try_for_each(|change| after.make(change))?;
        let changed = after.changed;
        let mut touched: Vec<_> = changed.values().map(|(digest, _)| *digest).collect();
        let records = self.shared.records.pin();
        // Removed first: a digest may go from one record to another.
        for (id, _) in changed.iter().filter(|(_, (_, record))| record.is_none()) {
            if let Some(digest) = digests.remove(id) {
                records.remove(&digest);
                touched.push(digest);
            }
            self.uses().remove(id);
        }
        for (id, (digest, record)) in changed {
            let Some(record) = record else { continue };
            records.insert(digest, self.marked(record));
            // One with the same id may have been removed by the same commit.
            if let Some(old) = digests.insert(id, digest)
                && old != digest
            {
                records.remove(&old);
                touched.push(old);
            }
        }
        drop(records);
        drop(digests);
        touched.iter().for_each(|digest| self.changed(digest));
        Ok(())
    }

    /// Keeps no events.
    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        _: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        let digests = self.lock();
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
        let records = self.shared.records.pin();
        for digest in digests.values() {
            let record =
                records.get(digest).filter(|record| record.tenant.as_ref() == Some(tenant));
            if let Some(record) = record {
                records.insert(*digest, self.marked(Arc::clone(record)));
            }
        }
        drop(records);
        drop(digests);
        self.shared.changes.tenant_changed(tenant);
        Ok(true)
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        let suspended = self.suspended_tenants();
        let tenants = suspended.iter();
        Ok(tenants.map(|(tenant, since)| SuspendedTenant::new(tenant.clone(), *since)).collect())
    }
}

#[async_trait]
impl RecordUses for MemoryStore {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let digests = self.lock();
        let mut last = self.uses();
        for KeyUse { id, at } in uses.iter().filter(|used| digests.contains_key(&used.id)) {
            let time = last.entry(id.clone()).or_insert(*at);
            *time = (*time).max(*at);
        }
        Ok(())
    }
}

impl MemoryStore {
    fn with_use(&self, record: Arc<KeyRecord>) -> StoredKey {
        let last_used_at = self.uses().get(&record.id).copied();
        StoredKey::new(record, last_used_at)
    }

    /// Returns a record that says whether its tenant is suspended, while nobody else writes.
    pub(super) fn marked(&self, mut record: Arc<KeyRecord>) -> Arc<KeyRecord> {
        let is_suspended = self.is_suspended(record.tenant.as_ref());
        if record.suspended != is_suspended {
            Arc::make_mut(&mut record).suspended = is_suspended;
        }
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
    digests: &'a BTreeMap<KeyId, KeyDigest>,
    changed: BTreeMap<KeyId, (KeyDigest, Option<Arc<KeyRecord>>)>,
}

impl Draft<'_> {
    fn make(&mut self, change: &KeyChange) -> Result<(), CommitError> {
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
            None => self.store.shared.records.pin().get(self.digests.get(id)?).cloned(),
        }
    }

    fn has_digest(&self, digest: &KeyDigest) -> bool {
        let mut changed = self.changed.values().filter(|(changed, _)| changed == digest).peekable();
        match changed.peek() {
            // It may have been taken from one record and given to another.
            Some(_) => changed.any(|(_, record)| record.is_some()),
            None => self.store.shared.records.pin().contains_key(digest),
        }
    }
}
