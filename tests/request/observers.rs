//! Observers: what they are called for, when, and with what.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::{any, get};
use futures_util::FutureExt as _;
use tower::{Layer as _, ServiceExt as _};
use tower_api_key::extract::{Credential, Query, extract_fn};
use tower_api_key::observe::{self, Finished, Interest, Lookup, Observe, Outcome};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, CachedStore, Clock, KeyId, MemoryRateLimiter, MemoryStore, NewKey, Rejection,
    RequestHead, RequireAbility, StoreError, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{
    OddStore, RawResponse, errors, get_raw, in_time, issue, serve, serve_known, start_log,
};
use crate::remote::Remote;

/// What observers were told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// Makes an observer that notes the key and the request.
    fn observer(&self) -> impl Fn(&VerifiedKey, &RequestHead<'_>) + Send + Sync + 'static {
        let told = self.clone();
        move |key, head| told.note(format!("{} {} {}", key.name(), head.method(), head.uri()))
    }

    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

async fn start(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().fallback(any(async || "in")).layer(layer)).await
}

async fn ask(address: SocketAddr, path: &str, key: &str) -> RawResponse {
    in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await
}

#[tokio::test]
async fn each_request_is_told_of_once_before_the_service_is_called() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot").limit("9 per hour"));
    let layers = [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Remote(keys))];
    let layers = layers.into_iter().flat_map(|layer| {
        let slow = layer.clone().rate_limiter(Remote(MemoryRateLimiter::new()));
        [layer.rate_limiter(MemoryRateLimiter::new()), slow]
    });
    for layer in layers {
        let told = Told::default();
        let seen = told.clone();
        let handler = any(async move || seen.note("handler"));
        let layer = layer.observer(told.observer());
        let address = serve(Router::new().fallback(handler).layer(layer)).await;
        for path in ["/a?b=c", "/d"] {
            assert_eq!(ask(address, path, &key).await.status, 200);
            assert_eq!(told.take(), [format!("robot GET {path}"), "handler".to_owned()]);
        }
    }
}

#[tokio::test]
async fn a_request_that_is_refused_tells_nobody() {
    let keys = MemoryStore::new();
    let good = issue(&keys, NewKey::named("good"));
    let past = SystemTime::now() - Duration::from_secs(1);
    let expired = issue(&keys, NewKey::named("expired").expires_at(past));
    let elsewhere = issue(&keys, NewKey::named("elsewhere").addresses(["192.0.2.1"]));
    let limited = issue(&keys, NewKey::named("limited").limit("1 per hour"));
    let revoked = keys.issue(NewKey::named("revoked")).unwrap();
    assert!(keys.revoke(revoked.record.id()));
    let disabled = keys.issue(NewKey::named("disabled")).unwrap();
    keys.update(disabled.record.id(), |record| record.set_disabled(true)).unwrap();
    let told = Told::default();
    for layer in [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Remote(keys.clone()))] {
        let layer = layer.observer(told.observer());
        let address = start(layer.clone()).await;
        assert_eq!(ask(address, "/", &limited).await.status, 200);
        assert_eq!(told.take().len(), 1);
        assert_eq!(ask(address, "/", &limited).await.status, 429);
        for key in ["", "a b", "unknown", revoked.secret.reveal(), disabled.secret.reveal()] {
            assert_eq!(ask(address, "/", key).await.status, 401, "{key}");
        }
        assert_eq!(ask(address, "/", &expired).await.status, 401);
        assert_eq!(ask(address, "/", &elsewhere).await.status, 403);
        let guarded = start(layer.clone().guard(RequireAbility::new("bots:read"))).await;
        assert_eq!(ask(guarded, "/", &good).await.status, 403);
        assert_eq!(told.take(), [""; 0]);
    }
    let failing = OddStore { answer: || Poll::Ready(Err(StoreError::new("gone"))), at_once: false };
    let address = start(ApiKeyLayer::new(failing).observer(told.observer())).await;
    assert_eq!(ask(address, "/", &good).await.status, 503);
    assert_eq!(told.take(), [""; 0]);
}

#[tokio::test]
async fn a_request_without_a_key_tells_nobody() {
    let told = Told::default();
    let layer = ApiKeyLayer::new(MemoryStore::new()).observer(told.observer());
    let optional = start(layer.clone().optional()).await;
    assert_eq!(in_time(get_raw(optional, "/", &[])).await.status, 200);
    let preflight = "OPTIONS / HTTP/1.1\r\norigin: https://a.example\r\n\
                     access-control-request-method: GET";
    let forwarding = start(layer.forward_preflight()).await;
    assert_eq!(in_time(crate::common::send_raw(forwarding, preflight)).await.status, 200);
    assert_eq!(told.take(), [""; 0]);
}

