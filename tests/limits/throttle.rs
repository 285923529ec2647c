//! How often an address may present wrong keys.

use std::convert::{Infallible, identity};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Server;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::limit::{LimitDecision, LimiterError};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, KeyDigest, KeyKind, KeyRecord, KeyStore, MemoryRateLimiter,
    MemoryStore, NewKey, PeerAddress, RateLimiter, RejectionKind, RequestHead, RequireAbility,
    StoreError, TrustedProxies, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{
    CountingStore, OddStore, RawResponse, errors, health, in_time, issue, logged, send_raw_from,
    serve, serve_known, serve_tonic, start_log,
};

const HERE: &str = "127.0.0.1";
const WRONG: &str = "x-api-key: ak_wrong";

/// A store that is asked in a future, as one behind a network is.
struct Remote(CountingStore);

#[async_trait]
impl KeyStore for Remote {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        tokio::task::yield_now().await;
        self.0.find(digest).await
    }
}

/// A store whose answers wait until the test lets them go, one or all.
#[derive(Clone)]
struct Slow {
    store: CountingStore,
    answers: Arc<Semaphore>,
    at_once: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Slow {
    fn new() -> Self {
        let (store, answers) = (CountingStore::default(), Arc::new(Semaphore::new(0)));
        Self { store, answers, at_once: Arc::default(), most: Arc::default() }
    }

    fn layer(&self, limit: &str) -> ApiKeyLayer {
        let layer = ApiKeyLayer::new(self.clone()).lookup_timeout(Duration::from_secs(60));
        layer.failure_throttle(FailureThrottle::new(limit))
    }

    fn answer(&self, times: usize) {
        self.answers.add_permits(times);
    }

    fn answer_all(&self) {
        self.answer(Semaphore::MAX_PERMITS / 2);
    }

    fn keys(&self) -> &MemoryStore {
        &self.store.keys
    }

    /// Waits until so many look-ups were made, and sees to it that no more come.
    async fn is_asked(&self, times: usize) {
        in_time(async {
            while self.store.asked() < times {
                tokio::task::yield_now().await;
            }
        })
        .await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(self.store.asked(), times);
    }
}

#[async_trait]
impl KeyStore for Slow {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let found = self.store.find(digest).await;
        self.most.fetch_max(self.at_once.fetch_add(1, SeqCst) + 1, SeqCst);
        self.answers.acquire().await.unwrap().forget();
        self.at_once.fetch_sub(1, SeqCst);
        found
    }
}

/// A limiter that lets everything pass, but not at once.
struct LateLimiter;

#[async_trait]
impl RateLimiter for LateLimiter {
    async fn reserve(&self, key: &KeyRecord, cost: u32) -> Result<LimitDecision, LimiterError> {
        tokio::task::yield_now().await;
        MemoryRateLimiter::new().reserve(key, cost).await
    }

    async fn refund(
        &self,
        key: &KeyRecord,
        cost: u32,
        granted: &LimitDecision,
    ) -> Result<LimitDecision, LimiterError> {
        MemoryRateLimiter::new().refund(key, cost, granted).await
    }
}

/// Sends a request with a key to a layer, as if it came from `source`.
fn request(layer: &ApiKeyLayer, source: &str, key: &str) -> JoinHandle<StatusCode> {
    let answer = async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()));
    let request = Request::get("/").header("x-api-key", key);
    let source = PeerAddress((source.parse::<IpAddr>().unwrap(), 50_000).into());
    let request = request.extension(source).body(Empty::<Bytes>::new()).unwrap();
    let answered = layer.layer(service_fn(answer)).oneshot(request);
    tokio::spawn(async { answered.await.unwrap().status() })
}

async fn statuses(requests: impl IntoIterator<Item = JoinHandle<StatusCode>>) -> Vec<u16> {
    let all = in_time(join_all(requests)).await;
    all.into_iter().map(|status| status.unwrap().as_u16()).collect()
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|found| **found == status).count()
}

/// A server whose clients may fail three times an hour, and its right key.
struct Throttled {
    address: SocketAddr,
    clock: FakeClock,
    store: CountingStore,
    right: String,
}

