//! A store that fails, hangs or panics, seen from one connection, and the time that it has.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::panic::panic_any;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::any;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::Immediate;
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyHasher, KeyRecord, KeyScheme, KeyStore, MemoryStore, NewKey,
    StoreError,
};

use crate::common::{errors, get_raw, in_time, issue, logged, send_raw, serve, start_log};

/// What the operator may read and the client may not.
const REASON: &str = "db-7.internal refused us";

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Mood {
    #[default]
    Works,
    Fails,
    Hangs,
    Panics,
    PanicsWithANumber,
    PanicsBeforeItWaits,
    PanicsAtOnce,
    PanicsWhenDropped,
}

const BAD: [(Mood, &str); 7] = [
    (Mood::Fails, REASON),
    (Mood::Hangs, "no answer within 20ms"),
    (Mood::Panics, REASON),
    (Mood::PanicsWithANumber, "a panic without a message"),
    (Mood::PanicsBeforeItWaits, REASON),
    (Mood::PanicsAtOnce, REASON),
    (Mood::PanicsWhenDropped, REASON),
];

/// A store whose mood a test sets, and which tells when it is asked and when it is dropped.
#[derive(Clone, Default)]
struct MoodyStore {
    keys: MemoryStore,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Notify>,
    dropped: Arc<Notify>,
}

struct Lookup<'a>(Mood, &'a Notify);

impl Drop for Lookup<'_> {
    fn drop(&mut self) {
        match self.0 {
            Mood::Hangs => self.1.notify_one(),
            mood => assert!(mood != Mood::PanicsWhenDropped, "{REASON}"),
        }
    }
}

type Found = Result<Option<Arc<KeyRecord>>, StoreError>;

impl MoodyStore {
    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn get(&self) -> Mood {
        *self.mood.lock().unwrap()
    }
}

impl KeyStore for MoodyStore {
    // By hand, so that it can panic before there is a future.
    fn find<'a: 'c, 'b: 'c, 'c>(&'a self, digest: &'b KeyDigest) -> BoxFuture<'c, Found> {
        let mood = self.get();
        assert!(mood != Mood::PanicsBeforeItWaits, "{REASON}");
        Box::pin(async move {
            let _lookup = Lookup(mood, &self.dropped);
            match mood {
                Mood::Works => self.keys.find(digest).await,
                Mood::Fails => Err(StoreError::new(REASON)),
                Mood::PanicsWithANumber => panic_any(7),
                Mood::PanicsWhenDropped => pending().await,
                Mood::Hangs => {
                    self.asked.notify_one();
                    pending().await
                }
                _ => panic!("{REASON}"),
            }
        })
    }

    fn find_now(&self, _: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        assert!(self.get() != Mood::PanicsAtOnce, "{REASON}");
        Immediate::Ask
    }
}

struct Server {
    address: SocketAddr,
    store: MoodyStore,
    key: String,
    calls: Arc<AtomicUsize>,
}

impl Server {
    async fn new(settings: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer) -> Self {
        let (store, calls) = (MoodyStore::default(), Arc::new(AtomicUsize::new(0)));
        let (key, counter) = (issue(&store.keys, NewKey::named("key")), Arc::clone(&calls));
        let handler = async move || {
            counter.fetch_add(1, SeqCst);
            "in"
        };
        let layer = settings(ApiKeyLayer::new(store.clone()));
        let app = Router::new().fallback(any(handler)).layer(layer);
        Self { address: serve(app).await, store, key, calls }
    }

    fn request(&self, path: &str) -> Request<Empty<Bytes>> {
        let uri = format!("http://{}{path}", self.address);
        Request::get(uri).header("x-api-key", &self.key).body(Empty::new()).unwrap()
    }

    /// Gets a path over a connection of its own.
    async fn get(&self, path: &str) -> u16 {
        let line = format!("x-api-key: {}", self.key);
        in_time(get_raw(self.address, path, &[&line])).await.status
    }
}

fn quick(layer: ApiKeyLayer) -> ApiKeyLayer {
    layer.lookup_timeout(Duration::from_millis(20))
}

/// One connection, which is not opened again when it breaks.
enum Client {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

impl Client {
    async fn both(address: SocketAddr) -> [Self; 2] {
        let connect = async || TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (one, connection) = http1::handshake(connect().await).await.unwrap();
        tokio::spawn(connection);
        let two = http2::handshake(TokioExecutor::new(), connect().await);
        let (two, connection) = two.await.unwrap();
        tokio::spawn(connection);
        [Self::One(one), Self::Two(two)]
    }

