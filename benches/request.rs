//! What a request costs with the layer, next to what it costs without.
//!
//! `cargo bench -p tower-api-key-benches --bench request --bench ratios` prints the ratios of one run.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

mod support;

use std::convert::Infallible;
use std::future::ready;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use sha2::{Digest as _, Sha256};
use tower::{Layer, ServiceBuilder, ServiceExt as _, service_fn};
use tower_api_key::metrics::Metrics;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyHasher, KeyId, KeyRecord, KeyScheme, KeyStore, MemoryRateLimiter,
    MemoryStore, NewKey, PeerAddress, RateLimiter, RequireAbility, StoreError, UsageRecorder,
};
use tower_http::validate_request::ValidateRequestHeaderLayer;

use self::support::floor::{ByHand, Keys};
use self::support::memory::MemoryKeys as _;
use self::support::{BATCH, answer, by_hand, call, call_with, request, store};

/// A memory store that does not say that it is one.
struct AsyncStore(MemoryStore);

#[async_trait]
impl KeyStore for AsyncStore {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.find(digest).await
    }
}

fn floor(criterion: &mut Criterion) {
    let (_, key) = store();
    let mut group = criterion.benchmark_group("floor");
    group.bench_function("sha256_49B", |bencher| {
        bencher.iter(|| Sha256::digest(black_box(key.as_bytes())));
    });
    let value = Arc::new(key);
    group.bench_function("extension_insert", |bencher| {
        bencher.iter_batched(
            || request::<Empty<Bytes>>(&[("x-api-key", &value)]),
            |mut request| {
                request.extensions_mut().insert(Arc::clone(&value));
                request
            },
            BatchSize::NumIterations(BATCH),
        );
    });
}

fn tower(criterion: &mut Criterion) {
    let (store, key) = store();
    let layer = ApiKeyLayer::new(store.clone());
    let service = layer.layer(service_fn(answer));
    let header = [("x-api-key", key.as_str())];
    let bearer = format!("Bearer {key}");
    let bearer = [("authorization", bearer.as_str())];
    let floor = ByHand::new(service_fn(answer), Keys::of(&key));
    call(criterion, ("floor", "by_hand"), floor.clone(), &header, StatusCode::OK);
    call(criterion, ("floor", "by_hand_bearer"), floor, &bearer, StatusCode::OK);
    let mut other = key[..48].to_owned();
    other.push(if key.ends_with('0') { '1' } else { '0' });

    call(criterion, ("tower", "bare"), service_fn(answer), &header, StatusCode::OK);
    call(criterion, ("tower", "accept_header"), service.clone(), &header, StatusCode::OK);
    call(criterion, ("tower", "accept_bearer"), service.clone(), &bearer, StatusCode::OK);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let entered = runtime.enter();
    let waiting = ApiKeyLayer::new(AsyncStore(store.clone())).layer(service_fn(answer));
    call(criterion, ("tower", "accept_async_store"), waiting, &header, StatusCode::OK);
    let usage = UsageRecorder::new(store.clone());
    let used = layer.clone().observer(usage).layer(service_fn(answer));
    call(criterion, ("tower", "accept_usage"), used, &header, StatusCode::OK);
    drop(entered);
    let counted = layer.clone().observer(Metrics::new()).layer(service_fn(answer));
    call(criterion, ("tower", "accept_metrics"), counted, &header, StatusCode::OK);
    let guarded = layer.layer(RequireAbility::new("bots:read").layer(service_fn(answer)));
    call(criterion, ("tower", "guarded"), guarded, &header, StatusCode::OK);

    let refused = StatusCode::UNAUTHORIZED;
    call(criterion, ("tower", "reject_missing"), service.clone(), &[], refused);
    let malformed = [("x-api-key", "not a key")];
    call(criterion, ("tower", "reject_malformed"), service.clone(), &malformed, refused);
    let unknown = [("x-api-key", other.as_str())];
    call(criterion, ("tower", "reject_unknown"), service, &unknown, refused);
}

/// Measures what restrictions and limits add to a request that is accepted.
fn guard(criterion: &mut Criterion) {
    let keys = MemoryStore::new();
    let key = || NewKey::named("bench").abilities(["bots:read"]);
    let networks = ["192.0.2.0/24", "198.51.100.0/24", "127.0.0.0/8"];
    let hundred = (0..100).fold(AccessPolicy::builder(), |policy, number| {
        let needed = Requirement::ability("bots:read");
        policy.allow(&format!("GET /v1/resource{number}/{{id}}/parts/{{part}}"), needed)
    });
    let hundred = hundred.build().unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    for (id, key, layer) in [
        ("none", key(), layer.clone()),
        ("rate_limit", key().limit("1000000000 per second"), layer.clone()),
        ("ip", key().addresses(networks), layer.clone()),
        ("origin", key().origins(["https://a.example", "https://shop.example"]), layer.clone()),
        ("endpoint", key().endpoints(["GET /v1/users/{id}", "GET /bots"]), layer.clone()),
        ("policy_100_routes", key(), layer.clone().policy(hundred)),
    ] {
        let key = keys.issue(key).unwrap().secret.reveal().to_owned();
        let service = layer.layer(service_fn(answer));
        let request = || {
            let headers = [("x-api-key", &*key), ("origin", "https://shop.example")];
            let mut request = request::<Empty<Bytes>>(&headers);
            request.extensions_mut().insert(PeerAddress("127.0.0.1:50000".parse().unwrap()));
            if id == "policy_100_routes" {
                *request.uri_mut() = Uri::from_static("/v1/resource42/7/parts/9");
            }
            request
        };
        call_with(criterion, ("guard", id), service, request, StatusCode::OK);
    }
}

