//! The requests whose instructions `benches/instructions/run` counts.
//!
//! Without an argument, the program prints the names of the scenarios. With a name, it serves
//! requests of that scenario, each within [`measured`], which is where valgrind counts. Nothing in
//! it is random, and each scenario has a process of its own: counts have to be the same tomorrow.

#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a scenario that cannot run has to stop")]

#[path = "../../support/floor.rs"]
mod floor;

use std::convert::Infallible;
use std::env;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Builder;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::{Empty, Full};
use tower::{Layer, Service, service_fn};
use tower_api_key::metrics::Metrics;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, CachedStore, FailureThrottle, KeyDigest, KeyHasher, KeyId, KeyRecord, KeyScheme,
    KeyStore, MemoryStore, NewKey, PeerAddress, RequireAbility, RequireStage, RequireTenant,
    ResponseBody, StoreError, StreamWatch, UsageRecorder,
};

use self::floor::{ByHand, Keys};

/// As many as the key of `benches/request.rs` has.
const KEY: &str = "ak_7Qm2ZsLx0VbT9cRfKd4HgWuYp1NeJi8AaOoBvCtEX3q5nS";
/// Requests after which what is made once has been made, such as the memory of the allocator.
const WARM_UP: usize = 20;
const REQUESTS: usize = 200;

fn main() {
    let wanted = env::args().nth(1);
    // One that is not polled, for the timer of lookups.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let mut gauge = Gauge { wanted, found: false };
    over_tower(&mut gauge);
    whole(&mut gauge);
    refused(&mut gauge);
    over_axum(&mut gauge);
    assert!(gauge.found, "there is no such scenario");
}

fn over_tower(gauge: &mut Gauge) {
    let layer = || ApiKeyLayer::new(store(key()));
    gauge.count("tower/bare", 200, with_key, || service_fn(answer));
    gauge.count("tower/accept_header", 200, with_key, || layer().layer(service_fn(answer)));
    let bearer = || request().header("authorization", format!("Bearer {KEY}"));
    gauge.count("tower/accept_bearer", 200, bearer, || layer().layer(service_fn(answer)));
    // What the layer is compared with: the same steps, written for one application.
    let by_hand = || ByHand::new(service_fn(answer), Keys::of(KEY));
    gauge.count("floor/by_hand", 200, with_key, by_hand);
    gauge.count("floor/by_hand_bearer", 200, bearer, by_hand);
    gauge.count("tower/accept_async_store", 200, with_key, || {
        ApiKeyLayer::new(Remote(store(key()))).layer(service_fn(answer))
    });
    gauge.count("tower/accept_cached", 200, with_key, || {
        ApiKeyLayer::new(CachedStore::new(store(key()))).layer(service_fn(answer))
    });
    gauge.count("tower/accept_metrics", 200, with_key, || {
        layer().observer(Metrics::new()).layer(service_fn(answer))
    });
    gauge.count("tower/accept_usage", 200, with_key, || {
        let usage = UsageRecorder::new(MemoryStore::new());
        layer().observer(usage).layer(service_fn(answer))
    });
    gauge.count("tower/guarded", 200, with_key, || {
        layer().layer(RequireAbility::new("bots:read").layer(service_fn(answer)))
    });

    gauge.count("guard/rate_limit", 200, with_key, || {
        behind(store(key().limit("1000000000 per second")))
    });
    let local = PeerAddress("127.0.0.1:50000".parse().unwrap());
    let from_here = || with_key().extension(local);
    gauge.count("guard/ip", 200, from_here, || {
        behind(store(key().addresses(["192.0.2.0/24", "198.51.100.0/24", "127.0.0.0/8"])))
    });
    let from_shop = || with_key().header("origin", "https://shop.example");
    gauge.count("guard/origin", 200, from_shop, || {
        behind(store(key().origins(["https://a.example", "https://shop.example"])))
    });
    gauge.count("guard/endpoint", 200, with_key, || {
        behind(store(key().endpoints(["GET /v1/users/{id}", "GET /bots"])))
    });
    let far = || with_key().uri("/v1/resource57/1234/parts/5678");
    gauge.count("guard/policy_100_routes", 200, far, || {
        let needed = || Requirement::ability("bots:read");
        let policy = (0..100).fold(AccessPolicy::builder(), |policy, number| {
            policy.allow(&format!("GET /v1/resource{number}/{{id}}/parts/{{part}}"), needed())
        });
        layer().policy(policy.build().unwrap()).layer(service_fn(answer))
    });
}

