//! [`Observation`]: a request that is under way, for those that observe its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::Response;

use super::observers::OfThread;
use super::seen::{Place, Seen, Times};
use super::{Detail, Finished, Lookup, Observers, Outcome};
use crate::contain;
use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// What a request waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Lookup,
    Limiter,
}

/// Kept from the arrival of a request to its end, which it tells exactly once: when it is dropped, at
/// the latest.
pub(crate) struct Observation {
    observers: Arc<OfThread>,
    seen: Seen,
    told: bool,
}

impl Observation {
    /// Begins, if an observer wants to know of the end. `place` returns the path and the address.
    #[inline]
    pub(crate) fn begin<'a>(
        observers: &Observers,
        head: &RequestHead<'_>,
        place: impl FnOnce() -> (Option<&'a str>, Option<IpAddr>),
    ) -> Option<Self> {
        let detail = observers.detail();
        if detail == Detail::Nothing {
            return None;
        }
        let request = (detail >= Detail::Request).then(|| {
            let (path, address) = place();
            Box::new(Place {
                path: path.map(Into::into),
                #[cfg(feature = "matched-path")]
                matched_path: head.extensions().get().cloned(),
                address,
            })
        });
        let seen = Seen {
            method: head.method().clone(),
            key: None,
            admitted: false,
            lookup: None,
            times: (detail >= Detail::Times).then(Times::start),
            request,
        };
        Some(Self { observers: observers.of_thread(), seen, told: false })
    }

    /// Notes that the request waits from now on.
    pub(crate) fn waits(&mut self) {
        if let Some(times) = &mut self.seen.times {
            times.waiting_since = Some(Instant::now());
        }
    }

    /// Notes what the request has waited for.
    pub(crate) fn waited(&mut self, step: Step) {
        let Some(times) = &mut self.seen.times else { return };
        let time = times.waiting_since.take().map(|since| since.elapsed());
        match step {
            Step::Lookup => times.lookup = time,
            Step::Limiter => times.limiter = time,
        }
    }

    /// Notes how the look-up ended.
    pub(crate) fn looked_up(&mut self, lookup: Lookup) {
        self.seen.lookup = Some(lookup);
    }

    /// Notes that the layer let the request through.
    pub(crate) fn admitted(&mut self, key: Option<&VerifiedKey>) {
        self.decided();
        self.seen.admitted = true;
        self.seen.key = key.cloned();
    }

    /// Tells that there is a response: that of a guard within, or of the service.
    pub(crate) fn answered<B>(self, response: &Response<B>) {
        let id = self.seen.key.as_ref().map(VerifiedKey::id);
        match Rejection::of_response(response, id) {
            Some(rejection) => self.end(Outcome::Refused(rejection)),
            None => self.end(Outcome::Answered(response.status())),
        }
    }

    /// Tells how the request ended.
    pub(crate) fn end(mut self, outcome: Outcome<'_>) {
        self.tell(outcome);
    }

    /// Notes when the layer decided, which is at the end of a request that it refused.
    fn decided(&mut self) {
        if let Some(times) = &mut self.seen.times {
            times.decision.get_or_insert_with(|| times.started.elapsed());
        }
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        if let Outcome::Refused(_) = outcome {
            self.decided();
        }
        let finished = Finished::new(outcome, &self.seen);
        for observer in &self.observers.0 {
            contain::notify("an observer", || observer.finished(&finished));
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.tell(Outcome::Dropped);
    }
}