#[tokio::test]
async fn a_request_that_a_guard_on_a_route_refuses_is_a_use() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("weak"));
    let told = Told::default();
    let guarded = get(async || "in").layer(RequireAbility::new("bots:read"));
    let layer = ApiKeyLayer::new(keys).observer(told.observer());
    let address = serve(Router::new().route("/bots", guarded).layer(layer)).await;
    assert_eq!(ask(address, "/bots", &key).await.status, 403);
    assert_eq!(told.take(), ["weak GET /bots"]);
}

#[tokio::test]
async fn an_observer_that_panics_fails_no_request_and_keeps_nobody_from_being_told() {
    start_log();
    let keys = MemoryStore::new();
    let due = NewKey::named("robot").rotation_due_at(SystemTime::now());
    let key = issue(&keys, due);
    for layer in [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Remote(keys))] {
        let told = Told::default();
        let (one, two) = (told.clone(), told.clone());
        let layer = layer
            .on_rotation_due(|_| panic!("this observer's own fault"))
            .on_rotation_due(move |key| one.note(format!("{} is due", key.name())))
            .observer(|_: &VerifiedKey, _: &RequestHead<'_>| panic!("that observer's own fault"))
            .observer(told.observer())
            .observer(move |_: &VerifiedKey, _: &RequestHead<'_>| two.note("last"));
        let address = start(layer).await;
        assert_eq!(ask(address, "/", &key).await.text(), "in");
        assert_eq!(told.take(), ["robot GET /", "last", "robot is due"]);
        // The second layer's faults are the same as those of the first.
        assert_eq!(errors("observer's own fault"), 2);
    }
}

#[tokio::test]
async fn observers_do_not_see_the_credential() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let told = Told::default();
    let seen = told.clone();
    let layer = ApiKeyLayer::new(keys).observer(move |_: &VerifiedKey, head: &RequestHead<'_>| {
        seen.note(format!("{} {:?}", head.uri(), head.headers()));
    });
    let in_header = start(layer.clone()).await;
    assert_eq!(ask(in_header, "/", &key).await.status, 200);
    let in_query = start(layer.clone().extractor(Query::new("key"))).await;
    let path = format!("/?a=b&key={key}");
    assert_eq!(in_time(get_raw(in_query, &path, &[])).await.status, 200);
    let kept = start(layer.keep_credential()).await;
    assert_eq!(ask(kept, "/", &key).await.status, 200);
    let told = told.take();
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|seen| !seen.contains(&key)), "{told:?}");
}

/// Counts how often it is read.
#[derive(Clone)]
struct CountingClock {
    clock: FakeClock,
    reads: Arc<AtomicUsize>,
}

impl Clock for CountingClock {
    fn now(&self) -> SystemTime {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }
}

#[tokio::test]
async fn a_key_that_should_have_been_replaced_works_and_is_told_of() {
    let clock = CountingClock { clock: FakeClock::new(), reads: Arc::default() };
    let reads = || clock.reads.swap(0, Ordering::SeqCst);
    let due_at = clock.clock.now() + Duration::from_secs(60);
    let keys = MemoryStore::new();
    let dated = issue(&keys, NewKey::named("dated").rotation_due_at(due_at));
    let undated = issue(&keys, NewKey::named("undated"));
    let told = Told::default();
    let due = told.clone();
    let plain = ApiKeyLayer::new(keys).clock(clock.clone());
    let layer = plain.clone().on_rotation_due(move |key| {
        assert!(key.is_rotation_due(due_at) && key.rotation_due_at() == Some(due_at));
        assert!(!key.is_rotation_due(due_at - Duration::from_nanos(1)));
        due.note(key.name());
    });
    let (plain, address) = (start(plain).await, start(layer).await);
    clock.clock.set(due_at - Duration::from_nanos(1));
    assert_eq!(ask(address, "/", &dated).await.status, 200);
    assert_eq!((told.take(), reads()), (vec![], 1));
    clock.clock.set(due_at);
    for _ in 0..2 {
        assert_eq!(ask(address, "/", &dated).await.status, 200);
        assert_eq!((told.take(), reads()), (vec!["dated".to_owned()], 1));
    }
    // The time matters to nobody else.
    assert_eq!(ask(address, "/", &undated).await.status, 200);
    assert_eq!(ask(plain, "/", &dated).await.status, 200);
    assert_eq!((told.take(), reads()), (vec![], 0));
}