/// Measures the limiter alone, with a million keys that have a limit.
fn limiter(criterion: &mut Criterion) {
    let limiter = MemoryRateLimiter::new();
    // A long time, so that no key is forgotten in between.
    let limited = NewKey::named("bench").limit("1000000 per 366 days");
    let keys: Vec<_> = (0..1_000_000)
        .map(|_| limited.clone().generate(&KeyScheme::default()).unwrap().record)
        .collect();
    for key in &keys {
        assert!(limiter.reserve_now(key, 1).answer().is_some());
    }
    let mut asked = keys.iter().cycle();
    criterion.benchmark_group("limiter").bench_function("1m_keys", |bencher| {
        bencher.iter(|| limiter.reserve_now(asked.next().unwrap(), 1));
    });
}

fn axum(criterion: &mut Criterion) {
    let (store, key) = store();
    let header = [("x-api-key", key.as_str())];
    let bare = || Router::new().route("/bots", get(|| async { StatusCode::OK }));
    let by_hand = by_hand::protect(bare(), &key);
    let layered = bare().layer(ApiKeyLayer::new(store));

    call::<_, Body, _>(criterion, ("axum", "bare"), bare(), &header, StatusCode::OK);
    call::<_, Body, _>(criterion, ("axum", "accept"), layered, &header, StatusCode::OK);
    call::<_, Body, _>(criterion, ("axum", "hand_rolled"), by_hand, &header, StatusCode::OK);
}

fn peer(criterion: &mut Criterion) {
    let (_, key) = store();
    let checks = ValidateRequestHeaderLayer::has_header_value("x-api-key", &key).unwrap();
    let service = ServiceBuilder::new().layer(checks).service_fn(|_: Request<Empty<Bytes>>| {
        ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let header = [("x-api-key", key.as_str())];
    call(criterion, ("peer", "tower_http_static"), service, &header, StatusCode::OK);
}

fn memory(criterion: &mut Criterion) {
    for (id, count) in [("memory_1", 1), ("memory_1k", 1_000), ("memory_1m", 1_000_000)] {
        let store = MemoryStore::new();
        let hasher = KeyHasher::sha256();
        // Digests are random, so their order is no order in memory.
        let digests: Vec<_> = (0..count)
            .map(|number| {
                let digest = hasher.digest(&number.to_string());
                store.insert(KeyRecord::new(
                    KeyId::generate().unwrap(),
                    digest,
                    "bench",
                    SystemTime::now(),
                ));
                digest
            })
            .collect();
        let mut asked = digests.iter().cycle();
        criterion.benchmark_group("store").bench_function(id, |bencher| {
            bencher.iter(|| store.find_now(asked.next().unwrap()));
        });
    }
}

/// One frame of a body that never waits, with and without a layer that watches it.
fn stream(criterion: &mut Criterion) {
    let frames = || {
        let frame = || Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"frame")));
        StreamBody::new(futures_util::stream::repeat_with(frame))
    };
    let (store, key) = store();
    let layer = ApiKeyLayer::new(store);
    let answer =
        move |_: Request<Empty<Bytes>>| ready(Ok::<_, Infallible>(Response::new(frames())));
    let service = layer.layer(service_fn(answer));
    let request = request(&[("x-api-key", &key)]);
    let watched = service.oneshot(request).now_or_never().unwrap().unwrap().into_body();
    frame(criterion, "bare_frame", frames());
    frame(criterion, "watched_frame", watched);
}

fn frame(criterion: &mut Criterion, id: &str, body: impl http_body::Body<Data = Bytes>) {
    let mut body = Box::pin(body);
    let mut context = Context::from_waker(Waker::noop());
    let mut next = || body.as_mut().poll_frame(&mut context);
    for _ in 0..3 {
        assert!(matches!(next(), Poll::Ready(Some(Ok(_)))));
    }
    criterion.benchmark_group("stream").bench_function(id, |bencher| {
        bencher.iter(|| black_box(next().is_ready()));
    });
}

criterion_group!(benches, floor, tower, guard, axum, peer, memory, limiter, stream);
criterion_main!(benches);
