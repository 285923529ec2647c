//! [`RequireTenant`]: requires keys of a tenant.

use std::fmt;
use std::sync::Arc;

use super::Guard;
use super::expected::Expected;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::key::TenantId;
use crate::reject::{Rejection, RejectionKind};
use crate::valid::valid;
use crate::verify::VerifiedKey;

/// Refuses requests whose key is not of the tenant that they ask for. A key without a tenant is
/// refused, too.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RequireTenant};
///
/// // `/workspaces/acme/leads` is for keys of the tenant `acme`.
/// let app: Router = Router::new()
///     .route("/workspaces/{workspace}/leads", get(|| async { "…" }))
///     .layer(ApiKeyLayer::new(MemoryStore::new()).guard(RequireTenant::in_path_segment(1)));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireTenant(Expected<TenantId>);

impl RequireTenant {
    /// Requires one tenant, for a deployment that serves no other.
    ///
    /// # Panics
    ///
    /// Panics if `tenant` does not parse.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireTenant};
    ///
    /// let key = verified_key(NewKey::named("a key").tenant("acme"));
    /// let request = Request::get("/bots").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(RequireTenant::fixed("acme").check(&key, &head).is_ok());
    /// assert!(RequireTenant::fixed("umbrella").check(&key, &head).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    #[track_caller]
    pub fn fixed<T>(tenant: T) -> Self
    where
        T: TryInto<TenantId, Error: fmt::Display>,
    {
        Self(Expected::Fixed(valid(tenant.try_into())))
    }

    /// Requires the tenant that is segment number `index`, from 0, of the original path.
    ///
    /// A path that servers can read in different ways names no tenant; see
    /// [`RequestHead::path_segment`].
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireTenant};
    ///
    /// let key = verified_key(NewKey::named("a key").tenant("acme"));
    /// let (own, other) = (Request::get("/acme/bots").body(())?, Request::get("/umbrella/bots").body(())?);
    /// let guard = RequireTenant::in_path_segment(0);
    /// assert!(guard.check(&key, &RequestHead::new(&own)).is_ok());
    /// assert!(guard.check(&key, &RequestHead::new(&other)).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub const fn in_path_segment(index: usize) -> Self {
        Self(Expected::PathSegment(index))
    }

    /// Requires the tenant that `read` finds in the request. If it finds none, the request is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireTenant};
    ///
    /// let key = verified_key(NewKey::named("a key").tenant("acme"));
    /// let guard = RequireTenant::from_fn(|head| head.headers().get("x-tenant")?.to_str().ok()?.parse().ok());
    /// let named = Request::get("/bots").header("x-tenant", "acme").body(())?;
    /// assert!(guard.check(&key, &RequestHead::new(&named)).is_ok());
    /// assert!(guard.check(&key, &RequestHead::new(&Request::new(()))).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub fn from_fn<F>(read: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<TenantId> + Send + Sync + 'static,
    {
        Self(Expected::Read(Arc::new(read)))
    }
}

impl Guard for RequireTenant {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        if self.0.is(key.tenant(), head) { Ok(()) } else { Err(RejectionKind::WrongTenant.into()) }
    }
}

guard_is_a_layer!(RequireTenant);
