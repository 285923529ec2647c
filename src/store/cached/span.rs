//! [`nanoseconds`]: a duration as a number.

use std::time::Duration;

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
