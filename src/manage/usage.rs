//! Reading the usage of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::{KeyManager, ManageError};
use crate::clock::later;
use crate::key::{KeyId, TenantId};
use crate::store::{
    TenantFilter, UsageBucket, UsageByKeyQuery, UsageCounts, UsageOf, UsageQuery, UsageRetention,
    UsageStep, UsageStore, UsageSums,
};

/// How many hours or days of a key one call can read.
const MOST: u64 = 10_000;

/// How many of all keys together: enough for a month of days of a thousand keys.
const MOST_OF_ALL: u64 = 40_000;

/// How many rows one call of the store deletes.
const PRUNED: u32 = 1000;

/// The length of the periods of usage, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsagePeriod {
    /// Hours, which are kept for a shorter time than days.
    Hour,
    /// Days.
    Day,
    /// Months of the calendar.
    Month,
}

impl UsagePeriod {
    /// All periods.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Returns the name, such as `day`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

/// The usage of a key, or of all keys of a tenant: how many requests were accepted and refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The hours, days or months with requests, the oldest first. Periods without requests are left out.
    pub buckets: Vec<UsageBucket>,
    /// The sum of all periods.
    pub total: UsageCounts,
}

impl KeyManager {
    /// Returns the usage of a key, by the hours, days or months that overlap with `range`.
    ///
    /// Requests are listed once they are [written](crate::guide::usage), and as long as usage is kept. Only a
    /// manager that may do everything sees the usage of a removed key.
    ///
    /// # Errors
    ///
    /// Returns [`ManageError::NotFound`] if there is no such key, or if it belongs to another tenant,
    /// [`ManageError::UsageNotKept`] if the repository keeps no usage, and [`ManageError::UsageRange`] if the
    /// range has more than 10 000 hours or days.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::manage::UsagePeriod;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("nightly import")).await?;
    /// let now = SystemTime::now();
    /// let week = now - Duration::from_secs(7 * 24 * 3600)..now;
    /// let usage = keys.usage(issued.record.id(), week, UsagePeriod::Day).await?;
    /// assert_eq!(usage.total.accepted(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn usage(
        &self,
        id: &KeyId,
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<Usage, ManageError> {
        self.in_time(async {
            let found = match self.get_with_authority(id).await {
                Err(ManageError::NotFound) => None,
                found => Some(found?.1),
            };
            let Some(authority) = found else {
                // Of whom a removed key was is not known here.
                if !self.is_unbounded() {
                    return Err(ManageError::NotFound);
                }
                let usage = self.read_usage(UsageOf::Key(id.clone()), range, period).await?;
                return match usage.buckets.is_empty() {
                    true => Err(ManageError::NotFound),
                    false => Ok(usage),
                };
            };
            // Usage outlives its key: a key of another tenant may have had the same id.
            let tenant = authority.visible(TenantFilter::Any);
            let mut usage =
                self.read_usage_by_key([id.clone()].into(), tenant, range, period).await?;
            Ok(usage.remove(id).unwrap_or_default())
        })
        .await
    }

    /// Returns the usage of several keys, such as all keys of a list, in one read of the store.
    ///
    /// The result has no entry for a key without requests in this time, for an unknown key, and for a key of
    /// another tenant. A tenant sees the usage of its removed keys here, like in
    /// [`tenant_usage`](Self::tenant_usage).
    ///
    /// # Errors
    ///
    /// Returns [`ManageError::UsageNotKept`] if the repository keeps no usage, and [`ManageError::UsageRange`] if
    /// the range has more than 10 000 hours or days of each key, or 40 000 of all keys together.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::manage::UsagePeriod;
    /// use tower_api_key::{KeyManager, KeyQuery, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// keys.issue(NewKey::named("nightly import")).await?;
    /// let listed = keys.list(&KeyQuery::new()).await?.keys;
    /// let ids = listed.iter().map(|key| key.record.id().clone());
    /// let now = SystemTime::now();
    /// let month = now - Duration::from_secs(30 * 24 * 3600)..now;
    /// let usage = keys.usage_by_key(ids, month, UsagePeriod::Day).await?;
    /// for key in &listed {
    ///     let accepted = usage.get(key.record.id()).map_or(0, |usage| usage.total.accepted());
    ///     assert_eq!(accepted, 0);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn usage_by_key(
        &self,
        ids: impl IntoIterator<Item = KeyId>,
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<BTreeMap<KeyId, Usage>, ManageError> {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        self.in_time(async {
            let tenant = self.authority().await?.visible(TenantFilter::Any);
            self.read_usage_by_key(ids, tenant, range, period).await
        })
        .await
    }

