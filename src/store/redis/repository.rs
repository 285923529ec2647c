//! The traits of [`RedisStore`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::future::try_join;

use super::RedisStore;
use super::publish::{EVERYTHING, publish};
use super::read::{Read, Use};
use crate::clock::microseconds;
use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::{
    AuditEvent, CommitError, EndedPage, EndedQuery, KeyChange, KeyPage, KeyQuery, KeyRecord,
    KeyRepository, KeyStore, KeyUse, RecordUses, StoreError, StoredKey, SuspendedTenant,
    UsageStore,
};

/// The latest time that a score holds to the microsecond, in the year 2255.
pub(super) const LATEST: u64 = 1 << f64::MANTISSA_DIGITS;

#[async_trait]
impl KeyStore for RedisStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let kept = self.look_up(std::slice::from_ref(digest)).await?;
        Ok(kept.into_iter().find_map(|kept| kept.before))
    }

    async fn find_many(
        &self,
        digests: &[KeyDigest],
    ) -> Result<Vec<Option<Arc<KeyRecord>>>, StoreError> {
        let kept = self.look_up(digests).await?;
        Ok(kept.into_iter().map(|kept| kept.before).collect())
    }
}

#[async_trait]
impl KeyRepository for RedisStore {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        let ids = std::slice::from_ref(id);
        let Some(digest) = self.digests(ids, Use::Believed).await?.pop().flatten() else {
            return Ok(None);
        };
        let kept = self.kept(std::slice::from_ref(&digest), Use::Believed);
        let (mut kept, mut uses) = try_join(kept, self.last_uses(ids)).await?;
        // An index entry that names the record of another key is wrong.
        let record = kept.pop().and_then(|kept| kept.before).filter(|record| record.id == *id);
        Ok(record.map(|record| StoredKey::new(record, uses.pop().flatten())))
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        query.check().map_err(StoreError::answered)?;
        self.page(query).await
    }

    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        self.ended_page(query).await
    }

    /// Keeps no events.
    async fn commit(&self, changes: &[KeyChange], _: &[AuditEvent]) -> Result<(), CommitError> {
        self.make(changes).await
    }

    /// Keeps no events.
    async fn set_suspended(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
        _: &[AuditEvent],
    ) -> Result<bool, CommitError> {
        Ok(self.suspend(tenant, since).await?)
    }

    async fn suspended(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        self.suspended_since().await
    }

    async fn invalidate_everywhere(&self) -> Result<(), StoreError> {
        publish(&self.management, &self.channel(), EVERYTHING).await
    }

    fn usage_store(&self) -> Option<&dyn UsageStore> {
        Some(self)
    }
}

#[async_trait]
impl RecordUses for RedisStore {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut command = redis::cmd("ZADD");
        // Forward only, and only for existing keys.
        command.arg(self.uses()).arg("XX").arg("GT");
        for KeyUse { id, at } in uses {
            command.arg(microseconds(*at).min(LATEST)).arg(id.as_str());
        }
        command.query_async(&mut self.management.repeating()).await.map_err(StoreError::new)
    }
}

impl RedisStore {
    /// Returns when keys were last used, in their order.
    pub(super) async fn last_uses(
        &self,
        ids: &[KeyId],
    ) -> Result<Vec<Option<SystemTime>>, StoreError> {
        let scores: Vec<Option<f64>> =
            self.read(&Read::new("ZMSCORE", self.uses()).args(ids), Use::Believed).await?;
        scores.into_iter().map(|score| used_at(score.unwrap_or(0.0))).collect()
    }
}

/// Reads a score; 0 means never.
pub(super) fn used_at(score: f64) -> Result<Option<SystemTime>, StoreError> {
    if !(0.0..=LATEST as f64).contains(&score) {
        return Err(StoreError::new("a time of last use is none"));
    }
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(score as u64);
    Ok((score != 0.0).then_some(time))
}
