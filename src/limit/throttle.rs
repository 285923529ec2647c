//! [`FailureThrottle`]: refuses addresses that present too many wrong keys.

use std::fmt;
use std::hash::RandomState;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::LimitStatus;
use super::gcra::Gcra;
use super::in_flight::{InFlight, Place};
use super::levels::Levels;
use super::subject::Subject;
use crate::clock::{Clock, MonotonicClock, nanoseconds};
use crate::key::RateLimit;
use crate::neighbours::Neighbours;
use crate::valid::valid;

/// The most addresses that are kept, in about 20 MB.
const MAX_ADDRESSES: usize = 100_000;

/// Refuses addresses that presented too many wrong API keys, against guessing.
///
/// The layer answers requests with a key from such an address with 429, before the key is parsed,
/// hashed or looked up, even if the key is valid. Failures expire with time; a successful request does
/// not reset them. A failing store and a request without a key do not count as failures. An IPv6
/// address counts with its whole /64 network, which one customer has. If the client's address is not
/// known, that of the nearest proxy counts. If no address is known, the throttle counts nothing, and
/// the layer logs one warning.
///
/// An address is refused after as many failures as the limit's burst. Clones count together.
///
/// # Concurrent requests
///
/// The layer runs at most as many look-ups of one address at the same time as the address may still
/// fail. Further requests wait for those look-ups, and are refused only if the address has too many
/// failures by then. So 2000 concurrent guesses cause 20 look-ups if 20 failures are allowed.
/// Concurrent requests with valid keys are all accepted; with a burst of 1, one after the other. The
/// wait and the look-up together take no longer than the layer's [lookup
/// timeout](crate::ApiKeyLayer::lookup_timeout); then the answer is 503. A request that the client
/// cancels frees its place at once.
///
/// A look-up that the store answers from memory does not wait, and its failure counts at once. Threads
/// that do this for one address at the same instant may exceed the limit by one each.
///
/// Beyond 100 000 addresses, those with the fewest failures are removed.
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
    in_flight: Arc<InFlight>,
}

impl FailureThrottle {
    /// Creates a throttle that allows each address as many failures as `limit` says.
    ///
    /// # Panics
    ///
    /// Panics if `limit` does not parse; see [`RateLimit`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, FailureThrottle, MemoryStore};
    ///
    /// let throttle = FailureThrottle::new("20 per minute");
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).failure_throttle(throttle.clone());
    /// assert!(std::panic::catch_unwind(|| FailureThrottle::new("20 a minute")).is_err());
    /// ```
    #[track_caller]
    pub fn new<L>(limit: L) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        let shared = Shared {
            limit: RateLimit::not_shared(valid(limit.try_into())),
            addresses: Levels::at_most(MAX_ADDRESSES),
            clock: Box::new(MonotonicClock::start()),
            in_flight: Arc::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Sets the clock by which it counts. The default is a monotonic one.
    ///
    /// # Panics
    ///
    /// Panics if the throttle was cloned before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use http::Request;
    /// use tower_api_key::testing::FakeClock;
    /// use tower_api_key::{FailureThrottle, KeyManager, MemoryStore, PeerAddress, RejectionKind};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let clock = FakeClock::new();
    /// let throttle = FailureThrottle::new("1 per minute").clock(clock.clone());
    /// let layer = KeyManager::new(MemoryStore::new()).layer().failure_throttle(throttle);
    ///
    /// let guess = Request::get("/")
    ///     .header("x-api-key", "a-wrong-key")
    ///     .extension(PeerAddress("192.0.2.1:4711".parse()?))
    ///     .body(())?;
    /// let kind = async || {
    ///     let refusal = layer.verify(&mut guess.clone().into_parts().0).await.unwrap_err();
    ///     refusal.rejection().kind()
    /// };
    /// assert_eq!(kind().await, RejectionKind::Unknown);
    /// assert_eq!(kind().await, RejectionKind::RateLimited);
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(kind().await, RejectionKind::Unknown);
    /// # Ok(())
    /// # }
    /// ```
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        let shared = Arc::get_mut(&mut self.shared).expect("set the clock before it is cloned");
        shared.clock = Box::new(clock);
        self
    }

    /// Returns a counter of the addresses, which does not keep the throttle.
    #[cfg(feature = "metrics")]
    pub(crate) fn address_counter(
        &self,
    ) -> impl Fn() -> Option<usize> + Send + Sync + 'static + use<> {
        let shared = Arc::downgrade(&self.shared);
        move || Some(shared.upgrade()?.addresses.len())
    }

    /// Returns how long an address is refused, if it is.
    pub(crate) fn refused_for(&self, address: IpAddr) -> Option<Duration> {
        self.shared.refused_for(Neighbours::of(address))
    }

    /// Waits until a look-up may fail, whatever the result of the running ones.
    ///
    /// # Errors
    ///
    /// Returns how long the address is refused, as soon as it is.
    pub(crate) async fn place(&self, address: IpAddr) -> Result<Place, Duration> {
        let (shared, address) = (&self.shared, Neighbours::of(address));
        loop {
            let in_flight = Arc::clone(&shared.in_flight);
            if let Some(place) = in_flight.place(address, || shared.remaining(address)).await {
                return Ok(place);
            }
            if let Some(wait) = shared.refused_for(address) {
                return Err(wait);
            }
            // In between, one failure has expired.
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, address: IpAddr) {
        let Shared { limit, addresses, clock, .. } = &*self.shared;
        let (gcra, now) = (Gcra::new(limit), nanoseconds(clock.now()));
        addresses.with(&Neighbours::of(address), now, |failures| {
            change(failures, limit, |level| gcra.add(level, now, 1));
        });
    }
}

