//! [`OnUse`]: who is told of the requests that were let through.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::clock::Clock;
use crate::head::RequestHead;
use crate::trace;
use crate::verify::VerifiedKey;

/// Is told of each request with a key that the layer let through.
///
/// A key was used when it was verified, all [guards](crate::ApiKeyLayer::guard) of the layer let
/// the request pass, and so did the limits of the key. What happens within the layer makes no
/// difference: a request that a guard on a route refuses is a use, too. Requests that the layer
/// refuses and requests without a key are none.
///
/// Closures and functions implement it.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RequestHead, VerifiedKey};
///
/// let served = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&served);
/// let layer = ApiKeyLayer::new(MemoryStore::new())
///     .on_use(move |_: &VerifiedKey, _: &RequestHead<'_>| {
///         counter.fetch_add(1, Ordering::Relaxed);
///     });
/// ```
pub trait OnUse: Send + Sync {
    /// Takes note of a use, just before the inner service is called.
    ///
    /// The request waits meanwhile, so it has to be quick and must not block. The credential is
    /// not in the head any more, unless the layer [keeps](crate::ApiKeyLayer::keep_credential) it.
    /// A panic is logged and fails no request.
    fn on_use(&self, key: &VerifiedKey, head: &RequestHead<'_>);
}

impl<F: Fn(&VerifiedKey, &RequestHead<'_>) + Send + Sync> OnUse for F {
    fn on_use(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        self(key, head);
    }
}

/// What is called for a key that should be replaced.
pub(crate) type OnRotationDue = dyn Fn(&VerifiedKey) + Send + Sync;

/// All who are to be told of uses.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    pub(crate) on_use: Vec<Arc<dyn OnUse>>,
    pub(crate) on_rotation_due: Vec<Arc<OnRotationDue>>,
}

impl Observers {
    pub(crate) fn used(&self, key: &VerifiedKey, head: &RequestHead<'_>, clock: &dyn Clock) {
        for observer in &self.on_use {
            survive(|| observer.on_use(key, head));
        }
        if !self.on_rotation_due.is_empty()
            && key.rotation_due_at().is_some()
            && key.is_rotation_due(clock.now())
        {
            for observer in &self.on_rotation_due {
                survive(|| observer(key));
            }
        }
    }
}

/// Whatever an observer does is no reason to fail a request.
fn survive(observe: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(observe)).is_err() {
        trace::panicked("an observer of uses");
    }
}

const _: Option<Arc<dyn OnUse>> = None;
