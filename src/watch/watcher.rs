//! [`Watcher`]: an authority, and what it let through that is still open.

use std::any::Any;

use super::{Authority, Streams};

/// An authority, and what it let through that is still open.
pub(crate) trait Watcher: Authority {
    /// Returns what is still open.
    fn streams(&self) -> &Streams;

    /// Returns what is told how requests end. `observe` knows its type: it sees keys, and is above this.
    fn observers(&self) -> &(dyn Any + Send + Sync);
}