    async fn send(&mut self, request: Request<Empty<Bytes>>) -> Response<String> {
        let response = match self {
            Self::One(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await
            }
            Self::Two(sender) => sender.send_request(request).await,
        };
        let (head, body) = response.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Response::from_parts(head, String::from_utf8(body.to_vec()).unwrap())
    }
}

#[tokio::test]
async fn whatever_the_store_does_the_connection_lives_on() {
    start_log();
    for (mood, reason) in BAD {
        let server = Server::new(quick).await;
        for (number, mut client) in Client::both(server.address).await.into_iter().enumerate() {
            let path = format!("/bad-{mood:?}-{number}-end");
            server.store.set(mood);
            let before = server.calls.load(SeqCst);
            let refused = in_time(client.send(server.request(&path))).await;
            assert_eq!((refused.status().as_u16(), server.calls.load(SeqCst)), (503, before));
            assert_eq!(refused.headers()["retry-after"], "1");
            assert_eq!(refused.headers()["cache-control"], "no-store");
            assert!(!refused.headers().contains_key("www-authenticate"));
            assert!(refused.body().contains("API keys cannot be verified at the moment"));
            assert!(!refused.body().contains(reason) && !refused.body().contains("panic"));
            // The fault is the same for the second client.
            let written = usize::from(number == 0);
            let lines = logged(&path);
            for line in lines.iter().filter(|line| line.contains(" ERROR ")) {
                assert!(line.contains(r#"kind="unavailable""#) && line.contains(reason), "{line}");
            }
            server.store.set(Mood::Works);
            assert_eq!(in_time(client.send(server.request(&path))).await.body(), "in", "{path}");
            assert_eq!(server.get(&path).await, 200, "{path}");
            assert_eq!((server.calls.load(SeqCst), errors(&path)), (before + 2, written), "{path}");
        }
    }
}

#[tokio::test]
async fn a_preflight_with_a_key_does_not_pass_a_failing_store() {
    for (mood, _) in BAD {
        let server = Server::new(|layer| quick(layer).optional().forward_preflight()).await;
        server.store.set(mood);
        for name in ["x-api-key: ", "authorization: Bearer "] {
            let preflight = "OPTIONS / HTTP/1.1\r\norigin: a\r\naccess-control-request-method: GET";
            let preflight = format!("{preflight}\r\n{name}{}", server.key);
            let response = in_time(send_raw(server.address, preflight)).await;
            assert_eq!((response.status, server.calls.load(SeqCst)), (503, 0), "{mood:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_store_is_asked_disturbs_nobody() {
    start_log();
    let server = Server::new(|layer| layer.lookup_timeout(Duration::MAX)).await;
    for (number, mut client) in Client::both(server.address).await.into_iter().enumerate() {
        let path = format!("/left-{number}-end");
        server.store.set(Mood::Hangs);
        tokio::select! {
            response = in_time(client.send(server.request(&path))) => panic!("{response:?}"),
            () = server.store.asked.notified() => {}
        }
        // HTTP/1.1 closes the connection; HTTP/2 takes back the request alone.
        in_time(server.store.dropped.notified()).await;
        server.store.set(Mood::Works);
        assert_eq!(server.get(&path).await, 200);
        if let Client::Two(_) = client {
            assert_eq!(in_time(client.send(server.request(&path))).await.body(), "in");
        }
        assert_eq!((server.calls.load(SeqCst), errors(&path)), ([1, 3][number], 0));
    }
}

/// A store that takes its time, by the clock of the runtime, and then knows no key.
struct Slow(Duration);

#[async_trait]
impl KeyStore for Slow {
    async fn find(&self, _: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        tokio::time::sleep(self.0).await;
        Ok(None)
    }
}

/// Returns the status of a request and when it was answered. The clock stands still but when all
/// wait for it, so that the times are exact.
async fn ask(store: Slow, settings: impl Fn(ApiKeyLayer) -> ApiKeyLayer) -> (u16, Duration) {
    let service =
        service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Body::empty())));
    let service = settings(ApiKeyLayer::new(store)).layer(service);
    let start = tokio::time::Instant::now();
    let request = Request::get("/").header("x-api-key", "some-key").body(Body::empty()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    (response.status().as_u16(), start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_store_has_five_seconds_unless_told_otherwise() {
    let [one, five, hour] = [1, 5, 3600].map(Duration::from_secs);
    // Timers tick in milliseconds.
    let tick = Duration::from_millis(2);
    let (status, time) = ask(Slow(hour), |layer| layer).await;
    assert!(status == 503 && (five..five + tick).contains(&time), "{status} {time:?}");
    let (status, time) = ask(Slow(hour), |layer| layer.lookup_timeout(one)).await;
    assert!(status == 503 && (one..one + tick).contains(&time), "{status} {time:?}");
    let (status, time) = ask(Slow(five - tick), |layer| layer).await;
    assert!(status == 401 && time < five, "{status} {time:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_is_for_all_peppers_together() {
    let each = Duration::from_secs(3);
    let scheme = KeyScheme::default().hasher(KeyHasher::hmac_sha256(&[7; 32]).or_sha256());
    let (status, _) = ask(Slow(each), |layer| layer.scheme(scheme.clone())).await;
    assert_eq!(status, 503);
    let enough = each * 3;
    let settings = |layer: ApiKeyLayer| layer.scheme(scheme.clone()).lookup_timeout(enough);
    assert_eq!(ask(Slow(each), settings).await.0, 401);
}
