//! [`FailureThrottle`]: how often an address may present wrong keys.

use std::fmt;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::gcra::Gcra;
use super::levels::Levels;
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::key::RateLimit;

/// How many addresses are kept: about 20 MB of them.
const MAX_ADDRESSES: usize = 100_000;

/// Refuses an address that presented too many keys that are not valid.
///
/// Its requests with a key are answered with 429 before the key is parsed, hashed or looked up,
/// even if it is valid. Only time makes the failures of an address go, and not the success of a key; a store
/// that fails is nobody's failure, and neither is a request without a key. An IPv6 address
/// counts with its whole /64, which is what one customer has. Where the client's address cannot be
/// read, that of the nearest proxy counts; where no address is known at all, nothing is counted,
/// and one warning is logged.
///
/// An address is refused after as many failures as the limit's burst. Failures that are looked up at
/// the same moment may exceed it by a few. A clone counts together with the original.
///
/// Of more than 100 000 addresses, those with the fewest failures are forgotten.
///
/// # Examples
///
/// ```
/// use tower_api_key::{ApiKeyLayer, FailureThrottle, MemoryStore};
///
/// let layer = ApiKeyLayer::new(MemoryStore::new())
///     .failure_throttle(FailureThrottle::new("20 per minute"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct FailureThrottle {
    shared: Arc<Shared>,
}

struct Shared {
    limit: RateLimit,
    addresses: Levels<Neighbours, RandomState>,
    clock: Box<dyn Clock>,
}

/// The addresses that count as one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Neighbours {
    V4([u8; 4]),
    /// The first 64 bits.
    V6([u8; 8]),
}

impl Neighbours {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

impl FailureThrottle {
    /// Allows an address as many failures as `limit` says.
    ///
    /// # Panics
    ///
    /// Panics if `limit` does not parse; see [`RateLimit`].
    pub fn new<L>(limit: L) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        Self::with_clock(limit, MonotonicClock::start())
    }

    /// Does as [`new`](Self::new), by `clock`.
    ///
    /// # Panics
    ///
    /// Panics if `limit` does not parse.
    pub fn with_clock<L>(limit: L, clock: impl Clock + 'static) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        let shared = Shared {
            limit: limit.try_into().unwrap_or_else(|error| panic!("{error}")).not_shared(),
            addresses: Levels::at_most(MAX_ADDRESSES),
            clock: Box::new(clock),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Tells for how long an address is refused, if it is.
    pub(crate) fn refused_for(&self, address: IpAddr) -> Option<Duration> {
        let Shared { limit, addresses, clock } = &*self.shared;
        let now = nanoseconds(clock.now());
        let level =
            addresses.with_known(&Neighbours::of(address), |own| own.level(limit.shared_name()))?;
        let status = Gcra::new(limit).status(level, now);
        (status.remaining() == 0).then(|| status.reset())
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, address: IpAddr) {
        let Shared { limit, addresses, clock } = &*self.shared;
        let now = nanoseconds(clock.now());
        addresses.with(&Neighbours::of(address), now, |own| {
            let level = Gcra::new(limit).add(own.level(limit.shared_name()), now);
            own.set(limit.shared_name(), level);
        });
    }
}

impl fmt::Debug for FailureThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailureThrottle").field("limit", &self.shared.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::SystemTime;

    use super::*;

    struct At(Arc<Mutex<SystemTime>>);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            *self.0.lock().unwrap()
        }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_refused_after_as_many_failures_as_are_allowed() {
        let throttle = FailureThrottle::new("2 per hour");
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(throttle.refused_for(one), None);
        throttle.failed(one);
        assert_eq!(throttle.refused_for(one), None);
        throttle.failed(one);
        let wait = throttle.refused_for(one).unwrap();
        assert!(wait > Duration::from_secs(1790) && wait <= Duration::from_secs(1800), "{wait:?}");
        assert_eq!(throttle.refused_for(other), None);
        assert!(throttle.refused_for(address("::ffff:192.0.2.1")).is_some());
    }

    #[test]
    fn an_ipv6_address_counts_with_its_64() {
        let throttle = FailureThrottle::new("1 per hour");
        throttle.failed(address("2001:db8:1:2:3::4"));
        assert!(throttle.refused_for(address("2001:db8:1:2:ffff::")).is_some());
        assert_eq!(throttle.refused_for(address("2001:db8:1:3::4")), None);
    }

    #[test]
    fn failures_of_one_moment_refuse_no_longer_than_the_burst() {
        let clock = Arc::new(Mutex::new(SystemTime::now()));
        let throttle = FailureThrottle::with_clock("2 per hour", At(Arc::clone(&clock)));
        let guesser = address("192.0.2.1");
        (0..9).for_each(|_| throttle.failed(guesser));
        let wait = throttle.refused_for(guesser).unwrap();
        *clock.lock().unwrap() += wait;
        assert_eq!(throttle.refused_for(guesser), None);
    }

    #[test]
    fn of_too_many_addresses_those_with_fewest_failures_are_forgotten() {
        let throttle = FailureThrottle::new("3 per hour");
        let guesser = address("192.0.2.1");
        (0..3).for_each(|_| throttle.failed(guesser));
        for number in 0..250_000 {
            throttle.failed(std::net::Ipv4Addr::from_bits(number).into());
        }
        assert!(throttle.shared.addresses.len() <= MAX_ADDRESSES);
        assert!(throttle.refused_for(guesser).is_some());
    }
}
