//! What a store answers is compared with the key, and a store that fails makes no key a wrong one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use std::time::SystemTime;

use axum::Router;
use axum::routing::any;
use tower_api_key::{
    ApiKeyLayer, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyScheme, MemoryStore, NewKey,
    StoreError, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{Answer, OddStore, errors, logged, send_raw, serve, start_log, tell_kind};

async fn serve_with(layer: ApiKeyLayer) -> SocketAddr {
    let name = async |key: VerifiedKey| key.name().to_owned();
    serve(tell_kind(Router::new().fallback(any(name)).layer(layer))).await
}

/// Sends a key, and returns whose it is, or the kind of the rejection.
async fn answer(address: SocketAddr, key: &str) -> String {
    answer_on("/", address, key).await
}

async fn answer_on(path: &str, address: SocketAddr, key: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nx-api-key: {key}");
    let response = send_raw(address, request).await;
    let kind = response.header("x-kind").unwrap_or_else(|| response.text());
    format!("{} {kind}", response.status)
}

/// A record of a key that another system issued.
fn record_of(key: &str) -> KeyRecord {
    let digest = KeyHasher::sha256().digest(key);
    KeyRecord::new(KeyId::generate().unwrap(), digest, "owner", SystemTime::now())
}

#[tokio::test]
async fn a_record_of_another_key_is_an_unknown_key_and_an_error_in_the_log() {
    start_log();
    for at_once in [true, false] {
        let issued = NewKey::named("victim").generate(&KeyScheme::default()).unwrap();
        let (key, record) = (issued.secret.reveal(), issued.record);
        let id = record.id().to_string();
        let answer_always = move || Poll::Ready(Ok(Some(Arc::clone(&record))));
        let store = OddStore { answer: answer_always, at_once };
        let address = serve_with(ApiKeyLayer::new(store)).await;
        assert_eq!(answer(address, key).await, "200 victim");
        assert_eq!(errors(&id), 0);
        for wrong in [&key.to_lowercase(), &key[..48], &format!("{key}1"), &id, "x"] {
            assert_eq!(answer(address, wrong).await, "401 unknown", "{wrong}");
            // It is the same fault each time.
            assert_eq!(errors(&id), 1, "{wrong}");
        }
    }
}

#[tokio::test]
async fn a_record_that_contradicts_the_prefix_is_refused_and_an_error_in_the_log() {
    start_log();
    let live = KeyFormat::new("sk_live_").stage("live");
    let (keys, secret) = (MemoryStore::new(), live.generate().unwrap());
    let mut record = record_of(secret.reveal());
    let address = serve_with(ApiKeyLayer::new(keys.clone()).scheme(KeyScheme::new(live))).await;
    for (stage, expected) in [(Some("test"), 1), (None, 1), (Some("live"), 1)] {
        record.set_stage(stage.map(|stage| stage.parse().unwrap()));
        keys.insert(record.clone());
        let right = if stage == Some("live") { "200 owner" } else { "401 unknown" };
        assert_eq!(answer(address, secret.reveal()).await, right);
        assert_eq!(errors(record.id().as_str()), expected);
    }
}

/// Checks that a store with this answer is told to the client as 503, and logged.
async fn is_unavailable(name: &str, answer: impl Fn() -> Answer + Clone + Send + Sync + 'static) {
    start_log();
    for (at_once, optional) in [(true, true), (true, false), (false, true), (false, false)] {
        let answer = answer.clone();
        let layer = ApiKeyLayer::new(OddStore { answer, at_once });
        let layer = layer.lookup_timeout(Duration::from_millis(5));
        let layer = if optional { layer.optional() } else { layer };
        let address = serve_with(layer).await;
        let path = format!("/{name}-{at_once}-{optional}");
        assert_eq!(answer_on(&path, address, "ak_1").await, "503 unavailable");
        assert_eq!(errors(&path), 1, "{path}");
        // The server lives on.
        assert_eq!(answer_on(&path, address, "a b").await, "401 malformed");
    }
}

#[tokio::test]
async fn a_store_that_fails_hangs_or_panics_is_unavailable_and_never_a_wrong_key() {
    is_unavailable("fails", || Poll::Ready(Err(StoreError::new("no route to host")))).await;
    assert_eq!(logged("no route to host").len(), 4);
    is_unavailable("hangs", || Poll::Pending).await;
    is_unavailable("panics", || panic!("on purpose")).await;
}