    /// Returns how many requests of each of several keys were accepted and refused, without the reasons: for a
    /// sparkline beside each key of a list.
    ///
    /// Like [`usage_by_key`](Self::usage_by_key), but cheaper for days and months: the days of a key are kept
    /// together, and a database sends one row a key. Hours, days or months without requests are left out, and so
    /// are keys without any.
    ///
    /// # Errors
    ///
    /// Like [`usage_by_key`](Self::usage_by_key).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::manage::UsagePeriod;
    /// use tower_api_key::store::{
    ///     KeyUsage, UsageBatch, UsageCounts, UsageKind, UsageRetention, UsageStore,
    /// };
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = MemoryStore::new();
    /// let keys = KeyManager::new(store.clone());
    /// let id = keys.issue(NewKey::named("nightly import")).await?.record.id().clone();
    /// // What a `UsageRecorder` does in the background:
    /// let now = SystemTime::now();
    /// let mut counts = UsageCounts::default();
    /// counts.add(UsageKind::Accepted, 40);
    /// counts.add(UsageKind::RateLimited, 2);
    /// let used = KeyUsage::new(id.clone(), None, now, counts);
    /// store.add_usage(&UsageBatch::new("node 1", 1, UsageRetention::default(), [used])).await?;
    ///
    /// let month = now - Duration::from_secs(30 * 24 * 3600)..now + Duration::from_secs(1);
    /// let sums = keys.usage_sums_by_key([id.clone()], month, UsagePeriod::Day).await?;
    /// let today = sums[&id].last().ok_or("not used today")?;
    /// assert_eq!((today.accepted, today.refused), (40, 2));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn usage_sums_by_key(
        &self,
        ids: impl IntoIterator<Item = KeyId>,
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<BTreeMap<KeyId, Vec<UsageSums>>, ManageError> {
        let ids: BTreeSet<_> = ids.into_iter().collect();
        self.in_time(async {
            let tenant = self.authority().await?.visible(TenantFilter::Any);
            let store = self.usage_store()?;
            let Some((range, step)) = asked(range, period, ids.len())? else {
                return Ok(BTreeMap::new());
            };
            let query = UsageByKeyQuery::new(ids, &range, step).of_tenant(tenant);
            let mut found = store.sums_by_key(&query).await?;
            if period == UsagePeriod::Month {
                found.values_mut().for_each(sum_months);
            }
            Ok(found)
        })
        .await
    }

    /// Returns the usage of all keys of a tenant together, including removed keys.
    ///
    /// # Errors
    ///
    /// Like [`usage`](Self::usage). On behalf of an owner, other tenants are [`ManageError::NotFound`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// use tower_api_key::manage::UsagePeriod;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let now = SystemTime::now();
    /// let year = now - Duration::from_secs(365 * 24 * 3600)..now;
    /// let usage = keys.tenant_usage(&"acme".parse()?, year, UsagePeriod::Month).await?;
    /// assert_eq!(usage.total.total(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn tenant_usage(
        &self,
        tenant: &TenantId,
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<Usage, ManageError> {
        self.in_time(async {
            let visible = self.authority().await?.visible(TenantFilter::Any);
            if !visible.matches(Some(tenant)) {
                return Err(ManageError::NotFound);
            }
            self.read_usage(UsageOf::Tenant(tenant.clone()), range, period).await
        })
        .await
    }

