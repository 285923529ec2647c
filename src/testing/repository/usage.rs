//! [`check_usage_store`]: a conformance suite for [`UsageStore`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;

use super::suite::tenant_of_its_own;
use crate::key::{KeyId, TenantId};
use crate::store::{
    KeyUsage, TenantFilter, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts, UsageKind,
    UsageOf, UsageQuery, UsageRetention, UsageStep, UsageStore, UsageSums,
};

/// The number of nodes that add at once.
pub(super) const NODES: u64 = 8;

const HOUR: Duration = Duration::from_secs(3600);

/// Checks a store against the contract of [`UsageStore`]: a conformance suite for tests.
///
/// The store may hold other usage; the suite uses keys and tenants of its own.
///
/// # Panics
///
/// Panics with a description of the fault.
///
/// # Examples
///
/// ```
/// use tower_api_key::MemoryStore;
/// use tower_api_key::testing::check_usage_store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_usage_store(&MemoryStore::new()).await;
/// # }
/// ```
pub async fn check_usage_store<S: UsageStore + ?Sized>(store: &S) {
    let suite = Suite { store };
    suite.usage_is_told_by_the_hour_and_the_day().await;
    suite.each_kind_is_kept().await;
    suite.a_batch_is_added_once().await;
    suite.nodes_add_up().await;
    suite.keys_of_a_tenant_are_summed_up().await;
    suite.several_keys_are_told_at_once().await;
    suite.check_days().await;
}

pub(super) struct Suite<'a, S: ?Sized> {
    pub(super) store: &'a S,
}

/// An hour of the year 2020, the first of a day.
pub(super) fn hour(number: u32) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800) + number * HOUR
}

pub(super) fn id() -> KeyId {
    KeyId::generate().unwrap_or_else(|error| panic!("{error}"))
}

fn accepted(count: u64) -> UsageCounts {
    let mut counts = UsageCounts::default();
    counts.add(UsageKind::Accepted, count);
    counts
}

pub(super) fn used(id: &KeyId, tenant: Option<&TenantId>, number: u32, count: u64) -> KeyUsage {
    // Somewhere within the hour.
    KeyUsage::new(id.clone(), tenant.cloned(), hour(number) + HOUR / 2, accepted(count))
}

pub(super) fn batch(
    writer: &KeyId,
    number: u64,
    rows: impl IntoIterator<Item = KeyUsage>,
) -> UsageBatch {
    // Longer than the time since then.
    UsageBatch::new(writer.as_str(), number, UsageRetention::days(40_000, 40_000), rows)
}

