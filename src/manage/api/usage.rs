//! [`parse_query`]: the range and the period of usage.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::ApiError;
use super::field::may_be_told;
use crate::manage::UsagePeriod;
use crate::rfc3339::parse_time;

/// The range of usage if the query has none.
pub(super) const DEFAULT_DAYS: u64 = 30;

/// Reads the query of a request.
pub(super) fn parse_query(
    query: &str,
    now: SystemTime,
) -> Result<(Range<SystemTime>, UsagePeriod), ApiError> {
    let (mut from, mut to, mut bucket) = (None, None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let (name, parameter) = match &*name {
            "from" => ("from", &mut from),
            "to" => ("to", &mut to),
            "bucket" => ("bucket", &mut bucket),
            other if may_be_told(other) => return Err(wrong(other, UNKNOWN)),
            _ => return Err(ApiError::new(StatusCode::BAD_REQUEST, UNKNOWN)),
        };
        if parameter.replace(value).is_some() {
            return Err(wrong(name, "given twice: pass it once"));
        }
    }
    let period = match bucket {
        None => UsagePeriod::Day,
        Some(name) => {
            let known = UsagePeriod::ALL.into_iter().find(|known| known.as_str() == name);
            known.ok_or_else(|| wrong("bucket", "unknown bucket: use `hour`, `day` or `month`"))?
        }
    };
    let time = |name, text: Option<_>| {
        let time = text.map(|text: std::borrow::Cow<'_, str>| parse_time(&text));
        time.transpose().map_err(|error| wrong(name, error))
    };
    let to = time("to", to)?.unwrap_or(now);
    let month = Duration::from_secs(DEFAULT_DAYS * 24 * 3600);
    let from = time("from", from)?;
    let from = from.unwrap_or_else(|| to.checked_sub(month).unwrap_or(SystemTime::UNIX_EPOCH));
    if from > to {
        return Err(wrong("from", "later than `to`: pass an earlier time"));
    }
    Ok((from..to, period))
}

const UNKNOWN: &str = "Unknown parameter: use `from`, `to` and `bucket`";

fn wrong(parameter: &str, message: impl fmt::Display) -> ApiError {
    ApiError::field_is(StatusCode::BAD_REQUEST, parameter, message)
}
