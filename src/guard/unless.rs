//! [`Unless`]: a guard that also accepts what something else authenticated.

use std::fmt;
use std::sync::Arc;

use tower_layer::Layer;

use super::{Guard, GuardLayer, GuardService};
use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// Accepts what a guard accepts, and requests without a key that something else authenticated. See
/// [`Guard::unless`].
#[derive(Clone)]
#[must_use]
pub struct Unless<G> {
    guard: G,
    condition: Arc<dyn Fn(&RequestHead<'_>) -> bool + Send + Sync>,
}

impl<G> Unless<G> {
    pub(super) fn new<F>(guard: G, condition: F) -> Self
    where
        F: Fn(&RequestHead<'_>) -> bool + Send + Sync + 'static,
    {
        Self { guard, condition: Arc::new(condition) }
    }
}

impl<G: Guard> Guard for Unless<G> {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        self.guard.check(key, head)
    }

    fn lets_pass_without_key(&self, head: &RequestHead<'_>) -> bool {
        (self.condition)(head) || self.guard.lets_pass_without_key(head)
    }
}

impl<G: Guard + Clone + 'static, S> Layer<S> for Unless<G> {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardLayer::new(self.clone()).layer(inner)
    }
}

impl<G: fmt::Debug> fmt::Debug for Unless<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unless").field("guard", &self.guard).finish_non_exhaustive()
    }
}
