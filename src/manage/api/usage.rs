//! [`parse_query`]: the range and the period of usage.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use super::ApiError;
use super::parameters::{Parameters, wrong};
use crate::manage::UsagePeriod;
use crate::rfc3339::parse_time;

/// The range of usage if the query has none.
pub(super) const DEFAULT_DAYS: u64 = 30;

/// Reads the query of a request.
pub(super) fn parse_query(
    query: &str,
    now: SystemTime,
) -> Result<(Range<SystemTime>, UsagePeriod), ApiError> {
    let mut given = Parameters::read(query, ["from", "to", "bucket"], UNKNOWN);
    let period = given.take("bucket", |text| {
        UsagePeriod::ALL.into_iter().find(|known| known.as_str() == text).ok_or(BUCKETS)
    });
    let to = given.take("to", parse_time).unwrap_or(now);
    let from = given.take("from", parse_time);
    let period = given.finish(period)?.unwrap_or(UsagePeriod::Day);
    let month = Duration::from_secs(DEFAULT_DAYS * 24 * 3600);
    let from = from.unwrap_or_else(|| to.checked_sub(month).unwrap_or(SystemTime::UNIX_EPOCH));
    if from > to {
        return Err(wrong("from", "later than `to`: pass an earlier time"));
    }
    Ok((from..to, period))
}

const BUCKETS: &str = "unknown bucket: use `hour`, `day` or `month`";
const UNKNOWN: &str = "Unknown parameter: use `from`, `to` and `bucket`";
