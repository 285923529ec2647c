//! [`Excess`]: in what somebody would grant more than they have.

use std::fmt;

/// In what an [`Owner`](super::Owner) would have granted more than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// It is a public key, which grants nothing.
    PublicKey,
    /// It is a key that does not work any more, or that the repository does not have.
    Inactive,
    /// It lacks an ability that it needs to [manage keys](super::Owner::requiring).
    Management,
    /// It is a key without a tenant, which is [not allowed](super::Owner::allow_tenantless).
    Tenantless,
    /// It may not change whole tenants: only the application itself [suspends](crate::KeyManager::suspend) and
    /// resumes them, and no key [revokes](crate::KeyManager::revoke_all) all of its tenant.
    Tenants,
    /// The tenant would be another.
    Tenant,
    /// An ability is missing.
    Abilities,
    /// The stage would be another.
    Stage,
    /// It expires earlier.
    Expiry,
    /// Its rate limits are lower, or have other names, or are not what would be shared by the tenant.
    Limits,
    /// Its restrictions are narrower.
    Restrictions,
    /// Metadata that it [hands on](crate::KeyManager::inherit_metadata) would be other than its own.
    Metadata,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PublicKey => "a public key grants nothing",
            Self::Inactive => "it does not work any more, or is kept elsewhere",
            Self::Management => "it lacks the ability to manage keys",
            Self::Tenantless => "it belongs to no tenant",
            Self::Tenants => "it may not change whole tenants",
            Self::Tenant => "its tenant is another",
            Self::Abilities => "an ability is missing",
            Self::Stage => "its stage is another",
            Self::Expiry => "it expires earlier",
            Self::Limits => "its limits are lower or others",
            Self::Restrictions => "its restrictions are narrower",
            Self::Metadata => "its metadata are other",
        })
    }
}
