//! [`Usage`]: the `RateLimit` headers of a response.

use std::io::Write as _;
use std::mem;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::LimitDecision;
use crate::key::{MAX_LIMITS, RateLimits};

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The most bytes of the item of a limit, with its separator, a name of 32 characters and two numbers.
const LONGEST: usize = 80;

/// The state of the limits of a key, and how to write it.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    pub(crate) limits: RateLimits,
    pub(crate) decision: LimitDecision,
    /// Whether to write the older `X-RateLimit-*`, too.
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
        write_usage(&self.limits, &self.decision, self.older, headers);
    }
}

/// Adds the headers that [`set_usage`] sets.
pub(crate) fn prepare_usage(headers: &mut HeaderMap) {
    for name in [&RATE_LIMIT_POLICY, &RATE_LIMIT] {
        headers.insert(name, HeaderValue::from_static(""));
    }
}

/// Sets the [prepared](prepare_usage) headers to the state of a key's limits, like [`write_usage`] without the
/// older headers. Returns `None` if not all of them have a value.
pub(crate) fn set_usage(
    limits: &RateLimits,
    decision: &LimitDecision,
    headers: &mut HeaderMap,
) -> Option<()> {
    let mut unset =
        [(&RATE_LIMIT_POLICY, limits.policy()?.clone()), (&RATE_LIMIT, state(limits, decision)?)];
    // Without hashing their names.
    for (name, value) in headers.iter_mut() {
        if let Some((_, new)) = unset.iter_mut().find(|(unset, _)| *unset == name) {
            mem::swap(value, new);
        }
    }
    Some(())
}

/// Writes the state of a key's limits into a response (draft-ietf-httpapi-ratelimit-headers-10,
/// sections 3 and 4).
pub(crate) fn write_usage(
    limits: &RateLimits,
    decision: &LimitDecision,
    older: bool,
    headers: &mut HeaderMap,
) {
    let Some(policy) = limits.policy() else { return };
    // Both headers are lists, to which the application may add limits of its own.
    headers.append(&RATE_LIMIT_POLICY, policy.clone());
    if let Some(state) = state(limits, decision) {
        headers.append(&RATE_LIMIT, state);
    }
    if !older {
        return;
    }
    // Of the limit with the least left.
    let limits = limits.iter().zip(decision.statuses());
    if let Some((limit, status)) = limits.min_by_key(|(_, status)| status.remaining()) {
        headers.insert(X_LIMIT, limit.quota().into());
        headers.insert(X_REMAINING, status.remaining().into());
        headers.insert(X_RESET, seconds(status.reset()).into());
    }
}

fn state(limits: &RateLimits, decision: &LimitDecision) -> Option<HeaderValue> {
    // On the stack, and without the formatting of the standard library, which would take longer than
    // the limiter. Most keys have one limit.
    match limits.len() {
        1 => write_state(limits, decision, &mut [0; LONGEST]),
        _ => write_state(limits, decision, &mut [0; MAX_LIMITS * LONGEST]),
    }
}

fn write_state(
    limits: &RateLimits,
    decision: &LimitDecision,
    buffer: &mut [u8],
) -> Option<HeaderValue> {
    let mut free = &mut *buffer;
    let mut separator = "\"";
    for (limit, status) in limits.iter().zip(decision.statuses()) {
        let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
        for part in [
            separator,
            limit.name(),
            "\";r=",
            remaining.format(status.remaining()),
            ";t=",
            reset.format(seconds(status.reset())),
        ] {
            free.write_all(part.as_bytes()).ok()?;
        }
        separator = ", \"";
    }
    let unused = free.len();
    HeaderValue::from_bytes(&buffer[..buffer.len() - unused]).ok()
}

/// Returns whole seconds, rounded up.
pub(crate) fn seconds(time: std::time::Duration) -> u64 {
    time.as_secs().saturating_add((time.subsec_nanos() > 0).into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::RateLimit;
    use crate::limit::LimitStatus;

    #[test]
    fn the_longest_fields_are_written_whole() {
        let name = |number: u32| format!("{number}{}", "n".repeat(31));
        let limits = (0..8).map(|number| RateLimit::per_day(1).with_name(&name(number)));
        let status = LimitStatus::within(u32::MAX, Duration::new(u64::from(u32::MAX), 1));
        let (limits, decision) = (RateLimits::new(limits), LimitDecision::new([status; 8]));
        let items: Vec<_> = (0..8)
            .map(|number| format!(r#""{}";r=4294967295;t=4294967296"#, name(number)))
            .collect();
        assert_eq!(state(&limits.unwrap(), &decision).unwrap(), items.join(", "));
    }

    #[test]
    fn prepared_fields_are_set_to_what_is_written_otherwise() {
        let limits = RateLimits::new([RateLimit::per_second(5), RateLimit::per_day(1000)]).unwrap();
        let status = |left| LimitStatus::within(left, Duration::from_millis(1500));
        let decision = LimitDecision::new([status(4), status(999)]);
        let (mut prepared, mut written) = (HeaderMap::new(), HeaderMap::new());
        prepared.insert("vary", HeaderValue::from_static("x-api-key"));
        written.clone_from(&prepared);
        prepare_usage(&mut prepared);
        set_usage(&limits, &decision, &mut prepared).unwrap();
        write_usage(&limits, &decision, false, &mut written);
        assert_eq!(prepared, written);
        assert_eq!(prepared[&RATE_LIMIT], r#""per-second";r=4;t=2, "daily";r=999;t=2"#);
        assert!(set_usage(&RateLimits::default(), &decision, &mut prepared).is_none());
    }
}
