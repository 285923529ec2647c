//! [`EndedStream`]: a stream that ended with its key.

use std::time::Duration;

use crate::key::KeyId;
use crate::watch::{EndReason, KeyEnded};

/// A stream that ended with its key, for [observers](super::Observe).
#[derive(Clone, Copy, Debug)]
pub struct EndedStream<'a> {
    ended: &'a KeyEnded,
    open: Duration,
}

impl<'a> EndedStream<'a> {
    pub(crate) fn new(ended: &'a KeyEnded, open: Duration) -> Self {
        Self { ended, open }
    }

    /// Returns why it ended.
    #[must_use]
    pub fn reason(&self) -> EndReason {
        self.ended.reason()
    }

    /// Returns the public id of the key.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a KeyId> {
        self.ended.key_id()
    }

    /// Returns how long the stream was open, counted from its second frame or from its first wait.
    #[must_use]
    pub fn open_for(&self) -> Duration {
        self.open
    }
}
