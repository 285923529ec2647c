//! [`Owner`]: on whose behalf keys are managed.

use crate::key::{AbilitySet, KeyId, TenantId};
use crate::store::Actor;
use crate::verify::VerifiedKey;

/// On whose behalf a [`KeyManager`](crate::KeyManager) acts, which bounds what it may do.
///
/// # Examples
///
/// A person at the dashboard of a tenant, who may hand on what the tenant has paid for:
///
/// ```
/// use tower_api_key::manage::Owner;
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ceiling = ["bots:*", "chat:send"].try_into()?;
/// let alice = Owner::of_tenant("acme".parse()?, ceiling, "alice@acme.example");
/// let keys = KeyManager::new(MemoryStore::new()).on_behalf_of(alice);
///
/// let issued = keys.issue(NewKey::named("nightly import").abilities(["bots:read"])).await?;
/// assert_eq!(issued.record.tenant.as_ref().unwrap(), "acme");
/// assert!(keys.issue(NewKey::named("everything").abilities(["*"])).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Owner {
    /// Who is noted for what is done.
    pub(super) actor: Actor,
    pub(super) bound: Bound,
}

/// Where the bounds of what may be done come from.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Nothing,
    /// The record of a key, as it is when something is done.
    Key(KeyId),
    Tenant {
        tenant: TenantId,
        abilities: AbilitySet,
    },
}

impl Owner {
    /// The application, which may do everything.
    pub(super) const fn application() -> Self {
        Self { actor: Actor::System, bound: Bound::Nothing }
    }

    /// A key, which grants no more than it has.
    ///
    /// It counts as its record, which has to be in the repository of the manager, is when
    /// something is done: if it was revoked since it was verified, nothing is.
    pub fn of_key(key: &VerifiedKey) -> Self {
        let id = key.id().clone();
        Self { actor: id.clone().into(), bound: Bound::Key(id) }
    }

    /// Somebody of `tenant`, such as a user at its dashboard, who grants none but `abilities`.
    ///
    /// With an empty set, only keys without abilities can be issued and changed. What is done is
    /// noted as done by `actor`.
    ///
    /// Nothing but the tenant and the abilities is bounded: limits can be raised and taken away, and
    /// so can restrictions and expiries, also those that the application gave a key.
    pub fn of_tenant(tenant: TenantId, abilities: AbilitySet, actor: impl Into<Actor>) -> Self {
        Self { actor: actor.into(), bound: Bound::Tenant { tenant, abilities } }
    }
}

impl From<&VerifiedKey> for Owner {
    fn from(key: &VerifiedKey) -> Self {
        Self::of_key(key)
    }
}
