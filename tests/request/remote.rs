//! A store and a limiter that never answer at once.

use std::sync::Arc;

use async_trait::async_trait;
use tower_api_key::limit::{LimitDecision, LimiterError};
use tower_api_key::{
    KeyDigest, KeyRecord, KeyStore, MemoryRateLimiter, MemoryStore, RateLimiter, StoreError,
};

/// A store and a limiter that never answer at once.
pub struct Remote<T>(pub T);

#[async_trait]
impl KeyStore for Remote<MemoryStore> {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        tokio::task::yield_now().await;
        self.0.find(digest).await
    }
}

#[async_trait]
impl RateLimiter for Remote<MemoryRateLimiter> {
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError> {
        tokio::task::yield_now().await;
        self.0.reserve(key, cost).await
    }

    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        tokio::task::yield_now().await;
        self.0.refund(key, cost, granted).await
    }
}