    /// Prunes usage: replaces hours that are too old by sums of days, and deletes days that are too old. Returns
    /// how many rows were deleted.
    ///
    /// A [`UsageRecorder`](crate::UsageRecorder) does this by itself, unless it is built
    /// `without_pruning`. Rows are deleted in small batches, so that requests do not wait; the
    /// [deadline](Self::deadline) is that of each batch.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails, if it keeps no usage, or if the manager is
    /// limited to an [owner](Self::on_behalf_of).
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::UsageRetention;
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// assert_eq!(keys.prune_usage(UsageRetention::days(90, 400)).await?, 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prune_usage(&self, retention: UsageRetention) -> Result<u64, ManageError> {
        if !self.is_unbounded() {
            return Err(ManageError::NotFound);
        }
        let mut all = 0;
        loop {
            let now = self.settings.clock.now();
            let pruning =
                async { Ok(self.usage_store()?.prune_usage(retention, now, PRUNED).await?) };
            let deleted = self.in_time(pruning).await?;
            all += deleted;
            if deleted < PRUNED.into() {
                return Ok(all);
            }
        }
    }

    fn usage_store(&self) -> Result<&dyn UsageStore, ManageError> {
        self.settings.repository.usage_store().ok_or(ManageError::UsageNotKept)
    }

    async fn read_usage_by_key(
        &self,
        ids: BTreeSet<KeyId>,
        tenant: TenantFilter,
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<BTreeMap<KeyId, Usage>, ManageError> {
        let store = self.usage_store()?;
        let Some((range, step)) = asked(range, period, ids.len())? else {
            return Ok(BTreeMap::new());
        };
        let query = UsageByKeyQuery::new(ids, &range, step).of_tenant(tenant);
        let found = store.usage_by_key(&query).await?;
        Ok(found.into_iter().map(|(id, buckets)| (id, summed(buckets, period))).collect())
    }

    async fn read_usage(
        &self,
        of: UsageOf,
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<Usage, ManageError> {
        let store = self.usage_store()?;
        match asked(range, period, 1)? {
            Some((range, step)) => {
                Ok(summed(store.usage(&UsageQuery::new(of, &range, step)).await?, period))
            }
            None => Ok(Usage::default()),
        }
    }
}

/// Returns the range and step to read for so many keys, or `None` if the range is empty.
fn asked(
    range: Range<SystemTime>,
    period: UsagePeriod,
    keys: usize,
) -> Result<Option<(Range<SystemTime>, UsageStep)>, ManageError> {
    // Checked first, because the end of the month may be beyond the last time.
    if later(range.end, Duration::ZERO).is_none() {
        return Err(ManageError::UsageRange);
    }
    let (step, seconds) = match period {
        UsagePeriod::Hour => (UsageStep::Hour, 3600),
        UsagePeriod::Day | UsagePeriod::Month => (UsageStep::Day, 24 * 3600),
    };
    let range = match period {
        UsagePeriod::Month => month_of(range.start)..month_end(range.end),
        _ => range,
    };
    let length = range.end.duration_since(range.start).unwrap_or_default();
    let keys = u64::try_from(keys).unwrap_or(u64::MAX);
    let each = length.as_secs() / seconds;
    // Keys take time also where each is asked about for less than an hour.
    if each.max(keys) > MOST || each.saturating_mul(keys) > MOST_OF_ALL {
        return Err(ManageError::UsageRange);
    }
    Ok((keys > 0 && !length.is_zero()).then_some((range, step)))
}

fn summed(buckets: Vec<UsageBucket>, period: UsagePeriod) -> Usage {
    let mut usage = Usage::default();
    for UsageBucket { start, counts } in buckets {
        usage.total.add_all(&counts);
        let start = if period == UsagePeriod::Month { month_of(start) } else { start };
        match usage.buckets.last_mut() {
            Some(last) if last.start == start => last.counts.add_all(&counts),
            _ => usage.buckets.push(UsageBucket::new(start, counts)),
        }
    }
    usage
}

/// Makes months of days, which are in order.
fn sum_months(sums: &mut Vec<UsageSums>) {
    sums.iter_mut().for_each(|sums| sums.start = month_of(sums.start));
    UsageSums::merge(sums);
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Returns when the month begins in which `time` is.
fn month_of(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let days = since.as_secs() / DAY.as_secs();
    let start = days + 1 - u64::from(day_of_month(days));
    SystemTime::UNIX_EPOCH + Duration::from_secs(start * DAY.as_secs())
}

/// Returns when the month ends in which the time before `end` is.
fn month_end(end: SystemTime) -> SystemTime {
    let start = month_of(end);
    // No month has more than 31 days, and none fewer than 28.
    if start == end { end } else { month_of(start + 31 * DAY) }
}

/// Returns which day of its month it is, of a day that is counted from 1970.
///
/// The algorithm is Howard Hinnant's, by years that begin in March.
fn day_of_month(days: u64) -> u32 {
    let of_era = (days + 719_468) % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    u32::try_from(of_year - (153 * month + 2) / 5 + 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_put_together_as_months() {
        let sums = |day, accepted, refused| UsageSums::new(at(day), accepted, refused);
        let mut days =
            vec![sums(30, 1, 2), sums(31, 4, 0), sums(40, 16, 32), sums(58, 8, u64::MAX)];
        sum_months(&mut days);
        assert_eq!(days, [sums(0, 1, 2), sums(31, 28, u64::MAX)]);
    }

    fn at(day: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(day * 24 * 3600)
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let mut day = 0;
        for year in 1970..2110_u64 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for length in [31, 28 + u64::from(is_leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                for of_month in [0, 1, length - 1] {
                    let time = at(day + of_month) + Duration::from_secs(9);
                    assert_eq!(month_of(time), at(day), "{year}: {of_month}");
                    assert_eq!(month_end(time), at(day + length), "{year}: {of_month}");
                }
                assert_eq!(month_end(at(day)), at(day));
                day += length;
            }
        }
    }
}
