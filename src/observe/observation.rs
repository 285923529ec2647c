//! [`Arrival`] and [`Observation`]: a request in progress, before and after the decision, for observers.
//!
//! One of them exists from the arrival of a request to its end. It notifies the observers exactly once, at the
//! latest when it is dropped. If observers want only outcomes, it allocates and shares nothing: it borrows the
//! observers from the layer before the decision, and reaches them through the key afterwards.

use std::net::IpAddr;
use std::sync::Arc;

use http::Response;

use super::seen::{More, Place, Seen, Step, Times};
use super::{Detail, Finished, Lookup, Observe, Observers, Outcome};
use crate::contain;
use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// A request that the layer has not decided yet.
pub(crate) struct Arrival<'g> {
    /// None if `more` has them, or if nothing is left to report.
    observers: Option<&'g Observers>,
    lookup: Option<Lookup>,
    more: Option<Box<More>>,
}

/// An admitted request, and its key for the steps after the decision.
pub(crate) struct Observation {
    /// None if no later step needs it.
    key: Option<VerifiedKey>,
    more: Option<Box<More>>,
    lookup: Option<Lookup>,
    /// False if nothing is left to report.
    is_observed: bool,
    is_watched: bool,
}

impl<'g> Arrival<'g> {
    /// Starts to observe a request, if an observer wants its end. `place` returns the path and the address.
    #[inline]
    pub(crate) fn begin<'a>(
        observers: &'g Observers,
        head: &RequestHead<'_>,
        place: impl FnOnce() -> (Option<&'a str>, Option<IpAddr>),
    ) -> Option<Self> {
        let more = match observers.detail() {
            Detail::Nothing => return None,
            Detail::Outcome => None,
            detail => Some(begin_in_full(detail, head, place)),
        };
        Some(Self { observers: Some(observers), lookup: None, more })
    }

    /// Records that the request starts to wait. Ends the borrow of the layer.
    pub(crate) fn waits(mut self) -> Arrival<'static> {
        let mut more = self.take_more();
        more.waits();
        Arrival { observers: None, lookup: self.lookup, more: Some(more) }
    }

    /// Records what the request has waited for. It may wait again.
    pub(crate) fn waited(&mut self, step: Step) {
        if let Some(more) = &mut self.more {
            more.waited(step);
        }
    }

    /// Records how the look-up ended.
    #[inline]
    pub(crate) fn looked_up(&mut self, lookup: Lookup) {
        self.lookup = Some(lookup);
    }

    /// Continues with a request that the layer admits. If the key is watched, the response has to end with it.
    // Not inlined: that would make requests without observers slower.
    #[inline(never)]
    pub(crate) fn admitted(mut self, key: Option<&VerifiedKey>, is_watched: bool) -> Observation {
        // A key gives access to the observers, so no other reference is needed.
        let more = match (key, &self.more) {
            (Some(_), None) => None,
            _ => Some(self.decided(key)),
        };
        self.observers = None;
        let (key, lookup) = (key.cloned(), self.lookup);
        Observation { key, more, lookup, is_observed: true, is_watched }
    }

    #[inline(never)]
    fn decided(&mut self, key: Option<&VerifiedKey>) -> Box<More> {
        let mut more = match key {
            Some(_) => self.more.take().unwrap_or_else(More::take_spare),
            None => self.take_more(),
        };
        more.decided();
        more
    }

    /// Notifies the observers of the outcome.
    pub(crate) fn end(mut self, outcome: Outcome<'_>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        let mut more = self.more.take();
        let of_thread = more.as_mut().and_then(|more| {
            if let Outcome::Refused(_) = outcome {
                more.decided();
            }
            more.observers.take()
        });
        let seen =
            Seen { key: None, is_admitted: false, lookup: self.lookup, more: more.as_deref() };
        let observers = self.observers.take().map(Observers::all);
        let observers = observers.or(of_thread.as_ref().map(|all| &*all.0)).unwrap_or_default();
        if !observers.is_empty() {
            tell(observers, &Finished::new(outcome, seen));
        }
        if let Some(more) = more {
            more.keep_spare();
        }
    }

    /// Takes the details, and stores the observers in them.
    #[inline(never)]
    fn take_more(&mut self) -> Box<More> {
        let mut more = self.more.take().unwrap_or_else(More::take_spare);
        if let Some(observers) = self.observers.take() {
            more.observers = Some(observers.of_thread());
        }
        more
    }
}

/// Starts to record more than the outcome of a request.
#[inline(never)]
fn begin_in_full<'a>(
    detail: Detail,
    head: &RequestHead<'_>,
    place: impl FnOnce() -> (Option<&'a str>, Option<IpAddr>),
) -> Box<More> {
    let mut more = More::take_spare();
    more.times = Some(Times::start());
    if detail >= Detail::Request {
        more.request = Some(Place::of(head, place()));
    }
    more
}

impl Observation {
    /// Continues with a request that nobody observes. Keeps its key if a later step needs it.
    #[inline]
    pub(crate) fn unobserved(key: Option<VerifiedKey>, is_watched: bool) -> Self {
        Self { key, more: None, lookup: None, is_observed: false, is_watched }
    }

    /// Notifies the observers of the response of the service, or of an inner guard.
    #[inline]
    pub(crate) fn answered<B>(&mut self, response: &Response<B>) {
        if self.is_observed {
            let id = self.key.as_ref().map(VerifiedKey::id);
            self.end(match Rejection::of_response(response, id) {
                Some(rejection) => Outcome::Refused(rejection),
                None => Outcome::Answered(response.status()),
            });
        }
    }

    /// Notifies the observers of the outcome, unless they were notified.
    pub(crate) fn end(&mut self, outcome: Outcome<'_>) {
        if !std::mem::take(&mut self.is_observed) {
            return;
        }
        let (key, more) = (self.key.as_ref(), self.more.as_deref());
        let seen = Seen { key, is_admitted: true, lookup: self.lookup, more };
        let of_layer = key.and_then(|key| key.observers().downcast_ref()).map(Observers::all);
        let of_thread = || more?.observers.as_ref().map(|all| &*all.0);
        tell(of_layer.or_else(of_thread).unwrap_or_default(), &Finished::new(outcome, seen));
        if let Some(more) = self.more.take() {
            more.keep_spare();
        }
    }

    /// Takes the observation, to end it later.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::unobserved(None, false))
    }

    /// Returns the key, if it was kept.
    #[inline]
    pub(crate) fn key(&self) -> Option<&VerifiedKey> {
        self.key.as_ref()
    }

    /// Takes the key, if the response has to end with it.
    #[inline]
    pub(crate) fn take_watched(&mut self) -> Option<VerifiedKey> {
        if self.is_watched && !self.is_observed { self.key.take() } else { None }
    }
}

#[inline]
fn tell(observers: &[Arc<dyn Observe>], request: &Finished<'_>) {
    for observer in observers {
        contain::notify("an observer", || observer.finished(request));
    }
}

impl Drop for Arrival<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.observers.is_some() || self.more.is_some() {
            self.tell(Outcome::Dropped);
        }
    }
}

impl Drop for Observation {
    #[inline]
    fn drop(&mut self) {
        if self.is_observed {
            self.end(Outcome::Dropped);
        }
    }
}
