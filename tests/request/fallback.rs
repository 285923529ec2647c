//! Keys that the store does not know, and another system does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use tokio::sync::Semaphore;
use tower_api_key::store::{AuditAction, AuditEvent, CachedStore, KeyChange, KeyQuery};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, Fallback, KeyHasher, KeyRecord, KeyRepository, KeyScheme,
    KeyStore, MemoryStore, RequireAbility, Secret, StoreError, VerifiedKey,
};

use crate::common::{
    OddStore, in_time, logged, send_raw, serve, serve_known, start_log, tell_kind,
};

/// A system that can be asked for the text of a key only.
#[derive(Clone, Default)]
struct Old(Arc<Inner>);

struct Inner {
    /// The ids of the keys.
    keys: Mutex<HashMap<String, String>>,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    /// What an attempt needs to go on.
    open: Semaphore,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            keys: Mutex::default(),
            asked: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
            open: Semaphore::new(Semaphore::MAX_PERMITS),
        }
    }
}

impl Old {
    fn with(keys: &[(&str, &str)]) -> Self {
        let old = Self::default();
        let keys = keys.iter().map(|(key, id)| ((*key).to_owned(), (*id).to_owned()));
        old.0.keys.lock().unwrap().extend(keys);
        old
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn fallback(&self, repository: impl KeyRepository + 'static) -> Fallback {
        let old = self.clone();
        Fallback::new(repository, move |key: Secret| {
            let old = old.clone();
            async move { old.verify(&key).await }
        })
    }

    async fn verify(&self, key: &Secret) -> Result<Option<KeyRecord>, StoreError> {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let now = self.0.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.most_at_once.fetch_max(now, Ordering::SeqCst);
        self.0.open.acquire().await.unwrap().forget();
        self.0.at_once.fetch_sub(1, Ordering::SeqCst);
        match key.reveal() {
            "hush-error" => return Err(StoreError::new("no row for hush-error")),
            "hush-panic" => panic!("no row for hush-panic"),
            "1|hush-secret" => return Err(StoreError::new("the hash of hush-secret is broken")),
            "plain-error" => return Err(StoreError::new("the old table is away")),
            _ => {}
        }
        let id = self.0.keys.lock().unwrap().get(key.reveal()).cloned();
        Ok(id.map(|id| {
            let (id, created_at) = (id.parse().unwrap(), SystemTime::UNIX_EPOCH);
            let mut record = KeyRecord::new(id, Fallback::ANY_DIGEST, "an old key", created_at);
            record.set_abilities(["bots:read"].try_into().unwrap());
            record
        }))
    }
}

async fn whoami(key: VerifiedKey) -> String {
    key.id().to_string()
}

fn app(layer: ApiKeyLayer) -> Router {
    let write = get(whoami).layer(RequireAbility::new("bots:write"));
    tell_kind(Router::new().route("/", get(whoami)).route("/write", write).layer(layer))
}

/// Returns the status, and the reason or the body.
async fn send(address: SocketAddr, start: &str, key: &str) -> String {
    let answer = send_raw(address, crate::common::request::request(start).key(key)).await;
    let reason = answer.header("x-kind").unwrap_or_else(|| answer.text());
    format!("{} {reason}", answer.status)
}

#[tokio::test]
async fn a_key_of_another_system_is_adopted_and_then_found_in_the_store() {
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    let events: Arc<Mutex<Vec<AuditEvent>>> = Arc::default();
    let noted = Arc::clone(&events);
    let fallback = old
        .fallback(keys.clone())
        .audit(move |event: &AuditEvent| noted.lock().unwrap().push(event.clone()));
    let address = serve(app(ApiKeyLayer::new(keys.clone()).fallback(fallback))).await;
    for _ in 0..3 {
        assert_eq!(send(address, "GET /", "old-key").await, "200 17");
        assert_eq!(old.asked(), 1);
    }
    // What follows applies to it as to any key.
    assert_eq!(send(address, "GET /write", "old-key").await, "403 missing_ability");
    let record = keys.get(&"17".parse().unwrap()).unwrap();
    assert_eq!(record.digest(), KeyHasher::sha256().digest("old-key"));
    let events = std::mem::take(&mut *events.lock().unwrap());
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (event.action, event.actor.to_string()),
        (AuditAction::Imported, "name:fallback".into())
    );
    assert_eq!(event.after.as_ref(), Some(&record));
    // Once it is known, only the store is believed.
    assert!(keys.revoke(record.id()));
    assert_eq!(send(address, "GET /", "old-key").await, "401 revoked");
    assert_eq!(old.asked(), 1);
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_unknown() {
    let old = Old::with(&[("old-key", "17")]);
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone()).fallback(old.fallback(keys));
    let address = serve(app(layer)).await;
    assert_eq!(send(address, "GET /", "old-kex").await, "401 unknown");
    assert_eq!(send(address, "GET /", "").await, "401 missing");
    assert_eq!(send(address, "GET /", "old key").await, "401 malformed");
    assert_eq!(old.asked(), 1);
}

#[tokio::test]
async fn a_key_is_adopted_under_the_current_way_of_hashing() {
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    let pepper = b"a pepper of 32 random bytes ....";
    let hasher = KeyHasher::hmac_sha256(pepper).or_sha256().or_sha256_after_id();
    // In the cache is that there is no such key, under each digest.
    let cached = CachedStore::new(keys.clone());
    let layer = ApiKeyLayer::new(cached.clone())
        .scheme(KeyScheme::default().hasher(hasher))
        .fallback(old.fallback(cached));
    let address = serve(app(layer)).await;
    for _ in 0..2 {
        assert_eq!(send(address, "GET /", "old-key").await, "200 17");
    }
    let record = keys.get(&"17".parse().unwrap()).unwrap();
    assert_eq!(record.digest(), KeyHasher::hmac_sha256(pepper).digest("old-key"));
    assert_eq!(old.asked(), 1);
}

