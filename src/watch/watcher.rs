//! [`Watcher`]: a layer and its open streams.

use super::{Authority, Streams};

/// A layer and its open streams.
pub(crate) trait Watcher: Authority {
    /// Returns the open streams.
    fn streams(&self) -> &Streams;
}
