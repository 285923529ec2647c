//! A store that fails says nothing of a key: 503 and never 401, never through, and the next
//! request is served.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::sync::Notify;
use tonic::Code;
use tonic::transport::Server;
use tonic_health::server::health_reporter;
use tower::Layer as _;
use tower_api_key::Immediate;
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyHasher, KeyRecord, KeyScheme, KeyStore, MemoryStore, NewKey,
    StoreError, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{
    OddStore, RawResponse, errors, get_raw, health, http2_client, in_time, issue, logged, send_raw,
    serve, serve_tonic, start_log, tell_kind,
};

const TIMEOUT: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    Error,
    PanicAtOnce,
    PanicBeforeTheFuture,
    PanicInTheFuture,
    Hang,
}

/// Every fault, and what the operator reads of it.
const FAULTS: [(Fault, &str); 5] = [
    (Fault::Error, "the key store failed: the database is away"),
    (Fault::PanicAtOnce, "it panicked: at once"),
    (Fault::PanicBeforeTheFuture, "it panicked: before the future"),
    (Fault::PanicInTheFuture, "it panicked: in the future"),
    (Fault::Hang, "no answer within 50ms"),
];

/// Finds keys, or fails as it is told.
#[derive(Clone)]
struct Faulty {
    keys: MemoryStore,
    fault: Arc<Mutex<Fault>>,
    asked: Arc<Notify>,
}

impl Faulty {
    fn new() -> (Self, String) {
        let keys = MemoryStore::new();
        let key = issue(&keys, NewKey::named("robot"));
        (Self { keys, fault: Arc::new(Mutex::new(Fault::None)), asked: Arc::default() }, key)
    }

    fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap()
    }

    fn layer(&self) -> ApiKeyLayer {
        ApiKeyLayer::new(self.clone()).lookup_timeout(TIMEOUT)
    }
}

impl KeyStore for Faulty {
    fn find<'a, 'b, 'c>(
        &'a self,
        digest: &'b KeyDigest,
    ) -> BoxFuture<'c, Result<Option<Arc<KeyRecord>>, StoreError>>
    where
        'a: 'c,
        'b: 'c,
        Self: 'c,
    {
        let fault = self.fault();
        self.asked.notify_one();
        assert!(!matches!(fault, Fault::PanicBeforeTheFuture), "before the future");
        Box::pin(async move {
            tokio::task::yield_now().await;
            match fault {
                Fault::Error => Err(StoreError::new("the database is away")),
                Fault::Hang => std::future::pending().await,
                Fault::PanicInTheFuture => panic!("in the future"),
                _ => self.keys.find(digest).await,
            }
        })
    }

    fn find_now(&self, _: &KeyDigest) -> Immediate<Option<Arc<KeyRecord>>> {
        assert!(!matches!(self.fault(), Fault::PanicAtOnce), "at once");
        Immediate::Ask
    }
}

/// Serves a handler that counts its calls and says whether there is a key.
async fn start(layer: ApiKeyLayer) -> (SocketAddr, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let handler = async move |key: Option<VerifiedKey>| {
        counted.fetch_add(1, Ordering::SeqCst);
        key.map_or("nobody".to_owned(), |key| key.name().to_owned())
    };
    let app = Router::new().route("/{*path}", get(handler)).layer(layer);
    (serve(tell_kind(app)).await, calls)
}

async fn ask(address: SocketAddr, path: &str, key: &str) -> RawResponse {
    in_time(get_raw(address, path, &[&format!("x-api-key: {key}")])).await
}

/// Checks that the answer is that of a store that failed, and tells the client no reason.
fn assert_unavailable(response: &RawResponse, reason: &str) {
    assert_eq!(response.status, 503, "{reason}");
    assert_eq!(response.header("x-kind"), Some("unavailable"));
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.header("www-authenticate"), None);
    let body = r#"{"detail":"API keys cannot be verified at the moment","status":503,"title":"Service Unavailable","type":"about:blank"}"#;
    assert_eq!(response.text(), body);
}

