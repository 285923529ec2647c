//! [`MemoryRateLimiter`]: counting in this process.

use std::fmt;
use std::hash::{BuildHasherDefault, RandomState};
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;

use super::gcra::{Change, Gcra};
use super::levels::{Levels, Subject};
use super::{LimitDecision, LimitStatus, LimiterError, RateLimiter};
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::key::{KeyDigest, RateLimit, TenantId};
use crate::store::{FirstBytes, KeyRecord};

/// How many parts the keys are kept in, so that looking for idle ones is short work.
const PARTS: usize = 64;

/// Counts requests in memory. The default of the layer.
///
/// It is exact within the process, for all threads. A key that was not used for so long that
/// its limits are whole again is forgotten, so memory grows with the keys in use and not with
/// time. Each key has a lock of its own. A clone counts together with the original, and so do
/// the layers that are given one; a second process counts apart.
///
/// # Examples
///
/// ```
/// use tower_api_key::{ApiKeyLayer, MemoryRateLimiter, MemoryStore, NewKey};
///
/// let limiter = MemoryRateLimiter::new();
/// let keys = MemoryStore::new();
/// keys.issue(NewKey::named("nightly import").limit("1000 per hour").limit("5 per second"))?;
/// let api = ApiKeyLayer::new(keys.clone()).rate_limiter(limiter.clone());
/// let admin = ApiKeyLayer::new(keys).rate_limiter(limiter);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct MemoryRateLimiter {
    shared: Arc<Shared>,
}

struct Shared {
    // A digest is as random as a hash.
    keys: Box<[Levels<KeyDigest, BuildHasherDefault<FirstBytes>>]>,
    tenants: Levels<TenantId, RandomState>,
    clock: Box<dyn Clock>,
}

