//! Monitoring: metrics for Prometheus, a dashboard, alerts, and the id of the key in the span of each
//! request.
//!
//! ```sh
//! cargo run -p tower-api-key-examples --example observe
//! ```
//!
//! It prints two keys; `$READER` and `$LIMITED` stand for them:
//!
//! ```sh
//! curl -H "x-api-key: $READER" http://127.0.0.1:3000/reports   # accepted
//! curl -H "x-api-key: $LIMITED" http://127.0.0.1:3000/reports  # accepted, and refused the second time
//! curl -H "x-api-key: guessed" http://127.0.0.1:3000/reports   # refused
//! curl http://127.0.0.1:3000/metrics                           # the metrics, updated each second
//! ```
//!
//! Spans are written to standard error. The keys are in SQLite; with `DATABASE_URL` they are in PostgreSQL, in
//! tables whose names begin with `observe_`, with the metrics of its pool and of the notifications.
//!
//! In `examples/observe`, `prometheus.yml` scrapes this server and loads the rules of `alerts.yml`:
//!
//! ```sh
//! promtool test rules alerts_test.yml
//! prometheus --config.file=prometheus.yml
//! ```
//!
//! `dashboard.json` is for Grafana: Dashboards, New, Import.

#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Request;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tower_api_key::metrics::{DURATION_BUCKETS, Watched};
use tower_api_key::store::CachedStore;
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, KeyManager, KeyRepository, KeyStore, MemoryRateLimiter, Metrics,
    NewKey, PostgresStore, RequestHead, RequireAbility, SqliteStore, UsageRecorder, VerifiedKey,
    store,
};
use tower_http::trace::TraceLayer;

#[tokio::main]
async fn main() -> support::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .init();
    match std::env::var("DATABASE_URL") {
        Ok(url) => {
            let keys = PostgresStore::connect(&url).table_prefix("observe_").await?;
            let cache = CachedStore::builder(keys.clone()).invalidated_by(keys.invalidations());
            serve(keys, cache.build()).await
        }
        Err(_) => {
            let keys = SqliteStore::in_memory().await?;
            serve(keys.clone(), CachedStore::new(keys)).await
        }
    }
}

async fn serve<S>(keys: S, cache: CachedStore<S>) -> support::Result<()>
where
    S: KeyStore + KeyRepository + store::UsageStore + Watched + Clone + 'static,
{
    // Any recorder of the facade works. This one renders the format of Prometheus.
    let durations = Matcher::Suffix("_duration_seconds".to_owned());
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(durations, &DURATION_BUCKETS)?
        .install_recorder()?;

    let metrics = Metrics::new();
    let manager = KeyManager::new(cache.clone()).audit(metrics.clone());
    let reader = NewKey::named("reader").tenant("acme").abilities(["reports:read"]);
    support::print_key("reader", &manager.issue(reader).await?);
    let limited = NewKey::named("limited").abilities(["reports:read"]).limit("1 per hour");
    support::print_key("limited", &manager.issue(limited).await?);

    let (limiter, throttle) = (MemoryRateLimiter::new(), FailureThrottle::new("20 per minute"));
    let usage = UsageRecorder::new(keys.clone());
    let layer = ApiKeyLayer::new(cache.clone())
        .rate_limiter(limiter.clone())
        .failure_throttle(throttle.clone())
        .observer(metrics.clone())
        .observer(usage.clone())
        .observer(|key: &VerifiedKey, _: &RequestHead<'_>| {
            tracing::Span::current().record("api_key.id", key.id().as_str());
        });
    metrics.watch(&keys);
    metrics.watch(&cache);
    metrics.watch(&limiter);
    metrics.watch(&throttle);
    metrics.watch(&usage);
    metrics.watch(&layer);
    tokio::spawn(metrics.run());

    let upkeep = prometheus.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            upkeep.run_upkeep();
        }
    });
    let span = |request: &Request<_>| {
        let method = request.method();
        tracing::info_span!("request", %method, api_key.id = tracing::field::Empty)
    };
    let app = Router::new()
        .route("/reports", get(async || "the reports").layer(RequireAbility::new("reports:read")))
        .layer(layer)
        .layer(TraceLayer::new_for_http().make_span_with(span))
        // Without a key: on a real server, use an address that only Prometheus reaches.
        .route("/metrics", get(async move || prometheus.render()));
    support::serve(app).await?;
    Ok(usage.shutdown().await?)
}
