//! What the benchmarks share: a request, a service that answers it, and the results.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each benchmark uses some of it, and has to stop if it cannot run"
)]

pub mod by_hand;
pub mod floor;
pub mod idle;
#[path = "../../tests/common/memory.rs"]
pub mod memory;
pub mod rounds;

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::path::PathBuf;
use std::task::{Context, Waker};
use std::{env, fs};

use bytes::Bytes;
use criterion::{BatchSize, Criterion};
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tower::Service;
use tower_api_key::{KeyScheme, MemoryStore, NewKey};

/// How many requests are made at once: so many are in the caches of a processor when they are served.
pub const BATCH: u64 = 64;

/// A store with one key, and the key.
pub fn store() -> (MemoryStore, String) {
    let key = NewKey::named("bench").abilities(["bots:read"]);
    let issued = key.generate(&KeyScheme::default()).unwrap();
    let store = MemoryStore::from_records([issued.record]).unwrap();
    let key = issued.secret.reveal().to_owned();
    assert_eq!(key.len(), 49);
    (store, key)
}

pub fn request<B: Default>(headers: &[(&'static str, &str)]) -> Request<B> {
    let mut request = Request::get("/bots")
        .header("host", "api.example.com")
        .header("accept", "application/json")
        .header("user-agent", "example/1.0 (linux)");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(B::default()).unwrap()
}

pub fn answer(_: Request<Empty<Bytes>>) -> Ready<Result<Response<Empty<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Empty::new())))
}

/// Measures one call of a service that answers at once, and checks what it answers.
pub fn call<S, B, R>(
    criterion: &mut Criterion,
    id: (&str, &str),
    service: S,
    headers: &[(&'static str, &str)],
    status: StatusCode,
) where
    B: Default,
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    call_with(criterion, id, service, || request(headers), status);
}

pub fn call_with<S, B, R>(
    criterion: &mut Criterion,
    (group, id): (&str, &str),
    mut service: S,
    request: impl Fn() -> Request<B>,
    status: StatusCode,
) where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    let mut run = |request| {
        let mut context = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut context).is_ready());
        service.call(request).now_or_never().unwrap().unwrap()
    };
    assert_eq!(run(request()).status(), status, "{id}");
    criterion.benchmark_group(group).bench_function(id, |bencher| {
        bencher.iter_batched(&request, &mut run, BatchSize::NumIterations(BATCH));
    });
}

/// Returns the median of a benchmark in nanoseconds.
pub fn median(id: &str) -> Result<f64, Box<dyn Error>> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let path = target.join("criterion").join(id).join("new/estimates.json");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("{}: {error}; run its bench first", path.display()))?;
    let estimates: serde_json::Value = serde_json::from_str(&text)?;
    Ok(estimates["median"]["point_estimate"].as_f64().ok_or("no median")?)
}
