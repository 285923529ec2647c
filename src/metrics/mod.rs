//! Metrics of a layer, by the facade [`metrics`](https://docs.rs/metrics). Needs the feature `metrics`.
//!
//! [`Metrics`] is an observer. It counts in memory, each thread for itself, and gives what was counted to
//! the recorder of the application every second: see [`run`](Metrics::run) and [`publish`](Metrics::publish).
//!
//! ```
//! use tower_api_key::metrics::Metrics;
//! use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let metrics = Metrics::new();
//! let keys = MemoryStore::new();
//! let manager = KeyManager::new(keys.clone()).audit(metrics.clone());
//! let layer = ApiKeyLayer::new(keys).observer(metrics.clone());
//! metrics.watch(&layer); // after all its settings
//! tokio::spawn(metrics.run());
//! # }
//! ```
//!
//! # Names
//!
//! Names, units and suffixes are those of Prometheus and OpenTelemetry: base units, and `_total` for what only
//! grows. No label has the id of a key, a tenant or a path.
//!
//! Of the observer and the sink:
//!
//! | name | is | labels |
//! |---|---|---|
//! | `tower_api_key_requests_total` | counter: requests by outcome | `outcome`: see below |
//! | `tower_api_key_lookups_total` | counter: look-ups by how they [ended](crate::observe::Lookup) | `result`: `thread`, `hit`, `miss`, `coalesced`, `grace`, `error` |
//! | `tower_api_key_decision_duration_seconds` | histogram: from the arrival of a request to the decision, of a [sample](Metrics::sample) | |
//! | `tower_api_key_lookup_duration_seconds` | histogram: how long requests waited for the store, of those in the sample that waited | `result` |
//! | `tower_api_key_limiter_duration_seconds` | histogram: how long requests waited for the limiter, of those in the sample that waited | |
//! | `tower_api_key_streams_ended_total` | counter: streams that ended with their key | `reason`: `revoked`, `disabled`, `suspended`, `expired`, `removed`, `reduced`, `unavailable` |
//! | `tower_api_key_management_changes_total` | counter: changes of keys, where the [manager](crate::KeyManager::audit) has the metrics as a sink | `action`: `issued`, `imported`, `updated`, `disabled`, `enabled`, `rotated`, `revoked`, `removed`, `suspended`, `resumed` |
//!
//! The outcome of a request is
//!
//! * `accepted`: it was let through with a key;
//! * `anonymous`: it was let through without one;
//! * `throttled`: its address had presented too many wrong keys;
//! * `canceled`: the client went away before the layer decided;
//! * or the [kind](crate::RejectionKind::as_str) of its rejection, such as `unknown` or `rate_limited`, also
//!   where a guard on a route refused it.
//!
//! Of what is [watched](Metrics::watch):
//!
//! | name | is | of |
//! |---|---|---|
//! | `tower_api_key_open_streams` | gauge: open streams | `ApiKeyLayer` |
//! | `tower_api_key_cache_entries` | gauge: entries by `kind`: `record`, `unknown` | `CachedStore` |
//! | `tower_api_key_cache_size_bytes` | gauge: the estimated size of the records | `CachedStore` |
//! | `tower_api_key_cache_loads` | gauge: loads under way | `CachedStore` |
//! | `tower_api_key_cache_evictions_total` | counter: entries that had to make room, by `kind` | `CachedStore` |
//! | `tower_api_key_subscription_live` | gauge: 1 if the cache hears of changes, 0 if it asks the store each time; with several caches, 0 if one does not hear | `CachedStore` with a source |
//! | `tower_api_key_subscription_heartbeat_delay_seconds` | gauge: how long the last heartbeat was on its way; the longest of several caches | `CachedStore` with a source |
//! | `tower_api_key_limited_subjects` | gauge: keys and tenants whose requests are being counted | `MemoryRateLimiter` |
//! | `tower_api_key_throttle_addresses` | gauge: addresses with failures | `FailureThrottle` |
//! | `tower_api_key_usage_backlog` | gauge: last uses and counts of keys that are not written yet, and would be by now | `UsageRecorder` |
//! | `tower_api_key_pool_connections` | gauge: connections by `state`: `in_use`, `idle` | `PostgresStore`, `SqliteStore` |
//! | `tower_api_key_pool_connections_max` | gauge: the most connections that there may be | `PostgresStore`, `SqliteStore` |
//! | `tower_api_key_pool_waiting` | gauge: look-ups and changes that wait for a connection | `PostgresStore` |
//!
//! Of several of one kind the sum is given, unless the table says otherwise. A program has one `Metrics`:
//! clones count together, and two would take turns at setting the same gauges.
//!
//! # What it costs
//!
//! A request adds to two counters of its own thread. Times are read, and a sample is kept, for one request of
//! 64, or as [`Metrics::sample`] says. `cargo bench -p tower-api-key-benches --bench threads` prints what a request takes with metrics
//! and without, and what two threads do.

