//! [`IdentifyOwner`]: identifies the caller of a request.

use std::sync::Arc;

use async_trait::async_trait;
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use super::KeyAction;
use crate::manage::Owner;

/// Identifies the owner on whose behalf a request manages keys, or refuses the request.
///
/// The tenant and the ceiling of abilities come from here, never from the body of a request.
/// [`KeyOwner`](super::KeyOwner) implements it for the verified key of the request. Functions and closures that
/// are not async implement it, too.
///
/// It is called after the whole body has arrived, and before the body is parsed. Its result is used at once and
/// not checked again. A session that an outer layer has put into the extensions, like in the example below, was
/// looked up before the body arrived, which can take as long as the [routes
/// allow](super::KeyRoutes::body_timeout). If sessions have to end at once, look them up here.
///
/// Other sites can make browsers send requests with the cookies of their users. Such a site cannot change keys
/// unless CORS allows it: changes are `PATCH`, `DELETE` or JSON, for which browsers send a preflight first.
///
/// # Examples
///
/// The sessions of a dashboard, which another layer has put into the extensions:
///
/// ```
/// use http::StatusCode;
/// use http::request::Parts;
/// use tower_api_key::manage::Owner;
/// use tower_api_key::manage::api::{KeyAction, KeyRoutes, Refused};
/// use tower_api_key::{AbilitySet, KeyManager, MemoryStore, TenantId};
///
/// #[derive(Clone)]
/// struct Session {
///     user: String,
///     tenant: TenantId,
///     may_manage_keys: bool,
///     ceiling: AbilitySet,
/// }
///
/// fn session(parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
///     let session = parts.extensions.get::<Session>().cloned().ok_or(StatusCode::UNAUTHORIZED)?;
///     if action.changes_keys() && !session.may_manage_keys {
///         return Err(StatusCode::FORBIDDEN.into());
///     }
///     Ok(Owner::of_tenant(session.tenant, session.ceiling, session.user))
/// }
///
/// let routes = KeyRoutes::new(KeyManager::new(MemoryStore::new()), session);
/// # let _ = routes;
/// ```
#[async_trait]
pub trait IdentifyOwner: Send + Sync {
    /// Returns the owner on whose behalf the request acts.
    ///
    /// # Errors
    ///
    /// Returns the answer to a request whose caller is unknown or may not do this.
    async fn identify(&self, parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused>;
}

#[async_trait]
impl<F> IdentifyOwner for F
where
    F: Fn(&mut Parts, &KeyAction) -> Result<Owner, Refused> + Send + Sync,
{
    async fn identify(&self, parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
        self(parts, action)
    }
}

const _: Option<Arc<dyn IdentifyOwner>> = None;

/// The answer to a refused request.
///
/// The operator `?` converts every response to it, so that axum's extractors can be used.
#[derive(Debug)]
pub struct Refused(Box<Response>);

impl<R: IntoResponse> From<R> for Refused {
    fn from(response: R) -> Self {
        Self(Box::new(response.into_response()))
    }
}

impl Refused {
    pub(in crate::manage) fn into_inner(self) -> Response {
        *self.0
    }
}