/// What it costs that the layer watches a response that is whole with its first frame.
fn whole(gauge: &mut Gauge) {
    let layer = |key: NewKey| ApiKeyLayer::new(store(key));
    let by_method = || RequireAbility::by_method("bots");
    let policy = || {
        let policy = AccessPolicy::builder();
        policy.allow("GET /bots", Requirement::ability("bots:read")).build().unwrap()
    };
    for (name, layer) in [
        ("plain", layer(key())),
        ("guarded", layer(key()).guard(by_method())),
        ("policy", layer(key()).policy(policy())),
        ("restricted", layer(key().endpoints(["GET /bots"]))),
    ] {
        let unwatched = layer.clone().streams(StreamWatch::off());
        for (name, layer) in [(name.to_owned(), layer), (format!("{name}_unwatched"), unwatched)] {
            let service = || Read(layer.layer(service_fn(answer_whole)));
            gauge.count(&format!("whole/{name}"), 200, as_served, service);
        }
    }
}

/// Reads what a service answers, as a server does.
struct Read<S>(S);

impl<S, B> Service<Request<Empty<Bytes>>> for Read<S>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        let (head, mut body) = self.0.call(request).now_or_never().unwrap().unwrap().into_parts();
        let mut context = Context::from_waker(Waker::noop());
        while !body.is_end_stream() {
            let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) else {
                break;
            };
            assert!(frame.is_ok());
        }
        ready(Ok(Response::from_parts(head, ())))
    }
}

fn answer_whole(_: Request<Empty<Bytes>>) -> Ready<Result<Response<Full<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Full::new(Bytes::from_static(b"[]")))))
}

fn refused(gauge: &mut Gauge) {
    let layer = || ApiKeyLayer::new(store(key()));
    let plain = || behind(store(key()));
    let wrong = || request().header("x-api-key", "not a key");
    gauge.count("reject/missing", 401, request, plain);
    gauge.count("reject/malformed", 401, wrong, plain);
    gauge.count("reject/unknown", 401, with_unknown_key, plain);
    let twice = || with_key().header("authorization", format!("Bearer {KEY}"));
    gauge.count("reject/ambiguous", 400, twice, plain);
    gauge.count("reject/disabled", 401, with_key, || {
        behind(changed(key(), |record| record.set_disabled(true)))
    });
    gauge.count("reject/revoked", 401, with_key, || {
        behind(changed(key(), |record| record.set_revoked_at(Some(SystemTime::now()))))
    });
    gauge.count("reject/expired", 401, with_key, || {
        behind(store(key().expires_at(SystemTime::UNIX_EPOCH)))
    });
    gauge.count("reject/unavailable", 503, with_key, || behind(Down));
    gauge.count("reject/wrong_stage", 403, with_key, || {
        layer().guard(RequireStage::fixed("prod")).layer(service_fn(answer))
    });
    gauge.count("reject/wrong_tenant", 403, with_key, || {
        layer().guard(RequireTenant::in_path_segment(0)).layer(service_fn(answer))
    });
    gauge.count("reject/missing_ability", 403, with_key, || {
        layer().layer(RequireAbility::new("bots:write").layer(service_fn(answer)))
    });
    gauge.count("reject/not_allowed", 403, with_key, || {
        behind(store(key().endpoints(["GET /other"])))
    });
    gauge.count("reject/rate_limited", 429, with_key, || {
        behind(store(key().limit("1 per 9 hours")))
    });
    let local = PeerAddress("127.0.0.1:50000".parse().unwrap());
    let guess = || wrong().extension(local);
    gauge.count("reject/throttled", 429, guess, || {
        layer().failure_throttle(FailureThrottle::new("1 per 9 hours")).layer(service_fn(answer))
    });
    gauge.count("reject/missing_layer", 500, with_key, || {
        RequireAbility::new("bots:read").layer(service_fn(answer))
    });
    let grpc = || {
        let call = request().method("POST").version(Version::HTTP_2).header("te", "trailers");
        call.header("content-type", "application/grpc")
    };
    // Whose status is in `grpc-status`.
    gauge.count("reject/grpc_missing", 200, grpc, plain);
}

fn over_axum(gauge: &mut Gauge) {
    let bare = || Router::new().route("/bots", get(|| async { StatusCode::OK }));
    let layered = || bare().layer(ApiKeyLayer::new(store(key())));
    gauge.count::<Body, _, _>("axum/bare", 200, with_key, bare);
    gauge.count::<Body, _, _>("axum/accept", 200, with_key, layered);
    gauge.count::<Body, _, _>("axum/reject_missing", 401, request, layered);
    gauge.count::<Body, _, _>("axum/reject_unknown", 401, with_unknown_key, layered);
    gauge.count::<Body, _, _>("axum/reject_missing_ability", 403, with_key, || {
        let guarded = get(|| async { StatusCode::OK }).layer(RequireAbility::new("bots:write"));
        Router::new().route("/bots", guarded).layer(ApiKeyLayer::new(store(key())))
    });
}

