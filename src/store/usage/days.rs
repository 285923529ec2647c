//! [`Block`]: the sums of a key by day, of many days in one row.
//!
//! A list shows the last 30 days of each key, and a key in use has 720 rows of hours in that time. So each store
//! keeps the sums of days in blocks beside them, and reads at most two of them for each key.

use std::collections::BTreeMap;
use std::ops::Range;

use super::hours::{HOURS_PER_DAY, Hour};
use super::{KeyUsage, UsageSums};
use crate::key::{KeyId, TenantId};

/// How many days a block has.
///
/// Blocks are counted from 1970, and are not the months of the calendar: a division finds the block of a day and
/// its place there, and all blocks are of one length.
pub(crate) const DAYS: usize = 32;

const HOURS: u32 = DAYS as u32 * HOURS_PER_DAY;

/// A block of days in UTC, by its number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Block(pub(crate) u32);

impl Block {
    /// Returns the block of a day.
    pub(crate) const fn of(day: Hour) -> Self {
        Self(day.0 / HOURS)
    }

    /// Returns the blocks that cover a part of a time range.
    pub(crate) fn within(from: Hour, to: Hour) -> impl Iterator<Item = Self> {
        (Self::of(from).0..to.0.div_ceil(HOURS)).map(Self)
    }

    /// Returns the first hour.
    pub(crate) const fn start(self) -> Hour {
        Hour(self.0 * HOURS)
    }

    /// Returns the first hour after it.
    #[cfg(feature = "redis")]
    pub(crate) const fn end(self) -> Hour {
        Hour((self.0 + 1) * HOURS)
    }

    /// Returns the place of a day in its block.
    pub(crate) const fn place(day: Hour) -> usize {
        (day.0 % HOURS / HOURS_PER_DAY) as usize
    }

    /// Adds to `sums` the days of this block that have requests and begin within `range`. `counts` has how many
    /// requests were accepted and refused on each day.
    pub(crate) fn push_days(
        self,
        counts: impl IntoIterator<Item = (u64, u64)>,
        range: &Range<Hour>,
        sums: &mut Vec<UsageSums>,
    ) {
        let first = range.start.0.saturating_sub(self.start().0).div_ceil(HOURS_PER_DAY) as usize;
        let end = range.end.0.saturating_sub(self.start().0).div_ceil(HOURS_PER_DAY) as usize;
        let count = end.min(DAYS).saturating_sub(first);
        sums.reserve(count);
        let days = self.start().0 + first as u32 * HOURS_PER_DAY..;
        let days = days.step_by(HOURS_PER_DAY as usize).map(Hour);
        for (day, (accepted, refused)) in days.zip(counts.into_iter().skip(first).take(count)) {
            if accepted > 0 || refused > 0 {
                sums.push(UsageSums::new(day.start(), accepted, refused));
            }
        }
    }
}

/// The requests that a batch adds to the blocks of each key, in the order of the blocks and
/// then of the keys.
///
/// A block belongs to one tenant on whose behalf the key acts, so that no tenant sees the requests of a former
/// key of another one that had the same id.
pub(crate) type Additions<'a> = BTreeMap<(Block, &'a KeyId, Option<&'a TenantId>), DayCounts>;

/// How many requests were accepted and refused, by the place of the day in its block.
pub(crate) type DayCounts = BTreeMap<usize, (u64, u64)>;

/// Sums up rows of hours by days.
pub(crate) fn additions(rows: &[KeyUsage]) -> Additions<'_> {
    let mut additions = Additions::new();
    for KeyUsage { id, tenant, hour, counts } in rows {
        let days = additions.entry((Block::of(*hour), id, tenant.as_ref())).or_default();
        let (accepted, refused) = days.entry(Block::place(*hour)).or_default();
        *accepted = accepted.saturating_add(counts.accepted());
        *refused = refused.saturating_add(counts.refused());
    }
    additions
}

