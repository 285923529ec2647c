//! [`IdentifyOwner`]: who calls.

use std::sync::Arc;

use async_trait::async_trait;
use axum::response::{IntoResponse, Response};
use http::request::Parts;

use super::KeyAction;
use crate::manage::Owner;

/// Turns a request into the owner on whose behalf it manages keys, or refuses it.
///
/// The tenant and the ceiling of abilities come from here, never from the body of a request.
/// [`KeyOwner`](super::KeyOwner) takes the verified key of the request; functions and closures that
/// need not wait implement it too.
///
/// It is asked once the body of the request has come, and before anything of it is looked at. What it
/// returns is used at once, and nobody asks again: an owner that is a session is as fresh as what
/// this looks it up in. A session that a layer outside has put into the extensions, as in the example
/// below, is as old as the request, whose body can take as long as the
/// [routes allow](super::KeyRoutes::body_timeout); where a session has to end at once, look it up here.
///
/// Where sessions are cookies, other sites can have browsers send them. What changes keys cannot be
/// sent by such a site unless CORS allows it: it is `PATCH`, `DELETE` or JSON, for which browsers ask
/// first.
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
/// ```
#[async_trait]
pub trait IdentifyOwner: Send + Sync {
    /// Returns who calls.
    ///
    /// # Errors
    ///
    /// Returns the answer to a request that may not do this.
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

/// The answer to a request of somebody who may not manage keys.
///
/// Every response becomes one by `?`, so that axum's extractors can be used.
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
