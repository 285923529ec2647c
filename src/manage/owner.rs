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
/// assert_eq!(issued.record.tenant().unwrap(), "acme");
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
    /// What is needed to manage keys at all.
    pub(super) needs: AbilitySet,
    pub(super) may_be_tenantless: bool,
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
    pub(super) fn application() -> Self {
        Self::new(Actor::System, Bound::Nothing)
    }

    /// Tells whether it is a key.
    #[cfg(feature = "pages")]
    pub(super) const fn is_key(&self) -> bool {
        matches!(self.bound, Bound::Key(_))
    }

    fn new(actor: Actor, bound: Bound) -> Self {
        Self { actor, bound, needs: AbilitySet::default(), may_be_tenantless: false }
    }

    /// A key, which grants no more than it has.
    ///
    /// It counts as its record, which has to be in the repository of the manager, is in the moment in
    /// which something is done: if it was revoked since it was verified, nothing is, and if it was
    /// deprived of something, it grants no more of that. See
    /// [`on_behalf_of`](crate::KeyManager::on_behalf_of) for what exactly holds.
    ///
    /// A key without a tenant manages nothing, unless that is [allowed](Self::allow_tenantless).
    pub fn of_key(key: &VerifiedKey) -> Self {
        let id = key.id().clone();
        Self::new(id.clone().into(), Bound::Key(id))
    }

    /// Somebody of `tenant`, such as a user at its dashboard, who grants none but `abilities`.
    ///
    /// With an empty set, only keys without abilities can be issued and changed. What is done is
    /// noted as done by `actor`.
    ///
    /// Nothing but the tenant and the abilities is bounded: limits can be raised and taken away, and
    /// so can restrictions and expiries, also those that the application gave a key.
    ///
    /// It is as fresh as what it was made from: nobody asks again whether the user is still of the
    /// tenant. Make it when all of the request is there, right before it is used, and from where
    /// sessions end at once.
    pub fn of_tenant(tenant: TenantId, abilities: AbilitySet, actor: impl Into<Actor>) -> Self {
        Self::new(actor.into(), Bound::Tenant { tenant, abilities })
    }

    /// Requires abilities to manage keys at all, such as `api-keys:write`: to read, list and change
    /// them.
    ///
    /// A guard in front of a handler judges the key as it was when the request came. This is judged
    /// as all else, in the moment in which something is done. Of somebody of a tenant, the ceiling has
    /// to have them.
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

    /// Lets a key without a tenant manage the keys without a tenant, all of them.
    ///
    /// For applications that have no tenants. Where there are some, a key without one is often one
    /// of the application's own, and those are not to manage each other.
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
