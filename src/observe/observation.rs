//! [`Arrival`] and [`Observation`]: a request that is under way, for those that observe its end.
//!
//! One of them is kept from the arrival of a request to its end, which it tells exactly once: when it is
//! dropped, at the latest. Where nothing but outcomes is wanted, nothing is allocated and nothing is shared:
//! before the decision the layer is at hand, and afterwards the key leads to it.

use std::net::IpAddr;
use std::sync::Arc;

use http::Response;

use super::seen::{More, Place, Seen, Step, Times};
use super::{Detail, Finished, Lookup, Observe, Observers, Outcome};
use crate::contain;
use crate::head::RequestHead;
use crate::reject::Rejection;
use crate::verify::VerifiedKey;

/// A request of which is not decided yet whether it is let through.
pub(crate) struct Arrival<'g> {
    /// None if what is kept knows them, or if there is nothing more to tell.
    observers: Option<&'g Observers>,
    lookup: Option<Lookup>,
    more: Option<Box<More>>,
}

/// A request that was let through, and its key for what follows.
pub(crate) struct Observation {
    /// None if nothing needs it.
    key: Option<VerifiedKey>,
    more: Option<Box<More>>,
    lookup: Option<Lookup>,
    /// False if there is nothing more to tell.
    is_observed: bool,
    is_watched: bool,
}

impl<'g> Arrival<'g> {
    /// Begins, if an observer wants to know of the end. `place` returns the path and the address.
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

    /// Notes that the request waits from now on, and lets go of the layer.
    pub(crate) fn waits(mut self) -> Arrival<'static> {
        let mut more = self.take_more();
        more.waits();
        Arrival { observers: None, lookup: self.lookup, more: Some(more) }
    }

    /// Notes what the request has waited for. It may wait again.
    pub(crate) fn waited(&mut self, step: Step) {
        if let Some(more) = &mut self.more {
            more.waited(step);
        }
    }

    /// Notes how the look-up ended.
    #[inline]
    pub(crate) fn looked_up(&mut self, lookup: Lookup) {
        self.lookup = Some(lookup);
    }

    /// Goes on with a request that the layer lets through. The response has to end with the key if that is
    /// watched.
    // Inlined, it would make requests dearer that nobody observes.
    #[inline(never)]
    pub(crate) fn admitted(mut self, key: Option<&VerifiedKey>, is_watched: bool) -> Observation {
        // A key leads to the observers, so that nothing else has to.
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

    /// Tells how the request ended.
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

    /// Takes what is kept, with what is to be told.
    #[inline(never)]
    fn take_more(&mut self) -> Box<More> {
        let mut more = self.more.take().unwrap_or_else(More::take_spare);
        if let Some(observers) = self.observers.take() {
            more.observers = Some(observers.of_thread());
        }
        more
    }
}

/// Keeps more than how a request ends.
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
    /// Goes on with a request that nobody observes. Its key is kept, if it is needed afterwards.
    #[inline]
    pub(crate) fn unobserved(key: Option<VerifiedKey>, is_watched: bool) -> Self {
        Self { key, more: None, lookup: None, is_observed: false, is_watched }
    }

    /// Tells that there is a response: that of a guard within, or of the service.
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

    /// Tells how the request ended, unless that was told.
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

    /// Takes all, to be told later.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::unobserved(None, false))
    }

    /// Returns the key, if it was needed or observed.
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
