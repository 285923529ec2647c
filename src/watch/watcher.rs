//! [`Watcher`]: an authority, and what it let through that is still open.

use super::{Authority, Streams};

/// An authority, and what it let through that is still open.
pub(crate) trait Watcher: Authority {
    /// Returns what is still open.
    fn streams(&self) -> &Streams;
}
