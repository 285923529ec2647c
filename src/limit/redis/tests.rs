use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::key::{KeyScheme, RateLimits};
use crate::limit::MemoryRateLimiter;
use crate::store::NewKey;
use crate::testing::FakeClock;

/// The script with another clock, which a test tells the time.
static TOLD_THE_TIME: LazyLock<Script> = LazyLock::new(|| {
    let (script, clock) = (include_str!("limits.lua"), "redis.call('TIME')");
    assert_eq!(script.matches(clock).count(), 1);
    Script::new(&script.replace(clock, "{ ARGV[#ARGV - 1], ARGV[#ARGV] }"))
});

/// A limiter in Redis and one in memory, which have to decide alike.
struct Both {
    redis: RedisRateLimiter,
    memory: MemoryRateLimiter,
    clock: FakeClock,
    /// In microseconds.
    now: u64,
}

impl Both {
    async fn start() -> Self {
        let url = std::env::var("REDIS_URL").expect("run tests/all, which starts the servers");
        let prefix = format!("test:{}:", crate::KeyId::generate().unwrap());
        let redis = RedisRateLimiter::connect(&url).key_prefix(prefix).await.unwrap();
        let clock = FakeClock::new();
        let memory = MemoryRateLimiter::new().clock(clock.clone());
        // Later than the server's time, at which levels expire.
        Self { redis, memory, clock, now: 5_000_000_000_000_000 }
    }

    async fn decide(&self, key: &KeyRecord, change: Change) -> LimitDecision {
        self.clock.set(SystemTime::UNIX_EPOCH + Duration::from_micros(self.now));
        let mut script = self.redis.script(&TOLD_THE_TIME, key, change);
        script.arg(self.now / 1_000_000).arg(self.now % 1_000_000);
        let answer = self.redis.run(&script, change).await.unwrap();
        answer.decision(key.limits(), change).expect("the script decides as `Gcra` does")
    }

    async fn take(&self, key: &KeyRecord, cost: u32) -> LimitDecision {
        let there = self.decide(key, Change::Take(cost)).await;
        assert_eq!(there, self.memory.reserve(key, cost).await.unwrap());
        there
    }

