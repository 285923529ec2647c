//! [`Excess`]: what an owner would grant beyond its own rights.

use std::fmt;

/// The reason why an [`Owner`](super::Owner) may not grant a key or make a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Excess {
    /// The owner is a public key, which may not manage keys.
    PublicKey,
    /// The owner is a key that no longer works, or is not in the repository.
    Inactive,
    /// The owner lacks an ability that is [required](super::Owner::requiring) to manage keys.
    Management,
    /// The owner is a key without a tenant, and this is [not allowed](super::Owner::allow_tenantless).
    Tenantless,
    /// The owner may not change whole tenants. Only the application [suspends](crate::KeyManager::suspend) and
    /// resumes them, and a key may not [revoke](crate::KeyManager::revoke_all) all keys of its tenant.
    Tenants,
    /// The key would have another tenant than the owner.
    Tenant,
    /// The owner lacks an ability of the key.
    Abilities,
    /// The key would have another stage than the owner.
    Stage,
    /// The owner expires before the key would.
    Expiry,
    /// The rate limits of the key would be higher, or have other names, or be shared by the tenant and not be the
    /// owner's.
    Limits,
    /// The restrictions of the owner are narrower.
    Restrictions,
    /// [Inherited](crate::KeyManager::inherit_metadata) metadata of the key would differ from the owner's.
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
