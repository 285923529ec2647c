//! [`Tally`]: a count within one hour, which other threads may take at any time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::Hour;

/// The bits of the count, below the number of the hour. Enough for 19 million requests a second.
const COUNT_BITS: u32 = 36;

/// The value of a closed tally.
const CLOSED: u64 = u64::MAX;

/// A count and its hour in one number, so that each request is counted once and in its hour.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicU64);

/// The result of counting a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Here,
    /// Not counted: take the count of the other hour first.
    OtherHour,
    /// Not counted: the tally is closed.
    Closed,
}

impl Tally {
    /// Counts a request. The thread that takes the count sees all earlier writes of this thread.
    #[inline]
    pub(super) fn add(&self, hour: Hour) -> Counted {
        let mut known = self.0.load(Ordering::Relaxed);
        loop {
            let next = match unpack(known) {
                _ if known == CLOSED => return Counted::Closed,
                (of, count) if of == hour || count == 0 => pack(hour, count + 1),
                _ => return Counted::OtherHour,
            };
            let order = (Ordering::Release, Ordering::Relaxed);
            match self.0.compare_exchange_weak(known, next, order.0, order.1) {
                Ok(_) => return Counted::Here,
                Err(now) => known = now,
            }
        }
    }

    /// Takes the count, and starts again at zero.
    pub(super) fn take(&self) -> Option<(Hour, u64)> {
        let begin_anew = |known| (known != CLOSED && unpack(known).1 > 0).then_some(0);
        let taken = self.0.fetch_update(Ordering::Acquire, Ordering::Relaxed, begin_anew);
        taken.ok().map(unpack)
    }

    /// Takes the count, and closes the tally: nothing is counted here after that.
    pub(super) fn close(&self) -> Option<(Hour, u64)> {
        let known = self.0.swap(CLOSED, Ordering::AcqRel);
        Some(unpack(known)).filter(|(_, count)| known != CLOSED && *count > 0)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CLOSED
    }
}

fn pack(hour: Hour, count: u64) -> u64 {
    u64::from(hour.0) << COUNT_BITS | count
}

fn unpack(packed: u64) -> (Hour, u64) {
    (Hour((packed >> COUNT_BITS) as u32), packed & ((1 << COUNT_BITS) - 1))
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn an_hour_is_taken_before_another_begins() {
        let tally = Tally::default();
        assert_eq!(tally.take(), None);
        assert_eq!([tally.add(Hour(7)), tally.add(Hour(7))], [Counted::Here; 2]);
        assert_eq!([tally.add(Hour(8)), tally.add(Hour(6))], [Counted::OtherHour; 2]);
        assert_eq!(tally.take(), Some((Hour(7), 2)));
        assert_eq!((tally.add(Hour(6)), tally.close()), (Counted::Here, Some((Hour(6), 1))));
        assert_eq!(
            (tally.add(Hour(6)), tally.take(), tally.close()),
            (Counted::Closed, None, None)
        );
        assert!(tally.is_closed());
    }

    #[test]
    fn the_last_hour_that_there_is_has_room() {
        let tally = Tally::default();
        let last = Hour::of(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40));
        assert_eq!(tally.add(last), Counted::Here);
        assert!(!tally.is_closed());
        assert_eq!(tally.take(), Some((last, 1)));
    }

    #[test]
    fn each_request_is_taken_once_or_refused() {
        let tally = Tally::default();
        let (mut counted, mut taken) = (0, 0);
        thread::scope(|scope| {
            let counting = scope.spawn(|| {
                let mut counted = 0_u64;
                while tally.add(Hour(1)) == Counted::Here {
                    counted += 1;
                }
                counted
            });
            for _ in 0..100_000 {
                taken += tally.take().map_or(0, |(_, count)| count);
            }
            taken += tally.close().map_or(0, |(_, count)| count);
            counted = counting.join().unwrap();
        });
        assert_eq!(counted, taken);
    }
}