#[tokio::test]
async fn a_store_that_fails_is_told_from_a_wrong_key_and_the_next_request_is_served() {
    start_log();
    for (fault, reason) in FAULTS {
        let (store, key) = Faulty::new();
        let (address, calls) = start(store.layer()).await;
        let path = format!("/required/{fault:?}");
        store.set(fault);
        for key in [&key, "nobody"] {
            assert_unavailable(&ask(address, &path, key).await, reason);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 0);

        // The second refusal is of the same fault.
        let events = logged(reason);
        let [event] = &events[..] else { panic!("{events:?}") };
        assert!(event.contains(" ERROR ") && event.contains(r#"kind="unavailable""#), "{event}");
        assert!(event.contains("method=\"GET\"") && !event.contains(&key), "{event}");

        store.set(Fault::None);
        assert_eq!(ask(address, &path, &key).await.text(), "robot");
        assert_eq!(ask(address, &path, "nobody").await.status, 401);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test]
async fn a_store_that_fails_makes_nobody_anonymous() {
    for (fault, reason) in FAULTS {
        let (store, key) = Faulty::new();
        let (address, calls) = start(store.layer().optional()).await;
        store.set(fault);
        for key in [&key, "nobody"] {
            assert_unavailable(&ask(address, "/optional", key).await, reason);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 0);
        // Without a key, there is nothing to ask.
        let anonymous = in_time(get_raw(address, "/optional", &[])).await;
        assert_eq!(anonymous.text(), "nobody");
    }
}

#[tokio::test]
async fn a_request_that_waits_for_the_store_holds_up_nobody_on_its_connection() {
    let (store, key) = Faulty::new();
    let (address, _) = start(store.layer().lookup_timeout(Duration::from_secs(600))).await;
    let client = http2_client();
    let ask = |path: &str| {
        let request = client.get(format!("http://{address}{path}")).header("x-api-key", &key);
        tokio::spawn(in_time(request.send()))
    };
    assert_eq!(ask("/connect").await.unwrap().unwrap().status(), StatusCode::OK);
    in_time(store.asked.notified()).await;
    store.set(Fault::Hang);
    let slow = ask("/slow");
    in_time(store.asked.notified()).await;
    for fault in [Fault::None, Fault::PanicInTheFuture, Fault::None] {
        store.set(fault);
        let expected = if let Fault::None = fault { 200 } else { 503 };
        assert_eq!(ask("/quick").await.unwrap().unwrap().status(), expected);
    }
    assert!(!slow.is_finished());
}

#[tokio::test]
async fn an_old_pepper_that_cannot_be_tried_is_no_wrong_key() {
    for at_once in [false, true] {
        let asked = AtomicUsize::new(0);
        let answer = move || match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Poll::Ready(Ok(None)),
            _ => Poll::Ready(Err(StoreError::new("the database is away"))),
        };
        let layer = ApiKeyLayer::new(OddStore { answer, at_once })
            .scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(&[1; 32]).or_sha256()));
        let (address, calls) = start(layer).await;
        assert_unavailable(&ask(address, "/pepper", "any").await, "the second digest");
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn grpc_is_told_unavailable() {
    for (fault, reason) in FAULTS {
        let (store, key) = Faulty::new();
        let (_reporter, service) = health_reporter();
        let router = Server::builder().add_service(store.layer().layer(service));
        let address = serve_tonic(router).await;
        store.set(fault);
        let status = in_time(health(address, &key)).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{reason}");
        assert_eq!(status.message(), "API keys cannot be verified at the moment");
        store.set(Fault::None);
        in_time(health(address, &key)).await.unwrap();
    }
}

#[tokio::test]
async fn a_failing_store_answers_grpc_in_one_piece() {
    let (store, key) = Faulty::new();
    let (address, calls) = start(store.layer()).await;
    store.set(Fault::Error);
    let head = "POST /a.B/C HTTP/1.1\r\ncontent-type: application/grpc+proto";
    let response = in_time(send_raw(address, format!("{head}\r\nx-api-key: {key}"))).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.header("content-type"), Some("application/grpc"));
    assert_eq!(response.header("grpc-status"), Some("14"));
    assert_eq!(response.text(), "");
    assert_eq!(calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_record_of_another_key_is_an_unknown_key_and_an_error_in_the_log() {
    start_log();
    for (at_once, optional) in [(false, false), (true, false), (false, true), (true, true)] {
        let keys = MemoryStore::new();
        let other = keys.issue(NewKey::named("other")).unwrap();
        let key = issue(&keys, NewKey::named("robot"));
        let record = Arc::clone(&other.record);
        let answer = move || Poll::Ready(Ok(Some(Arc::clone(&record))));
        let mut layer = ApiKeyLayer::new(OddStore { answer, at_once });
        if optional {
            layer = layer.optional();
        }
        let (address, calls) = start(layer).await;
        let refused = ask(address, "/foreign", &key).await;
        assert_eq!(refused.status, 401);
        assert_eq!(refused.header("x-kind"), Some("unknown"));
        assert!(refused.text().contains("The API key is not valid"));
        assert_eq!(calls.load(Ordering::SeqCst), 0);

        let id = other.record.id().as_str();
        assert_eq!(errors(id), 1, "{:?}", logged(id));
        assert!(logged(id)[0].contains("not the presented key's"));
        // The other key is what the store says it is.
        assert_eq!(ask(address, "/foreign", other.secret.reveal()).await.text(), "other");
        assert_eq!(errors(id), 1);
    }
}
