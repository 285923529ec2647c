//! [`Admission`]: what is kept of an admitted request.

use std::sync::Arc;

use super::{Asked, Watcher};
use crate::store::KeyRecord;

/// The layer that admitted a request, the key, and what the request asked for.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) authority: Arc<dyn Watcher>,
    pub(crate) record: Arc<KeyRecord>,
    /// None if the layer has nothing to check again.
    pub(crate) asked: Option<Arc<Asked>>,
}