impl MemoryRateLimiter {
    /// Counts by a clock that does not jump.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(MonotonicClock::start())
    }

    /// Counts by `clock`.
    pub fn with_clock(clock: impl Clock + 'static) -> Self {
        let shared = Shared {
            keys: (0..PARTS).map(|_| Levels::new()).collect(),
            tenants: Levels::new(),
            clock: Box::new(clock),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Changes the levels of a key, and tells how its limits stand.
    fn change(&self, key: &KeyRecord, change: Change) -> LimitDecision {
        let shared = &*self.shared;
        let time = shared.clock.now();
        let now = nanoseconds(time);
        let is_shared = |limit: &RateLimit| limit.is_shared_by_tenant() && key.tenant.is_some();
        let own = &shared.keys[usize::from(key.digest.as_bytes()[31]) % PARTS];
        // A request takes the lock of its key first and then that of its tenant, never two of
        // either, so that nobody waits in a circle.
        let decision = match &key.tenant {
            Some(tenant) if key.limits.iter().all(is_shared) => {
                shared
                    .tenants
                    .with(tenant, now, |tenant| change.of(&key.limits, now, &mut [tenant], |_| 0))
            }
            Some(tenant) if key.limits.iter().any(is_shared) => own.with(&key.digest, now, |own| {
                shared.tenants.with(tenant, now, |tenant| {
                    change.of(&key.limits, now, &mut [own, tenant], |limit| {
                        usize::from(is_shared(limit))
                    })
                })
            }),
            _ => own.with(&key.digest, now, |own| change.of(&key.limits, now, &mut [own], |_| 0)),
        };
        decision.at(time)
    }

    fn give_back(&self, key: &KeyRecord, cost: u32, granted: &LimitDecision) -> LimitDecision {
        let at = granted.time().map(nanoseconds);
        self.change(key, Change::GiveBack { cost, at })
    }
}

impl Change {
    /// Changes the levels of all limits, or of none. `whose` tells which subject has a limit's.
    fn of(
        self,
        limits: &[RateLimit],
        now: u64,
        subjects: &mut [&mut Subject],
        whose: impl Fn(&RateLimit) -> usize,
    ) -> LimitDecision {
        if let [limit] = limits {
            return LimitDecision::new([self.of_one(limit, now, subjects[0])]);
        }
        let after: Vec<_> = limits
            .iter()
            .map(|limit| {
                let level = subjects[whose(limit)].level(limit.shared_name());
                self.level(Gcra::new(limit), level, now)
            })
            .collect();
        if after.iter().all(Result::is_ok) {
            let own = limits.iter().map(|limit| self.of_one(limit, now, subjects[whose(limit)]));
            return LimitDecision::new(own);
        }
        LimitDecision::new(limits.iter().zip(after).map(|(limit, after)| match after {
            Ok(_) => {
                let level = subjects[whose(limit)].level(limit.shared_name());
                Gcra::new(limit).status(level, now)
            }
            // It refuses again, and keeps the level by which it told how long to wait.
            Err(_) => self.of_one(limit, now, subjects[whose(limit)]),
        }))
    }

    fn of_one(self, limit: &RateLimit, now: u64, subject: &mut Subject) -> LimitStatus {
        let (gcra, name) = (Gcra::new(limit), limit.shared_name());
        let level = subject.level(name);
        match self.level(gcra, level, now) {
            Ok(after) => {
                subject.set(name, after);
                gcra.status(after, now)
            }
            Err(refused) => {
                subject.set(name, gcra.current(level, now));
                refused
            }
        }
    }
}

#[async_trait]
impl RateLimiter for MemoryRateLimiter {
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError> {
        Ok(self.change(key, Change::Take(cost)))
    }

    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        Ok(self.give_back(key, cost, granted))
    }

    fn reserve_now(&self, key: &KeyRecord, cost: u32) -> Poll<LimitDecision> {
        Poll::Ready(self.change(key, Change::Take(cost)))
    }

    fn refund_now(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Poll<LimitDecision> {
        Poll::Ready(self.give_back(key, cost, granted))
    }
}

impl Default for MemoryRateLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryRateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryRateLimiter").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyHasher;
    use crate::store::NewKey;

    /// Seconds since 1970.
    struct At(Arc<AtomicU64>);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH + Duration::from_secs(self.0.load(Ordering::SeqCst))
        }
    }

    fn limiter() -> (MemoryRateLimiter, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(1_700_000_000));
        (MemoryRateLimiter::with_clock(At(Arc::clone(&time))), time)
    }

    fn key(limits: &[&str]) -> NewKey {
        limits.iter().fold(NewKey::named("test"), |key, limit| key.limit(*limit))
    }

    fn record(key: NewKey) -> Arc<KeyRecord> {
        key.generate(&KeyHasher::sha256()).unwrap().record
    }

    fn take(limiter: &MemoryRateLimiter, key: &KeyRecord, cost: u32) -> bool {
        limiter.change(key, Change::Take(cost)).is_granted()
    }

    fn remaining(limiter: &MemoryRateLimiter, key: &KeyRecord) -> Vec<u32> {
        let decision = limiter.change(key, Change::Take(0));
        decision.statuses().iter().map(LimitStatus::remaining).collect()
    }

    fn len(limiter: &MemoryRateLimiter) -> usize {
        limiter.shared.keys.iter().map(Levels::len).sum()
    }

    #[test]
    fn a_request_that_one_limit_refuses_spends_nothing_of_the_others() {
        let (limiter, _) = limiter();
        let key = record(key(&["2 per second", "5 per day"]));
        assert!(take(&limiter, &key, 1) && take(&limiter, &key, 1));
        assert!(!take(&limiter, &key, 1));
        assert_eq!(remaining(&limiter, &key), [0, 3]);
        let refused = limiter.change(&key, Change::Take(4));
        assert_eq!(refused.retry_after(), None, "the second limit never lets 4 pass at once");
        assert_eq!(remaining(&limiter, &key), [0, 3]);
    }

    #[test]
    fn each_key_has_its_own_limit() {
        let (limiter, _) = limiter();
        let (few, many) = (record(key(&["1 per day"])), record(key(&["3 per day"])));
        for (key, granted) in [(&few, 1), (&many, 3)] {
            assert_eq!((0..9).filter(|_| take(&limiter, key, 1)).count(), granted);
        }
    }

    #[test]
    fn keys_of_a_tenant_share_what_is_to_be_shared() {
        let (limiter, _) = limiter();
        let limits = ["3 per hour", "4 per day, shared by tenant"];
        let [one, two, other] =
            ["acme", "acme", "globex"].map(|tenant| record(key(&limits).tenant(tenant)));
        assert_eq!((0..9).filter(|_| take(&limiter, &one, 1)).count(), 3);
        assert_eq!((0..9).filter(|_| take(&limiter, &two, 1)).count(), 1);
        assert_eq!(remaining(&limiter, &two), [2, 0]);
        assert_eq!(remaining(&limiter, &other), [3, 4]);
        let alone = record(key(&limits[1..]));
        assert_eq!((0..9).filter(|_| take(&limiter, &alone, 1)).count(), 4);
        let only_shared = record(key(&limits[1..]).tenant("acme"));
        assert!(!take(&limiter, &only_shared, 1));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (limiter, _) = limiter();
        let key = record(key(&["2 per second", "5 per day"]));
        let granted = limiter.change(&key, Change::Take(2));
        assert_eq!(limiter.give_back(&key, 2, &granted).statuses()[1].remaining(), 5);
        limiter.give_back(&key, 2, &granted);
        assert_eq!(remaining(&limiter, &key), [2, 5], "never more than there is");
    }

    #[test]
    fn what_has_come_back_by_itself_is_not_given_twice() {
        let (limiter, time) = limiter();
        let key = record(key(&["1 per 10 seconds"]));
        let granted = limiter.change(&key, Change::Take(1));
        time.fetch_add(10, Ordering::SeqCst);
        assert!(take(&limiter, &key, 1));
        limiter.give_back(&key, 1, &granted);
        assert!(!take(&limiter, &key, 1), "a second one at the same moment");
    }

    #[test]
    fn a_request_that_costs_nothing_changes_nothing_for_the_tenant() {
        let (limiter, _) = limiter();
        let pool = |text| record(key(&[text]).tenant("acme"));
        let by_day = pool("pool: 1000 per day, shared by tenant");
        let by_hour = pool("pool: 1000 per hour, shared by tenant");
        assert!(take(&limiter, &by_day, 1000) && !take(&limiter, &by_day, 1));
        assert!(take(&limiter, &by_hour, 0) && !take(&limiter, &by_hour, 1));
        let granted = limiter.change(&by_hour, Change::Take(0));
        limiter.give_back(&by_hour, 0, &granted);
        assert_eq!(remaining(&limiter, &by_day), [0]);
        assert!(!take(&limiter, &by_day, 1));
    }

    #[test]
    fn who_waits_is_let_through_after_a_burst_was_lowered_or_the_clock_set_back() {
        let wait = |decision: &LimitDecision| decision.retry_after().unwrap().as_secs();
        let (limiter, time) = limiter();
        let mut key = KeyRecord::clone(&record(key(&["100 per hour"])));
        assert!(take(&limiter, &key, 100));
        let fewer = "100 per hour, burst 10".parse().unwrap();
        key.limits = crate::key::RateLimits::new([fewer]).unwrap();
        let refused = limiter.change(&key, Change::Take(1));
        time.fetch_add(wait(&refused), Ordering::SeqCst);
        assert!(take(&limiter, &key, 1));
        time.fetch_sub(24 * 3600, Ordering::SeqCst);
        let refused = limiter.change(&key, Change::Take(1));
        time.fetch_add(wait(&refused), Ordering::SeqCst);
        assert!(take(&limiter, &key, 1));
    }

    #[test]
    fn a_changed_limit_holds_at_once() {
        let (limiter, _) = limiter();
        let mut key = KeyRecord::clone(&record(key(&["10 per day"])));
        assert!(take(&limiter, &key, 10));
        key.limits = crate::key::RateLimits::new(["2 per minute".parse().unwrap()]).unwrap();
        assert_eq!(remaining(&limiter, &key), [2], "another name is another limit");
        key.limits = crate::key::RateLimits::new(["100 per day".parse().unwrap()]).unwrap();
        assert_eq!(remaining(&limiter, &key), [0], "a day's worth of time was spent");
    }

    #[test]
    fn of_requests_at_once_exactly_so_many_pass_as_in_turn() {
        let (limiter, _) = limiter();
        let key = record(key(&["100 per day", "150 per hour"]));
        let granted = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        granted.fetch_add(take(&limiter, &key, 1).into(), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(granted.into_inner(), 100);
    }

    #[test]
    fn idle_keys_are_forgotten_and_the_others_are_not() {
        let (limiter, time) = limiter();
        let busy = record(key(&["1 per day"]));
        assert!(take(&limiter, &busy, 1));
        let limits = record(key(&["1 per second"])).limits.clone();
        for _ in 0..20 {
            time.fetch_add(2, Ordering::SeqCst);
            for _ in 0..10_000 {
                let digest = KeyDigest::from_bytes(random());
                let mut key = KeyRecord::new("key_1".parse().unwrap(), digest, "test");
                key.limits = limits.clone();
                assert!(take(&limiter, &key, 1));
            }
        }
        assert!(len(&limiter) < 100_000, "of 200 000 keys {} are kept", len(&limiter));
        assert!(!take(&limiter, &busy, 1));
    }

    /// Forgets what is idle, as if there were very many keys.
    fn forget_idle(limiter: &MemoryRateLimiter) {
        let now = nanoseconds(limiter.shared.clock.now());
        limiter.shared.keys.iter().for_each(|part| part.forget_until(now));
        limiter.shared.tenants.forget_until(now);
    }

    proptest! {
        #[test]
        fn forgetting_idle_keys_changes_no_answer(
            steps in prop::collection::vec((0usize..6, 0u64..40, 0u32..4, any::<bool>()), 1..120),
        ) {
            let limits = ["3 per 20 seconds", "pool: 7 per minute, shared by tenant"];
            let keys: Vec<_> = (0..6)
                .map(|number| record(key(&limits[..=number % 2]).tenant(["a", "b", "c"][number / 2])))
                .collect();
            let ((keeping, time), (forgetting, same_time)) = (limiter(), limiter());
            for (number, wait, cost, forget) in steps {
                for clock in [&time, &same_time] {
                    clock.fetch_add(wait, Ordering::SeqCst);
                }
                if forget {
                    forget_idle(&forgetting);
                }
                let ask = |limiter: &MemoryRateLimiter| limiter.change(&keys[number], Change::Take(cost));
                prop_assert_eq!(ask(&keeping), ask(&forgetting));
            }
        }
    }

    fn random() -> [u8; 32] {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn nothing_is_lost_while_idle_keys_are_looked_for() {
        let levels = Levels::<u32, RandomState>::new();
        let name: Arc<str> = "x".into();
        thread::scope(|scope| {
            scope.spawn(|| {
                for other in 1..200_000 {
                    levels.with(&other, 10, |_| ());
                }
            });
            for _ in 0..2_000 {
                // Idle until it is set: whoever forgets it in between must not lose it.
                levels.with(&0, 10, |own| own.set(&name, 20));
                assert_eq!(levels.with_known(&0, |own| own.level(&name)), Some(20));
                levels.with(&0, 10, |own| own.set(&name, 10));
            }
        });
    }
}
