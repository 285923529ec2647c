//! The part of the suite that is about the sums of days, which a store keeps beside its hours.

use std::collections::BTreeMap;
use std::ops::Range;

use futures_util::future::join_all;

use super::suite::tenant_of_its_own;
use super::usage::{NODES, Suite, batch, hour, id, used};
use crate::key::{KeyId, TenantId};
use crate::store::{
    KeyUsage, TenantFilter, UsageByKeyQuery, UsageCounts, UsageKind, UsageStep, UsageStore,
    UsageSums,
};

fn refused(id: &KeyId, number: u32, count: u64) -> KeyUsage {
    let mut counts = UsageCounts::default();
    counts.add(UsageKind::Expired, count);
    counts.add(UsageKind::Other, count);
    KeyUsage::new(id.clone(), None, hour(number), counts)
}

fn sums(day: u32, accepted: u64, refused: u64) -> UsageSums {
    UsageSums::new(hour(24 * day), accepted, refused)
}

impl<S: UsageStore + ?Sized> Suite<'_, S> {
    pub(super) async fn check_days(&self) {
        self.days_are_summed_up_across_midnights().await;
        self.days_of_nodes_add_up().await;
        self.days_are_of_the_tenant_at_their_time().await;
    }

    /// Returns the sums of these days of a key.
    async fn days_of(&self, id: &KeyId, days: Range<u32>, tenant: TenantFilter) -> Vec<UsageSums> {
        let range = hour(24 * days.start)..hour(24 * days.end);
        let query = UsageByKeyQuery::new([id.clone()], &range, UsageStep::Day).of_tenant(tenant);
        let mut found = self.sums(&query).await;
        let sums = found.remove(id).unwrap_or_default();
        assert_eq!(found, BTreeMap::new(), "sums of keys that were not asked for");
        sums
    }

    async fn days_are_summed_up_across_midnights(&self) {
        let (id, other, writer) = (id(), id(), id());
        // Longer than any number of days that a store may keep together.
        let last = 100;
        let rows = (0..last).flat_map(|day| {
            let before_midnight = used(&id, None, 24 * day + 23, u64::from(day));
            [before_midnight, refused(&id, 24 * day + 24, 1), used(&other, None, 24 * day, 7)]
        });
        let all = batch(&writer, 1, rows);
        self.add(&all).await;
        self.add(&all).await;
        let mut expected: Vec<_> = (1..last).map(|day| sums(day, day.into(), 2)).collect();
        expected.push(sums(last, 0, 2));
        let found = self.days_of(&id, 0..last + 1, TenantFilter::Any).await;
        assert_eq!(found, expected, "days, of which one had no requests");
        for (from, to) in [(0, 1), (9, 10), (10, 11), (5, 40), (30, 99)] {
            let found = self.days_of(&id, from..to, TenantFilter::Any).await;
            let first = usize::try_from(from.max(1)).unwrap_or(0) - 1;
            let end = usize::try_from(to).unwrap_or(0) - 1;
            assert_eq!(found, expected[first..end], "the days {from} to {to}");
        }
        // What was added before stays as it is.
        self.add(&batch(&writer, 2, [used(&id, None, 24 * 50, 1000)])).await;
        expected[49] = sums(50, 1050, 2);
        let found = self.days_of(&id, 0..last + 1, TenantFilter::Any).await;
        assert_eq!(found, expected, "days, of which one had more requests");
    }

    async fn days_of_nodes_add_up(&self) {
        let ids: Vec<_> = (0..20).map(|_| id()).collect();
        let node = async |number: u64| {
            let writer = id();
            for batch_number in 1..=10 {
                let mut keys = ids.clone();
                keys.rotate_left(usize::try_from(number + batch_number).unwrap_or(0) % 20);
                let rows = keys.iter().flat_map(|id| {
                    // A block of days may end between them.
                    [used(id, None, 9, number), refused(id, 9 * 24, 1), used(id, None, 240, 1)]
                });
                self.add(&batch(&writer, batch_number, rows)).await;
            }
        };
        join_all((1..=NODES).map(node)).await;
        let sum = (1..=NODES).sum::<u64>() * 10;
        let expected = [sums(0, sum, 0), sums(9, 0, 20 * NODES), sums(10, 10 * NODES, 0)];
        for id in &ids {
            let found = self.days_of(id, 0..11, TenantFilter::Any).await;
            assert_eq!(found, expected, "nodes at once");
        }
    }

    /// A removed key may have had the same id, and another tenant.
    async fn days_are_of_the_tenant_at_their_time(&self) {
        let (id, writer) = (id(), id());
        let (former, later) = (tenant_of_its_own(), tenant_of_its_own());
        let rows = [
            used(&id, Some(&former), 7, 1),
            used(&id, Some(&former), 30, 20),
            used(&id, None, 31, 300),
            used(&id, Some(&later), 32, 4000),
            used(&id, Some(&later), 50, 50_000),
        ];
        // In one batch, and in others.
        self.add(&batch(&writer, 1, rows[..4].to_vec())).await;
        self.add(&batch(&writer, 2, rows[1..].to_vec())).await;
        let of = async |tenant: &TenantId| {
            self.days_of(&id, 0..3, TenantFilter::Of(tenant.clone())).await
        };
        assert_eq!(of(&former).await, [sums(0, 1, 0), sums(1, 40, 0)], "the former tenant");
        let expected = [sums(1, 8000, 0), sums(2, 50_000, 0)];
        assert_eq!(of(&later).await, expected, "the later tenant");
        assert_eq!(of(&tenant_of_its_own()).await, [], "a tenant without this key");
        let nobodys = self.days_of(&id, 0..3, TenantFilter::Nobody).await;
        assert_eq!(nobodys, [sums(1, 600, 0)], "no tenant");
        let all = self.days_of(&id, 0..3, TenantFilter::Any).await;
        let expected = [sums(0, 1, 0), sums(1, 8640, 0), sums(2, 50_000, 0)];
        assert_eq!(all, expected, "any tenant");
    }
}
