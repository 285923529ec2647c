//! [`Finished`]: a request that has ended, and its outcome.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::Lookup;
use super::seen::Seen;
use crate::key::KeyId;
use crate::reject::Rejection;
use crate::store::KeyRecord;
use crate::verify::VerifiedKey;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// The inner service answered with this status.
    Answered(StatusCode),
    /// The layer or a guard within it refused the request.
    Refused(&'a Rejection),
    /// The inner service failed.
    Failed,
    /// The future of the response was dropped: the client went away, or a timeout elapsed.
    Dropped,
}

/// A request that has ended, for [observers](super::Observe).
///
/// It always says how the request and its look-up ended and, if it is known, its key; the rest as far as the
/// [detail](super::Observe::detail) goes that an observer of the layer wanted.
pub struct Finished<'a> {
    outcome: Outcome<'a>,
    seen: Seen<'a>,
    duration: Option<Duration>,
}

impl<'a> Finished<'a> {
    pub(super) fn new(outcome: Outcome<'a>, seen: Seen<'a>) -> Self {
        let duration = seen.times().map(|times| times.started.elapsed());
        Self { outcome, seen, duration }
    }

    /// Returns how the request ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'a> {
        self.outcome
    }

    /// Tells whether the request was let through: the layer admitted it, and neither a guard within nor the
    /// end of its key refused it afterwards. What the service made of it does not matter.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.seen.is_admitted && self.rejection().is_none()
    }

    /// Returns why the request was refused, if it was.
    #[must_use]
    pub fn rejection(&self) -> Option<&'a Rejection> {
        match self.outcome {
            Outcome::Refused(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// Returns the key of a request that was let through with one.
    #[must_use]
    pub fn key(&self) -> Option<&'a VerifiedKey> {
        self.seen.key
    }

    /// Returns the record of the key, also of one that was refused: one that has expired, lacks an ability,
    /// has reached a limit or came from a wrong address.
    #[must_use]
    pub fn record(&self) -> Option<&'a Arc<KeyRecord>> {
        let refused = self.rejection().and_then(Rejection::record);
        refused.or_else(|| self.key().map(VerifiedKey::record))
    }

    /// Returns the public id of the key, also of one that was refused.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a KeyId> {
        self.record().map(|record| record.id())
    }

    /// Returns how the look-up of the key ended, if there was one. A request whose future was dropped
    /// while it waited for the store has none.
    #[must_use]
    pub fn lookup(&self) -> Option<Lookup> {
        self.seen.lookup
    }

    /// Returns the method of the request. It needs [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn method(&self) -> Option<&'a Method> {
        Some(&self.seen.place()?.method)
    }

    /// Returns the path of the request as the client sent it, or `*` if it is
    /// [not known](crate::RequestHead::original_uri); none if the layer
    /// [may read a key](crate::Extract::reads_path) from the path.
    ///
    /// The layer does not keep the query, because a key may be in it. It keeps the path for
    /// [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        self.seen.place()?.path.as_deref()
    }

    /// Returns the pattern of the route, such as `/bots/{id}`, if an axum router around the layer matched
    /// one. It needs the feature `matched-path`, and [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn matched_path(&self) -> Option<&'a str> {
        self.seen.place()?.matched_path()
    }

    /// Returns the address of the client, if it is known. It needs
    /// [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.seen.place()?.address
    }

    /// Returns how long the request waited for the store, if it had to. It needs
    /// [`Detail::Times`](super::Detail::Times), as do the other times.
    #[must_use]
    pub fn lookup_time(&self) -> Option<Duration> {
        self.seen.times()?.lookup
    }

    /// Returns how long the request waited for the limiter, if it had to.
    #[must_use]
    pub fn limiter_time(&self) -> Option<Duration> {
        self.seen.times()?.limiter
    }

    /// Returns how long the layer took to admit or to refuse the request, with what it waited for.
    #[must_use]
    pub fn decision_time(&self) -> Option<Duration> {
        self.seen.times()?.decision
    }

    /// Returns how long the request took from its arrival at the layer to its end.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("outcome", &self.outcome)
            .field("key", &self.key_id())
            .field("method", &self.method())
            .field("path", &self.path())
            .field("matched_path", &self.matched_path())
            .field("address", &self.address())
            .field("lookup", &self.lookup())
            .field("lookup_time", &self.lookup_time())
            .field("limiter_time", &self.limiter_time())
            .field("decision_time", &self.decision_time())
            .field("duration", &self.duration)
            .finish()
    }
}
