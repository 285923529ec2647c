//! [`RequireStage`]: requires keys of a stage.

use std::fmt;
use std::sync::Arc;

use super::Guard;
use super::expected::Expected;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::key::Stage;
use crate::reject::{Rejection, RejectionKind};
use crate::valid::valid;
use crate::verify::VerifiedKey;

/// Refuses requests whose key is not of the stage that they ask for. A key without a stage is refused,
/// too.
///
/// # Examples
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RequireStage};
///
/// // `/prod/1/questions` is for keys of the stage `prod`.
/// let app: Router = Router::new()
///     .route("/{stage}/1/questions", get(|| async { "…" }))
///     .layer(ApiKeyLayer::new(MemoryStore::new()).guard(RequireStage::in_path_segment(0)));
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RequireStage(Expected<Stage>);

impl RequireStage {
    /// Requires the stage of this deployment.
    ///
    /// # Panics
    ///
    /// Panics if `stage` does not parse.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireStage};
    ///
    /// let key = verified_key(NewKey::named("a key").stage("prod"));
    /// let request = Request::get("/bots").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(RequireStage::fixed("prod").check(&key, &head).is_ok());
    /// assert!(RequireStage::fixed("staging").check(&key, &head).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    #[track_caller]
    pub fn fixed<T>(stage: T) -> Self
    where
        T: TryInto<Stage, Error: fmt::Display>,
    {
        Self(Expected::Fixed(valid(stage.try_into())))
    }

    /// Requires the stage that is segment number `index`, from 0, of the original path.
    ///
    /// A path that servers can read in different ways names no stage; see
    /// [`RequestHead::path_segment`].
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireStage};
    ///
    /// let key = verified_key(NewKey::named("a key").stage("prod"));
    /// let (own, other) = (Request::get("/prod/bots").body(())?, Request::get("/staging/bots").body(())?);
    /// let guard = RequireStage::in_path_segment(0);
    /// assert!(guard.check(&key, &RequestHead::new(&own)).is_ok());
    /// assert!(guard.check(&key, &RequestHead::new(&other)).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub const fn in_path_segment(index: usize) -> Self {
        Self(Expected::PathSegment(index))
    }

    /// Requires the stage that `read` finds in the request. If it finds none, the request is refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::guard::Guard;
    /// use tower_api_key::testing::verified_key;
    /// use tower_api_key::{NewKey, RequestHead, RequireStage};
    ///
    /// let key = verified_key(NewKey::named("a key").stage("prod"));
    /// let guard = RequireStage::from_fn(|head| head.headers().get("x-stage")?.to_str().ok()?.parse().ok());
    /// let named = Request::get("/bots").header("x-stage", "prod").body(())?;
    /// assert!(guard.check(&key, &RequestHead::new(&named)).is_ok());
    /// assert!(guard.check(&key, &RequestHead::new(&Request::new(()))).is_err());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub fn from_fn<F>(read: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> Option<Stage> + Send + Sync + 'static,
    {
        Self(Expected::Read(Arc::new(read)))
    }
}

impl Guard for RequireStage {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        if self.0.is(key.stage(), head) { Ok(()) } else { Err(RejectionKind::WrongStage.into()) }
    }
}

guard_is_a_layer!(RequireStage);
