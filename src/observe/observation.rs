//! [`Observation`]: a request that is under way, for those that observe its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::Response;

use super::observed::Observed;
use super::{Finished, Observe, Outcome};
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
    observers: Arc<[Arc<dyn Observe>]>,
    observed: Observed,
    told: bool,
}

impl Observation {
    pub(crate) fn begin(
        observers: &Arc<[Arc<dyn Observe>]>,
        head: &RequestHead<'_>,
        path: Option<&str>,
        address: Option<IpAddr>,
    ) -> Box<Self> {
        let observed = Observed {
            method: head.method().clone(),
            path: path.map(Into::into),
            #[cfg(feature = "matched-path")]
            matched_path: head.extensions().get().cloned(),
            address,
            key: None,
            started: Instant::now(),
            waiting_since: None,
            lookup_time: None,
            limiter_time: None,
        };
        Box::new(Self { observers: Arc::clone(observers), observed, told: false })
    }

    /// Notes that the request waits from now on.
    pub(crate) fn waits(&mut self) {
        self.observed.waiting_since = Some(Instant::now());
    }

    /// Notes what the request has waited for.
    pub(crate) fn waited(&mut self, step: Step) {
        let time = self.observed.waiting_since.take().map(|since| since.elapsed());
        match step {
            Step::Lookup => self.observed.lookup_time = time,
            Step::Limiter => self.observed.limiter_time = time,
        }
    }

    pub(crate) fn admitted(&mut self, key: &VerifiedKey) {
        self.observed.key = Some(key.clone());
    }

    /// Tells that there is a response: that of a guard within, or of the service.
    pub(crate) fn answered<B>(self: Box<Self>, response: &Response<B>) {
        let id = self.observed.key.as_ref().map(VerifiedKey::id);
        match Rejection::of_response(response, id) {
            Some(rejection) => self.end(Outcome::Refused(rejection)),
            None => self.end(Outcome::Answered(response.status())),
        }
    }

    /// Tells how the request ended.
    #[allow(
        clippy::boxed_local,
        reason = "callers have it in a box, and moving it out would copy it"
    )]
    pub(crate) fn end(mut self: Box<Self>, outcome: Outcome<'_>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let finished = Finished::new(outcome, &self.observed);
        for observer in &*self.observers {
            contain::notify("an observer", || observer.finished(&finished));
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.tell(Outcome::Dropped);
    }
}
