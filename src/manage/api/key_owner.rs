//! [`KeyOwner`]: API keys as callers.

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

/// Lets API keys manage the keys of their tenant, within their own abilities.
///
/// The routes have to be inside an [`ApiKeyLayer`](crate::ApiKeyLayer) with the repository of the manager. A
/// request is refused, with the answers of the layer, if it has no key, has a public key, or has a key without
/// the required ability: `api-keys:read` to list and show keys, and `api-keys:write` for everything else.
///
/// The layer judges the key when the request arrives, and the body can arrive later. So the manager judges the
/// record of the key again for each call: a key that was revoked in the meantime, or has lost the ability,
/// changes nothing.
///
/// A key without a tenant is refused, unless [`allow_tenantless`](Self::allow_tenantless) permits it.
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
/// assert!(app.has_routes());
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct KeyOwner {
    read: Needed,
    write: Needed,
    may_be_tenantless: bool,
}

/// A required ability, as a guard and for the owner.
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
    /// Requires other abilities, to read keys and to change them.
    ///
    /// # Panics
    ///
    /// Panics if an ability does not parse or is a wildcard.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::manage::api::KeyOwner;
    ///
    /// let owner = KeyOwner::with_abilities("credentials:read", "credentials:write");
    /// assert!(format!("{owner:?}").contains("credentials:write"));
    /// ```
    pub fn with_abilities<A>(read: A, write: A) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        Self { read: Needed::new(read), write: Needed::new(write), may_be_tenantless: false }
    }

    /// Permits keys without a tenant to manage all keys without a tenant.
    ///
    /// [`Owner::allow_tenantless`] says for which applications this is.
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
