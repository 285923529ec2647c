//! How often an address may present wrong keys.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::convert::identity;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::routing::get;
use http::StatusCode;
use tonic::Code;
use tonic::transport::Server;
use tower::Layer as _;
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, KeyDigest, KeyKind, KeyRecord, KeyStore, MemoryStore, NewKey,
    RequireAbility, StoreError, TrustedProxies,
};

use self::common::{
    CountingStore, OddStore, RawResponse, health, in_time, issue, logged, send_raw_from, serve,
    serve_known, serve_tonic, start_log,
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
        let throttle = FailureThrottle::with_clock("3 per hour", clock.clone());
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
        let lines = format!("x-api-key: {} | {lines}", self.right);
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
    let request = format!("GET {path} HTTP/1.1\r\n{}", lines.replace(" | ", "\r\n"));
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
#[cfg_attr(not(target_os = "linux"), ignore = "other systems have no 127.0.0.2 at once")]
async fn another_address_is_not_affected() {
    let server = Throttled::new(false, identity).await;
    server.fail(3).await;
    assert_eq!(server.right().await, 429);
    assert_eq!(server.right_from("127.0.0.2", "a: b").await, 200);
    assert_eq!(server.right_from(HERE, "x-forwarded-for: 127.0.0.2").await, 429);
    for _ in 0..3 {
        let lines = format!("{WRONG} | x-forwarded-for: 127.0.0.3");
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
            assert!(kind != "revoked" || keys.revoke(&issued.record.id));
            assert!(kind != "disabled" || keys.set_disabled(&issued.record.id, true));
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
            (400, "/", format!("{right} | authorization: Bearer ak_wrong")),
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
            let invented = format!("{header}: {invented} | {header}: {guesser}, {through}");
            let refused = server.ask(HERE, "/", &format!("{WRONG} | {invented}")).await;
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
        let wrong = format!("{WRONG} | x-forwarded-for: garbage");
        assert_eq!(server.ask(HERE, "/", &wrong).await.status, 401);
    }
    assert_eq!(server.right_from(HERE, "x-forwarded-for: unknown").await, 429);
    assert_eq!(server.right_from(HERE, "x-forwarded-for: 192.0.2.1").await, 200);
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
