//! [`MemoryRateLimiter`]: rate limits that are counted in this process.

use std::fmt;
use std::hash::{BuildHasherDefault, Hasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;

use super::gcra::{Change, Gcra};
use super::levels::Levels;
use super::subject::{Level, Subject};
use super::{LimitDecision, LimitStatus, LimiterError, RateLimiter};
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::immediate::Immediate;
use crate::key::{KeyId, RateLimit, TenantId};
use crate::store::KeyRecord;

/// The number of parts of the map, so that a search for idle keys is short.
const PARTS: usize = 64;

/// Counts requests in memory. The default rate limiter of a layer.
///
/// The limiter is exact within the process, for all threads. It removes a key once its limits are whole
/// again, so memory grows with the keys in use and not with time. Each key has a lock of its own.
/// Clones count together, and so do layers with clones of one limiter. Each process counts separately.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyManager, MemoryRateLimiter, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let limiter = MemoryRateLimiter::new();
/// let keys = KeyManager::new(MemoryStore::new());
/// keys.issue(NewKey::named("nightly import").limit("1000 per hour").limit("5 per second")).await?;
/// let api = keys.layer().rate_limiter(limiter.clone());
/// let admin = keys.layer().rate_limiter(limiter);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MemoryRateLimiter {
    shared: Arc<Shared>,
}

struct Shared {
    /// By the first key of each chain of rotations.
    keys: Box<[Levels<KeyId, BuildHasherDefault<IdHasher>>]>,
    tenants: Levels<TenantId, RandomState>,
    clock: Box<dyn Clock>,
}

impl MemoryRateLimiter {
    /// Creates a limiter that has counted nothing yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{KeyManager, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("10 per hour")).await?.record;
    /// let limiter = MemoryRateLimiter::new();
    /// let decision = limiter.reserve(&key, 4).await?;
    /// assert_eq!(decision.statuses()[0].remaining(), 6);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new() -> Self {
        let shared = Shared {
            keys: (0..PARTS).map(|_| Levels::new()).collect(),
            tenants: Levels::new(),
            clock: Box::new(MonotonicClock::start()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the clock by which it counts. The default is a monotonic one.
    ///
    /// # Panics
    ///
    /// Panics if the limiter was cloned before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_api_key::testing::FakeClock;
    /// use tower_api_key::{KeyManager, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("60 per hour")).await?.record;
    /// let clock = FakeClock::new();
    /// let limiter = MemoryRateLimiter::new().clock(clock.clone());
    /// limiter.reserve(&key, 60).await?;
    /// assert!(!limiter.reserve(&key, 1).await?.is_granted());
    /// clock.advance(Duration::from_secs(60));
    /// assert!(limiter.reserve(&key, 1).await?.is_granted());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("set the clock before it is cloned");
        shared.clock = Box::new(clock);
        self
    }

    /// Returns a counter of the keys and tenants, which does not keep the limiter.
    #[cfg(feature = "metrics")]
    pub(crate) fn subject_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || {
            let shared = shared.upgrade()?;
            let keys: usize = shared.keys.iter().map(Levels::len).sum();
            Some(keys + shared.tenants.len())
        }
    }

    /// Changes the levels of a key, and returns the state of its limits.
    fn change(&self, key: &KeyRecord, change: Change) -> LimitDecision {
        let shared = &*self.shared;
        let time = shared.clock.now();
        let now = nanoseconds(time);
        let asked = Asked { change, limits: key.limits(), now };
        let is_shared = |limit: &RateLimit| limit.is_shared_by_tenant() && key.tenant.is_some();
        let id = key.counted_id();
        let own = &shared.keys[part(id)];
        // A request locks its key first and then its tenant, and never two of either, so that there is
        // no deadlock.
        let decision = match &key.tenant {
            Some(tenant) if key.limits().iter().all(is_shared) => {
                shared.tenants.with(tenant, now, |tenant| asked.of(&mut [tenant], |_| (0, true)))
            }
            Some(tenant) if key.limits().iter().any(is_shared) => own.with(id, now, |own| {
                shared.tenants.with(tenant, now, |tenant| {
                    asked.of(&mut [own, tenant], |limit| match is_shared(limit) {
                        true => (1, true),
                        false => (0, false),
                    })
                })
            }),
            _ => own.with(id, now, |own| asked.of(&mut [own], |_| (0, false))),
        };
        decision.at(time)
    }

    fn give_back(&self, key: &KeyRecord, cost: u32, granted: &LimitDecision) -> LimitDecision {
        let at = granted.time().map(nanoseconds);
        self.change(key, Change::GiveBack { cost, at })
    }
}

