//! Suspended tenants in Redis.

use std::sync::LazyLock;
use std::time::SystemTime;

use super::RedisStore;
use super::read::{Read, Use};
use super::repository::{LATEST, used_at};
use crate::clock::microseconds;
use crate::key::TenantId;
use crate::redis::Script;
use crate::store::{StoreError, SuspendedTenant};

static SUSPEND: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("suspend.lua")));

impl RedisStore {
    /// Suspends a tenant, or resumes it. Returns whether that changed anything.
    pub(super) async fn suspend(
        &self,
        tenant: &TenantId,
        since: Option<SystemTime>,
    ) -> Result<bool, StoreError> {
        // First, so that a closed connection is replaced, because the change is not repeated.
        let read = Read::new("ZMSCORE", self.suspended_tenants()).args([tenant]);
        let [before]: [Option<f64>; 1] = self.read(&read, Use::Believed).await?;
        if before.is_some() == since.is_some() {
            return Ok(false);
        }
        // 0 means never.
        let since = since.map(|since| microseconds(since).clamp(1, LATEST).to_string());
        let mut script = SUSPEND.call();
        script.key(self.suspended_tenants()).arg(self.channel());
        script.arg(tenant.as_str()).arg(since.unwrap_or_default());
        // Not repeated: perhaps only the answer was lost.
        script.run(&mut self.management.clone()).await.map_err(StoreError::new)
    }

    pub(super) async fn suspended_since(&self) -> Result<Vec<SuspendedTenant>, StoreError> {
        let read = Read::new("ZRANGE", self.suspended_tenants()).args(["0", "-1", "WITHSCORES"]);
        let scores: Vec<(String, f64)> = self.read(&read, Use::Believed).await?;
        let read = |(tenant, score): (String, f64)| {
            let since = used_at(score)?.unwrap_or(SystemTime::UNIX_EPOCH);
            Ok(SuspendedTenant::new(tenant.parse().map_err(StoreError::answered)?, since))
        };
        let mut tenants: Vec<_> =
            scores.into_iter().map(read).collect::<Result<_, StoreError>>()?;
        tenants.sort_by(|one, other| one.tenant.cmp(&other.tenant));
        Ok(tenants)
    }
}
