//! [`Moment`]: a time in twelve bytes.

use std::num::NonZeroU32;
use std::time::{Duration, SystemTime};

/// A [`SystemTime`], to the nanosecond, in three quarters of its size. An `Option` has the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// The halves of the seconds since 1970, which may be negative.
    seconds: [u32; 2],
    /// One more than the nanoseconds that follow.
    after: NonZeroU32,
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        let (seconds, nanoseconds) = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => (since.as_secs().cast_signed(), since.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                // Counted up from the second before, so that each moment has only one form.
                match before.subsec_nanos() {
                    0 => (-before.as_secs().cast_signed(), 0),
                    part => (-before.as_secs().cast_signed() - 1, 1_000_000_000 - part),
                }
            }
        };
        let bits = seconds.cast_unsigned();
        let seconds = [(bits >> 32) as u32, bits as u32];
        Self { seconds, after: NonZeroU32::MIN.saturating_add(nanoseconds) }
    }
}

impl From<Moment> for SystemTime {
    #[inline]
    fn from(moment: Moment) -> Self {
        let [high, low] = moment.seconds.map(u64::from);
        let seconds = (high << 32 | low).cast_signed();
        let whole = Duration::from_secs(seconds.unsigned_abs());
        let part = Duration::from_nanos(u64::from(moment.after.get() - 1));
        match seconds >= 0 {
            true => Self::UNIX_EPOCH + whole + part,
            false => Self::UNIX_EPOCH - whole + part,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_moment_takes_twelve_bytes_and_so_does_none() {
        assert_eq!((size_of::<Moment>(), size_of::<Option<Moment>>()), (12, 12));
    }

    proptest! {
        #[test]
        fn a_moment_is_the_time_that_it_was_made_of(
            seconds in prop_oneof![0_u64..5, Just((1 << 32) - 1), Just(1 << 32), 0_u64..1 << 50],
            nanoseconds in prop_oneof![Just(0_u32), Just(1), 0_u32..1_000_000_000],
        ) {
            let since = Duration::new(seconds, nanoseconds);
            for time in [SystemTime::UNIX_EPOCH + since, SystemTime::UNIX_EPOCH - since] {
                prop_assert_eq!(SystemTime::from(Moment::from(time)), time);
            }
        }
    }
}
