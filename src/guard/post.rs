//! [`RequirePost`]: refuses all methods but `POST`, for gRPC.

use super::Guard;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::protocol::Protocol;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// Refuses every method but `POST`, for gRPC services in a server that also speaks HTTP.
///
/// All gRPC methods are called by `POST`, but servers such as tonic ignore the method. For them, a
/// `GET` with the body of a call is the call, and is judged by the rules for `GET` of policies, guards
/// and endpoints of keys.
///
/// If a server speaks only gRPC, set this on its layer instead:
/// [`Protocol::Grpc`](crate::Protocol::Grpc).
///
/// # Examples
///
/// ```
/// use tower::Layer;
/// use tower_api_key::guard::{Guard, RequireAbility, RequirePost};
/// use tower_api_key::GuardLayer;
///
/// # let health = tower::service_fn(async |_: http::Request<String>| Ok::<_, std::convert::Infallible>(http::Response::new(String::new())));
/// let guards = RequirePost::new().and(RequireAbility::new("health:check"));
/// let guarded = GuardLayer::new(guards).layer(health);
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct RequirePost(());

impl RequirePost {
    /// Requires `POST`.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::{Guard, RequirePost};
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead};
    ///
    /// let key = verified_key(NewKey::named("caller"));
    /// let call = Request::post("/acme.v1.Bots/List").body(())?;
    /// let disguised = Request::get("/acme.v1.Bots/List").body(())?;
    /// assert!(RequirePost::new().check(&key, &RequestHead::new(&call)).is_ok());
    /// assert!(RequirePost::new().check(&key, &RequestHead::new(&disguised)).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub const fn new() -> Self {
        Self(())
    }
}

impl Guard for RequirePost {
    fn check(&self, _: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        if Protocol::Grpc.allows(head) { Ok(()) } else { Err(Rejection::not_post()) }
    }
}

guard_is_a_layer!(RequirePost);
