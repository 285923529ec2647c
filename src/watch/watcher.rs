//! [`Watcher`]: a layer and its open streams.

use std::any::Any;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Authority, Streams};
use crate::limit::LimitDecision;
use crate::store::KeyRecord;

/// A layer and its open streams.
pub(crate) trait Watcher: Authority {
    /// Returns the open streams.
    fn streams(&self) -> &Streams;

    /// Gives back what the limits of a key granted. Returns how they stand then.
    fn refund(
        self: Arc<Self>,
        key: Arc<KeyRecord>,
        cost: u32,
        granted: LimitDecision,
    ) -> BoxFuture<'static, LimitDecision>;

    /// Returns the observers of the ends of requests. Their type belongs to `observe`, which imports from this module.
    fn observers(&self) -> &(dyn Any + Send + Sync);
}
