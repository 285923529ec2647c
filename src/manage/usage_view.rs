//! [`UsageView`]: usage as JSON.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::Serialize;

use super::view::rfc3339;
use super::{Usage, UsagePeriod};
use crate::store::{UsageCounts, UsageKind};

/// Usage as the API and the command line write it as JSON. Times have the format of RFC 3339, in UTC.
///
/// # Examples
///
/// ```
/// use std::time::SystemTime;
///
/// use tower_api_key::manage::{Usage, UsagePeriod, UsageView};
///
/// let view = UsageView::new(&Usage::default(), UsagePeriod::Day);
/// let json = serde_json::to_value(&view)?;
/// assert_eq!(json["bucket"], "day");
/// assert_eq!(json["total"]["accepted"], 0);
/// # Ok::<_, serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "manage", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "manage", schema(as = ApiKeyUsage, description = "How often an API key was used."))]
#[non_exhaustive]
pub struct UsageView {
    /// The length of the periods: `hour`, `day` or `month`.
    #[cfg_attr(feature = "manage", schema(example = "day"))]
    pub bucket: &'static str,
    /// The sum of all periods.
    pub total: CountsView,
    /// The hours, days or months with requests, the oldest first.
    pub buckets: Vec<BucketView>,
}

/// The requests of an hour, a day or a month.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "manage", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "manage", schema(as = ApiKeyUsageBucket))]
#[non_exhaustive]
pub struct BucketView {
    /// The start of the hour, day or month.
    #[serde(serialize_with = "rfc3339")]
    #[cfg_attr(feature = "manage", schema(value_type = String, format = DateTime))]
    pub start: SystemTime,
    /// The numbers of requests.
    #[serde(flatten)]
    pub counts: CountsView,
}

/// The numbers of accepted and refused requests.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "manage", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "manage", schema(as = ApiKeyUsageCounts))]
#[non_exhaustive]
pub struct CountsView {
    /// The number of accepted requests.
    pub accepted: u64,
    /// The number of refused requests, for all reasons.
    pub refused: u64,
    /// The number of refused requests for each reason, such as `rate_limited`.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl UsageView {
    /// Creates the view of usage by hours, days or months.
    #[must_use]
    pub fn new(usage: &Usage, period: UsagePeriod) -> Self {
        let buckets = usage.buckets.iter();
        let buckets = buckets
            .map(|bucket| BucketView { start: bucket.start, counts: (&bucket.counts).into() });
        Self { bucket: period.as_str(), total: (&usage.total).into(), buckets: buckets.collect() }
    }
}

impl From<&UsageCounts> for CountsView {
    fn from(counts: &UsageCounts) -> Self {
        let refused = counts.iter().filter(|(kind, _)| *kind != UsageKind::Accepted);
        Self {
            accepted: counts.accepted(),
            refused: counts.refused(),
            reasons: refused.map(|(kind, count)| (kind.as_str(), count)).collect(),
        }
    }
}
