//! [`KeyOwner`]: callers are keys.

use std::fmt;

use async_trait::async_trait;
use axum::body::Body;
use http::request::Parts;

use super::{Access, IdentifyOwner, Refused};
use crate::guard::{Guard, RequireAbility, admit};
use crate::head::RequestHead;
use crate::key::{Ability, KeyKind};
use crate::manage::Owner;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// Lets keys manage the keys of their tenant, as far as their abilities go.
///
/// The routes have to be within an [`ApiKeyLayer`](crate::ApiKeyLayer) over the repository of the
/// manager. Refused, in the words of the layer, is a request without a key, a public key, and one
/// that lacks the ability: `api-keys:read` to list and show keys, and `api-keys:write` for all else.
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
    read: RequireAbility,
    write: RequireAbility,
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
        Self { read: RequireAbility::new(read), write: RequireAbility::new(write) }
    }
}

impl Default for KeyOwner {
    fn default() -> Self {
        Self::with_abilities("api-keys:read", "api-keys:write")
    }
}

#[async_trait]
impl IdentifyOwner for KeyOwner {
    async fn identify(&self, parts: &mut Parts, access: Access) -> Result<Owner, Refused> {
        let needed = match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        };
        let guard = |key: &VerifiedKey, head: &RequestHead<'_>| match key.kind() {
            KeyKind::Public => Err(Rejection::public_key()),
            KeyKind::Secret => needed.check(key, head),
        };
        match admit(&guard, &RequestHead::from_parts(parts)) {
            Ok(key) => Ok(Owner::of_key(key)),
            Err(response) => Err(response.map(Body::from).into()),
        }
    }
}
