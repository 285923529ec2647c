//! What a request costs, counted in allocations.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "tests")]

mod common;

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use allocation_counter::measure;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::{CACHE_CONTROL, VARY};
use http::{Extensions, HeaderValue, Request, Response, Uri};
use http_body_util::{Empty, Full};
use tower::{Layer, Service, service_fn};
use tower_api_key::guard::Guard;
use tower_api_key::metrics::Metrics;
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    Alphabet, ApiKeyLayer, CachedStore, Checksum, GuardLayer, KeyDigest, KeyFormat, KeyHasher,
    KeyRecord, KeyScheme, KeyStore, MemoryRateLimiter, MemoryStore, NewKey, RateLimiter, Rejection,
    RequestHead, RequireAbility, RequireStage, RequireTenant, ResponseFuture, StoreError,
    StreamWatch, UsageRecorder, VerifiedKey,
};

use self::common::{CountingStore, OddStore};

use common::MemoryKeys as _;

const HEADER: &str = "x-api-key";
const BEARER: &str = "authorization";

/// Counts what `run` allocates the second time: the first may set up what a thread keeps.
fn count(mut run: impl FnMut()) -> u64 {
    run();
    measure(run).count_total
}

/// Counts the allocations from a request to its answer, without those for the request, once the thread
/// keeps what it is asked for again.
fn count_call<L, S, B>(layer: &L, credential: (&'static str, &str), status: u16) -> u64
where
    L: Layer<Inner, Service = S>,
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let [.., last] = count_calls(layer, credential, status);
    last
}

/// Counts as [`count_call`] does, for the first requests of a thread.
fn count_calls<L, S, B>(layer: &L, (name, value): (&'static str, &str), status: u16) -> [u64; 4]
where
    L: Layer<Inner, Service = S>,
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = Infallible>,
{
    let mut service = layer.layer(service_fn(inner as fn(Request<Empty<Bytes>>) -> Answered));
    // As servers make it: a part of what they have read, which many may share.
    let line = Bytes::copy_from_slice(b"GET /prod/acme");
    let uri = || Uri::from_maybe_shared(line.slice(4..)).unwrap();
    let request = || Request::get(uri()).header(name, value).body(Empty::new()).unwrap();
    [(); 4].map(|()| {
        let mut request = Some(request());
        let mut call = || {
            let answer = service.call(request.take().unwrap()).now_or_never();
            assert_eq!(answer.unwrap().unwrap().status(), status);
        };
        measure(&mut call).count_total
    })
}

type Answered = std::future::Ready<Result<Response<()>, Infallible>>;
type Inner = tower::util::ServiceFn<fn(Request<Empty<Bytes>>) -> Answered>;

/// Answers 200 if there is a verified key, and allocates nothing.
fn inner(request: Request<Empty<Bytes>>) -> Answered {
    let mut response = Response::new(());
    if request.into_parts().0.extensions.get::<VerifiedKey>().is_none() {
        *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
    }
    std::future::ready(Ok(response))
}

/// What no middleware can do without that tells the handler something.
fn one_insert() -> u64 {
    let value = Arc::new(0_u8);
    count(|| {
        let mut request = Request::new(Empty::<Bytes>::new());
        request.extensions_mut().insert(Arc::clone(&value));
        black_box(request);
    })
}

/// What telling caches costs for whom a response is: two fields of a response.
fn two_fields() -> u64 {
    let [private, keys] = ["private", "x-api-key, authorization"].map(HeaderValue::from_static);
    count(|| {
        let mut response = Response::new(());
        response.headers_mut().insert(CACHE_CONTROL, private.clone());
        response.headers_mut().insert(VARY, keys.clone());
        black_box(response);
    })
}

#[test]
fn the_counter_counts() {
    assert_eq!(count(|| drop(black_box(Box::new(1_u8)))), 1);
    assert_eq!(count(|| drop(black_box(Extensions::new()))), 0);
    assert!((1..10).contains(&one_insert()), "{}", one_insert());
}

fn new_key() -> NewKey {
    let key = NewKey::named("counted").stage("prod").tenant("acme");
    key.abilities(["bots:read"]).expires_at(SystemTime::now() + Duration::from_secs(3600))
}

#[test]
fn accepting_a_key_allocates_no_more_than_one_insert() {
    let keys = MemoryStore::new();
    let key = keys.issue(new_key()).unwrap().secret;
    let layer = ApiKeyLayer::new(keys);
    let guards = RequireStage::in_path_segment(0).and(RequireAbility::by_method("bots"));
    let guarded = layer.clone().guard(guards).guard(RequireTenant::in_path_segment(1));
    for layer in [
        layer.clone(),
        layer.clone().optional().forward_preflight(),
        layer.clone().keep_credential(),
        // What guards judged is kept until the response ends, where the last request kept its own.
        guarded.clone(),
        guarded.streams(StreamWatch::new().ignore_reductions()),
    ] {
        let bearer = format!("Bearer {}", key.reveal());
        for credential in [(HEADER, key.reveal()), (BEARER, &*bearer)] {
            let count = count_call(&layer, credential, 200);
            assert!(count <= one_insert() + two_fields(), "{count} by {layer:?}");
        }
        let count = count_call(&layer.without_cache_headers(), (HEADER, key.reveal()), 200);
        assert!(count <= one_insert(), "{count}");
    }
}

/// Each thread keeps keys, which is what its first two requests with a key allocate for.
#[test]
fn a_thread_allocates_for_what_it_keeps_and_then_no_more() {
    let keys = MemoryStore::new();
    let [key, other] = [(); 2].map(|()| keys.issue(new_key()).unwrap().secret);
    let layer = ApiKeyLayer::new(keys);
    // What else a thread sets up.
    count_call(&ApiKeyLayer::new(MemoryStore::new()), (HEADER, key.reveal()), 401);
    let calls = |key: &str| {
        let least = one_insert() + two_fields();
        count_calls(&layer, (HEADER, key), 200).map(|count| count - least)
    };
    // The room for all keys and the first one, which is not kept; that one; nothing.
    assert_eq!(calls(key.reveal()), [3, 1, 0, 0]);
    assert_eq!(calls(other.reveal()), [1, 1, 0, 0]);
}

/// It is moved several times before it is polled.
#[test]
fn the_future_of_a_request_is_little_larger_than_that_of_the_service() {
    type Boxed = tower::util::BoxCloneService<Request<Empty<Bytes>>, Response<()>, Infallible>;
    let size = size_of::<ResponseFuture<Inner, Empty<Bytes>>>();
    assert!(size <= size_of::<Answered>() + 64, "{size}");
    // With room for a refusal, which is as large as a response and a body.
    let size = size_of::<ResponseFuture<Boxed, Empty<Bytes>>>();
    assert!(size <= size_of::<Response<Full<Bytes>>>() + 16, "{size}");
}

/// Two fields more, the text of one of them, and what is given back if a guard within refuses.
#[test]
fn a_key_with_a_limit_allocates_for_what_is_told_of_it() {
    let keys = MemoryStore::new();
    let key = keys.issue(new_key().limit("1000000 per second")).unwrap().secret;
    let count = count_call(&ApiKeyLayer::new(keys), (HEADER, key.reveal()), 200);
    assert_eq!(count, one_insert() + two_fields() + 2);
}

#[test]
fn accepting_a_key_allocates_no_more_with_formats_and_peppers() {
    let pepper = b"a pepper of thirty-two bytes ...";
    for checksum in [Checksum::none(), Checksum::crc32(), Checksum::keyed(pepper)] {
        for hasher in [KeyHasher::sha256(), KeyHasher::hmac_sha256(pepper)] {
            let format = KeyFormat::new("sk_").checksum(checksum.clone()).stage("prod");
            let other = KeyFormat::new("pk_").body(Alphabet::Hex, 40);
            let scheme = KeyScheme::new([other, format.clone()]).hasher(hasher);
            let keys = MemoryStore::new();
            let key = keys.issue_by(&scheme, new_key().format(&format)).unwrap().secret;
            let layer = ApiKeyLayer::new(keys).scheme(scheme);
            let layer = layer.without_cache_headers();
            let count = count_call(&layer, (HEADER, key.reveal()), 200);
            assert!(count <= one_insert(), "{count} by {layer:?}");
        }
    }
}

#[test]
fn a_guard_on_a_route_allocates_nothing_for_a_key_that_it_lets_pass() {
    let keys = MemoryStore::new();
    let key = keys.issue(new_key()).unwrap().secret;
    let any = |_: &VerifiedKey, _: &RequestHead<'_>| Ok::<_, Rejection>(());
    let guard = GuardLayer::new(RequireAbility::any_of(["bots:write", "bots:read"]).and(any));
    let layers = (ApiKeyLayer::new(keys).without_cache_headers(), guard);
    assert!(count_call(&layers, (HEADER, key.reveal()), 200) <= one_insert());
}

/// What an idle stream that waits for its next frame takes, beside what it takes without a layer.
#[test]
fn an_idle_stream_that_is_watched_takes_at_most_200_bytes() {
    const STREAMS: usize = 50_000;
    const KEYS: usize = 1000;

    fn silent(
        _: Request<Empty<Bytes>>,
    ) -> std::future::Ready<Result<Response<Silent>, Infallible>> {
        std::future::ready(Ok(Response::new(Silent)))
    }

    /// Has the size of a box, such as the body of axum has.
    struct Silent;

    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    let store = MemoryStore::new();
    let issue = |_| store.issue(new_key()).unwrap().secret.reveal().to_owned();
    let keys: Vec<_> = (0..KEYS).map(issue).collect();
    let layer = ApiKeyLayer::new(store.clone());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut open = |number: usize| {
        let service = layer.layer(service_fn(silent));
        let request = Request::get("/events").header(HEADER, &keys[number % KEYS]);
        let request = request.body(Empty::new()).unwrap();
        let body = tower::ServiceExt::oneshot(service, request).now_or_never().unwrap().unwrap();
        // As a connection holds it: not in an allocation of its own.
        let mut body = Box::pin(body.into_body());
        assert!(http_body::Body::poll_frame(body.as_mut(), &mut context).is_pending());
        body
    };
    let mut streams = Vec::with_capacity(STREAMS);
    let used = measure(|| streams.extend((0..STREAMS).map(&mut open)));
    assert_eq!(layer.open_streams(), STREAMS);
    let each = used.bytes_current / i64::try_from(STREAMS).unwrap();
    println!("{each} bytes");
    assert!(each <= 200, "{each}");
}

/// With all by which a store finds and lists them. `cargo bench -p tower-api-key-benches --bench scaling` measures a million.
#[test]
fn a_key_takes_little_more_than_its_record_in_memory_and_less_than_400_bytes_in_a_cache() {
    const KEYS: usize = 50_000;
    let each = |bytes: i64| bytes / i64::try_from(KEYS).unwrap();
    let key = |number: usize| {
        let key =
            NewKey::named(format!("import {number}")).tenant(format!("tenant-{}", number % 500));
        key.abilities(["bots:read", "bots:write", "chats:read"])
    };
    let store = MemoryStore::new();
    let used = measure(|| (0..KEYS).for_each(|number| drop(store.issue(key(number)).unwrap())));
    assert!(each(used.bytes_current) <= 320, "{}", each(used.bytes_current));

    /// Makes a record of each digest, as a database does of a row.
    struct Rows;

    #[async_trait::async_trait]
    impl KeyStore for Rows {
        async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
            let number = u16::from_le_bytes([digest.as_bytes()[0], digest.as_bytes()[1]]);
            let new = NewKey::named(format!("import {number}"))
                .tenant(format!("tenant-{}", number % 500));
            let new = new.abilities(["bots:read", "bots:write", "chats:read"]);
            let issued = new.generate(&KeyScheme::default()).unwrap().record;
            let mut record = Arc::unwrap_or_clone(issued);
            record.set_digest(*digest);
            Ok(Some(Arc::new(record)))
        }
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let cached = CachedStore::builder(Rows).capacity(2 * KEYS).max_bytes(usize::MAX).build();
    let hasher = KeyHasher::sha256();
    let used = measure(|| {
        for number in 0..KEYS {
            let digest = hasher.digest(&number.to_string());
            assert!(cached.find(&digest).now_or_never().unwrap().unwrap().is_some());
        }
    });
    assert!(each(used.bytes_current) <= 400, "{}", each(used.bytes_current));
}

#[test]
fn a_use_that_is_noted_again_allocates_nothing() {
    let keys = MemoryStore::new();
    let key = keys.issue(new_key().rotation_due_at(SystemTime::UNIX_EPOCH)).unwrap().secret;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // It is never polled, and nothing is written.
    let _runtime = runtime.enter();
    let layer = ApiKeyLayer::new(keys.clone())
        .observer(UsageRecorder::new(keys))
        .observer(|key: &VerifiedKey, _: &RequestHead<'_>| {
            black_box(key.id());
        })
        .on_rotation_due(|key| {
            black_box(key.id());
        });
    let count = count_call(&layer.without_cache_headers(), (HEADER, key.reveal()), 200);
    assert!(count <= one_insert(), "{count}");
}

/// Of a thousand keys, some are counted by a thread in the same place, and push each other out of it.
#[test]
fn keys_that_are_counted_in_the_same_place_leave_nothing_behind() {
    const KEYS: usize = 1000;
    let store = MemoryStore::new();
    let keys: Vec<_> = (0..KEYS).map(|_| store.issue(new_key()).unwrap().secret).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    // It is never polled, as with a database that hangs.
    let _runtime = runtime.enter();
    let recorder = UsageRecorder::builder(store.clone()).clock(FakeClock::new()).build();
    let layer = ApiKeyLayer::new(store).observer(recorder);
    let mut service = layer.layer(service_fn(inner as fn(Request<Empty<Bytes>>) -> Answered));
    let mut ask_all = |times: usize| {
        for _ in 0..times {
            for key in &keys {
                for _ in 0..2 {
                    let request = Request::get("/").header(HEADER, key.reveal());
                    let answer = service.call(request.body(Empty::new()).unwrap()).now_or_never();
                    assert_eq!(answer.unwrap().unwrap().status(), 200);
                }
            }
        }
    };
    ask_all(5);
    let left = measure(|| ask_all(50)).bytes_current;
    assert!(left < 300_000, "{left} bytes");
}

/// Beside what a sample takes, which is one request in 64.
#[test]
fn an_outcome_that_is_counted_allocates_nothing() {
    let keys = MemoryStore::new();
    let key = keys.issue(new_key()).unwrap().secret;
    let layer = ApiKeyLayer::new(keys).without_cache_headers();
    let bare = count_call(&layer, (HEADER, "a b"), 401);
    let layer = layer.observer(Metrics::new());
    let count = count_call(&layer, (HEADER, key.reveal()), 200);
    assert!(count <= one_insert(), "{count}");
    assert_eq!(count_call(&layer, (HEADER, "a b"), 401), bare);
}

#[test]
fn a_missing_or_malformed_key_allocates_no_future_and_never_touches_the_store() {
    let store = CountingStore::default();
    let waiting = || OddStore { answer: || Poll::Pending, at_once: false };
    for format in [None, Some(KeyFormat::default())] {
        let [at_once, waiting] = [ApiKeyLayer::new(store.clone()), ApiKeyLayer::new(waiting())]
            .map(|layer| {
                format.iter().fold(layer, |layer, own| layer.scheme(KeyScheme::new(own.clone())))
            });
        let long = "a".repeat(10_000);
        for (credential, status) in [
            (("accept", "*/*"), 401),
            ((HEADER, ""), 401),
            ((HEADER, "a b"), 401),
            ((HEADER, &*long), 401),
            ((BEARER, "Bearer"), 401),
            ((BEARER, "Bearer a b"), 401),
        ] {
            let counts = [&at_once, &waiting].map(|layer| count_call(layer, credential, status));
            assert_eq!(counts[0], counts[1], "{credential:?}");
        }
    }
    assert_eq!(store.asked(), 0);
    count_call(&ApiKeyLayer::new(store.clone()), (HEADER, "ak_1"), 401);
    assert_eq!(store.asked(), 4);
}

#[test]
fn a_lookup_in_memory_allocates_nothing_and_no_wrapper_boxes_again() {
    let keys = MemoryStore::new();
    let known = keys.issue(new_key()).unwrap().record.digest();
    for digest in [known, KeyDigest::from_bytes([7; 32])] {
        let find_now = |store: &dyn KeyStore| count(|| drop(black_box(store.find_now(&digest))));
        let find = |store: &dyn KeyStore| {
            count(|| drop(black_box(store.find(&digest).now_or_never().unwrap().unwrap())))
        };
        assert_eq!((find_now(&keys), find(&keys)), (0, 1));
        let shared: Arc<dyn KeyStore> = Arc::new(keys.clone());
        let boxed: Box<dyn KeyStore> = Box::new(keys.clone());
        let stores: [&dyn KeyStore; 6] = [
            &shared,
            &boxed,
            &Arc::new(keys.clone()),
            &Box::new(keys.clone()),
            &Arc::new(Box::new(Arc::clone(&shared))),
            &Box::new(Arc::new(keys.clone())),
        ];
        for store in stores {
            assert_eq!((find_now(store), find(store)), (0, 1));
            assert!(store.find_now(&digest).answer().is_some());
        }
    }
}

#[test]
fn no_wrapper_of_a_limiter_boxes_again() {
    let key = MemoryStore::new().issue(new_key().limit("1000 per hour")).unwrap().record;
    let limiter = MemoryRateLimiter::new();
    let futures = |limiter: &dyn RateLimiter| {
        let granted = limiter.reserve(&key, 1).now_or_never().unwrap().unwrap();
        [
            count(|| drop(black_box(limiter.reserve(&key, 1).now_or_never()))),
            count(|| drop(black_box(limiter.refund(&key, 1, &granted).now_or_never()))),
            count(|| drop(black_box(limiter.peek(&key).now_or_never()))),
        ]
    };
    let bare = futures(&limiter);
    assert_eq!(bare[..2], [1, 1]);
    let shared: Arc<dyn RateLimiter> = Arc::new(limiter.clone());
    for wrapped in [&shared as &dyn RateLimiter, &Box::new(Arc::clone(&shared))] {
        assert_eq!(futures(wrapped), bare);
        assert!(wrapped.reserve_now(&key, 1).answer().is_some());
    }
}

#[test]
fn counting_a_request_allocates_no_more_than_the_answer_of_several_limits() {
    let limiter = MemoryRateLimiter::new();
    let (own, shared) = ("1000 per hour", "pool: 9000 per hour, shared by tenant");
    let record = |limits: &[&str]| {
        let key = limits.iter().fold(new_key(), |key, limit| key.limit(*limit));
        key.generate(&KeyScheme::default()).unwrap().record
    };
    for limits in [&[own][..], &[shared], &[own, "5000 per day"], &[own, "5000 per day", shared]] {
        let key = record(limits);
        // A successor counts as the first key does.
        let mut successor = KeyRecord::clone(&record(limits));
        successor.set_counted_as(Some(key.id().clone()));
        for key in [&*key, &successor] {
            let count = count(|| assert!(limiter.reserve_now(key, 1).answer().is_some()));
            assert_eq!(count, if limits.len() == 1 { 0 } else { 2 }, "{limits:?}");
        }
    }
}
