//! [`LimitDecision`]: the answer of a limiter.

use std::time::{Duration, SystemTime};

/// The state of one limit after a request.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::limit::{LimitDecision, LimitStatus};
///
/// let status = LimitStatus::within(9, Duration::from_secs(6));
/// assert_eq!((status.remaining(), status.reset()), (9, Duration::from_secs(6)));
/// assert!(!status.is_exceeded());
/// assert!(status.exceeded(Duration::from_secs(6)).is_exceeded());
///
/// let export = LimitStatus::within(9, Duration::from_secs(6)).too_costly();
/// assert_eq!(LimitDecision::new([export]).retry_after(), None); // waiting does not help
/// ```
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
    /// Creates the status of a limit that accepts the request: `remaining` requests are left, and one
    /// more becomes available after `reset`, which is zero if nothing is used.
    #[must_use]
    pub const fn within(remaining: u32, reset: Duration) -> Self {
        Self { remaining, reset, exceeded: None }
    }

    /// Turns it into the status of a limit that refuses the request, and would accept it after
    /// `retry_after`.
    #[must_use]
    pub const fn exceeded(self, retry_after: Duration) -> Self {
        Self { exceeded: Some(Exceeded::For(retry_after)), ..self }
    }

    /// Turns it into the status of a limit that refuses the request because it costs more than the
    /// whole burst.
    #[must_use]
    pub const fn too_costly(self) -> Self {
        Self { exceeded: Some(Exceeded::Always), ..self }
    }

    /// Returns how many requests are left.
    #[must_use]
    pub const fn remaining(&self) -> u32 {
        self.remaining
    }

    /// Returns the time until one more request becomes available; zero if nothing is used.
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

/// The answer of a [`RateLimiter`](super::RateLimiter) to a request: the state of each limit of the
/// key, in the order of the record.
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
/// let now = SystemTime::now();
/// let decision = LimitDecision::new([second, day]).at(now);
/// assert!(!decision.is_granted());
/// assert_eq!(decision.retry_after(), Some(Duration::from_secs(40)));
/// assert_eq!(decision.time(), Some(now));
/// assert_eq!(decision.statuses().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitDecision {
    statuses: Statuses,
    time: Option<SystemTime>,
}

/// Most keys have one limit, which needs no allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Statuses {
    One(LimitStatus),
    Many(Vec<LimitStatus>),
}

impl LimitDecision {
    /// Creates a decision from the status of each limit.
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

    /// Sets the time of the decision, by the limiter's own clock. A refund uses it.
    #[must_use]
    pub fn at(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Returns the time of the decision, if the limiter set it.
    #[must_use]
    pub const fn time(&self) -> Option<SystemTime> {
        self.time
    }

    /// Returns the state of each limit, in the order of the record.
    #[must_use]
    pub fn statuses(&self) -> &[LimitStatus] {
        match &self.statuses {
            Statuses::One(status) => std::slice::from_ref(status),
            Statuses::Many(statuses) => statuses,
        }
    }

    /// Tells whether every limit accepts the request. Its cost is then taken.
    #[must_use]
    pub fn is_granted(&self) -> bool {
        self.statuses().iter().all(|status| status.exceeded.is_none())
    }

    /// Returns the time after which every limit would let the request pass.
    ///
    /// `None` if the request passes now, or if it costs more than the burst of a limit.
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
