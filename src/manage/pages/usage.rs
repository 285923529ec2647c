//! [`KeyUsage`]: where the pages find how often keys were used.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use crate::key::KeyId;
use crate::store::StoreError;

/// Where the pages find how often keys were used.
///
/// The application counts, such as by an [observer](crate::Observe), and the pages show it: as a line of
/// 30 days beside each key of the list, and as charts on the page of a key.
#[async_trait]
pub trait KeyUsage: Send + Sync {
    /// Returns the counts of each of these keys, in their order, of each period within `range` in which there
    /// were requests.
    ///
    /// A whole page of keys is asked for at once. The keys are of one tenant, and those that the owner sees.
    ///
    /// # Errors
    ///
    /// Returns an error if the counts cannot be had. The keys are shown without them then.
    async fn usage(
        &self,
        keys: &[KeyId],
        range: Range<SystemTime>,
        period: UsagePeriod,
    ) -> Result<Vec<Vec<UsageCount>>, StoreError>;
}

const _: Option<Arc<dyn KeyUsage>> = None;

/// For how long requests are counted together, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UsagePeriod {
    /// A full hour.
    Hour,
    /// A day.
    Day,
    /// A month of the calendar.
    Month,
}

/// How many requests there were in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageCount {
    /// A moment of the period, such as its first.
    pub at: SystemTime,
    /// How many were let through.
    pub accepted: u64,
    /// How many were refused, by the reason for it in words.
    pub refused: BTreeMap<Cow<'static, str>, u64>,
}

impl UsageCount {
    /// Counts requests that were let through, and none that were refused.
    #[must_use]
    pub const fn accepted(at: SystemTime, accepted: u64) -> Self {
        Self { at, accepted, refused: BTreeMap::new() }
    }

    /// Adds requests that were refused.
    #[must_use]
    pub fn refused(mut self, reason: impl Into<Cow<'static, str>>, count: u64) -> Self {
        *self.refused.entry(reason.into()).or_default() += count;
        self
    }

    /// Returns how many were refused, for whichever reason.
    #[must_use]
    pub fn all_refused(&self) -> u64 {
        self.refused.values().fold(0, |sum, count| sum.saturating_add(*count))
    }
}
