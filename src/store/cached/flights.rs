//! [`Flights`]: one load for all requests that wait for the same key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};

use super::stamp::Stamp;
use crate::key::KeyDigest;
use crate::store::{KeyRecord, StoreError};

/// For how long requests join a load. A load that hangs then fails only the requests that joined it,
/// and not all later ones.
const JOINABLE: Duration = Duration::from_secs(1);

/// The answer of a store.
pub(super) type Loaded = Result<Option<Arc<KeyRecord>>, StoreError>;

/// A running load. It continues while a request waits for it.
pub(super) type Flight = Shared<BoxFuture<'static, Loaded>>;

/// The running loads, the latest of each key.
pub(super) struct Flights {
    state: Mutex<State>,
    /// For how long requests join a load, in nanoseconds.
    joinable: u128,
}

#[derive(Default)]
struct State {
    // Hashed with a secret, because a client chooses the digests of the keys that it presents.
    latest: HashMap<KeyDigest, Latest>,
    /// How many loads of a key are running, including those before the latest.
    under_way: HashMap<KeyDigest, usize>,
    next: u64,
}

struct Latest {
    number: u64,
    stamp: Stamp,
    flight: WeakShared<BoxFuture<'static, Loaded>>,
}

impl Flights {
    /// No answer of a load may be older than `max_staleness`.
    pub(super) fn new(max_staleness: Duration) -> Self {
        let joinable = JOINABLE.min(max_staleness).as_nanos();
        Self { state: Mutex::default(), joinable }
    }

    /// Joins the load of a key if nothing was invalidated since it began. Otherwise begins another with
    /// `load`, unless `known` finds the answer of a load that has just ended.
    pub(super) fn join<L: Future<Output = Loaded> + Send + 'static>(
        self: &Arc<Self>,
        digest: &KeyDigest,
        stamp: impl FnOnce() -> Stamp,
        known: impl FnOnce() -> Option<Option<Arc<KeyRecord>>>,
        load: impl FnOnce(Stamp) -> L,
    ) -> Result<Flight, Option<Arc<KeyRecord>>> {
        let mut state = self.state();
        // One after the other, so that no load seems to begin after a request that joins it.
        let stamp = stamp();
        if let Some(latest) = state.latest.get(digest)
            && stamp.age_of_load(latest.stamp).is_some_and(|age| u128::from(age) < self.joinable)
            && let Some(flight) = latest.flight.upgrade()
        {
            return Ok(flight);
        }
        if let Some(found) = known() {
            return Err(found);
        }
        let number = state.next;
        state.next += 1;
        *state.under_way.entry(*digest).or_default() += 1;
        let landing = Landing { flights: Arc::clone(self), digest: *digest, number };
        let load = load(stamp);
        let flight = async move {
            // Dropped with the future, so also if no request waits any more.
            let _landing = landing;
            load.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            state.latest.insert(*digest, Latest { number, stamp, flight: weak });
        }
        Ok(flight)
    }

    /// Tells whether a running load may still keep an answer for a key.
    pub(super) fn is_loading(&self, digest: &KeyDigest) -> bool {
        self.state().under_way.contains_key(digest)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.state().latest.len()
    }
}

/// Removes a load from the list when it ends, in any way.
struct Landing {
    flights: Arc<Flights>,
    digest: KeyDigest,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut state = self.flights.state();
        if state.latest.get(&self.digest).is_some_and(|latest| latest.number == self.number) {
            state.latest.remove(&self.digest);
        }
        if let Some(loads) = state.under_way.get_mut(&self.digest) {
            *loads -= 1;
            if *loads == 0 {
                state.under_way.remove(&self.digest);
            }
        }
    }
}
