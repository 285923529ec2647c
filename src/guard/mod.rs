//! Guards: what a verified key must be for a request to pass.
//!
//! A guard checks every request of the layer ([`ApiKeyLayer::guard`]), or the requests of the route or
//! service on which it is mounted. [`RequireAbility`], [`RequireStage`], [`RequireTenant`],
//! [`RequireKind`], [`RequirePost`] and [`RefuseCrossOrigin`] are layers, and [`GuardLayer`] mounts any
//! other guard. [`ReportOnly`] tries a guard out. [`BindSession`] is only a layer, because it also sees
//! responses.
//!
//! The restrictions and limits in the [record](crate::KeyRecord) of a key need no guard: the layer
//! checks them after the guards.
//!
//! A guard on a route refuses a request without a verified key:
//!
//! * with 401, in the form of the layer, if the layer accepted the request without a key and [nothing
//!   else](Guard::unless) authenticated it;
//! * with 500 if there is no layer around the guard.
//!
//! The rest of the body of a refused request is read [after the
//! refusal](crate::ApiKeyLayer::drain_refused).
//!
//! [`ApiKeyLayer::guard`]: crate::ApiKeyLayer::guard

mod ability;
mod bind_session;
mod combine;
mod cross_origin;
mod expected;
mod future;
mod kind;
mod layer;
mod post;
mod report_only;
mod restrictions;
mod stage;
mod tenant;
mod unless;

use std::sync::Arc;

pub use self::ability::RequireAbility;
pub use self::bind_session::{BindSession, BindSessionFuture, BindSessionService};
pub use self::combine::{And, Or};
pub use self::cross_origin::RefuseCrossOrigin;
pub use self::future::GuardFuture;
pub use self::kind::RequireKind;
pub use self::layer::{GuardLayer, GuardService};
pub use self::post::RequirePost;
pub use self::report_only::{Report, ReportOnly};
pub use self::stage::RequireStage;
pub use self::tenant::RequireTenant;
pub use self::unless::Unless;

#[cfg(feature = "policy")]
pub(crate) use self::ability::has_one_of;
#[cfg(feature = "openapi")]
pub(crate) use self::ability::needed;
#[cfg(feature = "manage")]
pub(crate) use self::layer::{admit, rejector};
#[cfg(feature = "policy")]
pub(crate) use self::report_only::OnReport;
pub(crate) use self::restrictions::{allows_address, allows_endpoint, check_restrictions};

use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// Decides whether a verified key may make a request.
///
/// Closures and functions implement it.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::guard::{Guard, RequireAbility};
/// use tower_api_key::testing::verified_key;
/// use tower_api_key::{GuardLayer, NewKey, Rejection, RejectionKind, RequestHead, VerifiedKey};
///
/// fn paid_plan(key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
///     match key.metadata().get("plan") {
///         Some(plan) if plan == "paid" => Ok(()),
///         _ => Err(Rejection::new(RejectionKind::NotAllowed).with_message("Upgrade first")),
///     }
/// }
/// let guard = RequireAbility::new("exports:read").and(paid_plan);
///
/// let request = Request::get("/exports").body(())?;
/// let head = RequestHead::new(&request);
/// let key = NewKey::named("a device").abilities(["exports:read"]);
/// assert_eq!(guard.check(&verified_key(key.clone()), &head).unwrap_err().message(), "Upgrade first");
/// assert!(guard.check(&verified_key(key.metadata("plan", "paid")), &head).is_ok());
/// assert!(!guard.lets_pass_without_key(&head));
/// let layer = GuardLayer::new(guard);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Guard: Send + Sync {
    /// Checks the key and the head of the request.
    ///
    /// # Errors
    ///
    /// Returns why the request is refused.
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection>;

    /// Tells whether a request without a key passes where the guard is mounted on a route. The layer
    /// around has accepted such a request already.
    ///
    /// The default is no. [`unless`](Self::unless) makes guards that accept some.
    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        let _ = head;
        false
    }

    /// Makes a guard that also accepts requests without a key if `condition` holds. The condition reads
    /// what an outer layer left in the extensions of the request: use it for requests that something
    /// else authenticated.
    ///
    /// A request with a key is judged by its key. Without a layer around the guard, every request is
    /// refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::get};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_api_key::{ApiKeyLayer, Guard, MemoryStore, RequestHead, RequireAbility};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// fn is_user(head: &RequestHead<'_>) -> bool {
    ///     head.extensions().get::<User>().is_some()
    /// }
    /// let guard = RequireAbility::new("bots:read").unless(is_user);
    /// let app = Router::new()
    ///     .route("/bots", get(|| async { "…" }).layer(guard))
    ///     .layer(ApiKeyLayer::new(MemoryStore::new()).unless(is_user));
    ///
    /// let mut request = Request::get("/bots").body(Body::empty())?;
    /// request.extensions_mut().insert(User("alice".to_owned())); // by an outer layer
    /// assert_eq!(app.clone().oneshot(request).await?.status(), StatusCode::OK);
    /// let request = Request::get("/bots").body(Body::empty())?;
    /// assert_eq!(app.oneshot(request).await?.status(), StatusCode::UNAUTHORIZED);
    /// # Ok(())
    /// # }
    /// ```
    fn unless<F>(self, condition: F) -> Unless<Self>
    where
        Self: Sized,
        F: Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    {
        Unless::new(self, condition)
    }

    /// Makes a guard that accepts what both guards accept; this one is checked first.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{Guard, NewKey, RequestHead, RequireAbility, RequireStage};
    ///
    /// let guard = RequireStage::fixed("prod").and(RequireAbility::new("bots:read"));
    ///
    /// let request = Request::get("/bots").body(())?;
    /// let key = verified_key(NewKey::named("a device").stage("prod"));
    /// assert!(guard.check(&key, &RequestHead::new(&request)).is_err()); // it lacks the ability
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    fn and<G: Guard>(self, other: G) -> And<Self, G>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Makes a guard that accepts what one of the two guards accepts.
    ///
    /// If both refuse, the client gets the refusal of this one.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{Guard, NewKey, RequestHead, RequireAbility, RequireTenant};
    ///
    /// let guard = RequireTenant::fixed("acme").or(RequireAbility::new("support"));
    ///
    /// let request = Request::get("/bots").body(())?;
    /// let key = verified_key(NewKey::named("help desk").abilities(["support"]));
    /// assert!(guard.check(&key, &RequestHead::new(&request)).is_ok());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    fn or<G: Guard>(self, other: G) -> Or<Self, G>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }

    /// Makes a guard that accepts everything and reports what this one would refuse.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{Guard, NewKey, RequestHead, RequireAbility};
    ///
    /// let guard = RequireAbility::new("bots:read").report_only();
    ///
    /// let request = Request::get("/bots").body(())?;
    /// let key = verified_key(NewKey::named("a device"));
    /// assert!(guard.check(&key, &RequestHead::new(&request)).is_ok()); // with a warning in the log
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    fn report_only(self) -> ReportOnly<Self>
    where
        Self: Sized,
    {
        ReportOnly::new(self)
    }
}

impl<F> Guard for F
where
    F: Fn(&VerifiedKey, &RequestHead<'_>) -> Result<(), Rejection> + Send + Sync,
{
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        self(key, head)
    }
}

const _: Option<Arc<dyn Guard>> = None;
