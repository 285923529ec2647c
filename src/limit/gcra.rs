//! [`Gcra`]: the generic cell rate algorithm (ITU-T I.371, annex A).

use std::time::Duration;

use super::LimitStatus;
use crate::key::RateLimit;

/// A limit as the algorithm sees it. Times are in nanoseconds since 1970.
///
/// The only state is one time, the *level* (the theoretical arrival time of the algorithm): when
/// everything that was spent will have come back. A level in the past is like no level. A level counts
/// as at most one burst ahead, so that no client waits longer than that: the limit may have been
/// another when the level was kept, and the clock may have been set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Gcra {
    /// The time after which one request comes back.
    interval: u64,
    burst: u32,
}

impl Gcra {
    pub(super) fn new(limit: &RateLimit) -> Self {
        Self { interval: limit.interval(), burst: limit.burst() }
    }

    /// Returns the time in which a burst comes back. `RateLimit` keeps it within ten years.
    pub(super) fn refill(self) -> u64 {
        self.interval * u64::from(self.burst)
    }

    /// Returns the level that counts now.
    pub(super) fn current(self, level: u64, now: u64) -> u64 {
        level.clamp(now, now.saturating_add(self.refill()))
    }

    /// Returns the level after a request that costs `cost`, or why it is refused.
    pub(super) fn take(self, level: u64, now: u64, cost: u32) -> Result<u64, LimitStatus> {
        if cost == 0 {
            return Ok(level);
        }
        if cost > self.burst {
            return Err(self.status(level, now).too_costly());
        }
        let spent = self.interval * u64::from(cost);
        let after = self.current(level, now).saturating_add(spent);
        let latest = now.saturating_add(self.refill());
        if after > latest {
            let wait = Duration::from_nanos(after - latest);
            return Err(self.status(level, now).exceeded(wait));
        }
        Ok(after)
    }

    /// Returns the level after `cost` has been given back that was taken `since` ago.
    ///
    /// Time that has passed since then has given back its part already.
    pub(super) fn give_back(self, level: u64, now: u64, cost: u32, since: u64) -> u64 {
        if cost == 0 {
            return level;
        }
        let spent = self.interval.saturating_mul(cost.into());
        self.current(level, now).saturating_sub(spent.saturating_sub(since)).max(now)
    }

    /// Returns the level after something that cannot be refused: a failure, or a request that another
    /// limit judges.
    pub(super) fn add(self, level: u64, now: u64, cost: u32) -> u64 {
        let spent = self.interval.saturating_mul(cost.into());
        self.current(self.current(level, now).saturating_add(spent), now)
    }

    pub(super) fn status(self, level: u64, now: u64) -> LimitStatus {
        let spent = self.current(level, now) - now;
        // A partly spent request is not available yet.
        let remaining = u64::from(self.burst).saturating_sub(spent.div_ceil(self.interval));
        let remaining = u32::try_from(remaining).unwrap_or(self.burst);
        // The time at which one more request will be available.
        let reset = match spent % self.interval {
            0 if spent == 0 => 0,
            0 => self.interval,
            rest => rest,
        };
        LimitStatus::within(remaining, Duration::from_nanos(reset))
    }
}

/// What to do with the limits of a key.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Take(u32),
    GiveBack { cost: u32, at: Option<u64> },
}

impl Change {
    /// Returns the level afterwards, or why the limit refuses.
    pub(super) fn level(self, gcra: Gcra, level: u64, now: u64) -> Result<u64, LimitStatus> {
        match self {
            Self::Take(cost) => gcra.take(level, now, cost),
            Self::GiveBack { cost, at } => {
                let since = at.map_or(0, |at| now.saturating_sub(at));
                Ok(gcra.give_back(level, now, cost, since))
            }
        }
    }