    async fn give_back(&self, key: &KeyRecord, cost: u32, granted: &LimitDecision) {
        let at = granted.time().map(nanoseconds);
        let there = self.decide(key, Change::GiveBack { cost, at }).await;
        assert_eq!(there, self.memory.refund(key, cost, granted).await.unwrap());
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(test);
}

fn key(tenant: &str, limits: &RateLimits) -> KeyRecord {
    let key = NewKey::named("test").tenant(tenant).generate(&KeyScheme::default()).unwrap();
    let mut record = KeyRecord::clone(&key.record);
    record.set_limits(limits.clone());
    record
}

/// Also intervals that are no whole microseconds, some of one nanosecond, and some of a year.
fn limit() -> impl Strategy<Value = RateLimit> {
    let quota = prop_oneof![1u32..50, 2_000_000_000..=u32::MAX];
    let window = prop_oneof![Just(1u64), 1u64..100, Just(31_622_400)];
    let burst = prop_oneof![4 => 1u32..60, 1 => any::<u32>(), 1 => 60_000u32..3_000_000];
    (quota, window, burst, any::<bool>()).prop_filter_map(
        "ten years",
        |(quota, window, burst, shared)| {
            let limit = RateLimit::new(quota, Duration::from_secs(window)).ok()?;
            let ten_years = 3660 * 24 * 60 * 60 * 1_000_000_000;
            let refill = limit.interval().checked_mul(burst.into())?;
            let limit = (burst > 0 && refill <= ten_years).then(|| limit.with_burst(burst))?;
            Some(if shared { limit.shared_by_tenant() } else { limit })
        },
    )
}

fn limits() -> impl Strategy<Value = RateLimits> {
    prop::collection::vec(limit(), 1..4).prop_map(|limits| {
        let named = limits.into_iter().zip(["a", "b", "c"]);
        RateLimits::new(named.map(|(limit, name)| limit.with_name(name))).unwrap()
    })
}

#[derive(Clone, Debug)]
enum Step {
    /// In microseconds.
    Wait(u64),
    /// The number of the key, and the cost.
    Take(usize, u32),
    /// The number of what was granted.
    GiveBack(usize),
    /// The number of the key, and its limits from now on.
    Change(usize, RateLimits),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0usize..3;
    let wait = prop_oneof![0u64..1000, 0u64..20_000_000, 0u64..40_000_000_000];
    let cost = prop_oneof![0u32..5, 0u32..80, Just(u32::MAX), any::<u32>(), 0u32..3_000_000];
    prop_oneof![
        2 => wait.prop_map(Step::Wait),
        4 => (key.clone(), cost).prop_map(|(key, cost)| Step::Take(key, cost)),
        1 => (0usize..100).prop_map(Step::GiveBack),
        1 => (key, limits()).prop_map(|(key, limits)| Step::Change(key, limits)),
    ]
}

proptest! {
    #[test]
    #[ignore = "needs Redis: run tests/all"]
    fn it_decides_as_the_limiter_in_memory_does(
        limits in limits(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        run(async {
            let mut both = Both::start().await;
            let mut keys = ["acme", "acme", "globex"].map(|tenant| key(tenant, &limits));
            // Its successor, for the first two have one tenant.
            keys[1].set_counted_as(Some(keys[0].id.clone()));
            let mut granted = Vec::new();
            for step in steps {
                match step {
                    Step::Wait(time) => both.now += time,
                    Step::Change(number, limits) => keys[number].set_limits(limits),
                    Step::Take(number, cost) => {
                        let decision = both.take(&keys[number], cost).await;
                        if decision.is_granted() {
                            granted.push((number, cost, decision));
                        }
                    }
                    Step::GiveBack(index) if index < granted.len() => {
                        let (number, cost, decision) = granted.swap_remove(index);
                        both.give_back(&keys[number], cost, &decision).await;
                    }
                    Step::GiveBack(_) => {}
                }
            }
        });
    }
}

#[test]
#[ignore = "needs Redis: run tests/all"]
fn who_waits_is_let_through_after_the_clock_was_set_back() {
    run(async {
        for limits in [
            ["3 per minute", "9 per day"],
            ["3 per minute, shared by tenant", "9 per day, shared by tenant"],
        ] {
            let mut both = Both::start().await;
            let limits = limits.map(|limit| limit.parse().unwrap());
            let key = key("acme", &RateLimits::new(limits).unwrap());
            assert!(both.take(&key, 3).await.is_granted());
            both.now -= 24 * 3_600_000_000;
            let refused = both.take(&key, 1).await;
            for status in refused.statuses() {
                let wait = LimitDecision::new([*status]).retry_after().unwrap();
                assert!(wait <= Duration::from_secs(24 * 3600 / 9), "{wait:?}");
            }
            both.now += u64::try_from(refused.retry_after().unwrap().as_micros()).unwrap() + 1;
            assert!(both.take(&key, 1).await.is_granted());
        }
    });
}

#[test]
#[ignore = "needs Redis: run tests/all"]
fn no_more_than_sixteen_levels_of_a_name_are_kept_and_none_starts_anew() {
    run(async {
        let both = Both::start().await;
        let limits = |burst| {
            let limit = format!("100 per day, burst {burst}");
            RateLimits::new([limit.parse().unwrap()]).unwrap()
        };
        let mut key = key("acme", &limits(100));
        assert!(both.decide(&key, Change::Take(100)).await.is_granted());
        for burst in (1..100).chain(1..=100) {
            key.set_limits(limits(burst));
            assert!(!both.decide(&key, Change::Take(1)).await.is_granted(), "{burst}");
        }
        let client = Client::open(std::env::var("REDIS_URL").unwrap()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let name = both.redis.level(&key, &key.limits()[0]);
        let kept: String = redis::cmd("GET").arg(name).query_async(&mut connection).await.unwrap();
        assert_eq!(kept.split(' ').count(), 16, "{kept}");
    });
}
