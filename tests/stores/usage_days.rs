//! The sums of days: every store reads from its blocks of days what its hours have, whatever was added.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use tower_api_key::store::{
    KeyUsage, TenantFilter, UsageBatch, UsageByKeyQuery, UsageCounts, UsageKind, UsageRetention,
    UsageStep, UsageStore, UsageSums,
};
use tower_api_key::{KeyId, TenantId};

use crate::each_store;

const HOUR: Duration = Duration::from_secs(3600);

/// How many hours there are: a hundred days.
const HOURS: u32 = 2400;

const KEYS: usize = 3;

/// Requests of one of the keys.
#[derive(Clone, Debug)]
struct Used {
    key: usize,
    hour: u32,
    kind: UsageKind,
    count: u64,
}

impl Used {
    /// Each hour of a key has one tenant: hours cannot be told apart by more.
    fn tenant(&self) -> Option<TenantId> {
        let names = [None, Some("acme"), Some("globex"), Some("acme")];
        let name = names[(self.hour as usize / 7 + self.key) % names.len()];
        name.map(|name| name.parse().unwrap())
    }

    fn to_row(&self, ids: &[KeyId]) -> KeyUsage {
        let mut counts = UsageCounts::default();
        counts.add(self.kind, self.count);
        KeyUsage::new(ids[self.key].clone(), self.tenant(), at(self.hour) + HOUR / 2, counts)
    }
}

#[derive(Clone, Debug)]
struct Asked {
    keys: BTreeSet<usize>,
    hours: (u32, u32),
    step: UsageStep,
    tenant: TenantFilter,
}

/// An hour since 2020.
fn at(hour: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800) + hour * HOUR
}

fn used() -> impl Strategy<Value = Used> {
    // Hours that are alike meet.
    let hour = prop_oneof![0..HOURS, 230..250_u32];
    let count = prop_oneof![0..5_u64, 0..u64::from(u32::MAX) * 1000];
    (0..KEYS, hour, prop::sample::select(&UsageKind::ALL[..]), count)
        .prop_map(|(key, hour, kind, count)| Used { key, hour, kind, count })
}

/// Batches, and whether each is sent twice.
fn batches() -> impl Strategy<Value = Vec<(Vec<Used>, bool)>> {
    let batch = prop::collection::vec(used(), 0..20);
    prop::collection::vec((batch, any::<bool>()), 1..6)
}

fn asked() -> impl Strategy<Value = Asked> {
    let tenant = prop::sample::select(vec![
        TenantFilter::Any,
        TenantFilter::Any,
        TenantFilter::Nobody,
        TenantFilter::Of("acme".parse().unwrap()),
        TenantFilter::Of("initech".parse().unwrap()),
    ]);
    let step = prop::sample::select(vec![UsageStep::Day, UsageStep::Day, UsageStep::Hour]);
    let keys = prop::collection::btree_set(0..KEYS, 0..=KEYS);
    (keys, (0..=HOURS, 0..=HOURS), step, tenant).prop_map(|(keys, hours, step, tenant)| {
        // In Redis, hours have one tenant a day.
        let tenant = if step == UsageStep::Hour { TenantFilter::Any } else { tenant };
        Asked { keys, hours, step, tenant }
    })
}

/// Returns what a store has to tell.
fn told(used: &[Used], asked: &Asked, ids: &[KeyId]) -> BTreeMap<KeyId, Vec<UsageSums>> {
    let per_step = if asked.step == UsageStep::Day { 24 } else { 1 };
    let (from, to) = (asked.hours.0 / per_step, asked.hours.1.div_ceil(per_step));
    let mut keys = BTreeMap::<_, BTreeMap<_, (u64, u64)>>::new();
    for used in used.iter().filter(|used| used.count > 0 && asked.keys.contains(&used.key)) {
        let step = used.hour / per_step;
        if (from..to).contains(&step) && asked.tenant.matches(used.tenant().as_ref()) {
            let sums = keys.entry(ids[used.key].clone()).or_default();
            let (accepted, refused) = sums.entry(step).or_default();
            let sum = if used.kind == UsageKind::Accepted { accepted } else { refused };
            *sum += used.count;
        }
    }
    let sums = |steps: BTreeMap<u32, (u64, u64)>| {
        let sums = steps.into_iter();
        sums.map(|(step, (accepted, refused))| {
            UsageSums::new(at(step * per_step), accepted, refused)
        })
        .collect()
    };
    keys.into_iter().map(|(id, steps)| (id, sums(steps))).collect()
}

