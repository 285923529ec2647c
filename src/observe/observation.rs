//! [`Observation`]: a request that is under way, for those that observe its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Response};

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
    method: Method,
    path: Option<Box<str>>,
    #[cfg(feature = "axum")]
    matched_path: Option<axum::extract::MatchedPath>,
    address: Option<IpAddr>,
    key: Option<VerifiedKey>,
    started: Instant,
    waiting_since: Option<Instant>,
    lookup_time: Option<Duration>,
    limiter_time: Option<Duration>,
    told: bool,
}

impl Observation {
    pub(crate) fn begin(
        observers: &Arc<[Arc<dyn Observe>]>,
        head: &RequestHead<'_>,
        path: Option<&str>,
        address: Option<IpAddr>,
    ) -> Box<Self> {
        Box::new(Self {
            observers: Arc::clone(observers),
            method: head.method().clone(),
            path: path.map(Into::into),
            #[cfg(feature = "axum")]
            matched_path: head.extensions().get().cloned(),
            address,
            key: None,
            started: Instant::now(),
            waiting_since: None,
            lookup_time: None,
            limiter_time: None,
            told: false,
        })
    }

    /// Notes that the request waits from now on.
    pub(crate) fn waits(&mut self) {
        self.waiting_since = Some(Instant::now());
    }

    /// Notes what the request has waited for.
    pub(crate) fn waited(&mut self, step: Step) {
        let time = self.waiting_since.take().map(|since| since.elapsed());
        match step {
            Step::Lookup => self.lookup_time = time,
            Step::Limiter => self.limiter_time = time,
        }
    }

    pub(crate) fn admitted(&mut self, key: &VerifiedKey) {
        self.key = Some(key.clone());
    }

    /// Tells that there is a response: that of a guard within, or of the service.
    pub(crate) fn answered<B>(self: Box<Self>, response: &Response<B>) {
        let rejection =
            self.key.as_ref().and_then(|key| Rejection::of_response(response, key.id()));
        match rejection {
            Some(rejection) => self.end(Outcome::Refused(rejection)),
            None => self.end(Outcome::Answered(response.status())),
        }
    }

    /// Tells how the request ended.
    #[allow(clippy::boxed_local, reason = "it is boxed where it is kept")]
    pub(crate) fn end(mut self: Box<Self>, outcome: Outcome<'_>) {
        self.tell(outcome);
    }

    fn tell(&mut self, outcome: Outcome<'_>) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let finished = Finished::new(outcome, self, self.started.elapsed());
        for observer in &*self.observers {
            contain::notify("an observer", || observer.finished(&finished));
        }
    }

    pub(super) fn key(&self) -> Option<&VerifiedKey> {
        self.key.as_ref()
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    pub(super) fn matched_path(&self) -> Option<&str> {
        #[cfg(feature = "axum")]
        return self.matched_path.as_ref().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "axum"))]
        None
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub(super) fn lookup_time(&self) -> Option<Duration> {
        self.lookup_time
    }

    pub(super) fn limiter_time(&self) -> Option<Duration> {
        self.limiter_time
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.tell(Outcome::Dropped);
    }
}
