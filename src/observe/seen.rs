//! [`Seen`]: what is kept of a request until its end.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::Method;

use super::Lookup;
use crate::verify::VerifiedKey;

/// What is kept of a request until its end.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) key: Option<VerifiedKey>,
    pub(super) admitted: bool,
    pub(super) lookup: Option<Lookup>,
    pub(super) times: Option<Box<Times>>,
    pub(super) request: Option<Box<Place>>,
}

impl Seen {
    /// Notes when the layer decided, which is at the end of a request that it refused.
    pub(super) fn decided(&mut self) {
        if let Some(times) = &mut self.times {
            times.decision.get_or_insert_with(|| times.started.elapsed());
        }
    }
}

/// When what happened.
pub(super) struct Times {
    pub(super) started: Instant,
    pub(super) waiting_since: Option<Instant>,
    pub(super) lookup: Option<Duration>,
    pub(super) limiter: Option<Duration>,
    pub(super) decision: Option<Duration>,
}

impl Times {
    pub(super) fn start() -> Box<Self> {
        let started = Instant::now();
        Box::new(Self { started, waiting_since: None, lookup: None, limiter: None, decision: None })
    }
}

/// Where a request came from, and where it went.
pub(super) struct Place {
    pub(super) path: Option<Box<str>>,
    #[cfg(feature = "matched-path")]
    pub(super) matched_path: Option<axum::extract::MatchedPath>,
    pub(super) address: Option<IpAddr>,
}

impl Place {
    pub(super) fn matched_path(&self) -> Option<&str> {
        #[cfg(feature = "matched-path")]
        return self.matched_path.as_ref().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "matched-path"))]
        None
    }
}
