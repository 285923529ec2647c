//! [`UsageQuery`]: the key or tenant, the time range and the step of a query of usage.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::SystemTime;

use super::UsageCounts;
use super::hours::{HOURS_PER_DAY, Hour};
use crate::key::{KeyId, TenantId};
use crate::store::TenantFilter;

/// The key or the tenant whose usage is read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageOf {
    /// One key.
    Key(KeyId),
    /// All keys of a tenant, also removed ones.
    Tenant(TenantId),
}

/// The period by which usage is summed up: hours or days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsageStep {
    /// Hours, for as long as the store keeps them.
    Hour,
    /// Days in UTC.
    Day,
}

impl UsageStep {
    /// Returns the first hour that overlaps `range`, and the one after the last.
    fn whole(self, range: &Range<SystemTime>) -> (Hour, Hour) {
        let (from, to) = (Hour::of(range.start), Hour::not_before(range.end));
        let (from, to) = match self {
            Self::Hour => (from, to),
            Self::Day => (from.day(), Hour(to.0 + HOURS_PER_DAY - 1).day()),
        };
        // A range that ends before it begins is empty.
        (from, to.max(from))
    }
}

/// Selects the usage of a key or a tenant in a time range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    pub(crate) of: UsageOf,
    pub(crate) from: Hour,
    pub(crate) to: Hour,
    pub(crate) step: UsageStep,
}

impl UsageQuery {
    /// Selects all hours or days that overlap `range`.
    #[must_use]
    pub fn new(of: UsageOf, range: &Range<SystemTime>, step: UsageStep) -> Self {
        let (from, to) = step.whole(range);
        Self { of, from, to, step }
    }

    /// Returns the key or the tenant.
    #[must_use]
    pub const fn of(&self) -> &UsageOf {
        &self.of
    }

    /// Returns the beginning of the first hour or day, and the end of the last.
    #[must_use]
    pub fn range(&self) -> Range<SystemTime> {
        self.from.start()..self.to.start()
    }

    /// Returns the step: hours or days.
    #[must_use]
    pub const fn step(&self) -> UsageStep {
        self.step
    }
}

/// Selects the usage of several keys, each by itself, in a time range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageByKeyQuery {
    pub(crate) ids: Vec<KeyId>,
    pub(crate) tenant: TenantFilter,
    pub(crate) from: Hour,
    pub(crate) to: Hour,
    pub(crate) step: UsageStep,
}

impl UsageByKeyQuery {
    /// Selects all hours or days that overlap `range`.
    #[must_use]
    pub fn new(
        ids: impl IntoIterator<Item = KeyId>,
        range: &Range<SystemTime>,
        step: UsageStep,
    ) -> Self {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        let (from, to) = step.whole(range);
        Self { ids: ids.into_iter().collect(), tenant: TenantFilter::Any, from, to, step }
    }

    /// Selects only requests of keys that acted on behalf of these tenants.
    #[must_use]
    pub fn of_tenant(mut self, tenant: TenantFilter) -> Self {
        self.tenant = tenant;
        self
    }

    /// Returns the keys, in the order of their ids, each once.
    #[must_use]
    pub fn ids(&self) -> &[KeyId] {
        &self.ids
    }

    /// Returns the tenants on whose behalf the keys acted.
    #[must_use]
    pub const fn tenant(&self) -> &TenantFilter {
        &self.tenant
    }

    /// Returns the beginning of the first hour or day, and the end of the last.
    #[must_use]
    pub fn range(&self) -> Range<SystemTime> {
        self.from.start()..self.to.start()
    }

    /// Returns the step: hours or days.
    #[must_use]
    pub const fn step(&self) -> UsageStep {
        self.step
    }
}

/// The numbers of requests in an hour or a day, by their outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageBucket {
    /// When the hour or day begins, in UTC.
    pub start: SystemTime,
    /// The numbers of requests by outcome.
    pub counts: UsageCounts,
}

impl UsageBucket {
    /// Creates the bucket of the hour or day that begins at `start`.
    #[must_use]
    pub const fn new(start: SystemTime, counts: UsageCounts) -> Self {
        Self { start, counts }
    }
}

/// The numbers of accepted and refused requests in an hour or a day, without the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageSums {
    /// When the hour or day begins, in UTC.
    pub start: SystemTime,
    /// How many requests were accepted.
    pub accepted: u64,
    /// How many requests were refused.
    pub refused: u64,
}

impl UsageSums {
    /// Creates the sums of the hour or day that begins at `start`.
    #[must_use]
    pub const fn new(start: SystemTime, accepted: u64, refused: u64) -> Self {
        Self { start, accepted, refused }
    }

    /// Adds up neighbours with the same start.
    pub(crate) fn merge(sums: &mut Vec<Self>) {
        sums.dedup_by(|next, sums| {
            let is_same = next.start == sums.start;
            if is_same {
                sums.accepted = sums.accepted.saturating_add(next.accepted);
                sums.refused = sums.refused.saturating_add(next.refused);
            }
            is_same
        });
    }
}

impl From<&UsageBucket> for UsageSums {
    fn from(bucket: &UsageBucket) -> Self {
        Self::new(bucket.start, bucket.counts.accepted(), bucket.counts.refused())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_query_asks_for_whole_hours_or_days() {
        let at = |hours: f64| SystemTime::UNIX_EPOCH + Duration::from_secs_f64(hours * 3600.0);
        let of = UsageOf::Key("key_1".parse().unwrap());
        let ask = |range, step| {
            let query = UsageQuery::new(of.clone(), &range, step);
            (query.from.0, query.to.0)
        };
        assert_eq!(ask(at(25.5)..at(27.0), UsageStep::Hour), (25, 27));
        assert_eq!(ask(at(25.5)..at(27.5), UsageStep::Hour), (25, 28));
        assert_eq!(ask(at(25.5)..at(27.0), UsageStep::Day), (24, 48));
        assert_eq!(ask(at(24.0)..at(48.0), UsageStep::Day), (24, 48));
        assert_eq!(ask(at(24.0)..at(48.1), UsageStep::Day), (24, 72));
    }
}
