//! [`Observed`]: what is kept of a request until its end.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use http::Method;

use crate::verify::VerifiedKey;

/// What is kept of a request until its end.
pub(super) struct Observed {
    pub(super) method: Method,
    pub(super) path: Option<Box<str>>,
    #[cfg(feature = "matched-path")]
    pub(super) matched_path: Option<axum::extract::MatchedPath>,
    pub(super) address: Option<IpAddr>,
    pub(super) key: Option<VerifiedKey>,
    pub(super) started: Instant,
    pub(super) waiting_since: Option<Instant>,
    pub(super) lookup_time: Option<Duration>,
    pub(super) limiter_time: Option<Duration>,
}

impl Observed {
    pub(super) fn matched_path(&self) -> Option<&str> {
        #[cfg(feature = "matched-path")]
        return self.matched_path.as_ref().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "matched-path"))]
        None
    }
}