impl Throttled {
    /// Serves with what `change` makes of the layer, and asks the store at once or in a future.
    async fn new(remote: bool, change: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer) -> Self {
        let (clock, store) = (FakeClock::new(), CountingStore::default());
        let remote = remote.then(|| ApiKeyLayer::new(Remote(store.clone())));
        let layer = remote.unwrap_or_else(|| ApiKeyLayer::new(store.clone()));
        let throttle = FailureThrottle::new("3 per hour").clock(clock.clone());
        let app = app(change(layer.failure_throttle(throttle)));
        let right = issue(&store.keys, NewKey::named("right"));
        Self { address: serve_known(HERE, app).await.unwrap(), clock, store, right }
    }

    async fn ask(&self, source: &str, path: &str, lines: &str) -> RawResponse {
        ask(self.address, source, path, lines).await
    }

    /// Returns the status of a request with the right key, from here.
    async fn right(&self) -> u16 {
        self.right_from(HERE, "a: b").await
    }

    async fn right_from(&self, source: &str, lines: &str) -> u16 {
        let lines = format!("x-api-key: {}\r\n{lines}", self.right);
        self.ask(source, "/", &lines).await.status
    }

    /// Fails so often.
    async fn fail(&self, times: usize) {
        for _ in 0..times {
            assert_eq!(self.ask(HERE, "/", WRONG).await.status, 401);
        }
    }
}

fn app(layer: ApiKeyLayer) -> Router {
    let guarded = get(async || "in").layer(RequireAbility::new("bots:read"));
    let own = get(async || StatusCode::UNAUTHORIZED);
    let app = Router::new().route("/guarded", guarded).route("/own", own);
    app.route("/", get(async || "in")).layer(layer)
}

async fn ask(address: SocketAddr, source: &str, path: &str, lines: &str) -> RawResponse {
    let request = format!("GET {path} HTTP/1.1\r\n{lines}");
    in_time(send_raw_from(source, address, &request)).await
}

#[tokio::test]
async fn after_too_many_wrong_keys_the_right_one_is_refused_and_the_store_is_not_asked() {
    for remote in [false, true] {
        let server = Throttled::new(remote, identity).await;
        server.fail(3).await;
        let asked = server.store.asked();
        for key in [&*server.right, "ak_wrong", "a b"] {
            let refused = server.ask(HERE, "/", &format!("x-api-key: {key}")).await;
            assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1200")));
            let detail = &refused.json()["detail"];
            assert_eq!(detail, "Too many requests with keys that are not valid");
        }
        assert_eq!(server.store.asked(), asked);
        // Nothing is guessed by a request without a key.
        assert_eq!(server.ask(HERE, "/", "a: b").await.status, 401);
    }
}

#[tokio::test]
async fn of_guesses_at_once_only_so_many_are_looked_up_as_may_fail() {
    let slow = Slow::new();
    let layer = slow.layer("20 per minute");
    let guesses: Vec<_> =
        (0..2000).map(|number| request(&layer, "192.0.2.1", &format!("ak_{number}"))).collect();
    slow.is_asked(20).await;
    slow.answer_all();
    let statuses = statuses(guesses).await;
    assert_eq!((count(&statuses, 401), count(&statuses, 429)), (20, 1980));
    assert_eq!(slow.store.asked(), 20);
}

#[tokio::test]
async fn valid_keys_at_once_are_all_accepted_however_few_failures_are_left() {
    for (limit, most) in [("1 per hour", 1), ("3 per hour", 3), ("1000 per hour", 100)] {
        let slow = Slow::new();
        let layer = slow.layer(limit);
        let right = issue(slow.keys(), NewKey::named("right"));
        let requests: Vec<_> = (0..100).map(|_| request(&layer, "192.0.2.1", &right)).collect();
        slow.is_asked(most).await;
        slow.answer_all();
        assert_eq!(statuses(requests).await, [200; 100], "{limit}");
        assert_eq!((slow.store.asked(), slow.most.load(SeqCst)), (100, most));
    }
}