impl Shared {
    fn refused_for(&self, address: Neighbours) -> Option<Duration> {
        let status = self.status(address)?;
        (status.remaining() == 0).then(|| status.reset())
    }

    /// Returns how many failures an address has left.
    fn remaining(&self, address: Neighbours) -> u32 {
        self.status(address).map_or(self.limit.burst(), |status| status.remaining())
    }

    /// Returns the state of an address that has failed.
    fn status(&self, address: Neighbours) -> Option<LimitStatus> {
        let Self { limit, addresses, clock, .. } = self;
        let (gcra, now) = (Gcra::new(limit), nanoseconds(clock.now()));
        // Stored, so that the wait gets shorter even if the clock was set back.
        let level = addresses.with_known(&address, |failures| {
            change(failures, limit, |level| gcra.current(level, now))
        })?;
        Some(gcra.status(level, now))
    }
}

/// Changes the only level of an address, and returns it.
fn change(failures: &mut Subject, limit: &RateLimit, change: impl FnOnce(u64) -> u64) -> u64 {
    let (name, gcra) = (limit.level(false), Gcra::new(limit));
    let level = change(failures.level(name, gcra));
    failures.set(name, gcra, level, |_| true);
    level
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
        let throttle = FailureThrottle::new("2 per hour").clock(At(Arc::clone(&clock)));
        let guesser = address("192.0.2.1");
        (0..9).for_each(|_| throttle.failed(guesser));
        let wait = throttle.refused_for(guesser).unwrap();
        *clock.lock().unwrap() += wait;
        assert_eq!(throttle.refused_for(guesser), None);
    }

    #[test]
    fn an_address_that_waits_as_told_is_let_through_after_the_clock_was_set_back() {
        let clock = Arc::new(Mutex::new(SystemTime::now()));
        let throttle = FailureThrottle::new("2 per hour").clock(At(Arc::clone(&clock)));
        let guesser = address("192.0.2.1");
        (0..2).for_each(|_| throttle.failed(guesser));
        *clock.lock().unwrap() -= Duration::from_secs(24 * 3600);
        let wait = throttle.refused_for(guesser).unwrap();
        assert!(wait <= Duration::from_secs(3600), "{wait:?}");
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
