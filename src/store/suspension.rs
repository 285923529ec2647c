//! [`SuspendedTenant`]: a tenant whose keys are out of use, all of them.

use std::time::SystemTime;

use crate::key::TenantId;

/// A tenant whose keys are refused until it is [resumed](crate::KeyManager::resume).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SuspendedTenant {
    /// The tenant.
    pub tenant: TenantId,
    /// Since when.
    pub since: SystemTime,
}

impl SuspendedTenant {
    /// Says that a tenant is suspended since a time.
    #[must_use]
    pub const fn new(tenant: TenantId, since: SystemTime) -> Self {
        Self { tenant, since }
    }
}
