//! The write side of [`MemoryStore`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;

use super::usage::Usage;
use super::{MemoryStore, Uses};
use crate::key::{KeyDigest, KeyId};
use crate::store::{
    AuditEvent, CommitError, KeyChange, KeyCursor, KeyPage, KeyQuery, KeyRecord, KeyRepository,
    KeyUse, RecordUses, StoreError, StoredKey, UsageBatch, UsageBucket, UsageQuery, UsageRetention,
    UsageStore,
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
        let before = changed.keys().filter_map(|id| digests.get(id));
        let touched = changed.values().map(|(digest, _)| digest).chain(before);
        let touched: BTreeSet<_> = touched.map(|digest| *digest.as_bytes()).collect();
        let touched: Vec<_> = touched.into_iter().map(KeyDigest::from_bytes).collect();
        let changing = self.changing(&touched);
        let records = self.shared.records.pin();
        // Removed first: a digest may go from one record to another.
        for (id, _) in changed.iter().filter(|(_, (_, record))| record.is_none()) {
            if let Some(digest) = digests.remove(id) {
                records.remove(&digest);
            }
            self.uses().remove(id);
        }
        for (id, (digest, record)) in changed {
            let Some(record) = record else { continue };
            records.insert(digest, record);
            // One with the same id may have been removed by the same commit.
            if let Some(old) = digests.insert(id, digest)
                && old != digest
            {
                records.remove(&old);
            }
        }
        drop(records);
        drop(changing);
        drop(digests);
        touched.iter().for_each(|digest| self.changed(digest));
        Ok(())
    }

    fn usage_store(&self) -> Option<&dyn UsageStore> {
        Some(self)
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

#[async_trait]
impl UsageStore for MemoryStore {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        self.usage_lock().add(batch);
        Ok(())
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        Ok(self.usage_lock().read(query))
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
