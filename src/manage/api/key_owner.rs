//! [`KeyOwner`]: callers are keys.

use std::fmt;

use async_trait::async_trait;
use axum::body::Body;
use http::request::Parts;

use super::{IdentifyOwner, KeyAction, Refused};
use crate::guard::{Guard, RequireAbility, admit, needed};
use crate::head::RequestHead;
use crate::key::{Ability, AbilitySet, KeyKind};
use crate::manage::Owner;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// Lets keys manage the keys of their tenant, as far as their abilities go.
///
/// The routes have to be within an [`ApiKeyLayer`](crate::ApiKeyLayer) over the repository of the
/// manager. Refused, in the words of the layer, is a request without a key, a public key, and one
/// that lacks the ability: `api-keys:read` to list and show keys, and `api-keys:write` for all else.
///
/// The layer has judged the key when the request came, and its body can come later. So the key is
/// judged again, by its record in the moment in which something is done: one that was revoked
/// meanwhile, or has lost the ability, does nothing more.
///
/// A key without a tenant is refused, unless that is [allowed](Self::allow_tenantless).
///
/// # Examples
///
/// ```
/// use axum::Router;
/// use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
/// use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore};
///
/// let store = MemoryStore::new();
/// let routes = KeyRoutes::new(KeyManager::new(store.clone()), KeyOwner::default());
/// let app: Router =
///     Router::new().nest("/v1", routes.into_router()).layer(ApiKeyLayer::new(store));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct KeyOwner {
    read: Needed,
    write: Needed,
    may_be_tenantless: bool,
}

/// An ability that is needed, as a guard and for the owner.
#[derive(Clone, Debug)]
struct Needed(RequireAbility, AbilitySet);

impl Needed {
    fn new<A>(ability: A) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let ability = needed(ability);
        Self(RequireAbility::new(ability.clone()), AbilitySet::from_iter([ability]))
    }
}

impl KeyOwner {
    /// Asks for other abilities.
    ///
    /// # Panics
    ///
    /// Panics if one does not parse or is a wildcard.
    pub fn with_abilities<A>(read: A, write: A) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        Self { read: Needed::new(read), write: Needed::new(write), may_be_tenantless: false }
    }

    /// Lets keys without a tenant manage the keys without a tenant, all of them.
    ///
    /// See [`Owner::allow_tenantless`] for where not to.
    pub fn allow_tenantless(mut self) -> Self {
        self.may_be_tenantless = true;
        self
    }
}

impl Default for KeyOwner {
    fn default() -> Self {
        Self::with_abilities("api-keys:read", "api-keys:write")
    }
}

#[async_trait]
impl IdentifyOwner for KeyOwner {
    async fn identify(&self, parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
        let Needed(needed, abilities) =
            if action.changes_keys() { &self.write } else { &self.read };
        let guard = |key: &VerifiedKey, head: &RequestHead<'_>| match key.kind() {
            KeyKind::Public => Err(Rejection::public_key()),
            KeyKind::Secret => needed.check(key, head),
        };
        match admit(&guard, &RequestHead::from_parts(parts)) {
            Ok(key) => {
                let owner = Owner::of_key(key).requiring(abilities.clone());
                Ok(if self.may_be_tenantless { owner.allow_tenantless() } else { owner })
            }
            Err(response) => Err(response.map(Body::from).into()),
        }
    }
}