fn check_days(runtime: &Runtime, store: &impl UsageStore) {
    let config = Config { cases: 100, failure_persistence: None, ..Config::default() };
    let each = (batches(), prop::collection::vec(asked(), 20));
    let result = TestRunner::new(config).run(&each, |(batches, queries)| {
        let ids = [(); KEYS].map(|()| KeyId::generate().unwrap());
        let all: Vec<_> = batches.iter().flat_map(|(rows, _)| rows.clone()).collect();
        runtime.block_on(async {
            for (number, (rows, is_sent_twice)) in (1..).zip(&batches) {
                let rows = rows.iter().map(|used| used.to_row(&ids));
                let retention = UsageRetention::days(40_000, 40_000);
                let batch = UsageBatch::new(ids[0].as_str(), number, retention, rows);
                for _ in 0..=u8::from(*is_sent_twice) {
                    store.add_usage(&batch).await.unwrap();
                }
            }
            for asked in &queries {
                let range = at(asked.hours.0)..at(asked.hours.1);
                let keys = asked.keys.iter().map(|key| ids[*key].clone());
                let query = UsageByKeyQuery::new(keys, &range, asked.step);
                let query = query.of_tenant(asked.tenant.clone());
                let found = store.sums_by_key(&query).await.unwrap();
                prop_assert_eq!(&found, &told(&all, asked, &ids), "{:?}", asked);
                if asked.tenant == TenantFilter::Any {
                    let by_reason = store.usage_by_key(&query).await.unwrap();
                    let sums = by_reason
                        .into_iter()
                        .map(|(id, buckets)| (id, buckets.iter().map(UsageSums::from).collect()));
                    prop_assert_eq!(found, sums.collect(), "by reasons: {:?}", asked);
                }
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    runtime.block_on(check_large_numbers(store));
}

/// Numbers whose sums are larger than a database can keep.
async fn check_large_numbers(store: &impl UsageStore) {
    const LARGE: u64 = i64::MAX as u64;
    let id = KeyId::generate().unwrap();
    let row = |hour, kinds: &[UsageKind], count| {
        let mut counts = UsageCounts::default();
        kinds.iter().for_each(|kind| counts.add(*kind, count));
        KeyUsage::new(id.clone(), None, at(hour), counts)
    };
    let batch = |number, rows: Vec<_>| {
        UsageBatch::new(id.as_str(), number, UsageRetention::days(40_000, 40_000), rows)
    };
    let refusals = [UsageKind::Expired, UsageKind::Other];
    let rows = vec![
        row(0, &[UsageKind::Accepted], LARGE),
        row(1, &[UsageKind::Accepted], LARGE),
        row(2, &refusals, LARGE - 1),
        row(24, &[UsageKind::Accepted], LARGE - 5),
        row(24, &refusals[..1], LARGE - 5),
    ];
    store.add_usage(&batch(1, rows)).await.unwrap();
    let query = UsageByKeyQuery::new([id.clone()], &(at(0)..at(48)), UsageStep::Day);
    let sums = async || store.sums_by_key(&query).await.unwrap().remove(&id).unwrap();
    let is_large = |sums: &UsageSums| sums.accepted >= LARGE && sums.refused >= LARGE;
    let [first, second] = sums().await[..] else { panic!("two days") };
    assert!(is_large(&first), "{first:?}");
    assert_eq!(second, UsageSums::new(at(24), LARGE - 5, LARGE - 5));
    // To what is kept. Hours of Redis cannot be larger, in a hash of ten days either.
    let more = vec![row(3, &refusals, 5), row(25, &[UsageKind::Accepted, UsageKind::Other], 9)];
    if store.add_usage(&batch(2, more)).await.is_ok() {
        let sums = sums().await;
        assert!(sums.iter().all(is_large), "{sums:?}");
    }
}

#[test]
fn a_store_in_memory_reads_days_from_blocks() {
    each_store::in_memory(check_days);
}

#[test]
fn a_store_in_sqlite_reads_days_from_blocks() {
    each_store::in_sqlite(check_days);
}

#[test]
#[ignore = "needs PostgreSQL: run tests/all"]
fn a_store_in_postgres_reads_days_from_blocks() {
    each_store::in_postgres("days", check_days);
}

#[test]
#[ignore = "needs Redis: run tests/all"]
fn a_store_in_redis_reads_days_from_blocks() {
    each_store::in_redis("days", check_days);
}