#[tokio::test]
async fn valid_keys_among_guesses_are_refused_only_once_the_guesses_have_failed() {
    let slow = Slow::new();
    let layer = slow.layer("3 per hour");
    let right = issue(slow.keys(), NewKey::named("right"));
    let (here, wrong) = ("192.0.2.1", "ak_wrong");
    // Two failures leave one place, which goes from one valid key to the next.
    let first = [request(&layer, here, wrong), request(&layer, here, wrong)];
    slow.is_asked(2).await;
    let valid: Vec<_> = (0..10).map(|_| request(&layer, here, &right)).collect();
    slow.is_asked(3).await;
    slow.answer(2);
    assert_eq!(statuses(first).await, [401; 2]);
    slow.answer(10);
    assert_eq!(statuses(valid).await, [200; 10]);
    assert_eq!(slow.store.asked(), 12);

    let last = request(&layer, here, wrong);
    slow.is_asked(13).await;
    let valid: Vec<_> = (0..10).map(|_| request(&layer, here, &right)).collect();
    slow.is_asked(13).await;
    slow.answer_all();
    assert_eq!(statuses([last]).await, [401]);
    assert_eq!(statuses(valid).await, [429; 10]);
    assert_eq!(slow.store.asked(), 13);
}

#[tokio::test]
async fn requests_that_are_given_up_leave_their_place_to_others() {
    let slow = Slow::new();
    let layer = slow.layer("2 per hour");
    let right = issue(slow.keys(), NewKey::named("right"));
    let here = "192.0.2.1";
    let asked: Vec<_> = (0..2).map(|_| request(&layer, here, "ak_wrong")).collect();
    slow.is_asked(2).await;
    let waiting: Vec<_> = (0..3).map(|_| request(&layer, here, "ak_wrong")).collect();
    slow.is_asked(2).await;
    let last = request(&layer, here, &right);
    slow.is_asked(2).await;
    // The first of those that wait goes before it has a place, the others when they have one.
    waiting[0].abort();
    asked.iter().for_each(JoinHandle::abort);
    slow.is_asked(4).await;
    waiting.iter().for_each(JoinHandle::abort);
    slow.is_asked(5).await;
    slow.answer_all();
    assert_eq!(statuses([last]).await, [200], "nobody has failed");
    let wrong = (0..3).map(|_| request(&layer, here, "ak_wrong")).collect::<Vec<_>>();
    assert_eq!(statuses(wrong).await, [401, 401, 429]);
}

#[tokio::test]
async fn nobody_waits_longer_than_a_look_up_may_take_and_that_is_no_failure() {
    start_log();
    let slow = Slow::new();
    let patient = slow.layer("1 per hour");
    let layer = patient.clone().lookup_timeout(Duration::from_millis(50));
    let right = issue(slow.keys(), NewKey::named("right"));
    let here = "192.0.2.77";
    let first = request(&patient, here, &right);
    slow.is_asked(1).await;
    let waiting: Vec<_> = (0..5).map(|_| request(&layer, here, &right)).collect();
    assert_eq!(statuses(waiting).await, [503; 5]);
    let reason = "waiting for other look-ups of the address: no answer within 50ms";
    assert_eq!(errors(reason), 1, "the same fault");
    slow.is_asked(1).await;
    slow.answer(1);
    assert_eq!(statuses([first]).await, [200]);
    // A store that hangs hangs for each in turn, and is nobody's failure.
    let hanging: Vec<_> = (0..5).map(|_| request(&layer, here, "ak_wrong")).collect();
    assert_eq!(statuses(hanging).await, [503; 5]);
    slow.answer_all();
    assert_eq!(statuses([request(&patient, here, &right)]).await, [200]);
    assert_eq!(statuses([request(&patient, here, "ak_wrong")]).await, [401]);
}

#[tokio::test]
async fn neighbours_wait_for_each_other_and_nobody_else_does() {
    let slow = Slow::new();
    let layer = slow.layer("1 per hour");
    let wrong = |source| request(&layer, source, "ak_wrong");
    let first = [wrong("2001:db8:0:1::1"), wrong("192.0.2.1")];
    slow.is_asked(2).await;
    let neighbours = [wrong("2001:db8:0:1:ffff::2"), wrong("::ffff:192.0.2.1")];
    slow.is_asked(2).await;
    let others = [wrong("2001:db8:0:2::1"), wrong("192.0.2.2")];
    slow.is_asked(4).await;
    slow.answer_all();
    assert_eq!(statuses(first).await, [401; 2]);
    assert_eq!(statuses(neighbours).await, [429; 2]);
    assert_eq!(statuses(others).await, [401; 2]);
}