/// Notes how requests ended.
#[derive(Clone, Default)]
struct Ends(Told);

impl Observe for Ends {
    fn finished(&self, request: &Finished<'_>) {
        let outcome = match request.outcome() {
            Outcome::Answered(status) => status.as_str().to_owned(),
            Outcome::Refused(rejection) => rejection.kind().to_string(),
            other => format!("{other:?}"),
        };
        let (key, path) = (request.key_id().map(KeyId::as_str), request.path());
        let (key, path) = (key.unwrap_or("nobody"), path.unwrap_or("hidden"));
        self.0.note(format!("{} {path}: {outcome} for {key}", request.method().unwrap()));
    }
}

#[tokio::test]
async fn each_request_has_one_outcome() {
    let keys = MemoryStore::new();
    let good = keys.issue(NewKey::named("good").abilities(["bots:read"])).unwrap();
    let limited = keys.issue(NewKey::named("limited").limit("1 per hour")).unwrap();
    let past = SystemTime::now() - Duration::from_secs(1);
    let expired = keys.issue(NewKey::named("expired").expires_at(past)).unwrap();
    let [good_id, limited_id, expired_id] =
        [&good, &limited, &expired].map(|issued| issued.record.id().as_str().to_owned());
    for layer in [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Remote(keys.clone()))] {
        let slow = layer.clone().rate_limiter(Remote(MemoryRateLimiter::new()));
        for layer in [layer.rate_limiter(MemoryRateLimiter::new()), slow] {
            let ends = Ends::default();
            let app = Router::new()
                .route("/bots", get(async || "bots"))
                .route("/write", get(async || "").layer(RequireAbility::new("bots:write")))
                .fallback(any(async || http::StatusCode::NOT_FOUND))
                .layer(layer.observer(ends.clone()));
            let address = serve(app).await;
            let told = ends.0;
            for (path, key, end) in [
                ("/bots", good.secret.reveal(), format!("200 for {good_id}")),
                ("/else?a=b", good.secret.reveal(), format!("404 for {good_id}")),
                ("/write", good.secret.reveal(), format!("missing_ability for {good_id}")),
                // A guard on a route refuses, and what the limits granted is given back.
                ("/write", limited.secret.reveal(), format!("missing_ability for {limited_id}")),
                ("/bots", limited.secret.reveal(), format!("200 for {limited_id}")),
                ("/bots", limited.secret.reveal(), format!("rate_limited for {limited_id}")),
                ("/bots", expired.secret.reveal(), format!("expired for {expired_id}")),
                ("/bots", "unknown", "unknown for nobody".to_owned()),
            ] {
                ask(address, path, key).await;
                let path = path.split('?').next().unwrap();
                assert_eq!(told.take(), [format!("GET {path}: {end}")]);
            }
            in_time(get_raw(address, "/bots", &[])).await;
            assert_eq!(told.take(), ["GET /bots: missing for nobody"]);
        }
    }
}

#[tokio::test]
async fn a_request_without_a_key_has_an_outcome_where_keys_are_optional() {
    let ends = Ends::default();
    let layer = ApiKeyLayer::new(MemoryStore::new()).optional().observer(ends.clone());
    let address = start(layer).await;
    in_time(get_raw(address, "/", &[])).await;
    assert_eq!(ends.0.take(), ["GET /: 200 for nobody"]);
}

#[tokio::test]
async fn a_guard_that_refuses_a_request_without_a_key_has_refused_it() {
    let ends = Ends::default();
    let layer = ApiKeyLayer::new(MemoryStore::new()).optional().observer(ends.clone());
    let guarded = get(async || "").layer(RequireAbility::new("bots:write"));
    let address = serve(Router::new().route("/write", guarded).layer(layer)).await;
    assert_eq!(in_time(get_raw(address, "/write", &[])).await.status, 401);
    assert_eq!(ends.0.take(), ["GET /write: missing for nobody"]);
}

fn request(key: &str) -> http::Request<axum::body::Body> {
    http::Request::get("/").header("x-api-key", key).body(axum::body::Body::empty()).unwrap()
}