    /// Tells whether it changes no level.
    pub(super) const fn is_nothing(self) -> bool {
        matches!(self, Self::Take(0) | Self::GiveBack { cost: 0, .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// What people understand by a limit: tokens that come back one after another.
    struct Model {
        interval: u64,
        burst: u64,
        /// When each token that was spent is back.
        back: Vec<u64>,
    }

    impl Model {
        fn take(&mut self, now: u64, cost: u64) -> bool {
            self.back.retain(|time| *time > now);
            if self.back.len() as u64 + cost > self.burst {
                return false;
            }
            for _ in 0..cost {
                let last = self.back.last().copied().unwrap_or(now).max(now);
                self.back.push(last + self.interval);
            }
            true
        }
    }

    fn limits() -> impl Strategy<Value = RateLimit> {
        (1u32..50, 1u64..100, 1u32..60).prop_map(|(quota, window, burst)| {
            RateLimit::new(quota, Duration::from_secs(window)).unwrap().with_burst(burst)
        })
    }

    proptest! {
        #[test]
        fn it_decides_as_tokens_that_come_back_one_by_one(
            limit in limits(),
            steps in prop::collection::vec((0u64..40 * SECOND, 0u32..4), 1..200),
        ) {
            let gcra = Gcra::new(&limit);
            let mut model =
                Model { interval: limit.interval(), burst: limit.burst().into(), back: Vec::new() };
            let (mut now, mut level) = (1_700_000_000 * SECOND, 0);
            for (step, cost) in steps {
                now += step;
                let taken = gcra.take(level, now, cost);
                prop_assert_eq!(taken.is_ok(), model.take(now, cost.into()));
                level = taken.unwrap_or(level);
                let remaining = u64::from(gcra.status(level, now).remaining());
                prop_assert_eq!(remaining, model.burst - model.back.len() as u64);
                let first = model.back.first().map_or(0, |time| time - now);
                prop_assert_eq!(gcra.status(level, now).reset(), Duration::from_nanos(first));
            }
        }

        #[test]
        fn no_window_lets_more_pass_than_the_quota_and_the_burst(
            limit in limits(),
            steps in prop::collection::vec(0u64..5 * SECOND, 1..300),
        ) {
            let gcra = Gcra::new(&limit);
            let (mut now, mut level, mut passed) = (1_700_000_000 * SECOND, 0, Vec::new());
            for step in steps {
                now += step;
                if let Ok(after) = gcra.take(level, now, 1) {
                    level = after;
                    passed.push(now);
                }
            }
            let window = limit.window().as_secs() * SECOND;
            for (index, start) in passed.iter().enumerate() {
                let within = passed[index..].iter().take_while(|time| **time - start < window);
                prop_assert!(within.count() as u32 <= limit.quota() + limit.burst());
            }
        }

        #[test]
        fn who_waits_as_told_is_let_through_and_not_a_nanosecond_before(
            limit in limits(),
            cost in 1u32..60,
            spent in prop::collection::vec(0u64..SECOND, 1..100),
        ) {
            let gcra = Gcra::new(&limit);
            let (mut now, mut level) = (1_700_000_000 * SECOND, 0);
            for step in spent {
                now += step;
                level = gcra.take(level, now, 1).unwrap_or(level);
            }
            if let Err(refused) = gcra.take(level, now, cost) {
                match super::super::LimitDecision::new([refused]).retry_after() {
                    None => prop_assert!(cost > limit.burst()),
                    Some(wait) => {
                        let then = now + u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert!(gcra.take(level, then, cost).is_ok());
                        prop_assert!(gcra.take(level, then - 1, cost).is_err());
                    }
                }
            }
        }

        #[test]
        fn what_is_given_back_can_be_spent_again(
            limit in limits(), before in 0u32..50, cost in 0u32..50,
        ) {
            let (gcra, now) = (Gcra::new(&limit), 1_700_000_000 * SECOND);
            let level = gcra.take(0, now, before).unwrap_or(now);
            if let Ok(after) = gcra.take(level, now, cost) {
                prop_assert_eq!(gcra.give_back(after, now, cost, 0).max(now), level.max(now));
                let later = now + limit.interval() * u64::from(cost);
                let late = gcra.give_back(after, later, cost, later - now).max(later);
                prop_assert_eq!(late, after.max(later), "it has come back by itself");
            }
        }

        #[test]
        fn no_wait_is_longer_than_the_refill_whatever_was_kept(
            limit in limits(),
            level in prop_oneof![any::<u64>(), Just(0), Just(u64::MAX), 0..4_000_000_000 * SECOND],
            now in 0..4_000_000_000 * SECOND,
            cost in 1u32..60,
        ) {
            let gcra = Gcra::new(&limit);
            let status = gcra.status(level, now);
            prop_assert!(u64::try_from(status.reset().as_nanos()).unwrap() <= limit.interval());
            prop_assert!(status.remaining() <= limit.burst());
            if let Err(refused) = gcra.take(level, now, cost)
                && let Some(wait) = super::super::LimitDecision::new([refused]).retry_after()
            {
                let wait = u64::try_from(wait.as_nanos()).unwrap();
                prop_assert!(wait <= gcra.refill() && wait <= limit.interval() * u64::from(cost));
                let kept = gcra.current(level, now);
                prop_assert!(gcra.take(kept, now + wait, cost).is_ok());
                prop_assert!(gcra.take(kept, now + wait - 1, cost).is_err());
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_costs_one_burst_at_most() {
        for limit in [RateLimit::per_minute(60), RateLimit::per_minute(60).shared_by_tenant()] {
            let gcra = Gcra::new(&limit);
            let later = 1_700_000_000 * SECOND;
            let level = gcra.take(0, later, 1).unwrap();
            let earlier = later - 3600 * SECOND;
            let refused = gcra.take(level, earlier, 1).unwrap_err();
            let wait = super::super::LimitDecision::new([refused]).retry_after();
            assert_eq!(wait, Some(Duration::from_secs(1)));
        }
    }

    #[test]
    fn a_request_without_cost_is_never_refused() {
        let (gcra, now) = (Gcra::new(&RateLimit::per_hour(1)), SECOND);
        let level = gcra.take(0, now, 1).unwrap();
        assert_eq!(gcra.take(level, now, 0), Ok(level));
    }
}
