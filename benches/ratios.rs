//! Compares the layer with what is written by hand, side by side, and prints the ratios of the last run of
//! `cargo bench -p tower-api-key-benches --bench request`, and what streams that are open need.
//!
//! `cargo bench -p tower-api-key-benches --bench ratios -- by-hand` compares alone, and with `parts` it measures
//! what a cache, the usage of keys and metrics add to a request.

mod support;

use std::error::Error;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::Empty;
use tower::{Layer as _, service_fn};
use tower_api_key::store::CachedStore;
use tower_api_key::{ApiKeyLayer, MemoryStore, Metrics, UsageRecorder};

use self::support::floor::{ByHand, Keys};
use self::support::rounds::{Batch, batch, medians};
use self::support::{answer, by_hand, idle, median, store};

/// How many streams are open.
const STREAMS: usize = 50_000;

/// Measures what is accepted, and the same by hand, in one run.
fn compare_with_hand_written() {
    let (store, key) = store();
    let layer = ApiKeyLayer::new(store);
    let header = &[("x-api-key", &*key)][..];
    let bearer = format!("Bearer {key}");
    let bearer = &[("authorization", &*bearer)][..];
    let service = layer.layer(service_fn(answer));
    let floor = ByHand::new(service_fn(answer), Keys::of(&key));
    let over_tower: [Batch<'_>; 6] = [
        batch::<_, Empty<Bytes>, _>(service_fn(answer), header),
        batch(service.clone(), header),
        batch(floor.clone(), header),
        batch::<_, Empty<Bytes>, _>(service_fn(answer), bearer),
        batch(service, bearer),
        batch(floor, bearer),
    ];
    let [bare, accept, by_hand, bare_bearer, accept_bearer, by_hand_bearer] = medians(over_tower);

    let router = || Router::new().route("/bots", get(|| async { StatusCode::OK }));
    let [axum_bare, axum_accept, axum_by_hand] = medians([
        batch::<_, Body, _>(router(), header),
        batch::<_, Body, _>(router().layer(layer), header),
        batch::<_, Body, _>(by_hand::protect(router(), &key), header),
    ]);
    println!("{:<28} {:>10} {:>10} {:>10}", "nanoseconds", "bare", "layer", "by hand");
    for (what, [bare, layer, by_hand], goal) in [
        ("x-api-key", [bare, accept, by_hand], 1.2),
        ("bearer", [bare_bearer, accept_bearer, by_hand_bearer], 1.2),
        ("axum, and from_fn", [axum_bare, axum_accept, axum_by_hand], 0.7),
    ] {
        let ratio = (layer - bare) / (by_hand - bare);
        let verdict = if ratio <= goal { "reached" } else { "missed" };
        println!("{what:<28} {bare:>10.0} {layer:>10.0} {by_hand:>10.0}");
        println!("  over bare, by the same by hand {ratio:>21.2} (at most {goal:.2}: {verdict})");
    }
    println!();
}

/// Measures what an accepted request costs more with a part of the crate, in one run.
fn compare_parts() {
    let (store, key) = store();
    let header = &[("x-api-key", &*key)][..];
    let layer = ApiKeyLayer::new(store.clone());
    let cached = ApiKeyLayer::new(CachedStore::new(store));
    let usage = UsageRecorder::new(MemoryStore::new());
    let parts: [(&str, f64, ApiKeyLayer); 3] = [
        ("a hit in a cache, over one in memory", 20.0, cached),
        ("the usage of each key", 40.0, layer.clone().observer(usage)),
        ("metrics", 60.0, layer.clone().observer(Metrics::new())),
    ];
    let with = |part: usize| {
        let service = parts[part].2.layer(service_fn(answer));
        batch::<_, Empty<Bytes>, _>(service, header)
    };
    let plain = batch::<_, Empty<Bytes>, _>(layer.layer(service_fn(answer)), header);
    let [plain, times @ ..] = medians([plain, with(0), with(1), with(2)]);
    for ((what, goal, _), time) in parts.iter().zip(times) {
        let cost = time - plain;
        let verdict = if cost <= *goal { "reached" } else { "missed" };
        println!("{what:<44} adds {cost:>4.0} ns (at most {goal:.0}: {verdict})");
    }
    println!();
}

fn main() -> Result<(), Box<dyn Error>> {
    // For the tasks of a recorder and a cache, and the timer of lookups.
    let runtime = tokio::runtime::Runtime::new()?;
    let _entered = runtime.enter();
    let is_asked = |part| std::env::args().any(|argument| argument == part);
    if !is_asked("parts") {
        compare_with_hand_written();
    }
    if !is_asked("by-hand") {
        compare_parts();
    }
    if is_asked("by-hand") || is_asked("parts") {
        return Ok(());
    }
    println!("{:<28} {:>10}", "benchmark", "median");
    for id in [
        "floor/sha256_49B",
        "floor/extension_insert",
        "floor/by_hand",
        "floor/by_hand_bearer",
        "tower/bare",
        "tower/accept_header",
        "tower/accept_bearer",
        "tower/accept_async_store",
        "tower/guarded",
        "tower/reject_missing",
        "tower/reject_malformed",
        "tower/reject_unknown",
        "guard/none",
        "guard/rate_limit",
        "guard/ip",
        "guard/origin",
        "guard/endpoint",
        "guard/policy_100_routes",
        "axum/bare",
        "axum/accept",
        "axum/hand_rolled",
        "peer/tower_http_static",
        "store/memory_1",
        "store/memory_1k",
        "store/memory_1m",
        "limiter/1m_keys",
        "stream/bare_frame",
        "stream/watched_frame",
    ] {
        println!("{id:<28} {:>7.0} ns", median(id)?);
    }
    let floor = median("floor/sha256_49B")? + median("floor/extension_insert")?;
    let accept = median("tower/accept_header")?;
    let dearest = ["missing", "malformed", "unknown"]
        .map(|kind| median(&format!("tower/reject_{kind}")))
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .fold(0.0, f64::max);
    println!();
    for (what, ratio, goal) in [
        ("guard over accept, by sha256 + insert", (median("tower/guarded")? - accept) / floor, 0.6),
        ("dearest rejection, by accept", dearest / accept, 1.0),
    ] {
        let verdict = if ratio <= goal { "reached" } else { "missed" };
        println!("{what:<48} {ratio:>5.2} (at most {goal:.2}: {verdict})");
    }
    println!();
    let plain = median("guard/none")?;
    for (id, goal) in [
        ("guard/rate_limit", 100.0),
        ("guard/ip", 100.0),
        ("guard/origin", 100.0),
        ("guard/endpoint", 100.0),
        ("guard/policy_100_routes", 250.0),
    ] {
        let cost = median(id)? - plain;
        let verdict = if cost <= goal { "reached" } else { "missed" };
        println!("{id:<44} adds {cost:>4.0} ns (at most {goal:.0}: {verdict})");
    }
    println!();
    let (frame, goal) = (median("stream/watched_frame")? - median("stream/bare_frame")?, 15.0);
    let verdict = if frame <= goal { "reached" } else { "missed" };
    println!("{:<44} adds {frame:>4.1} ns (at most {goal:.0}: {verdict})", "stream/watched_frame");
    let (bytes, goal) = (idle::bytes_of_each(STREAMS), 200);
    let verdict = if bytes <= goal { "reached" } else { "missed" };
    println!("each of {STREAMS} idle streams takes {bytes} bytes (at most {goal}: {verdict})");
    Ok(())
}