impl<S: UsageStore + ?Sized> Suite<'_, S> {
    pub(super) async fn add(&self, batch: &UsageBatch) {
        let added = self.store.add_usage(batch).await;
        added.unwrap_or_else(|error| panic!("`add_usage` failed: {error}"));
    }

    async fn usage(
        &self,
        of: UsageOf,
        range: Range<SystemTime>,
        step: UsageStep,
    ) -> Vec<(SystemTime, UsageCounts)> {
        let usage = self.store.usage(&UsageQuery::new(of, &range, step)).await;
        let usage = usage.unwrap_or_else(|error| panic!("`usage` failed: {error}"));
        usage.into_iter().map(|UsageBucket { start, counts }| (start, counts)).collect()
    }

    pub(super) async fn sums(&self, query: &UsageByKeyQuery) -> BTreeMap<KeyId, Vec<UsageSums>> {
        let sums = self.store.sums_by_key(query).await;
        sums.unwrap_or_else(|error| panic!("`sums_by_key` failed: {error}"))
    }

    async fn hours(&self, id: &KeyId, range: Range<u32>) -> Vec<(SystemTime, UsageCounts)> {
        let range = hour(range.start)..hour(range.end);
        self.usage(UsageOf::Key(id.clone()), range, UsageStep::Hour).await
    }

    async fn usage_is_told_by_the_hour_and_the_day(&self) {
        let (id, other, writer) = (id(), id(), id());
        assert_eq!(self.hours(&id, 0..100).await, [], "usage of a key that was never used");
        self.add(&batch(&writer, 1, [])).await;
        let rows = [(0, 1), (23, 2), (24, 3), (26, 4), (50, 5)];
        let rows = rows.map(|(hour, count)| used(&id, None, hour, count));
        self.add(&batch(&writer, 2, rows.into_iter().chain([used(&other, None, 23, 99)]))).await;
        let at = |number, count| (hour(number), accepted(count));
        let all = [at(0, 1), at(23, 2), at(24, 3), at(26, 4), at(50, 5)];
        assert_eq!(self.hours(&id, 0..51).await, all, "the hours of a key");
        assert_eq!(self.hours(&id, 23..50).await, all[1..4], "an end is not within a range");
        assert_eq!(self.hours(&id, 27..50).await, [], "hours between others");
        let backwards = Range { start: 50, end: 23 };
        assert_eq!(self.hours(&id, backwards).await, [], "a range that ends before it begins");
        let key = || UsageOf::Key(id.clone());
        let days = self.usage(key(), hour(0)..hour(72), UsageStep::Day).await;
        assert_eq!(days, [at(0, 3), at(24, 7), at(48, 5)], "the days of a key");
        let days = self.usage(key(), hour(30)..hour(31), UsageStep::Day).await;
        assert_eq!(days, [at(24, 7)], "a day is returned as a whole");
    }

    async fn each_kind_is_kept(&self) {
        let (id, writer) = (id(), id());
        let mut counts = UsageCounts::default();
        for (number, kind) in (1..).zip(UsageKind::ALL) {
            counts.add(kind, number);
            let mut only = UsageCounts::default();
            only.add(kind, number);
            let row = KeyUsage::new(id.clone(), None, hour(7), only);
            self.add(&batch(&writer, number, [row])).await;
        }
        let large = u64::from(u32::MAX) * 1000;
        self.add(&batch(&writer, 99, [used(&id, None, 7, large)])).await;
        counts.add(UsageKind::Accepted, large);
        assert_eq!(self.hours(&id, 7..8).await, [(hour(7), counts)], "counts of all kinds");
        let day = self.usage(UsageOf::Key(id.clone()), hour(7)..hour(8), UsageStep::Day).await;
        assert_eq!(day, [(hour(0), counts)], "a day with counts of all kinds");
        let query = UsageByKeyQuery::new([id.clone()], &(hour(7)..hour(8)), UsageStep::Day);
        let sums = UsageSums::new(hour(0), counts.accepted(), counts.refused());
        let expected = BTreeMap::from([(id, vec![sums])]);
        assert_eq!(self.sums(&query).await, expected, "the sums of counts of all kinds");
    }

    async fn a_batch_is_added_once(&self) {
        let (id, writer, other) = (id(), id(), id());
        let first = batch(&writer, 1, [used(&id, None, 7, 1), used(&id, None, 8, 1)]);
        let second = batch(&writer, 2, [used(&id, None, 7, 20)]);
        self.add(&first).await;
        self.add(&first).await;
        self.add(&second).await;
        self.add(&first).await;
        join_all((0..NODES).map(|_| self.add(&second))).await;
        self.add(&batch(&other, 1, [used(&id, None, 7, 300)])).await;
        let expected = [(hour(7), accepted(321)), (hour(8), accepted(1))];
        assert_eq!(self.hours(&id, 0..24).await, expected, "batches that came again");
    }

    async fn nodes_add_up(&self) {
        let ids: Vec<_> = (0..20).map(|_| id()).collect();
        let node = async |number: u64| {
            let writer = id();
            for batch_number in 1..=10 {
                // Each in another order.
                let mut keys = ids.clone();
                keys.rotate_left(usize::try_from(number + batch_number).unwrap_or(0) % 20);
                let rows = keys.iter().map(|id| used(id, None, 7, number + 1));
                self.add(&batch(&writer, batch_number, rows)).await;
            }
        };
        join_all((0..NODES).map(node)).await;
        let sum = (1..=NODES).sum::<u64>() * 10;
        for id in &ids {
            assert_eq!(self.hours(id, 7..8).await, [(hour(7), accepted(sum))], "nodes at once");
        }
    }

    async fn keys_of_a_tenant_are_summed_up(&self) {
        let (tenant, other) = (tenant_of_its_own(), tenant_of_its_own());
        let rows = [
            used(&id(), Some(&tenant), 7, 1),
            used(&id(), Some(&tenant), 7, 20),
            used(&id(), Some(&tenant), 30, 300),
            used(&id(), Some(&other), 7, 4000),
            used(&id(), None, 7, 50_000),
        ];
        self.add(&batch(&id(), 1, rows)).await;
        let of = |tenant: &TenantId| UsageOf::Tenant(tenant.clone());
        let hours = self.usage(of(&tenant), hour(0)..hour(48), UsageStep::Hour).await;
        assert_eq!(hours, [(hour(7), accepted(21)), (hour(30), accepted(300))], "a tenant");
        let days = self.usage(of(&other), hour(0)..hour(48), UsageStep::Day).await;
        assert_eq!(days, [(hour(0), accepted(4000))], "the days of a tenant");
    }

    async fn several_keys_are_told_at_once(&self) {
        let (tenant, other) = (tenant_of_its_own(), tenant_of_its_own());
        let [first, second, foreign, nobodys, unused, unasked] = [(); 6].map(|()| id());
        let rows = [
            used(&first, Some(&tenant), 7, 1),
            used(&first, Some(&tenant), 9, 20),
            used(&first, Some(&tenant), 30, 300),
            used(&second, Some(&tenant), 30, 4000),
            used(&second, Some(&tenant), 50, 7),
            used(&foreign, Some(&other), 7, 50_000),
            used(&nobodys, None, 7, 600_000),
            used(&unused, Some(&tenant), 50, 7),
            used(&unasked, Some(&tenant), 7, 7),
        ];
        self.add(&batch(&id(), 1, rows)).await;
        let ask = async |range: Range<u32>, step, tenant| {
            // One of them twice, and an unknown one.
            let ids =
                [&nobodys, &second, &first, &unused, &foreign, &first, &id()].map(Clone::clone);
            let range = hour(range.start)..hour(range.end);
            let query = UsageByKeyQuery::new(ids, &range, step).of_tenant(tenant);
            let found = self.store.usage_by_key(&query).await;
            let found = found.unwrap_or_else(|error| panic!("`usage_by_key` failed: {error}"));
            let sums = |usage: &Vec<UsageBucket>| usage.iter().map(UsageSums::from).collect();
            let expected = found.iter().map(|(id, usage)| (id.clone(), sums(usage))).collect();
            assert_eq!(self.sums(&query).await, expected, "sums are those of `usage_by_key`");
            let told = |usage: Vec<UsageBucket>| -> Vec<_> {
                usage.into_iter().map(|UsageBucket { start, counts }| (start, counts)).collect()
            };
            found.into_iter().map(|(id, usage)| (id, told(usage))).collect::<BTreeMap<_, _>>()
        };
        let at = |number, count| (hour(number), accepted(count));
        let days = || {
            [(first.clone(), vec![at(0, 21), at(24, 300)]), (second.clone(), vec![at(24, 4000)])]
        };
        let everybodys = days().into_iter().chain([
            (foreign.clone(), vec![at(0, 50_000)]),
            (nobodys.clone(), vec![at(0, 600_000)]),
        ]);
        let found = ask(0..48, UsageStep::Day, TenantFilter::Any).await;
        assert_eq!(found, everybodys.collect(), "the days of several keys");
        let found = ask(0..48, UsageStep::Day, TenantFilter::Of(tenant.clone())).await;
        assert_eq!(found, days().into(), "the days of several keys of a tenant");
        let found = ask(0..48, UsageStep::Day, TenantFilter::Nobody).await;
        let expected = [(nobodys.clone(), vec![at(0, 600_000)])];
        assert_eq!(found, expected.into(), "the days of several keys of no tenant");
        let found = ask(8..31, UsageStep::Hour, TenantFilter::Of(tenant.clone())).await;
        let hours =
            [(first.clone(), vec![at(9, 20), at(30, 300)]), (second.clone(), vec![at(30, 4000)])];
        assert_eq!(found, hours.into(), "the hours of several keys");
        let none = UsageByKeyQuery::new([], &(hour(0)..hour(48)), UsageStep::Day);
        let found = self.store.usage_by_key(&none).await;
        assert!(found.is_ok_and(|found| found.is_empty()), "the usage of no keys");
        assert_eq!(self.sums(&none).await, BTreeMap::new(), "the sums of no keys");
    }
}