/// Puts the days of one key in order, and adds up those of several tenants.
pub(crate) fn put_in_order(sums: &mut Vec<UsageSums>) {
    sums.sort_by_key(|sums| sums.start);
    UsageSums::merge(sums);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{UsageCounts, UsageKind};

    fn row(id: &str, tenant: Option<&str>, hour: u32, accepted: u64, refused: u64) -> KeyUsage {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, accepted);
        counts.add(UsageKind::Expired, refused);
        counts.add(UsageKind::Other, refused);
        let tenant = tenant.map(|tenant| tenant.parse().unwrap());
        KeyUsage::new(id.parse().unwrap(), tenant, Hour(hour).start(), counts)
    }

    fn sums(day: u32, accepted: u64, refused: u64) -> UsageSums {
        UsageSums::new(Hour(day * HOURS_PER_DAY).start(), accepted, refused)
    }

    #[test]
    fn an_hour_belongs_to_one_block_and_one_place() {
        for (hour, block, place) in [
            (0, 0, 0),
            (23, 0, 0),
            (24, 0, 1),
            (32 * 24 - 1, 0, 31),
            (32 * 24, 1, 0),
            (Hour::LAST.0, 91_653, 0),
        ] {
            let found = (Block::of(Hour(hour)), Block::place(Hour(hour)));
            assert_eq!(found, (Block(block), place), "{hour}");
            assert!(found.0.start().0 <= hour);
        }
        assert_eq!(Block(2).start(), Hour(64 * 24));
    }

    #[test]
    fn thirty_days_are_in_two_blocks_at_most() {
        for first in 0..100 {
            let (from, to) = (Hour(first * 24), Hour((first + 30) * 24));
            let blocks: Vec<_> = Block::within(from, to).collect();
            assert!(blocks.len() <= 2, "{first}: {blocks:?}");
            assert_eq!(blocks[0], Block::of(from));
            assert_eq!(blocks[blocks.len() - 1], Block::of(Hour(to.0 - 1)));
        }
        assert_eq!(Block::within(Hour(9), Hour(0)).count(), 0);
    }

    #[test]
    fn rows_are_summed_up_by_key_block_and_tenant() {
        let rows = [
            row("a", None, 1, 1, 2),
            row("a", Some("acme"), 2, 10, 20),
            row("a", None, 23, u64::MAX, 0),
            row("a", None, 24, 100, 0),
            row("a", None, 32 * 24, 0, u64::MAX),
            row("b", None, 1, 3, 4),
        ];
        let (a, b): (KeyId, KeyId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let acme: TenantId = "acme".parse().unwrap();
        let expected = [
            ((Block(0), &a, None), DayCounts::from([(0, (u64::MAX, 4)), (1, (100, 0))])),
            ((Block(0), &a, Some(&acme)), DayCounts::from([(0, (10, 40))])),
            ((Block(1), &a, None), DayCounts::from([(0, (0, u64::MAX))])),
            ((Block(0), &b, None), DayCounts::from([(0, (3, 8))])),
        ];
        assert_eq!(additions(&rows), Additions::from(expected));
    }

    #[test]
    fn days_with_requests_in_the_range_are_read_in_order() {
        let mut counts = [(0, 0); DAYS];
        counts[..5].copy_from_slice(&[(1, 1), (2, 0), (0, 0), (0, 3), (4, 4)]);
        counts[31] = (5, 5);
        let mut read = Vec::new();
        Block(2).push_days(counts, &(Hour(65 * 24)..Hour(68 * 24)), &mut read);
        assert_eq!(read, [sums(65, 2, 0), sums(67, 0, 3)]);
        Block(1).push_days(counts, &(Hour(0)..Hour(33 * 24)), &mut read);
        Block(2).push_days(counts, &(Hour(67 * 24)..Hour(96 * 24)), &mut read);
        put_in_order(&mut read);
        let expected = [sums(32, 1, 1), sums(65, 2, 0), sums(67, 0, 6), sums(68, 4, 4)];
        assert_eq!(read, [&expected[..], &[sums(95, 5, 5)]].concat());
    }
}
