//! [`Counts`]: the counts of one thread.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::observe::{Finished, Lookup};
use crate::reject::RejectionKind;

/// How many samples a thread keeps until they are published.
const MOST_SAMPLES: usize = 1024;

/// The counts of one thread. Only that thread writes them, in cache lines of their own, so that it never waits.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Counts {
    begun: AtomicU32,
    pub(super) outcomes: [AtomicU64; Outcome::COUNT],
    pub(super) lookups: [AtomicU64; Lookup::ALL.len()],
    samples: Mutex<Vec<Sample>>,
}

/// The durations of one request.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) decision: Option<Duration>,
    pub(super) lookup: Option<(Lookup, Duration)>,
    pub(super) limiter: Option<Duration>,
}

impl Counts {
    /// Returns whether to measure the times of the next request.
    pub(super) fn is_sampled(&self, every: u32) -> bool {
        let begun = self.begun.load(Ordering::Relaxed);
        let next = begun + 1;
        self.begun.store(if next >= every { 0 } else { next }, Ordering::Relaxed);
        begun == 0 && every > 0
    }

    pub(super) fn count(&self, request: &Finished<'_>) {
        add_one(&self.outcomes[Outcome::of(request).0]);
        if let Some(lookup) = request.lookup() {
            add_one(&self.lookups[lookup as usize]);
        }
    }

    pub(super) fn keep(&self, request: &Finished<'_>) {
        let sample = Sample {
            decision: request.decision_time(),
            lookup: request.lookup().zip(request.lookup_time()),
            limiter: request.limiter_time(),
        };
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() < MOST_SAMPLES {
            samples.push(sample);
        }
    }

    pub(super) fn take_samples(&self) -> Vec<Sample> {
        std::mem::take(&mut self.samples.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Adds one to a counter that no other thread writes.
fn add_one(count: &AtomicU64) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// The outcome of a request, as a label: first those that are not the kind of a rejection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome(usize);

impl Outcome {
    const ACCEPTED: Self = Self(0);
    const ANONYMOUS: Self = Self(1);
    const THROTTLED: Self = Self(2);
    const CANCELED: Self = Self(3);
    const NAMED: usize = 4;
    pub(super) const COUNT: usize = Self::NAMED + RejectionKind::ALL.len();

    fn of(request: &Finished<'_>) -> Self {
        match request.rejection() {
            // A limit is that of a key.
            Some(rejection)
                if rejection.kind() == RejectionKind::RateLimited && request.record().is_none() =>
            {
                Self::THROTTLED
            }
            Some(rejection) => Self(Self::NAMED + rejection.kind() as usize),
            None if !request.is_accepted() => Self::CANCELED,
            None if request.key().is_some() => Self::ACCEPTED,
            None => Self::ANONYMOUS,
        }
    }

    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    pub(super) const fn index(self) -> usize {
        self.0
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::ACCEPTED => "accepted",
            Self::ANONYMOUS => "anonymous",
            Self::THROTTLED => "throttled",
            Self::CANCELED => "canceled",
            Self(kind) => RejectionKind::ALL[kind - Self::NAMED].as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_of_so_many_is_sampled() {
        for (every, sampled) in [(0, 0), (1, 12), (2, 6), (5, 3), (100, 1)] {
            let counts = Counts::default();
            let found = (0..12).filter(|_| counts.is_sampled(every)).count();
            assert_eq!(found, sampled, "{every}");
        }
    }

    #[test]
    fn each_outcome_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Outcome::all().map(Outcome::as_str).collect();
        assert_eq!(names.len(), Outcome::COUNT);
    }
}
