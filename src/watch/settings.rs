//! [`StreamWatch`]: how a layer watches open streams.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::KeyEnded;

/// Makes the last event of an event stream.
pub(crate) type LastEvent = dyn Fn(&KeyEnded) -> Option<Bytes> + Send + Sync;

/// How a layer watches open streams, so that they end with their keys. See
/// [`ApiKeyLayer::streams`](crate::ApiKeyLayer::streams).
#[derive(Clone)]
#[must_use]
pub struct StreamWatch {
    pub(crate) is_on: bool,
    pub(crate) reductions: bool,
    pub(crate) cancels_handlers: bool,
    pub(crate) period: Duration,
    pub(crate) max_unchecked: Duration,
    pub(crate) last_event: Option<Arc<LastEvent>>,
}

impl StreamWatch {
    /// Ends streams when their keys end.
    ///
    /// | setting | default |
    /// |---|---|
    /// | [`ignore_reductions`](Self::ignore_reductions) | no: a stream ends if its key no longer allows it |
    /// | [`cancel_handlers`](Self::cancel_handlers) | no: a handler that has not answered continues |
    /// | [`recheck_every`](Self::recheck_every) | 5 seconds |
    /// | [`max_unchecked`](Self::max_unchecked) | 60 seconds |
    /// | [`last_event`](Self::last_event) | none |
    pub const fn new() -> Self {
        Self {
            is_on: true,
            reductions: true,
            cancels_handlers: false,
            period: Duration::from_secs(5),
            max_unchecked: Duration::from_secs(60),
            last_event: None,
        }
    }

    /// Lets streams continue after the end of their keys.
    /// [`VerifiedKey::ended`](crate::VerifiedKey::ended) then never resolves.
    pub const fn off() -> Self {
        let mut off = Self::new();
        off.is_on = false;
        off
    }

    /// Ends a stream only if its key is no longer valid, and not if the key is valid but no longer
    /// allows the request.
    pub const fn ignore_reductions(mut self) -> Self {
        self.reductions = false;
        self
    }

    /// Cancels handlers that have not answered when the key ends, and answers with the refusal that a
    /// new request would get.
    ///
    /// By default they continue, because half of their work may be worse than all of it. A cancelled
    /// future is dropped at its current await point. For parts of a handler, use
    /// [`VerifiedKey::while_valid`](crate::VerifiedKey::while_valid).
    pub const fn cancel_handlers(mut self) -> Self {
        self.cancels_handlers = true;
        self
    }

    /// Sets how often the store is asked for a key with open streams, if the store does not [report
    /// changes](crate::KeyStore::changes). The default is 5 seconds. The actual time differs by up to a
    /// fifth, so that not all keys are asked for at once.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub const fn recheck_every(mut self, period: Duration) -> Self {
        assert!(!period.is_zero(), "`recheck_every` needs a period above 0");
        self.period = period;
        self
    }

    /// Sets the time without an answer of the store after which streams end as
    /// [unavailable](super::EndReason::Unavailable). The default is a minute.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    pub const fn max_unchecked(mut self, time: Duration) -> Self {
        assert!(!time.is_zero(), "`max_unchecked` needs a time above 0");
        self.max_unchecked = time;
        self
    }

    /// Sets the last event of an event stream (`text/event-stream`) that ends with its key: the text of
    /// the event with the empty line after it, or nothing.
    ///
    /// Clients that read an event stream as one result, such as a completion, then see that it is
    /// incomplete. The event is not sent into compressed streams.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, StreamWatch};
    ///
    /// let streams = StreamWatch::new()
    ///     .last_event(|ended| Some(format!("event: error\ndata: {ended}\n\n").into()));
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).streams(streams);
    /// ```
    pub fn last_event<F>(mut self, event: F) -> Self
    where
        F: Fn(&KeyEnded) -> Option<Bytes> + Send + Sync + 'static,
    {
        self.last_event = Some(Arc::new(event));
        self
    }
}

impl Default for StreamWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StreamWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamWatch")
            .field("is_on", &self.is_on)
            .field("reductions", &self.reductions)
            .field("cancels_handlers", &self.cancels_handlers)
            .field("period", &self.period)
            .field("max_unchecked", &self.max_unchecked)
            .field("max_unchecked", &self.max_unchecked)
            .field("last_event", &self.last_event.is_some())
            .finish()
    }
}
