//! Metrics of a layer, through the facade [`metrics`](https://docs.rs/metrics). Needs the feature `metrics`.
//!
//! [`Metrics`] is an observer. It counts in memory, with counters of each thread, and publishes them to the
//! recorder of the application every second: see [`run`](Metrics::run) and [`publish`](Metrics::publish).
//!
//! ```
//! use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, Metrics};
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
//! Names, units and suffixes follow Prometheus and OpenTelemetry: base units, and `_total` for counters. No label
//! has the id of a key, a tenant or a path.
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
//! | `tower_api_key_management_changes_total` | counter: changes of keys, if the metrics are an [audit sink](crate::KeyManager::audit) of the manager | `action`: `issued`, `imported`, `updated`, `disabled`, `enabled`, `rotated`, `revoked`, `removed`, `suspended`, `resumed` |
//!
//! The outcome of a request is
//!
//! * `accepted`: it was accepted with a key;
//! * `anonymous`: it was accepted without a key;
//! * `throttled`: its address had presented too many wrong keys;
//! * `canceled`: the client closed the connection before the layer decided;
//! * or the [kind](crate::RejectionKind::as_str) of its rejection, such as `unknown` or `rate_limited`, also if a
//!   guard on a route refused it.
//!
//! Of what is [watched](Metrics::watch):
//!
//! | name | is | of |
//! |---|---|---|
//! | `tower_api_key_open_streams` | gauge: open streams | `ApiKeyLayer` |
//! | `tower_api_key_cache_entries` | gauge: entries by `kind`: `record`, `unknown` | `CachedStore` |
//! | `tower_api_key_cache_size_bytes` | gauge: the estimated size of the records | `CachedStore` |
//! | `tower_api_key_cache_loads` | gauge: loads in progress | `CachedStore` |
//! | `tower_api_key_cache_evictions_total` | counter: entries that were evicted, by `kind` | `CachedStore` |
//! | `tower_api_key_subscription_live` | gauge: 1 if the cache receives invalidations, 0 if every look-up goes to the store; with several caches, 0 if one of them is not subscribed | `CachedStore` with a source |
//! | `tower_api_key_subscription_heartbeat_delay_seconds` | gauge: the delay of the last heartbeat; the longest of several caches | `CachedStore` with a source |
//! | `tower_api_key_limited_subjects` | gauge: keys and tenants with counted requests | `MemoryRateLimiter` |
//! | `tower_api_key_throttle_addresses` | gauge: addresses with failures | `FailureThrottle` |
//! | `tower_api_key_usage_backlog` | gauge: last uses and counts of keys whose write is overdue | `UsageRecorder` |
//! | `tower_api_key_pool_connections` | gauge: connections by `state`: `in_use`, `idle` | `PostgresStore`, `SqliteStore` |
//! | `tower_api_key_pool_connections_max` | gauge: the largest number of connections | `PostgresStore`, `SqliteStore` |
//! | `tower_api_key_pool_waiting` | gauge: look-ups and changes that wait for a connection | `PostgresStore` |
//!
//! If several of one kind are watched, the metric is their sum, unless the table says otherwise. Use one `Metrics`
//! per program: its clones count together, but two would overwrite each other's gauges.
//!
//! # What it costs
//!
//! A request adds to two counters of its own thread. Times are measured for one request of 64, or as
//! [`Metrics::sample`] says. `cargo bench -p tower-api-key-benches --bench threads` prints what a request takes with metrics
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

/// How often counts are published to the recorder.
const PERIOD: Duration = Duration::from_secs(1);

/// The times of one in this many requests are measured.
const SAMPLE: u32 = 64;

/// Recommended bounds for the histograms of durations, in seconds: from a microsecond, which a decision takes in
/// memory, to five seconds, the time-out of a look-up.
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

/// Counts requests, and publishes metrics to the recorder of the application. See the
/// [names](crate::metrics#names).
///
/// It is an [observer](crate::ApiKeyLayer::observer) of layers and an [audit sink](crate::KeyManager::audit) of
/// managers. Clones share their counts. Nothing is published unless [`run`](Self::run) runs or
/// [`publish`](Self::publish) is called.
///
/// # Examples
///
/// ```
/// use tower_api_key::{ApiKeyLayer, MemoryStore, Metrics};
///
/// let metrics = Metrics::new();
/// let layer = ApiKeyLayer::new(MemoryStore::new()).observer(metrics.clone());
/// metrics.watch(&layer);
/// // Such as every second; `run` does it in a task:
/// metrics.publish();
/// assert_eq!(layer.open_streams(), 0);
/// ```
#[derive(Clone)]
#[must_use]
pub struct Metrics(Arc<Shared>);

impl Metrics {
    /// Creates metrics that measure the times of one request in 64.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::Metrics;
    ///
    /// let metrics = Metrics::new();
    /// assert_eq!(format!("{metrics:?}"), "Metrics { .. }");
    /// ```
    pub fn new() -> Self {
        Self::sample(SAMPLE)
    }

    /// Creates metrics that measure the times of one request in `every` on each thread, or of none if it is 0.
    ///
    /// Counters count every request. Requests that another observer has measured are in the histograms, too. The
    /// histograms get at most 1024 samples of a thread each time they are published.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{ApiKeyLayer, MemoryStore, Metrics};
    ///
    /// let metrics = Metrics::sample(1); // all requests
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).observer(metrics.clone());
    /// # assert_eq!(layer.open_streams(), 0);
    /// ```
    pub fn sample(every: u32) -> Self {
        Self(Arc::new(Shared::new(every)))
    }

    /// Adds the gauges of a layer, a store, a limiter, a throttle or a recorder.
    ///
    /// The metrics do not keep it alive. Watch a layer after its last setting: a layer with other settings counts
    /// its own streams.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::store::CachedStore;
    /// use tower_api_key::{FailureThrottle, MemoryStore, Metrics};
    ///
    /// let metrics = Metrics::new();
    /// let keys = CachedStore::new(MemoryStore::new());
    /// let throttle = FailureThrottle::new("20 per minute");
    /// metrics.watch(&keys);
    /// metrics.watch(&throttle);
    /// metrics.publish();
    /// # assert!(format!("{keys:?}").contains("CachedStore"));
    /// ```
    pub fn watch(&self, watched: &impl Watched) {
        self.0.watch(watched.source());
    }

    /// Publishes every second, forever. Spawn it on the runtime of the application. To stop it, abort the task or
    /// drop the runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::Metrics;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let publishing = tokio::spawn(Metrics::new().run());
    /// assert!(!publishing.is_finished());
    /// # publishing.abort();
    /// # }
    /// ```
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.publish();
        }
    }

    /// Publishes the counts since the last call, and the gauges, to the recorder of the facade. For programs with a
    /// schedule of their own, or without a runtime.
    ///
    /// Install the recorder first: counts that are published before are lost. A panic of the recorder is logged.
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
