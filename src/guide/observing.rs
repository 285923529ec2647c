//! Observing: outcomes of requests, metrics, events and spans.
//!
//! | to see | use |
//! |---|---|
//! | how many requests are accepted and refused, how long they take, whether the cache receives revocations | [metrics](#metrics), with a [dashboard and alerts](#dashboard-and-alerts) |
//! | the outcome of each request in your own code: an access log, billing, a security log | [outcomes](#outcomes) |
//! | why a request was refused, and from which address; failures in the server | [events](#events) |
//! | which key a slow request had | the id of the key in [spans](#spans) |
//! | how often each key was used, by hours and days; unused keys | [usage](#usage) |
//!
//! None of them ever contains the text of a key.
//!
//! # Outcomes
//!
//! An [observer](crate::observe::Observe) is called at two moments: `admitted`, just before the inner
//! service is called with a key, and `finished`, exactly once for every request. The latter is the
//! outcome. A request that the layer admitted and a guard on a route refused has one, and so has a
//! request whose client disconnected.
//!
//! ```
//! use tower_api_key::observe::{Finished, Observe};
//! use tower_api_key::{ApiKeyLayer, MemoryStore};
//!
//! struct SecurityLog;
//!
//! impl Observe for SecurityLog {
//!     fn finished(&self, request: &Finished<'_>) {
//!         let Some(rejection) = request.rejection() else { return };
//!         // The key is also known if it was refused: it has expired, lacks an ability, is above a
//!         // limit or was used from a wrong address.
//!         let key = request.record().map_or("no key", |record| record.name());
//!         println!(
//!             "{:?} {:?} of {:?}: {} ({key}), after {:?}, look-up {:?}",
//!             request.method(),
//!             request.matched_path(),
//!             request.address(),
//!             rejection.kind(),
//!             request.decision_time(),
//!             request.lookup(),
//!         );
//!     }
//! }
//! let layer = ApiKeyLayer::new(MemoryStore::new()).observer(SecurityLog);
//! ```
//!
//! An observer that needs less than everything says so by
//! [`detail`](crate::observe::Observe::detail): for [`Detail::Outcome`](crate::observe::Detail::Outcome),
//! nothing is allocated, and no clock is read. One that needs outcomes alone at every request says that once, by
//! [`interest`](crate::observe::Observe::interest), which is cheaper still. A panic in an observer is logged, and
//! the request goes on.
//!
//! # Metrics
//!
//! With the feature `metrics`, `Metrics` is an observer that counts with the facade of the crate
//! [`metrics`](https://docs.rs/metrics), which has exporters to Prometheus, OpenTelemetry and others:
#![cfg_attr(
    feature = "metrics",
    doc = r#"
```
use tower_api_key::metrics::Metrics;
use tower_api_key::{ApiKeyLayer, FailureThrottle, KeyManager, MemoryStore};

# #[tokio::main(flavor = "current_thread")]
# async fn main() {
let (keys, throttle) = (MemoryStore::new(), FailureThrottle::new("20 per minute"));
let metrics = Metrics::new();
let manager = KeyManager::new(keys.clone()).audit(metrics.clone());
let layer = ApiKeyLayer::new(keys)
    .failure_throttle(throttle.clone())
    .observer(metrics.clone());
metrics.watch(&throttle);
metrics.watch(&layer);
tokio::spawn(metrics.run());
# }
```