#[tokio::test]
async fn a_future_that_is_dropped_is_an_outcome_wherever_it_waits() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("robot")).unwrap();
    let key = issued.secret.reveal();
    let waits = tower::service_fn(|_: http::Request<axum::body::Body>| {
        std::future::pending::<Result<http::Response<axum::body::Body>, Infallible>>()
    });
    let ends = Ends::default();
    let layer = ApiKeyLayer::new(keys.clone()).observer(ends.clone());
    let mut future = layer.layer(waits).oneshot(request(key));
    assert!((&mut future).now_or_never().is_none() && ends.0.take().is_empty());
    drop(future);
    assert_eq!(ends.0.take(), [format!("GET /: Dropped for {}", issued.record.id())]);

    let hangs = OddStore { answer: || Poll::Pending, at_once: false };
    let layer = ApiKeyLayer::new(hangs).observer(ends.clone());
    let mut future = layer.layer(waits).oneshot(request(key));
    assert!((&mut future).now_or_never().is_none() && ends.0.take().is_empty());
    drop(future);
    assert_eq!(ends.0.take(), ["GET /: Dropped for nobody"]);
}

#[tokio::test]
async fn a_service_that_fails_is_an_outcome() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("robot")).unwrap();
    let fails = tower::service_fn(async |_: http::Request<axum::body::Body>| {
        Err::<http::Response<axum::body::Body>, _>("it failed")
    });
    let ends = Ends::default();
    let layer = ApiKeyLayer::new(keys).observer(ends.clone());
    let failed = layer.layer(fails).oneshot(request(issued.secret.reveal())).await;
    assert_eq!(failed.unwrap_err(), "it failed");
    assert_eq!(ends.0.take(), [format!("GET /: Failed for {}", issued.record.id())]);
}

/// Notes what else is known of a request.
struct Details(Arc<Mutex<Vec<Detail>>>);

struct Detail {
    key: Option<String>,
    matched_path: Option<String>,
    address: Option<std::net::IpAddr>,
    waited: (bool, bool),
    took: Duration,
}

impl Observe for Details {
    fn finished(&self, request: &Finished<'_>) {
        let waited = (request.lookup_time(), request.limiter_time());
        let took = request.duration().unwrap();
        assert!(waited.0.unwrap_or_default() + waited.1.unwrap_or_default() <= took);
        assert!(request.decision_time().unwrap() <= took);
        self.0.lock().unwrap().push(Detail {
            key: request.key().map(|key| key.name().to_owned()),
            matched_path: request.matched_path().map(str::to_owned),
            address: request.address(),
            waited: (waited.0.is_some(), waited.1.is_some()),
            took,
        });
    }
}

#[tokio::test]
async fn observers_see_the_route_the_client_and_what_a_request_waited_for() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot").limit("9 per hour"));
    for slow in [false, true] {
        let details = Arc::<Mutex<Vec<_>>>::default();
        let layer = match slow {
            false => ApiKeyLayer::new(keys.clone()),
            true => ApiKeyLayer::new(Remote(keys.clone()))
                .rate_limiter(Remote(MemoryRateLimiter::new())),
        };
        let inner = Router::new()
            .route("/bots/{id}", get(async || tokio::time::sleep(Duration::from_millis(5)).await));
        let app =
            Router::new().nest("/v1", inner).layer(layer.observer(Details(Arc::clone(&details))));
        let address = serve_known("127.0.0.1", app).await.unwrap();
        assert_eq!(ask(address, "/v1/bots/7", &key).await.status, 200);
        let details = std::mem::take(&mut *details.lock().unwrap());
        assert_eq!(details.len(), 1);
        assert_eq!(details[0].key.as_deref(), Some("robot"));
        assert_eq!(details[0].matched_path.as_deref(), Some("/v1/bots/{id}"));
        assert_eq!(details[0].address, Some([127, 0, 0, 1].into()));
        assert_eq!(details[0].waited, (slow, slow));
        assert!(details[0].took >= Duration::from_millis(5));
    }
}

#[tokio::test]
async fn observers_do_not_see_a_path_that_may_hold_a_key() {
    let keys = MemoryStore::new();
    let ends = Ends::default();
    let in_path = extract_fn(|head| {
        Ok(head.uri().path().strip_prefix("/by-key/").map(str::as_bytes).map(Credential::elsewhere))
    });
    let layer = ApiKeyLayer::new(keys).extractor(in_path).observer(ends.clone());
    let address = start(layer).await;
    in_time(get_raw(address, "/by-key/canary", &[])).await;
    assert_eq!(ends.0.take(), ["GET hidden: unknown for nobody"]);
}