/// Runs the scenario that is wanted, or prints the names of all.
struct Gauge {
    wanted: Option<String>,
    found: bool,
}

impl Gauge {
    fn count<B, R, S>(
        &mut self,
        name: &str,
        status: u16,
        request: impl Fn() -> Builder,
        service: impl FnOnce() -> S,
    ) where
        B: Default,
        S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
    {
        let Some(wanted) = &self.wanted else {
            self.found = true;
            return println!("{name}");
        };
        if wanted != name {
            return;
        }
        self.found = true;
        let mut service = service();
        let requests = || request().body(B::default()).unwrap();
        // What comes first may be let through, and what comes then refused.
        (0..WARM_UP).for_each(|_| drop(serve(&mut service, requests())));
        for _ in 0..REQUESTS {
            let (mut request, mut answered) = (Some(requests()), None);
            measured(&mut || {
                let response = serve(&mut service, request.take().unwrap());
                // Its end is part of what a request costs.
                answered = Some(response.status());
            });
            assert_eq!(answered.unwrap(), status, "{name}");
        }
        println!("{REQUESTS}");
    }
}

/// Has to be a function in the program: valgrind counts while it runs.
#[inline(never)]
fn measured(serve: &mut dyn FnMut()) {
    serve();
    // So that the call above is not the last thing, which would make it a jump.
    black_box(());
}

fn serve<B, R, S>(service: &mut S, request: Request<B>) -> Response<R>
where
    S: Service<Request<B>, Response = Response<R>, Error = Infallible>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut context).is_ready());
    service.call(request).now_or_never().unwrap().unwrap()
}

fn request() -> Builder {
    Request::get("/bots")
        .header("host", "api.example.com")
        .header("accept", "application/json")
        .header("user-agent", "example/1.0 (linux)")
}

fn with_key() -> Builder {
    request().header("x-api-key", KEY)
}

/// As servers make it: the path is a part of what they have read, which many may share.
fn as_served() -> Builder {
    let line = Bytes::copy_from_slice(b"GET /bots");
    with_key().uri(Uri::from_maybe_shared(line.slice(4..)).unwrap())
}

fn with_unknown_key() -> Builder {
    request().header("x-api-key", KEY.to_ascii_uppercase())
}

fn answer(_: Request<Empty<Bytes>>) -> Ready<Result<Response<Empty<Bytes>>, Infallible>> {
    ready(Ok(Response::new(Empty::new())))
}

type Layered = Response<ResponseBody<Empty<Bytes>>>;

fn behind(
    store: impl KeyStore + 'static,
) -> impl Service<Request<Empty<Bytes>>, Response = Layered, Error = Infallible> {
    ApiKeyLayer::new(store).layer(service_fn(answer))
}

fn key() -> NewKey {
    NewKey::named("bench").tenant("acme").abilities(["bots:read"])
}

fn id() -> KeyId {
    "key_1".parse().unwrap()
}

/// A store with such a key alone, whose text is [`KEY`].
fn store(key: NewKey) -> MemoryStore {
    changed(key, |_| {})
}

/// Such a store, whose record was changed.
fn changed(key: NewKey, change: impl FnOnce(&mut KeyRecord)) -> MemoryStore {
    let hasher = KeyHasher::sha256();
    let issued = key.generate(&KeyScheme::default()).unwrap().record;
    let mut record = KeyRecord::new(id(), hasher.digest(KEY), issued.name(), issued.created_at());
    record.set_hint(issued.hint().clone());
    record.set_tenant(issued.tenant().cloned());
    record.set_abilities(issued.abilities().clone());
    record.set_stage(issued.stage().cloned());
    record.set_kind(issued.kind());
    record.set_expires_at(issued.expires_at());
    record.set_limits(issued.limits().clone());
    record.set_restrictions(issued.restrictions().clone());
    record.set_metadata(issued.metadata().clone());
    change(&mut record);
    MemoryStore::from_records([record]).unwrap()
}

/// A memory store that does not say that it is one.
struct Remote(MemoryStore);

#[async_trait]
impl KeyStore for Remote {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.0.find(digest).await
    }
}

/// A store that is known to be down.
struct Down;

#[async_trait]
impl KeyStore for Down {
    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        Err(StoreError::new("down"))
    }
}