#[tokio::test]
async fn every_kind_of_wrong_key_counts_before_the_next_is_looked_up() {
    for kind in ["unknown", "revoked", "disabled", "expired", "refused by a guard"] {
        let slow = Slow::new();
        let guard = |key: &VerifiedKey, _: &RequestHead<'_>| match key.name() {
            "refused by a guard" => Err(RejectionKind::Revoked.into()),
            _ => Ok(()),
        };
        // Which answers late, too.
        let layer = slow.layer("1 per hour").guard(guard).rate_limiter(LateLimiter);
        let new = NewKey::named(kind).limit("9 per hour");
        let new = if kind == "expired" { new.expires_at(SystemTime::now()) } else { new };
        let issued = slow.keys().issue(new).unwrap();
        assert!(kind != "revoked" || slow.keys().revoke(issued.record.id()));
        assert!(kind != "disabled" || slow.keys().set_disabled(issued.record.id(), true));
        let key = if kind == "unknown" { "ak_unknown" } else { issued.secret.reveal() };
        let requests: Vec<_> = (0..3).map(|_| request(&layer, "192.0.2.1", key)).collect();
        slow.is_asked(1).await;
        slow.answer_all();
        let mut statuses = statuses(requests).await;
        statuses.sort_unstable();
        assert_eq!(statuses, [401, 429, 429], "{kind}");
        assert_eq!(slow.store.asked(), 1, "{kind}");
    }
}

#[tokio::test]
async fn over_sockets_clients_that_hang_up_leave_their_place_to_others() {
    let slow = Slow::new();
    let right = issue(slow.keys(), NewKey::named("right"));
    let address = serve_known(HERE, app(slow.layer("2 per hour"))).await.unwrap();
    let line = format!("x-api-key: {right}");
    let send =
        |line: String| tokio::spawn(async move { ask(address, HERE, "/", &line).await.status });
    let given_up: Vec<_> = (0..2).map(|_| send(WRONG.to_owned())).collect();
    slow.is_asked(2).await;
    let right: Vec<_> = (0..30).map(|_| send(line.clone())).collect();
    given_up.iter().for_each(JoinHandle::abort);
    slow.is_asked(4).await;
    slow.answer_all();
    for answered in in_time(join_all(right)).await {
        assert_eq!(answered.unwrap(), 200);
    }
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "other systems have no 127.0.0.2 at once")]
async fn another_address_is_not_affected() {
    let server = Throttled::new(false, identity).await;
    server.fail(3).await;
    assert_eq!(server.right().await, 429);
    assert_eq!(server.right_from("127.0.0.2", "a: b").await, 200);
    assert_eq!(server.right_from(HERE, "x-forwarded-for: 127.0.0.2").await, 429);
    for _ in 0..3 {
        let lines = format!("{WRONG}\r\nx-forwarded-for: 127.0.0.3");
        assert_eq!(server.ask("127.0.0.2", "/", &lines).await.status, 401);
    }
    assert_eq!(server.right_from("127.0.0.2", "a: b").await, 429);
    assert_eq!(server.right_from("127.0.0.3", "a: b").await, 200);
}

#[tokio::test]
async fn a_right_key_in_between_clears_nothing() {
    let server = Throttled::new(false, identity).await;
    for _ in 0..3 {
        assert_eq!(server.right().await, 200);
        server.fail(1).await;
    }
    assert_eq!(server.right().await, 429);
}

#[tokio::test]
async fn time_heals_one_failure_after_the_other() {
    let server = Throttled::new(false, identity).await;
    server.fail(3).await;
    server.clock.advance(Duration::from_secs(1199));
    let refused = server.ask(HERE, "/", WRONG).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    // Who was refused has not failed once more.
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(server.right().await, 200);
    server.fail(1).await;
    assert_eq!(server.right().await, 429);
    server.clock.advance(Duration::from_secs(3600));
    server.fail(3).await;
    assert_eq!(server.right().await, 429);
}

