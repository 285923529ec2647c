//! [`Usage`]: how the limits stand, as header fields.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::LimitDecision;
use crate::key::RateLimits;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// What a response tells of the limits of its key
/// (draft-ietf-httpapi-ratelimit-headers-10, sections 3 and 4).
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) limits: RateLimits,
    pub(crate) decision: LimitDecision,
    /// Whether the older `X-RateLimit-*` are written too.
    pub(crate) older: bool,
}

impl Usage {
    /// Returns the names of the limits that refuse the request.
    pub(crate) fn exceeded(&self) -> impl Iterator<Item = &str> {
        self.limits
            .iter()
            .zip(self.decision.statuses())
            .filter(|(_, status)| status.is_exceeded())
            .map(|(limit, _)| limit.name())
    }

    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Some(policy) = self.limits.policy() else { return };
        headers.insert(RATE_LIMIT_POLICY, policy.clone());
        if let Some(state) = self.state() {
            headers.insert(RATE_LIMIT, state);
        }
        if self.older {
            self.write_older(headers);
        }
    }

    fn state(&self) -> Option<HeaderValue> {
        let mut text = String::with_capacity(64);
        for (limit, status) in self.limits.iter().zip(self.decision.statuses()) {
            let separator = if text.is_empty() { "" } else { ", " };
            let (name, remaining) = (limit.name(), status.remaining());
            let reset = seconds(status.reset());
            write!(text, "{separator}\"{name}\";r={remaining};t={reset}").ok()?;
        }
        HeaderValue::try_from(text).ok()
    }

    /// Tells of the limit of which least is left.
    fn write_older(&self, headers: &mut HeaderMap) {
        let limits = self.limits.iter().zip(self.decision.statuses());
        if let Some((limit, status)) = limits.min_by_key(|(_, status)| status.remaining()) {
            headers.insert(X_LIMIT, limit.quota().into());
            headers.insert(X_REMAINING, status.remaining().into());
            headers.insert(X_RESET, seconds(status.reset()).into());
        }
    }
}

/// Returns whole seconds, never too few.
pub(crate) fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
