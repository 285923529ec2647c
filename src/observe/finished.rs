//! [`Finished`]: a request that has ended, and its outcome.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use http::{Method, StatusCode};

use super::observed::Observed;
use crate::key::KeyId;
use crate::reject::Rejection;
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
pub struct Finished<'a> {
    outcome: Outcome<'a>,
    observed: &'a Observed,
    duration: Duration,
}

impl<'a> Finished<'a> {
    pub(super) fn new(outcome: Outcome<'a>, observed: &'a Observed) -> Self {
        Self { outcome, observed, duration: observed.started.elapsed() }
    }

    /// Returns how the request ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'a> {
        self.outcome
    }

    /// Returns the key of a request that was let through with one.
    #[must_use]
    pub fn key(&self) -> Option<&'a VerifiedKey> {
        self.observed.key.as_ref()
    }

    /// Returns the public id of the key, also of one that was refused.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a KeyId> {
        match self.outcome {
            Outcome::Refused(rejection) => rejection.key_id(),
            _ => self.key().map(VerifiedKey::id),
        }
    }

    /// Returns the method of the request.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        &self.observed.method
    }

    /// Returns the path of the request as the client sent it, or `*` if it is
    /// [not known](crate::RequestHead::original_uri); none if the layer
    /// [may read a key](crate::Extract::reads_path) from the path.
    ///
    /// The layer does not keep the query, because a key may be in it.
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        self.observed.path.as_deref()
    }

    /// Returns the pattern of the route, such as `/bots/{id}`, if an axum router around the layer matched
    /// one. It needs the feature `matched-path`.
    #[must_use]
    pub fn matched_path(&self) -> Option<&'a str> {
        self.observed.matched_path()
    }

    /// Returns the address of the client, if it is known.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.observed.address
    }

    /// Returns how long the request waited for the store, if it had to.
    #[must_use]
    pub fn lookup_time(&self) -> Option<Duration> {
        self.observed.lookup_time
    }

    /// Returns how long the request waited for the limiter, if it had to.
    #[must_use]
    pub fn limiter_time(&self) -> Option<Duration> {
        self.observed.limiter_time
    }

    /// Returns how long the request took from its arrival at the layer to its end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.duration
    }
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("outcome", &self.outcome)
            .field("key", &self.key_id())
            .field("method", self.method())
            .field("path", &self.path())
            .field("matched_path", &self.matched_path())
            .field("address", &self.address())
            .field("lookup_time", &self.lookup_time())
            .field("limiter_time", &self.limiter_time())
            .field("duration", &self.duration)
            .finish()
    }
}