#[tokio::test]
async fn every_kind_of_wrong_key_counts() {
    for kind in ["malformed", "unknown", "revoked", "disabled", "expired"] {
        for remote in [false, true] {
            let server = Throttled::new(remote, ApiKeyLayer::optional).await;
            let keys = &server.store.keys;
            let new = NewKey::named(kind);
            let new = if kind == "expired" { new.expires_at(SystemTime::now()) } else { new };
            let issued = keys.issue(new).unwrap();
            let key = match kind {
                "malformed" => "a b",
                "unknown" => "ak_unknown",
                _ => issued.secret.reveal(),
            };
            assert!(kind != "revoked" || keys.revoke(issued.record.id()));
            assert!(kind != "disabled" || keys.set_disabled(issued.record.id(), true));
            for name in ["x-api-key:", "authorization: Bearer", "x-api-key:"] {
                let refused = server.ask(HERE, "/", &format!("{name} {key}")).await;
                assert_eq!(refused.status, 401, "{kind}");
            }
            assert_eq!(server.right().await, 429, "{kind}");
        }
    }
}

#[tokio::test]
async fn what_is_no_wrong_key_does_not_count() {
    for remote in [false, true] {
        let server = Throttled::new(remote, identity).await;
        let key = |new: NewKey| format!("x-api-key: {}", issue(&server.store.keys, new));
        let right = format!("x-api-key: {}", server.right);
        let often = key(NewKey::named("limited").limit("1 per hour"));
        assert_eq!(server.ask(HERE, "/", &often).await.status, 200);
        let public = NewKey::named("public").kind(KeyKind::Public).origins(["https://a.example"]);
        for (status, path, lines) in [
            (401, "/", "a: b".to_owned()),
            (401, "/own", right.clone()),
            (400, "/", format!("{right}\r\nauthorization: Bearer ak_wrong")),
            (403, "/guarded", right),
            (403, "/", key(NewKey::named("elsewhere").addresses(["10.0.0.0/8"]))),
            (403, "/", key(NewKey::named("endpoint").endpoints(["GET /other"]))),
            (403, "/", key(public)),
            (429, "/", often),
        ] {
            for _ in 0..4 {
                assert_eq!(server.ask(HERE, path, &lines).await.status, status, "{lines}");
            }
            assert_eq!(server.right().await, 200, "{status} {path}");
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_nobodys_failure() {
    for at_once in [false, true] {
        let broken = || Poll::Ready(Err(StoreError::new("down")));
        let layer = ApiKeyLayer::new(OddStore { answer: broken, at_once });
        let layer = layer.failure_throttle(FailureThrottle::new("1 per hour"));
        let address = serve_known(HERE, app(layer)).await.unwrap();
        for _ in 0..4 {
            assert_eq!(ask(address, HERE, "/", WRONG).await.status, 503);
        }
    }
}

#[tokio::test]
async fn behind_trusted_proxies_the_client_counts_and_cannot_invent_another() {
    let networks = || TrustedProxies::networks(["127.0.0.0/8", "192.0.2.0/24"]);
    for (proxies, header, [guesser, other]) in [
        (networks(), "x-forwarded-for", ["198.51.100.7", "198.51.100.8"]),
        (networks().forwarded_header(), "forwarded", ["for=198.51.100.7", "for=198.51.100.8"]),
        (TrustedProxies::hops(2), "x-forwarded-for", ["198.51.100.7", "198.51.100.8"]),
        // A /64 is one client, and the next one is another.
        (networks(), "x-forwarded-for", ["2001:db8:0:1::a", "2001:db8:0:2::a"]),
        // What cannot be read is one client.
        (networks(), "x-forwarded-for", ["unknown", "198.51.100.8"]),
    ] {
        let server = Throttled::new(false, |layer| layer.trusted_proxies(proxies)).await;
        let through = if header == "forwarded" { "for=192.0.2.9" } else { "192.0.2.9" };
        for number in 0..3 {
            let guesser = match guesser {
                "unknown" => format!("garbage-{number}"),
                "2001:db8:0:1::a" => format!("2001:db8:0:1:{number}::{number}"),
                address => address.to_owned(),
            };
            let invented = guesser.replace("198.51.100.7", &format!("10.0.0.{number}"));
            let invented = format!("{header}: {invented}\r\n{header}: {guesser}, {through}");
            let refused = server.ask(HERE, "/", &format!("{WRONG}\r\n{invented}")).await;
            assert_eq!(refused.status, 401, "{invented}");
        }
        let from = async |client: &str| {
            server.right_from(HERE, &format!("{header}: {client}, {through}")).await
        };
        assert_eq!(from(guesser).await, 429, "{guesser}");
        assert_eq!(from(other).await, 200, "{other}");
    }
}

#[tokio::test]
async fn where_no_address_is_known_nobody_locks_out_the_others() {
    start_log();
    let keys = MemoryStore::new();
    let right = format!("x-api-key: {}", issue(&keys, NewKey::named("right")));
    let layer = ApiKeyLayer::new(keys).failure_throttle(FailureThrottle::new("1 per hour"));
    let address = serve(app(layer)).await;
    for (line, status) in [(WRONG, 401), (WRONG, 401), (&*right, 200)] {
        assert_eq!(ask(address, HERE, "/", line).await.status, status);
    }
    assert_eq!(logged("the client's address is not known").len(), 1);
}

#[tokio::test]
async fn where_a_proxy_writes_what_cannot_be_read_the_proxy_counts() {
    let trusted = TrustedProxies::networks(["127.0.0.0/8"]);
    let server = Throttled::new(false, |layer| layer.trusted_proxies(trusted)).await;
    for _ in 0..3 {
        let wrong = format!("{WRONG}\r\nx-forwarded-for: garbage");
        assert_eq!(server.ask(HERE, "/", &wrong).await.status, 401);
    }
    assert_eq!(server.right_from(HERE, "x-forwarded-for: unknown").await, 429);
    assert_eq!(server.right_from(HERE, "x-forwarded-for: 192.0.2.1").await, 200);
}

#[tokio::test]
async fn where_a_proxy_does_not_say_for_whom_it_asks_the_proxy_counts() {
    for (proxies, line) in [
        (TrustedProxies::networks(["127.0.0.0/8"]), "accept: */*"),
        (TrustedProxies::networks(["127.0.0.0/8", "192.0.2.0/24"]), "x-forwarded-for: 192.0.2.9"),
        (TrustedProxies::networks(["127.0.0.0/8"]).forwarded_header(), "accept: */*"),
        (TrustedProxies::hops(1), "accept: */*"),
        // Who comes past a proxy writes what they like.
        (TrustedProxies::hops(2), "x-forwarded-for: 192.0.2.9"),
    ] {
        for proxies in [proxies.clone(), proxies.may_be_clients()] {
            let server = Throttled::new(false, |layer| layer.trusted_proxies(proxies)).await;
            for _ in 0..3 {
                let wrong = format!("{WRONG}\r\n{line}");
                assert_eq!(server.ask(HERE, "/", &wrong).await.status, 401);
            }
            assert_eq!(server.right_from(HERE, line).await, 429, "{line}");
        }
    }
}

#[tokio::test]
async fn layers_count_together_if_they_share_a_throttle() {
    let throttle = FailureThrottle::new("1 per hour");
    let layer = || ApiKeyLayer::new(MemoryStore::new()).failure_throttle(throttle.clone());
    for status in [401, 429] {
        let address = serve_known(HERE, app(layer())).await.unwrap();
        assert_eq!(ask(address, HERE, "/", WRONG).await.status, status);
    }
}

#[tokio::test]
async fn grpc_clients_get_resource_exhausted() {
    let keys = MemoryStore::new();
    let right = issue(&keys, NewKey::named("right"));
    let layer = ApiKeyLayer::new(keys).failure_throttle(FailureThrottle::new("1 per hour"));
    let service = layer.layer(tonic_health::server::health_reporter().1);
    let address = serve_tonic(Server::builder().add_service(service)).await;
    assert!(health(address, &right).await.is_ok());
    assert_eq!(health(address, "ak_wrong").await.unwrap_err().code(), Code::Unauthenticated);
    let refused = health(address, &right).await.unwrap_err();
    assert_eq!((refused.code(), refused.code() as i32), (Code::ResourceExhausted, 8));
    assert_eq!(refused.message(), "Too many requests with keys that are not valid");
    assert!(refused.metadata().contains_key("retry-after"));
}
