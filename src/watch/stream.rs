//! [`Stream`]: an open stream.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::entry::{Entry, Look};
use super::wakers::Place;
use super::{Admission, Asked, Authority, EndReason, KeyEnded, Kind, Watcher};
use crate::contain;
use crate::reject::{Rejection, RejectionKind};
use crate::store::KeyRecord;

/// One open stream. It is in the registry of its layer until it is dropped.
pub(crate) struct Stream {
    watcher: Arc<dyn Watcher>,
    entry: Arc<Entry>,
    /// The record with which it was last allowed.
    record: Arc<KeyRecord>,
    asked: Option<Arc<Asked>>,
    kind: Kind,
    seen: usize,
    place: Option<Place>,
    /// The waker, if one is registered.
    waker: Option<Waker>,
    since: Instant,
}

impl Stream {
    pub(crate) fn open(admission: Admission) -> Self {
        Self::of_kind(admission, Kind::Stream)
    }

    /// Waits for the end of a key without being counted as a stream.
    pub(crate) fn look_on(admission: Admission) -> Self {
        Self::of_kind(admission, Kind::Onlooker)
    }

    fn of_kind(admission: Admission, kind: Kind) -> Self {
        let Admission { authority: watcher, record, asked } = admission;
        let authority: Arc<dyn Authority> = Arc::clone(&watcher) as _;
        let entry = watcher.streams().open(&authority, &record, kind);
        let since = Instant::now();
        let mut stream =
            Self { watcher, entry, record, asked, kind, seen: 0, place: None, waker: None, since };
        let Look { version, record, ended } = stream.entry.look();
        stream.seen = version;
        if ended.is_some() || record.revision > stream.record.revision {
            // Checked by the first call.
            stream.seen = version.wrapping_sub(1);
        } else if *record != *stream.record {
            // Other streams may know an older record of the key than the request found.
            stream.watcher.streams().doubt(&stream.entry);
        }
        stream
    }

    /// Tells whether the key has ended by now. The clock is read only for keys that can expire.
    #[inline]
    pub(crate) fn check(&mut self) -> Option<KeyEnded> {
        if self.entry.version() != self.seen
            && let Some(ended) = self.look()
        {
            return Some(ended);
        }
        let expires_at = self.record.expires_at()?;
        (self.entry.authority.now() >= expires_at).then(|| self.because(EndReason::Expired))
    }

    /// Waits until the key has ended.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<KeyEnded> {
        loop {
            if let Some(ended) = self.check() {
                return Poll::Ready(ended);
            }
            let waker = cx.waker();
            if self.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                return Poll::Pending;
            }
            // If its runtime ended before this stream was registered, the next task does the work.
            self.watcher.streams().start(&self.entry.authority);
            if self.entry.wait(self.seen, &mut self.place, waker) {
                self.waker = Some(waker.clone());
                return Poll::Pending;
            }
        }
    }

    pub(crate) fn authority(&self) -> &dyn Authority {
        &*self.entry.authority
    }

    /// Tells whether the key has a successor, as far as is known.
    pub(crate) fn has_successor(&self) -> bool {
        self.entry.look().record.successor().is_some()
    }

    /// Reports to the layer that the stream ends.
    pub(crate) fn report(&self, ended: &KeyEnded) {
        self.entry.authority.ended(ended, self.since.elapsed());
    }

    /// Checks what has changed.
    #[cold]
    fn look(&mut self) -> Option<KeyEnded> {
        let Look { version, record, ended } = self.entry.look();
        (self.seen, self.waker) = (version, None);
        if let Some(reason) = ended {
            return Some(self.because(reason));
        }
        let authority = &self.entry.authority;
        if authority.settings().reductions && *record != *self.record {
            let judge = || {
                let asked = self.asked.as_deref();
                Arc::clone(authority).still_allows(&self.record, &record, asked)
            };
            // A guard that panics would refuse a new request.
            let judged = contain::call(judge).unwrap_or_else(|failure| {
                Err(Rejection::new(RejectionKind::NotAllowed).with_source(failure))
            });
            if let Err(rejection) = judged {
                return Some(KeyEnded::reduced(rejection, &self.record));
            }
        }
        self.record = record;
        None
    }

    fn because(&self, reason: EndReason) -> KeyEnded {
        KeyEnded::new(reason, &self.record)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.entry.leave(place);
        }
        self.watcher.streams().close(&self.entry, self.kind);
    }
}
