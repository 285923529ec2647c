//! [`LimitDecision`]: what a limiter says.

use std::time::{Duration, SystemTime};

/// How one limit stands after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitStatus {
    remaining: u32,
    reset: Duration,
    exceeded: Option<Exceeded>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exceeded {
    For(Duration),
    Always,
}

impl LimitStatus {
    /// Says that the limit lets the request pass: so much is left, and one more comes back
    /// after `reset`, which is zero if nothing is spent.
    #[must_use]
    pub const fn within(remaining: u32, reset: Duration) -> Self {
        Self { remaining, reset, exceeded: None }
    }

    /// Says that the limit refuses the request, and would let it pass after `retry_after`.
    #[must_use]
    pub const fn exceeded(self, retry_after: Duration) -> Self {
        Self { exceeded: Some(Exceeded::For(retry_after)), ..self }
    }

    /// Says that the request costs more than the limit ever has.
    #[must_use]
    pub const fn too_costly(self) -> Self {
        Self { exceeded: Some(Exceeded::Always), ..self }
    }

    /// Returns how much is left.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns when one more comes back; zero if nothing is spent.
    #[must_use]
    pub const fn reset(&self) -> Duration {
        self.reset
    }

    /// Tells whether the limit refuses the request.
    #[must_use]
    pub const fn is_exceeded(&self) -> bool {
        self.exceeded.is_some()
    }
}

/// What a [`RateLimiter`](super::RateLimiter) says of a request: how each limit of the key
/// stands, in the order of the record.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use tower_api_key::limit::{LimitDecision, LimitStatus};
///
/// let second = LimitStatus::within(9, Duration::from_millis(100));
/// let day = LimitStatus::within(0, Duration::from_secs(40)).exceeded(Duration::from_secs(40));
/// let decision = LimitDecision::new([second, day]);
/// assert!(!decision.is_granted());
/// assert_eq!(decision.retry_after(), Some(Duration::from_secs(40)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitDecision {
    statuses: Statuses,
    time: Option<SystemTime>,
}

/// Most keys have one limit, for which nothing is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Statuses {
    One(LimitStatus),
    Many(Vec<LimitStatus>),
}

impl LimitDecision {
    /// Makes a decision from how each limit stands.
    pub fn new(statuses: impl IntoIterator<Item = LimitStatus>) -> Self {
        let mut statuses = statuses.into_iter();
        let statuses = match (statuses.next(), statuses.next()) {
            (None, _) => Statuses::Many(Vec::new()),
            (Some(only), None) => Statuses::One(only),
            (Some(first), Some(second)) => {
                Statuses::Many([first, second].into_iter().chain(statuses).collect())
            }
        };
        Self { statuses, time: None }
    }

    /// Notes when the decision was made, by the limiter's own clock, for a refund.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Returns when the decision was made, if the limiter noted it.
    #[must_use]
    pub const fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// Returns how each limit stands, in the order of the record.
    #[must_use]
    pub fn statuses(&self) -> &[LimitStatus] {
        match &self.statuses {
            Statuses::One(status) => std::slice::from_ref(status),
            Statuses::Many(statuses) => statuses,
        }
    }

    /// Tells whether every limit lets the request pass. What it costs is then spent.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.statuses().iter().all(|status| status.exceeded.is_none())
    }

    /// Returns after which time every limit would let the request pass.
    ///
    /// `None` if they do already, or if the request costs too much to ever pass.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let mut longest = None;
        for status in self.statuses() {
            match status.exceeded {
                None => {}
                Some(Exceeded::For(wait)) => longest = longest.max(Some(wait)),
                Some(Exceeded::Always) => return None,
            }
        }
        longest
    }
}
