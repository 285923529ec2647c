//! [`SuspendedTenant`]: a tenant whose keys are all suspended.

use std::time::SystemTime;

use crate::key::TenantId;

/// A suspended tenant: all its keys are refused until it is [resumed](crate::KeyManager::resume).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuspendedTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// When it was suspended.
    pub since: SystemTime,
}

impl SuspendedTenant {
    /// Creates the record of a tenant that was suspended at a time.
    #[must_use]
    pub const fn new(tenant: TenantId, since: SystemTime) -> Self {
        Self { tenant, since }
    }
}
