//! [`Admission`]: what is kept of a request that was let through.

use std::sync::Arc;

use super::{Asked, Watcher};
use crate::store::KeyRecord;

/// By whom a request was let through, with which key, and for what.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) authority: Arc<dyn Watcher>,
    pub(crate) record: Arc<KeyRecord>,
    /// None if nothing depended on it.
    pub(crate) asked: Option<Arc<Asked>>,
}