/// Returns the part of the map for a key. Ids differ most at their ends.
fn part(id: &KeyId) -> usize {
    let [.., last, end] = id.as_bytes() else { return 0 };
    (usize::from(*last) * 8 + usize::from(*end)) % PARTS
}

/// What to do with the limits of a key, and when.
#[derive(Clone, Copy)]
struct Asked<'a> {
    change: Change,
    limits: &'a [RateLimit],
    now: u64,
}

impl Asked<'_> {
    /// Changes the levels of all limits, or of none. `whose` tells which subject has the level of a
    /// limit, and whether that is the tenant.
    fn of(
        self,
        subjects: &mut [&mut Subject],
        whose: impl Fn(&RateLimit) -> (usize, bool),
    ) -> LimitDecision {
        if let [limit] = self.limits {
            let (index, of_tenant) = whose(limit);
            let (level, after) = self.judge(limit, subjects[index], of_tenant);
            let subject = &mut *subjects[index];
            return LimitDecision::new([self.keep(limit, subject, of_tenant, level, after)]);
        }
        let judged: Vec<_> = self
            .limits
            .iter()
            .map(|limit| {
                let (index, of_tenant) = whose(limit);
                self.judge(limit, subjects[index], of_tenant)
            })
            .collect();
        let is_granted = judged.iter().all(|(_, after)| after.is_ok());
        LimitDecision::new(self.limits.iter().zip(judged).map(|(limit, (level, after))| {
            if after.is_ok() && !is_granted {
                return Gcra::new(limit).status(level, self.now);
            }
            let (index, of_tenant) = whose(limit);
            self.keep(limit, subjects[index], of_tenant, level, after)
        }))
    }

    /// Returns the level of a limit, and that afterwards, or why it refuses.
    #[inline]
    fn judge(
        self,
        limit: &RateLimit,
        subject: &Subject,
        of_tenant: bool,
    ) -> (u64, Result<u64, LimitStatus>) {
        let gcra = Gcra::new(limit);
        let level = subject.level(limit.level(of_tenant), gcra);
        (level, self.change.level(gcra, level, self.now))
    }

    /// Stores the level afterwards or, for a limit that refuses, the level that the wait was computed
    /// from.
    #[inline]
    fn keep(
        self,
        limit: &RateLimit,
        subject: &mut Subject,
        of_tenant: bool,
        level: u64,
        after: Result<u64, LimitStatus>,
    ) -> LimitStatus {
        let Self { change, limits, now } = self;
        let (gcra, name) = (Gcra::new(limit), limit.level(of_tenant));
        let is_needed = |level: &Level| {
            let is_named = || limits.iter().any(|limit| limit.level(of_tenant) == &level.name);
            // The levels of the tenant's other keys are not known.
            level.time > now && (of_tenant || is_named())
        };
        let after = match after {
            Ok(after) => after,
            Err(refused) => {
                subject.set(name, gcra, gcra.current(level, now), is_needed);
                return refused;
            }
        };
        if !change.is_nothing() {
            // Not given back to other limits: it may be more than they counted. A tenant's limits have
            // other names.
            if let Change::Take(cost) = change
                && !of_tenant
                && subject.has_others(name, gcra)
            {
                subject.forget_if_over(name, now);
                subject.add_to_others(name, gcra, now, cost);
            }
            subject.set(name, gcra, after, is_needed);
        }
        gcra.status(after, now)
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

    fn reserve_now(&self, key: &KeyRecord, cost: u32) -> Immediate<LimitDecision> {
        Immediate::Answer(self.change(key, Change::Take(cost)))
    }

    fn refund_now(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Immediate<LimitDecision> {
        Immediate::Answer(self.give_back(key, cost, granted))
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

/// Hashes ids quickly. They are random, or chosen by the application and not by clients, so nobody can
/// force collisions.
#[derive(Default)]
struct IdHasher(u64);

impl IdHasher {
    fn add(&mut self, word: u64) {
        // An odd number with ones and zeros all over: 2^64 divided by the golden ratio.
        let mixed = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.add(rest);
    }

    fn write_u8(&mut self, byte: u8) {
        self.0 ^= u64::from(byte);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
    use std::thread;
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;
    use crate::key::{KeyHasher, KeyScheme};
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
        (MemoryRateLimiter::new().clock(At(Arc::clone(&time))), time)
    }

    fn key(limits: &[&str]) -> NewKey {
        limits.iter().fold(NewKey::named("test"), |key, limit| key.limit(*limit))
    }

    fn record(key: NewKey) -> Arc<KeyRecord> {
        key.generate(&KeyScheme::default()).unwrap().record
    }

    fn limits<const N: usize>(limits: [&str; N]) -> crate::key::RateLimits {
        crate::key::RateLimits::new(limits.map(|limit| limit.parse().unwrap())).unwrap()
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
    fn a_request_that_costs_nothing_changes_nothing() {
        let (limiter, _) = limiter();
        for limit in ["10 per day", "10 per day, shared by tenant"] {
            let key = record(key(&[limit]).tenant("acme"));
            let mut fewer = KeyRecord::clone(&key);
            fewer.set_limits(limits(["10 per day, burst 1"]));
            assert!(take(&limiter, &key, 10) && !take(&limiter, &key, 1));
            for _ in 0..3 {
                assert!(take(&limiter, &fewer, 0) && take(&limiter, &key, 0));
                let granted = limiter.change(&fewer, Change::Take(0));
                limiter.give_back(&fewer, 0, &granted);
            }
            assert_eq!(remaining(&limiter, &key), [0]);
            assert!(!take(&limiter, &key, 1));
        }
    }

    #[test]
    fn a_shared_limit_with_other_numbers_counts_apart() {
        let (limiter, _) = limiter();
        let pool =
            |numbers| record(key(&[&format!("pool: {numbers}, shared by tenant")]).tenant("acme"));
        let all = ["9 per day", "8 per day", "9 per hour", "9 per day, burst 8", "2 per 366 days"];
        for numbers in all {
            let most = limiter.change(&pool(numbers), Change::Take(0)).statuses()[0].remaining();
            assert!(take(&limiter, &pool(numbers), most), "{numbers}");
        }
        for numbers in all {
            assert!(!take(&limiter, &pool(numbers), 1), "another key with {numbers}");
        }
    }

    #[test]
    fn who_waits_is_let_through_after_a_burst_was_lowered_or_the_clock_set_back() {
        let wait = |decision: &LimitDecision| decision.retry_after().unwrap().as_secs();
        let (limiter, time) = limiter();
        let mut key = KeyRecord::clone(&record(key(&["100 per hour"])));
        assert!(take(&limiter, &key, 100));
        key.set_limits(limits(["100 per hour, burst 10"]));
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
        key.set_limits(limits(["2 per minute"]));
        assert_eq!(remaining(&limiter, &key), [2], "another name is another limit");
        key.set_limits(limits(["100 per day"]));
        assert_eq!(remaining(&limiter, &key), [0], "a day's worth of time was spent");
    }

    #[test]
    fn levels_of_names_that_are_gone_do_not_pile_up() {
        let (limiter, _) = limiter();
        let mut key = KeyRecord::clone(&record(key(&["10 per day"])));
        assert!(take(&limiter, &key, 10));
        for number in 0..20_000 {
            // The longest waits there are.
            let other = format!("n{number}: 1 per 366 days, burst {}", 1 + number % 10);
            key.set_limits(limits(["10 per day", &other]));
            assert!(!take(&limiter, &key, 1), "{number}");
            key.set_limits(limits([&*other]));
            assert!(take(&limiter, &key, 1), "{number}");
        }
        let own = |own: &mut Subject| own.len();
        let levels = limiter.shared.keys[part(&key.id)].with_known(&key.id, own);
        assert!(levels.unwrap() < 20, "{levels:?}");
    }

    #[test]
    fn numbers_that_are_gone_do_not_pile_up_and_nothing_starts_anew() {
        let (limiter, _) = limiter();
        let mut key = KeyRecord::clone(&record(key(&["100 per day"])));
        assert!(take(&limiter, &key, 100));
        for burst in (1..100).chain(1..=100) {
            key.set_limits(limits([&*format!("100 per day, burst {burst}")]));
            assert!(!take(&limiter, &key, 1), "{burst}");
        }
        let own = |own: &mut Subject| own.len();
        let levels = limiter.shared.keys[part(&key.id)].with_known(&key.id, own);
        assert!(levels.unwrap() < 20, "{levels:?}");
    }

    #[test]
    fn shared_limits_that_are_over_do_not_pile_up() {
        let (limiter, time) = limiter();
        let key = |limit: &str| record(key(&[limit]).tenant("acme"));
        let kept = key("10 per day, shared by tenant");
        assert!(take(&limiter, &kept, 10));
        for number in 0..20_000 {
            time.fetch_add(1, Ordering::SeqCst);
            assert!(take(&limiter, &key(&format!("n{number}: 1 per second, shared by tenant")), 1));
        }
        assert!(!take(&limiter, &kept, 4));
        let tenant = kept.tenant.as_ref().unwrap();
        let levels = limiter.shared.tenants.with_known(tenant, |tenant| tenant.len());
        assert!(levels.unwrap() < 20, "{levels:?}");
    }

    proptest! {
        /// Keys of one chain of rotations, whose limits of one name have other numbers.
        #[test]
        fn keys_that_count_together_are_granted_no_more_than_each_alone(
            numbers in prop::collection::vec((1u32..20, 1u64..20, 1u32..20), 1..4),
            steps in prop::collection::vec((0usize..3, 0u64..4, 1u32..4, any::<bool>()), 1..150),
        ) {
            let (together, time) = limiter();
            let first = record(key(&[]));
            let chain: Vec<_> = numbers
                .iter()
                .map(|(quota, window, burst)| {
                    let limit = crate::RateLimit::new(*quota, Duration::from_secs(*window)).unwrap();
                    let limit = limit.with_burst(*burst).with_name("x");
                    let mut key = KeyRecord::clone(&record(key(&[])));
                    key.set_limits(crate::key::RateLimits::new([limit]).unwrap());
                    key.set_counted_as(Some(first.id.clone()));
                    key
                })
                .collect();
            // The level of each that was used, if it alone judged, and counted all since then.
            let mut alone = BTreeMap::new();
            let (start, mut passed) = (time.load(Ordering::SeqCst), 0);
            for (number, wait, cost, refund) in steps {
                time.fetch_add(wait, Ordering::SeqCst);
                let now = nanoseconds(together.shared.clock.now());
                let number = number % chain.len();
                let gcra = Gcra::new(&chain[number].limits()[0]);
                let decision = together.change(&chain[number], Change::Take(cost));
                let latest = || alone.values().copied().max().unwrap_or(0);
                let level = alone.get(&gcra).copied().unwrap_or_else(latest);
                let level = gcra.current(level, now);
                alone.insert(gcra, level);
                if !decision.is_granted() {
                    let wait = decision.retry_after().map(|wait| wait.as_nanos());
                    prop_assert!(wait.is_none_or(|wait| wait <= gcra.refill().into()));
                    continue;
                }
                prop_assert!(gcra.take(level, now, cost).is_ok(), "alone it would be refused");
                if alone.values().all(|level| *level <= now) {
                    alone.retain(|other, _| *other == gcra);
                }
                for (gcra, level) in &mut alone {
                    *level = gcra.add(*level, now, cost);
                }
                if refund {
                    together.give_back(&chain[number], cost, &decision);
                    alone.insert(gcra, level);
                    continue;
                }
                passed += u64::from(cost);
                let limits = || chain.iter().map(|key| &key.limits()[0]);
                // One that was not used before goes on from when the others end, not from their number of requests.
                let burst: u64 = limits().map(|limit| u64::from(limit.burst())).sum();
                let interval = limits().map(crate::RateLimit::interval).min().unwrap();
                let seconds = time.load(Ordering::SeqCst) - start;
                let back = (seconds * 1_000_000_000).div_ceil(interval);
                prop_assert!(passed <= burst + back, "more than all of them");
            }
        }
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
        let limits = limits(["1 per second"]);
        for _ in 0..20 {
            time.fetch_add(2, Ordering::SeqCst);
            for _ in 0..10_000 {
                let digest = KeyHasher::sha256().digest("test");
                let mut key =
                    KeyRecord::new(KeyId::generate().unwrap(), digest, "test", SystemTime::now());
                key.set_limits(limits.clone());
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
            let mut keys: Vec<_> = (0..6)
                .map(|number| record(key(&limits[..=number % 2]).tenant(["a", "b", "c"][number / 2])))
                .map(Arc::unwrap_or_clone)
                .collect();
            // Of one chain of rotations, with other numbers.
            let first = Some(keys[0].id.clone());
            keys[1].set_counted_as(first.clone());
            keys[1].set_limits(self::limits(["2 per 20 seconds", "pool: 7 per minute, shared by tenant"]));
            keys[2].set_counted_as(first);
            keys[2].set_limits(self::limits(["3 per 20 seconds, burst 1"]));
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

    #[test]
    fn nothing_is_lost_while_idle_keys_are_looked_for() {
        let levels = Levels::<u32, RandomState>::new();
        let (name, gcra): (Arc<str>, _) = ("x".into(), Gcra::new(&RateLimit::per_hour(1)));
        thread::scope(|scope| {
            scope.spawn(|| {
                for other in 1..200_000 {
                    levels.with(&other, 10, |_| ());
                }
            });
            for _ in 0..2_000 {
                // Idle until it is set: a sweep in between must not lose it.
                levels.with(&0, 10, |own| own.set(&name, gcra, 20, |_| true));
                assert_eq!(levels.with_known(&0, |own| own.level(&name, gcra)), Some(20));
                levels.with(&0, 10, |own| own.set(&name, gcra, 10, |_| true));
            }
        });
    }
}
