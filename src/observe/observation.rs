//! [`Observation`]: a request that is under way, for those that observe its end.

use std::cell::RefCell;
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
/// the latest. In a box, so that the futures of requests that nobody observes are small.
pub(crate) struct Observation(Box<UnderWay>);

/// A request that is under way.
#[derive(Default)]
struct UnderWay {
    /// None if there is nothing more to tell.
    observers: Option<Arc<OfThread>>,
    seen: Seen,
}

/// How many boxes a thread keeps for requests to come.
const SPARE: usize = 32;

thread_local! {
    /// What was used for requests that have ended, so that the next ones allocate nothing.
    #[allow(clippy::vec_box, reason = "it is the boxes that are used again")]
    static SPARES: RefCell<Vec<Box<UnderWay>>> = const { RefCell::new(Vec::new()) };
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
        let mut under_way = take_spare();
        under_way.observers = Some(observers.of_thread());
        let seen = &mut under_way.seen;
        seen.method = head.method().clone();
        if detail >= Detail::Times {
            seen.times = Some(Times::start());
        }
        if detail >= Detail::Request {
            let (path, address) = place();
            seen.request = Some(Box::new(Place {
                path: path.map(Into::into),
                #[cfg(feature = "matched-path")]
                matched_path: head.extensions().get().cloned(),
                address,
            }));
        }
        Some(Self(under_way))
    }

    /// Notes that the request waits from now on.
    pub(crate) fn waits(&mut self) {
        if let Some(times) = &mut self.0.seen.times {
            times.waiting_since = Some(Instant::now());
        }
    }

    /// Notes what the request has waited for.
    pub(crate) fn waited(&mut self, step: Step) {
        let Some(times) = &mut self.0.seen.times else { return };
        let time = times.waiting_since.take().map(|since| since.elapsed());
        match step {
            Step::Lookup => times.lookup = time,
            Step::Limiter => times.limiter = time,
        }
    }

    /// Notes how the look-up ended.
    pub(crate) fn looked_up(&mut self, lookup: Lookup) {
        self.0.seen.lookup = Some(lookup);
    }

    /// Notes that the layer let the request through.
    pub(crate) fn admitted(&mut self, key: Option<&VerifiedKey>) {
        let seen = &mut self.0.seen;
        seen.decided();
        seen.admitted = true;
        seen.key = key.cloned();
    }

    /// Tells that there is a response: that of a guard within, or of the service.
    pub(crate) fn answered<B>(self, response: &Response<B>) {
        let id = self.0.seen.key.as_ref().map(VerifiedKey::id);
        match Rejection::of_response(response, id) {
            Some(rejection) => self.end(Outcome::Refused(rejection)),
            None => self.end(Outcome::Answered(response.status())),
        }
    }

    /// Tells how the request ended.
    pub(crate) fn end(self, outcome: Outcome<'_>) {
        let Self(mut under_way) = self;
        under_way.tell(outcome);
        under_way.seen = Seen::default();
        keep_spare(under_way);
    }
}

impl UnderWay {
    fn tell(&mut self, outcome: Outcome<'_>) {
        let Some(observers) = self.observers.take() else { return };
        if let Outcome::Refused(_) = outcome {
            self.seen.decided();
        }
        let finished = Finished::new(outcome, &self.seen);
        for observer in &observers.0 {
            contain::notify("an observer", || observer.finished(&finished));
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.tell(Outcome::Dropped);
    }
}

fn take_spare() -> Box<UnderWay> {
    // A thread that ends has none any more.
    SPARES.try_with(|spares| spares.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

fn keep_spare(spare: Box<UnderWay>) {
    let _ = SPARES.try_with(|spares| {
        let mut spares = spares.borrow_mut();
        if spares.len() < SPARE {
            spares.push(spare);
        }
    });
}