[The page of the module](crate::metrics#names) has each name with its unit and labels.
"#
)]
//!
//! The library starts no thread and no task for it: `run` is a future for the runtime of the
//! application, which passes the counts to the recorder each second, and `publish` does so once. Each
//! thread counts separately, so threads do not wait for each other.
//!
//! | question | series |
//! |---|---|
//! | What is refused, and why? | `tower_api_key_requests_total`, by `outcome` |
//! | Does someone guess keys? | its outcomes `unknown`, `malformed` and `throttled`; `tower_api_key_throttle_addresses` |
//! | How much time does the layer take? | `tower_api_key_decision_duration_seconds` |
//! | Is the store slow or unreachable? | `tower_api_key_lookup_duration_seconds`; `tower_api_key_lookups_total` with the `result` `error` or `grace` |
//! | Does the cache help? | `tower_api_key_lookups_total`, by `result`; `tower_api_key_cache_entries`, `_cache_size_bytes`, `_cache_evictions_total` |
//! | Do revocations arrive? | `tower_api_key_subscription_live`, `tower_api_key_subscription_heartbeat_delay_seconds` |
//! | Which streams are open, and which ended with their key? | `tower_api_key_open_streams`, `tower_api_key_streams_ended_total` |
//! | Are there enough connections? | `tower_api_key_pool_connections`, `tower_api_key_pool_waiting` |
//! | Is usage written? | `tower_api_key_usage_backlog` |
//! | How often are keys changed? | `tower_api_key_management_changes_total`; the audit has the actors |
//!
//! Labels never contain the id of a key, a tenant or a path, which would create a series for each. A
//! program with few keys can count by key in its own observer.
//!
//! # Dashboard and alerts
//!
//! `examples/observe` in the repository is a server with a real exporter for Prometheus, a Grafana dashboard
//! (`dashboard.json`) and alert rules (`alerts.yml`) with tests for `promtool`.
//!
//! # Usage
//!
//! Metrics have no key as a label. A `UsageRecorder` (feature `usage`) is another observer. It counts
//! the accepted and refused requests of each key, and records when the key was last used, in the store
//! of the keys:
#![cfg_attr(
    feature = "usage",
    doc = r#"
```
use std::time::{Duration, SystemTime};

use tower_api_key::manage::UsagePeriod;
use tower_api_key::{KeyManager, KeyQuery, MemoryStore, UsageRecorder};

# #[tokio::main(flavor = "current_thread")]
# async fn main() -> Result<(), Box<dyn std::error::Error>> {
let store = MemoryStore::new();
let usage = UsageRecorder::new(store.clone());
let keys = KeyManager::new(store);
let layer = keys.layer().observer(usage.clone());

// What a page shows beside each key of a list: the days of a month.
let listed = keys.list(&KeyQuery::new()).await?.keys;
let ids = listed.iter().map(|key| key.record.id().clone());
let now = SystemTime::now();
let month = now - Duration::from_secs(30 * 24 * 3600)..now;
let used = keys.usage_by_key(ids, month, UsagePeriod::Day).await?;
# assert!(used.is_empty());
# Ok(())
# }
```
"#
)]
//!
//! | question | answer |
//! |---|---|
//! | How often was this key used, and when? | `api-keys usage KEY`, `GET /api-keys/{id}/usage`, [`KeyManager::usage`](crate::KeyManager::usage) |
//! | How often was each key of a list used? | [`KeyManager::usage_by_key`](crate::KeyManager::usage_by_key), or [`usage_sums_by_key`](crate::KeyManager::usage_sums_by_key) without the reasons: one read of the store |
//! | How much does a tenant use? | `api-keys usage --tenant acme`, [`KeyManager::tenant_usage`](crate::KeyManager::tenant_usage) |
//! | Which keys can be revoked? | `api-keys list --unused-for 90d`, [`KeyQuery::unused_since`](crate::KeyQuery) |
//!
//! [The page about usage](super::usage) says what is counted, how long it is kept, and what may be lost.
//!
//! # Events
//!
//! With the feature `tracing`, a refusal is an event at `INFO`, with the reason that the client does not see,
//! and a fault of the server one at `ERROR`. Of repeated events, the first is written and then, every ten seconds, the number of further
//! ones. See [events](crate#events).
//!
//! # Spans
//!
//! One line adds the id of the key to the span of a request. The span has to be around the layer, and
//! must have the field:
//!
//! ```
//! use axum::Router;
//! use http::Request;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, RequestHead, VerifiedKey};
//! use tower_http::trace::TraceLayer;
//!
//! let app: Router = Router::new()
//!     .layer(ApiKeyLayer::new(MemoryStore::new()).observer(
//!         |key: &VerifiedKey, _: &RequestHead<'_>| {
//!             tracing::Span::current().record("api_key.id", key.id().as_str());
//!         },
//!     ))
//!     .layer(TraceLayer::new_for_http().make_span_with(|request: &Request<_>| {
//!         tracing::info_span!("request", method = %request.method(), api_key.id = tracing::field::Empty)
//!     }));
//! ```
//!
//! With `tracing-opentelemetry`, `api_key.id` is an attribute of the exported span. A refused request
//! has none: its key is in the event, which is part of the span.