mod counts;
mod names;
mod observer;
mod publish;
mod readings;
mod watched;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use self::publish::Shared;
pub use self::watched::Watched;

/// How often counts are given to the recorder.
const PERIOD: Duration = Duration::from_secs(1);

/// How many requests there are for one whose times are measured.
const SAMPLE: u32 = 64;

/// Bounds of the buckets of a histogram of the durations here, in seconds: from a microsecond, which a
/// decision takes in memory, to the five seconds after which a look-up fails.
pub const DURATION_BUCKETS: [f64; 14] = [
    0.000_001,
    0.000_002_5,
    0.000_005,
    0.000_01,
    0.000_05,
    0.000_25,
    0.001,
    0.002_5,
    0.01,
    0.05,
    0.25,
    1.0,
    2.5,
    5.0,
];

/// Counts requests, and gives the counts to the recorder of the application. See the
/// [names](crate::metrics#names).
///
/// It is an [observer](crate::ApiKeyLayer::observer) of layers and a [sink](crate::KeyManager::audit) of
/// managers. A clone is the same. Nothing is given to a recorder unless [`run`](Self::run) runs or
/// [`publish`](Self::publish) is called.
#[derive(Clone)]
#[must_use]
pub struct Metrics(Arc<Shared>);

impl Metrics {
    /// Makes metrics that measure the times of one request in 64.
    pub fn new() -> Self {
        Self::sample(SAMPLE)
    }

    /// Makes metrics that measure the times of one request in `every`, on each thread; of none if it is 0.
    ///
    /// Counters count every request. If another observer has the times of more requests measured, those are in the
    /// histograms, too. Of a thread that samples more than 1024 requests before they are
    /// published, the others are not in the histograms.
    pub fn sample(every: u32) -> Self {
        Self(Arc::new(Shared::new(every)))
    }

    /// Has the state of a layer, a store, a limiter, a throttle or a recorder be reported, too.
    ///
    /// The metrics do not keep it alive. A layer is watched after its last setting: one with other settings
    /// has other streams.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::metrics::Metrics;
    /// use tower_api_key::{CachedStore, FailureThrottle, MemoryStore};
    ///
    /// let metrics = Metrics::new();
    /// let keys = CachedStore::new(MemoryStore::new());
    /// let throttle = FailureThrottle::new("20 per minute");
    /// metrics.watch(&keys);
    /// metrics.watch(&throttle);
    /// ```
    pub fn watch(&self, watched: &impl Watched) {
        self.0.watch(watched.source());
    }

    /// Publishes every second. It never ends: spawn it on the runtime of the application, and abort the task,
    /// or drop the runtime, to stop it.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.publish();
        }
    }

    /// Gives what was counted since the last time, and how what is watched stands, to the recorder of the
    /// facade. For programs that have their own schedule, or without a runtime.
    ///
    /// What is given before a recorder is installed is lost. The layer logs a panic of a recorder.
    pub fn publish(&self) {
        crate::contain::notify("a recorder of metrics", || self.0.publish());
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
