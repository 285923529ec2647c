//! What a verified key must be for a request to pass.
//!
//! A guard runs for every request of the layer ([`ApiKeyLayer::guard`]), or for those of a
//! route or a service on which it is mounted: [`RequireAbility`], [`RequireStage`],
//! [`RequireTenant`], [`RequireKind`], [`RequirePost`] and [`RefuseCrossOrigin`] are layers, and
//! [`GuardLayer`] mounts any other. [`ReportOnly`] tries a guard out. [`BindSession`] is a layer only: it
//! sees responses, too.
//!
//! What the [record](crate::KeyRecord) of a key restricts and limits needs no guard: the layer
//! sees to it, after the guards.
//!
//! A guard on a route refuses a request without a verified key: with 401, in the words of the
//! layer, if the layer let it pass without a key, and [nothing else](Guard::unless) authenticated it; with
//! 500 if no layer is around it. What is left of a
//! refused request is read [behind the refusal](crate::ApiKeyLayer::drain_refused).
//!
//! [`ApiKeyLayer::guard`]: crate::ApiKeyLayer::guard

pub(crate) mod ability;
mod bind_session;
mod combine;
pub(crate) mod cross_origin;
mod expected;
mod future;
pub(crate) mod kind;
pub(crate) mod layer;
mod post;
mod report_only;
mod restrictions;
pub(crate) mod stage;
pub(crate) mod tenant;
mod unless;

use std::sync::Arc;

pub use self::bind_session::{BindSession, BindSessionFuture, BindSessionService};
pub use self::combine::{And, Or};
pub use self::future::GuardFuture;
pub use self::layer::GuardService;
pub use self::post::RequirePost;
pub use self::report_only::{Report, ReportOnly};
pub use self::unless::Unless;

// They are documented at the root, by which users name them.
#[doc(hidden)]
pub use self::ability::RequireAbility;
#[doc(hidden)]
pub use self::cross_origin::RefuseCrossOrigin;
#[doc(hidden)]
pub use self::kind::RequireKind;
#[doc(hidden)]
pub use self::layer::GuardLayer;
#[doc(hidden)]
pub use self::stage::RequireStage;
#[doc(hidden)]
pub use self::tenant::RequireTenant;

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
/// use tower_api_key::guard::Guard;
/// use tower_api_key::{
///     GuardLayer, Rejection, RejectionKind, RequestHead, RequireAbility, VerifiedKey,
/// };
///
/// fn paid_plan(key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
///     match key.metadata().get("plan") {
///         Some(plan) if plan == "paid" => Ok(()),
///         _ => Err(Rejection::new(RejectionKind::NotAllowed).with_message("Upgrade first")),
///     }
/// }
/// let layer = GuardLayer::new(RequireAbility::new("exports:read").and(paid_plan));
/// ```
pub trait Guard: Send + Sync {
    /// Decides by the key and the head of the request.
    ///
    /// # Errors
    ///
    /// Returns why the request is refused.
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection>;

    /// Tells whether a request without a key passes where the guard is mounted on a route. The layer around
    /// has let it pass.
    ///
    /// The default is no. [`unless`](Self::unless) makes guards for which it does.
    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        let _ = head;
        false
    }

    /// Makes a guard that also lets requests without a key pass if `condition` holds, which looks at what
    /// an outer layer left in the extensions of the request: those that something else authenticated.
    ///
    /// A request with a key is judged by the key. One for which there is no layer around the guard is
    /// refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, RequestHead, RequireAbility};
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// fn is_user(head: &RequestHead<'_>) -> bool {
    ///     head.extensions().get::<User>().is_some()
    /// }
    /// let guard = RequireAbility::new("bots:read").unless(is_user);
    /// let app: Router = Router::new()
    ///     .route("/bots", get(|| async { "…" }).layer(guard))
    ///     .layer(ApiKeyLayer::new(MemoryStore::new()).unless(is_user));
    /// ```
    fn unless<F>(self, condition: F) -> Unless<Self>
    where
        Self: Sized,
        F: Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    {
        Unless::new(self, condition)
    }

    /// Makes a guard that lets pass what both let pass; this one is asked first.
    fn and<G: Guard>(self, other: G) -> And<Self, G>
    where
        Self: Sized,
    {
        And::new(self, other)
    }

    /// Makes a guard that lets pass what one of the two lets pass.
    ///
    /// If both refuse, the client is told what the first one said.
    fn or<G: Guard>(self, other: G) -> Or<Self, G>
    where
        Self: Sized,
    {
        Or::new(self, other)
    }

    /// Makes a guard that lets everything pass, and reports what this one would refuse.
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
