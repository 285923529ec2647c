//! [`LastUses`]: a store that keeps only the last use of each key.

use std::collections::BTreeMap;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::key::KeyId;
use crate::store::{
    KeyUse, RecordUses, StoreError, UsageBatch, UsageBucket, UsageByKeyQuery, UsageQuery,
    UsageRetention, UsageStore,
};

/// Passes last uses to a store, and drops counts.
pub(super) struct LastUses<S>(pub(super) S);

#[async_trait]
impl<S: RecordUses> RecordUses for LastUses<S> {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.0.record_uses(uses).await
    }
}

#[async_trait]
impl<S: RecordUses> UsageStore for LastUses<S> {
    async fn add_usage(&self, _: &UsageBatch) -> Result<(), StoreError> {
        Ok(())
    }

    async fn usage(&self, _: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        Ok(Vec::new())
    }

    async fn usage_by_key(
        &self,
        _: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn prune_usage(
        &self,
        _: UsageRetention,
        _: SystemTime,
        _: u32,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }
}