#[tokio::test]
async fn requests_with_the_same_key_share_one_attempt_also_over_two_servers() {
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    let layer = || ApiKeyLayer::new(keys.clone()).fallback(old.fallback(keys.clone()));
    let servers = [serve(app(layer())).await, serve(app(layer())).await];
    // Nobody goes on before all have come.
    old.0.open.forget_permits(Semaphore::MAX_PERMITS);
    let requests = (0..10).map(|number| send(servers[number % 2], "GET /", "old-key"));
    let open = async {
        while old.asked() < 2 {
            tokio::task::yield_now().await;
        }
        // Those that come now wait for the same.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(old.asked(), 2, "each server asks once");
        old.0.open.add_permits(100);
    };
    let (answers, ()) =
        in_time(futures_util::future::join(futures_util::future::join_all(requests), open)).await;
    assert!(answers.iter().all(|answer| answer == "200 17"), "{answers:?}");
    let stored = KeyRepository::list(&keys, &KeyQuery::new()).await.unwrap();
    assert_eq!(stored.keys.len(), 1);
}

#[tokio::test]
async fn attempts_in_flight_are_bounded_also_when_clients_go_away() {
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    old.0.open.forget_permits(Semaphore::MAX_PERMITS);
    let fallback = old.fallback(keys.clone()).at_most(2);
    let layer =
        ApiKeyLayer::new(keys).fallback(fallback).lookup_timeout(Duration::from_millis(200));
    let address = serve(app(layer)).await;
    let guesses = (0..8)
        .map(|number| async move { send(address, "GET /", &format!("guess-{number}")).await });
    let answers = in_time(futures_util::future::join_all(guesses)).await;
    assert!(answers.iter().all(|answer| answer == "503 unavailable"), "{answers:?}");
    // Those that hang still count, though nobody waits for them. Those that have not begun are gone.
    assert_eq!(send(address, "GET /", "old-key").await, "503 unavailable");
    assert_eq!((old.asked(), old.0.most_at_once.load(Ordering::SeqCst)), (2, 2));
    old.0.open.add_permits(1000);
    in_time(async {
        while send(address, "GET /", "old-key").await != "200 17" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!((old.asked(), old.0.most_at_once.load(Ordering::SeqCst)), (3, 2));
}

#[tokio::test]
async fn failures_are_answered_with_503_and_no_log_shows_the_key() {
    start_log();
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    let layer = ApiKeyLayer::new(keys.clone()).fallback(old.fallback(keys));
    let address = serve(app(layer)).await;
    for key in ["hush-error", "hush-panic", "1|hush-secret"] {
        assert_eq!(send(address, "GET /", key).await, "503 unavailable", "{key}");
    }
    assert_eq!(send(address, "GET /", "plain-error").await, "503 unavailable");
    assert_eq!(send(address, "GET /", "old-key").await, "200 17");
    let text = logged("").join("\n");
    assert!(text.contains("the old table is away"), "{text}");
    assert!(text.contains("its error holds the key") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn while_the_store_fails_the_other_system_is_not_asked() {
    let old = Old::with(&[("old-key", "17")]);
    let answer = || Poll::Ready(Err(StoreError::new("the store is away")));
    let store = OddStore { answer, at_once: false };
    let layer = ApiKeyLayer::new(store).fallback(old.fallback(MemoryStore::new()));
    let address = serve(app(layer)).await;
    assert_eq!(send(address, "GET /", "old-key").await, "503 unavailable");
    assert_eq!(old.asked(), 0);
}

#[tokio::test]
async fn an_id_that_another_key_has_is_an_error() {
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    let digest = KeyHasher::sha256().digest("another");
    let mut taken = KeyRecord::new("17".parse().unwrap(), digest, "taken", SystemTime::now());
    taken.set_revoked_at(Some(SystemTime::now()));
    keys.commit(&[KeyChange::Insert(taken.into())], &[]).await.unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).fallback(old.fallback(keys.clone()));
    let address = serve(app(layer)).await;
    assert_eq!(send(address, "GET /", "old-key").await, "503 unavailable");
    assert!(keys.find(&KeyHasher::sha256().digest("old-key")).await.unwrap().is_none());
}

#[tokio::test]
async fn wrong_keys_count_as_failures_of_their_address() {
    let (keys, old) = (MemoryStore::new(), Old::with(&[("old-key", "17")]));
    let clock = FakeClock::new();
    let throttle = FailureThrottle::with_clock("3 per hour", clock);
    let layer =
        ApiKeyLayer::new(keys.clone()).fallback(old.fallback(keys)).failure_throttle(throttle);
    let address = serve_known("127.0.0.1", app(layer)).await.unwrap();
    let guesses = (0..20)
        .map(|number| async move { send(address, "GET /", &format!("guess-{number}")).await });
    let answers = in_time(futures_util::future::join_all(guesses)).await;
    let unknown = answers.iter().filter(|answer| *answer == "401 unknown").count();
    assert_eq!((unknown, old.asked()), (3, 3), "{answers:?}");
    // Also the right key, until failures have expired.
    assert_eq!(send(address, "GET /", "old-key").await, "429 rate_limited");
}