#[tokio::test]
async fn an_observer_of_ends_that_panics_fails_no_request() {
    struct Panics;

    impl Observe for Panics {
        fn detail(&self) -> observe::Detail {
            panic!("at the beginning");
        }

        fn finished(&self, _: &Finished<'_>) {
            panic!("at the end");
        }
    }

    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    let ends = Ends::default();
    let address = start(ApiKeyLayer::new(keys).observer(Panics).observer(ends.clone())).await;
    assert_eq!(ask(address, "/", &key).await.status, 200);
    assert_eq!(ask(address, "/", "wrong").await.status, 401);
    assert_eq!(ends.0.take().len(), 2);
}

/// Notes outcomes, of which an observer may know most without any detail.
#[derive(Clone)]
struct Outcomes(Told, Interest);

impl Outcomes {
    /// Makes one of each interest.
    fn of_each_interest() -> [Self; 2] {
        [Interest::Everything, Interest::Outcomes].map(|interest| Self(Told::default(), interest))
    }
}

impl Observe for Outcomes {
    fn interest(&self) -> Interest {
        self.1
    }

    fn detail(&self) -> observe::Detail {
        assert_eq!(self.1, Interest::Everything);
        observe::Detail::Outcome
    }

    fn admitted(&self, _: &VerifiedKey, _: &RequestHead<'_>) {
        assert_eq!(self.1, Interest::Everything);
    }

    fn finished(&self, request: &Finished<'_>) {
        assert_eq!((request.path(), request.address(), request.duration()), (None, None, None));
        assert_eq!(request.method(), None);
        let said = match (request.is_accepted(), request.rejection()) {
            (true, None) => "accepted",
            (false, Some(rejection)) => rejection.kind().as_str(),
            (false, None) => "undecided",
            (true, Some(_)) => "both",
        };
        let key = request.record().map_or("nobody", |record| record.name());
        assert_eq!(request.key_id(), request.record().map(|record| record.id()));
        let lookup = request.lookup().map_or("-", Lookup::as_str);
        self.0.note(format!("{said} {key} {lookup}"));
    }
}

#[tokio::test]
async fn an_outcome_names_the_key_also_of_a_request_that_is_refused() {
    for outcomes in Outcomes::of_each_interest() {
        let keys = MemoryStore::new();
        let past = SystemTime::now() - Duration::from_secs(1);
        let key = issue(&keys, NewKey::named("good"));
        let expired = issue(&keys, NewKey::named("expired").expires_at(past));
        let elsewhere = issue(&keys, NewKey::named("elsewhere").addresses(["192.0.2.1"]));
        let limited = issue(&keys, NewKey::named("limited").limit("1 per hour"));
        let told = &outcomes.0;
        let layer = ApiKeyLayer::new(keys.clone()).observer(outcomes.clone());
        let route = get(async || "in").layer(RequireAbility::new("bots:read"));
        let app = Router::new().route("/bots", route).fallback(any(async || "in"));
        let address = serve_known("127.0.0.1", app.layer(layer.clone())).await.unwrap();
        for (path, key, status, outcome) in [
            ("/", &key, 200, "accepted good hit"),
            ("/", &expired, 401, "expired expired hit"),
            ("/", &elsewhere, 403, "not_allowed elsewhere hit"),
            ("/", &limited, 200, "accepted limited hit"),
            ("/", &limited, 429, "rate_limited limited hit"),
            ("/", &"unknown".to_owned(), 401, "unknown nobody hit"),
            ("/", &"a b".to_owned(), 401, "malformed nobody -"),
            // The layer admits it and the guard of the route refuses it, which is one outcome.
            ("/bots", &key, 403, "missing_ability good hit"),
            ("/bots", &limited, 429, "rate_limited limited hit"),
        ] {
            assert_eq!(ask(address, path, key).await.status, status, "{outcome}");
            // Threads may have seen the key before.
            let told: Vec<_> =
                told.take().iter().map(|told| told.replace("thread", "hit")).collect();
            assert_eq!(told, [outcome]);
        }
        assert_eq!(in_time(get_raw(address, "/", &[])).await.status, 401);
        assert_eq!(told.take(), ["missing nobody -"]);
        let address = start(layer.optional()).await;
        assert_eq!(in_time(get_raw(address, "/", &[])).await.status, 200);
        assert_eq!(told.take(), ["accepted nobody -"]);
    }
}

