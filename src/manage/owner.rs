//! [`Owner`]: the user or key on whose behalf keys are managed.

use crate::key::{AbilitySet, KeyId, TenantId};
use crate::store::Actor;
use crate::verify::VerifiedKey;

/// The user or key on whose behalf a [`KeyManager`](crate::KeyManager) acts. It limits what the manager may do.
///
/// # Examples
///
/// A user of a tenant's dashboard, who may grant the abilities that the tenant has paid for:
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
/// assert_eq!(issued.record.tenant().unwrap(), "acme");
/// assert!(keys.issue(NewKey::named("everything").abilities(["*"])).await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Owner {
    /// The actor of audit events.
    pub(super) actor: Actor,
    pub(super) bound: Bound,
    /// The abilities that are required to manage keys.
    pub(super) needs: AbilitySet,
    pub(super) may_be_tenantless: bool,
}

/// Where the limits of an owner come from.
#[derive(Clone, Debug)]
pub(super) enum Bound {
    Nothing,
    /// The record of a key, read anew for each call.
    Key(KeyId),
    Tenant {
        tenant: TenantId,
        abilities: AbilitySet,
    },
}

impl Owner {
    /// Returns the application itself, which may do everything.
    pub(super) fn application() -> Self {
        Self::new(Actor::System, Bound::Nothing)
    }

    /// Returns whether the owner is a key.
    #[cfg(feature = "pages")]
    pub(super) const fn is_key(&self) -> bool {
        matches!(self.bound, Bound::Key(_))
    }

    fn new(actor: Actor, bound: Bound) -> Self {
        Self { actor, bound, needs: AbilitySet::default(), may_be_tenantless: false }
    }

    /// Returns the owner that is a key. It grants no more than the key has.
    ///
    /// Its record, which has to be in the repository of the manager, is read anew for each call. So a key that
    /// was revoked since it was verified may do nothing, and a key that has lost an ability cannot grant it. See
    /// [`on_behalf_of`](crate::KeyManager::on_behalf_of) for the details.
    ///
    /// A key without a tenant may manage no keys, unless [`allow_tenantless`](Self::allow_tenantless) permits it.
    pub fn of_key(key: &VerifiedKey) -> Self {
        let id = key.id().clone();
        Self::new(id.clone().into(), Bound::Key(id))
    }

    /// Returns the owner that is a user of `tenant`, such as of its dashboard. It grants only `abilities`.
    ///
    /// With an empty set, only keys without abilities can be issued and changed. Audit events name `actor`.
    ///
    /// Only the tenant and the abilities are limited. The user can raise and remove limits, restrictions and
    /// expiries, also those that the application gave a key.
    ///
    /// The manager does not check whether the user still belongs to the tenant. Create the owner right before
    /// its use, once the whole request has arrived, and from a session store that ends sessions at once.
    pub fn of_tenant(tenant: TenantId, abilities: AbilitySet, actor: impl Into<Actor>) -> Self {
        Self::new(actor.into(), Bound::Tenant { tenant, abilities })
    }

    /// Requires abilities, such as `api-keys:write`, to read, list and change keys.
    ///
    /// A guard in front of a handler judges the key as it was when the request arrived. The manager judges these
    /// abilities anew for each call. A user of a tenant needs them among its own abilities.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::key::AbilityError;
    /// use tower_api_key::manage::Owner;
    /// use tower_api_key::{KeyManager, VerifiedKey};
    ///
    /// fn managed_by(keys: &KeyManager, key: &VerifiedKey) -> Result<KeyManager, AbilityError> {
    ///     let owner = Owner::of_key(key).requiring(["api-keys:write"].try_into()?);
    ///     Ok(keys.on_behalf_of(owner))
    /// }
    /// ```
    pub fn requiring(mut self, abilities: AbilitySet) -> Self {
        self.needs = abilities;
        self
    }

    /// Permits a key without a tenant to manage all keys without a tenant.
    ///
    /// This is for applications without tenants. In an application with tenants, keys without one are often its
    /// own, and should not manage each other.
    pub fn allow_tenantless(mut self) -> Self {
        self.may_be_tenantless = true;
        self
    }
}

impl From<&VerifiedKey> for Owner {
    fn from(key: &VerifiedKey) -> Self {
        Self::of_key(key)
    }
}