#[tokio::test]
async fn a_future_that_is_dropped_is_one_outcome() {
    for outcomes in Outcomes::of_each_interest() {
        let keys = MemoryStore::new();
        let key = issue(&keys, NewKey::named("good"));
        let request = || {
            let request = http::Request::get("/").header("x-api-key", &key);
            request.body(axum::body::Body::empty()).unwrap()
        };
        let pending = tower::service_fn(|_: http::Request<axum::body::Body>| {
            std::future::pending::<Result<http::Response<axum::body::Body>, Infallible>>()
        });
        let layer = ApiKeyLayer::new(keys.clone()).observer(outcomes.clone());
        assert!(layer.layer(pending).oneshot(request()).now_or_never().is_none());
        assert_eq!(outcomes.0.take(), ["accepted good hit"]);
        let waiting = ApiKeyLayer::new(OddStore { answer: || Poll::Pending, at_once: false });
        let waiting = waiting.observer(outcomes.clone()).layer(pending);
        assert!(waiting.oneshot(request()).now_or_never().is_none());
        assert_eq!(outcomes.0.take(), ["undecided nobody -"]);
    }
}

#[tokio::test]
async fn an_outcome_says_how_the_look_up_ended() {
    for outcomes in Outcomes::of_each_interest() {
        let keys = MemoryStore::new();
        let key = issue(&keys, NewKey::named("good"));
        let inner = tower::service_fn(async |_: http::Request<axum::body::Body>| {
            Ok::<_, Infallible>(http::Response::new(axum::body::Body::empty()))
        });
        let request = |key: &str| {
            let request = http::Request::get("/").header("x-api-key", key);
            request.body(axum::body::Body::empty()).unwrap()
        };
        let cached = CachedStore::new(Remote(keys.clone()));
        let layer = ApiKeyLayer::new(cached).observer(outcomes.clone());
        let service = layer.layer(inner);
        let [one, other] = [(); 2].map(|()| service.clone().oneshot(request(&key)));
        let (one, other) = tokio::join!(one, other);
        assert_eq!(
            (one.unwrap().status(), other.unwrap().status()),
            (http::StatusCode::OK, http::StatusCode::OK)
        );
        let mut told = outcomes.0.take();
        told.sort();
        assert_eq!(told, ["accepted good coalesced", "accepted good miss"]);
        for lookup in ["hit", "hit", "thread", "thread"] {
            service.clone().oneshot(request(&key)).await.unwrap();
            assert_eq!(outcomes.0.take(), [format!("accepted good {lookup}")]);
        }
        let failing = || Poll::Ready(Err(StoreError::new("gone")));
        for at_once in [false, true] {
            let failing = OddStore { answer: failing, at_once };
            let service = ApiKeyLayer::new(failing).observer(outcomes.clone()).layer(inner);
            service.oneshot(request(&key)).await.unwrap();
            assert_eq!(outcomes.0.take(), ["unavailable nobody error"], "{at_once}");
        }
    }
}

#[tokio::test]
async fn an_observer_of_outcomes_is_told_of_a_request_in_which_a_guard_of_the_layer_panics() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    let panics = |_: &VerifiedKey, _: &RequestHead<'_>| -> Result<(), Rejection> {
        panic!("the guard's own fault")
    };
    let inner = tower::service_fn(async |_: http::Request<axum::body::Body>| {
        Ok::<_, Infallible>(http::Response::new(axum::body::Body::empty()))
    });
    for outcomes in Outcomes::of_each_interest() {
        let layer = ApiKeyLayer::new(keys.clone()).guard(panics).observer(outcomes.clone());
        let call = layer.layer(inner).oneshot(request(&key));
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
        assert_eq!(outcomes.0.take(), ["undecided nobody hit"]);
    }
}

#[tokio::test]
async fn observers_of_outcomes_learn_as_much_as_another_wants() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    struct AndMore(Told);
    impl Observe for AndMore {
        fn interest(&self) -> Interest {
            Interest::Outcomes
        }
        fn finished(&self, request: &Finished<'_>) {
            let known = (request.method().is_some(), request.duration().is_some());
            self.0.note(format!("{known:?}"));
        }
    }
    let told = Told::default();
    let layer = ApiKeyLayer::new(keys).observer(AndMore(told.clone()));
    let ends = Ends::default();
    for (layer, known) in [(layer.clone(), false), (layer.observer(ends.clone()), true)] {
        let address = start(layer).await;
        assert_eq!(ask(address, "/", &key).await.status, 200);
        assert_eq!(ask(address, "/", "wrong").await.status, 401);
        assert_eq!(told.take(), [(); 2].map(|()| format!("({known}, {known})")));
    }
    assert_eq!(ends.0.take().len(), 2);
}
