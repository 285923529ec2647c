//! How often keys were used, and when last: what servers keep of it, and what it never does.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::Router;
use axum::routing::any;
use futures_util::FutureExt as _;
use tower::{Layer as _, ServiceExt as _};
use tower_api_key::store::{
    AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, KeyState, KeyUse, RecordUses, StoredKey,
    UsageBatch, UsageBucket, UsageByKeyQuery, UsageOf, UsageQuery, UsageRetention, UsageStep,
    UsageStore,
};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, Clock as _, IssuedKey, KeyDigest, KeyId, KeyRecord, KeyRepository, KeyStore,
    MemoryStore, NewKey, RequireAbility, StoreError, UsageRecorder,
};

use crate::common::MemoryKeys as _;
use crate::common::{RawResponse, get_raw, in_time, logged, serve, start_log};

/// What a repository does with uses.
#[derive(Clone, Copy, Debug)]
enum Does {
    Record,
    Fail,
    Hang,
    Panic,
}

/// A memory store that finds keys, and does what it is told with uses.
#[derive(Clone)]
struct Keys {
    keys: MemoryStore,
    does: Arc<Mutex<Does>>,
    rows: Arc<Mutex<Vec<KeyUse>>>,
}

impl Keys {
    fn new(does: Does) -> Self {
        let does = Arc::new(Mutex::new(does));
        Self { keys: MemoryStore::new(), does, rows: Arc::default() }
    }

    fn now_do(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }

    fn issue(&self, key: NewKey) -> IssuedKey {
        self.keys.issue(key).unwrap()
    }

    async fn last_used_at(&self, id: &KeyId) -> Option<SystemTime> {
        self.get(id).await.unwrap().unwrap().last_used_at
    }

    /// Waits until the key was used at `time` as far as the repository knows.
    async fn wait_for(&self, id: &KeyId, time: SystemTime) {
        in_time(async {
            while self.last_used_at(id).await != Some(time) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

#[async_trait]
impl KeyStore for Keys {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.keys.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Keys {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        KeyRepository::get(&self.keys, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.keys, query).await
    }

    async fn commit(&self, _: &[KeyChange], _: &[AuditEvent]) -> Result<(), CommitError> {
        panic!("a use changes no record")
    }
}

#[async_trait]
impl RecordUses for Keys {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let does = *self.does.lock().unwrap();
        match does {
            Does::Record => {}
            Does::Fail => return Err(StoreError::new("no uses today")),
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("the repository's own fault"),
        }
        self.rows.lock().unwrap().extend_from_slice(uses);
        self.keys.record_uses(uses).await
    }
}

#[async_trait]
impl UsageStore for Keys {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        let does = *self.does.lock().unwrap();
        match does {
            Does::Record => {}
            Does::Fail => return Err(StoreError::new("no counts today")),
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("the repository's own fault"),
        }
        self.keys.add_usage(batch).await
    }

    async fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        self.keys.usage(query).await
    }

    async fn usage_by_key(
        &self,
        query: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        self.keys.usage_by_key(query).await
    }

    async fn prune_usage(
        &self,
        retention: UsageRetention,
        now: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        self.keys.prune_usage(retention, now, at_most).await
    }
}

async fn start(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().fallback(any(async || "in")).layer(layer)).await
}

async fn ask(address: SocketAddr, key: &IssuedKey) -> RawResponse {
    in_time(get_raw(address, "/", &[&format!("x-api-key: {}", key.secret.reveal())])).await
}

/// A time that every database keeps.
fn fake_clock() -> FakeClock {
    FakeClock::at(SystemTime::UNIX_EPOCH + Duration::from_micros(1_700_000_000_123_456))
}

#[tokio::test]
async fn the_last_use_of_a_key_is_listed_beside_its_record() {
    let (keys, clock) = (Keys::new(Does::Record), fake_clock());
    let [used, unused] = ["used", "unused"].map(|name| keys.issue(NewKey::named(name)));
    let usage = UsageRecorder::builder(keys.clone()).clock(clock.clone()).build();
    let address = start(ApiKeyLayer::new(keys.clone()).observer(usage.clone())).await;
    let first = clock.now();
    assert_eq!(ask(address, &used).await.status, 200);
    // Long before the interval is over.
    keys.wait_for(used.record.id(), first).await;
    clock.advance(Duration::from_secs(5));
    for _ in 0..3 {
        assert_eq!(ask(address, &used).await.status, 200);
    }
    usage.flush().await.unwrap();
    let last = first + Duration::from_secs(5);
    let page = KeyRepository::list(&keys, &KeyQuery::new()).await.unwrap();
    for key in page.keys {
        let expected = (key.record.id() == used.record.id()).then_some(last);
        assert_eq!(key.last_used_at, expected);
    }
    assert_eq!(keys.last_used_at(unused.record.id()).await, None);
    assert_eq!(keys.rows.lock().unwrap().len(), 2, "the uses of the second batch are one row");
}

#[tokio::test]
async fn a_use_is_found_by_who_looks_for_unused_keys() {
    let keys = MemoryStore::new();
    let [used, unused] = ["used", "unused"].map(|name| {
        let issued = keys.issue(NewKey::named(name)).unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(100 * 24 * 3600);
        keys.update(issued.record.id(), |record| record.set_created_at(long_ago)).unwrap();
        issued
    });
    let usage = UsageRecorder::new(keys.clone());
    let address = start(ApiKeyLayer::new(keys.clone()).observer(usage.clone())).await;
    assert_eq!(ask(address, &used).await.status, 200);
    usage.shutdown().await.unwrap();
    let month_ago = SystemTime::now() - Duration::from_secs(30 * 24 * 3600);
    let page = KeyRepository::list(&keys, &KeyQuery::new().unused_since(month_ago)).await.unwrap();
    let ids: Vec<_> = page.keys.iter().map(|key| key.record.id()).collect();
    assert_eq!(ids, [unused.record.id()]);
}

#[tokio::test]
async fn a_repository_that_fails_fails_no_request_and_no_use_is_lost() {
    start_log();
    for does in [Does::Fail, Does::Hang, Does::Panic] {
        let (keys, clock) = (Keys::new(does), fake_clock());
        let key = keys.issue(NewKey::named("robot"));
        let recorder = UsageRecorder::builder(keys.clone()).clock(clock.clone());
        let recorder = recorder.write_timeout(Duration::from_millis(50)).build();
        let address = start(ApiKeyLayer::new(keys.clone()).observer(recorder)).await;
        for _ in 0..20 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(ask(address, &key).await.text(), "in", "{does:?}");
        }
        assert_eq!(keys.last_used_at(key.record.id()).await, None, "{does:?}");
        keys.now_do(Does::Record);
        keys.wait_for(key.record.id(), clock.now()).await;
        assert_eq!(keys.rows.lock().unwrap().len(), 1, "{does:?}");
    }
    let lines = logged("usage of keys cannot be written");
    for reason in ["no uses today", "no answer within 50ms", "the repository's own fault"] {
        let told = lines.iter().any(|line| line.contains(" ERROR ") && line.contains(reason));
        assert!(told, "{reason}: {lines:?}");
    }
}

#[tokio::test]
async fn requests_do_not_wait_for_a_repository_that_never_answers() {
    let keys = Keys::new(Does::Hang);
    let recorder = UsageRecorder::builder(keys.clone()).write_timeout(Duration::from_secs(3600));
    let address = start(ApiKeyLayer::new(keys.clone()).observer(recorder.build())).await;
    for number in 0..20 {
        let key = keys.issue(NewKey::named(format!("robot {number}")));
        assert_eq!(ask(address, &key).await.text(), "in");
        assert_eq!(ask(address, &key).await.text(), "in");
    }
}

#[tokio::test]
async fn a_shutdown_while_the_repository_fails_says_so_and_requests_go_on() {
    for does in [Does::Fail, Does::Hang, Does::Panic] {
        let keys = Keys::new(does);
        let key = keys.issue(NewKey::named("robot"));
        let recorder = UsageRecorder::builder(keys.clone());
        let recorder = recorder.write_timeout(Duration::from_millis(50)).build();
        let address = start(ApiKeyLayer::new(keys.clone()).observer(recorder.clone())).await;
        assert_eq!(ask(address, &key).await.status, 200);
        in_time(recorder.shutdown()).await.unwrap_err();
        assert_eq!(ask(address, &key).await.status, 200, "{does:?}");
        keys.now_do(Does::Record);
        in_time(recorder.shutdown()).await.unwrap();
        assert!(keys.last_used_at(key.record.id()).await.is_some(), "{does:?}");
    }
}

#[tokio::test]
async fn a_request_that_is_refused_is_no_use() {
    let keys = Keys::new(Does::Record);
    let refused = ["revoked", "disabled", "expired", "weak"];
    let [revoked, disabled, expired, weak] = refused.map(|name| keys.issue(NewKey::named(name)));
    assert!(keys.keys.revoke(revoked.record.id()));
    let change = |key: &IssuedKey, change: fn(&mut KeyRecord)| {
        keys.keys.update(key.record.id(), change).unwrap();
    };
    change(&disabled, |record| record.set_disabled(true));
    change(&expired, |record| record.set_expires_at(Some(record.created_at())));
    let strong = keys.issue(NewKey::named("strong").abilities(["bots:read"]));
    let recorder = UsageRecorder::new(keys.clone());
    let layer = ApiKeyLayer::new(keys.clone()).observer(recorder.clone());
    let address = start(layer.guard(RequireAbility::new("bots:read"))).await;
    for key in [&revoked, &disabled, &expired] {
        assert_eq!(ask(address, key).await.status, 401);
    }
    assert_eq!(ask(address, &weak).await.status, 403);
    assert_eq!(in_time(get_raw(address, "/", &[])).await.status, 401);
    assert_eq!(ask(address, &strong).await.status, 200);
    recorder.shutdown().await.unwrap();
    let rows = keys.rows.lock().unwrap();
    assert_eq!(rows.iter().map(|row| &row.id).collect::<Vec<_>>(), [strong.record.id()]);
}

#[tokio::test]
async fn a_use_never_changes_a_record_nor_takes_back_what_was_done_to_it() {
    let keys = Keys::new(Does::Hang);
    let key = keys.issue(NewKey::named("robot").abilities(["bots:read"]));
    let recorder = UsageRecorder::builder(keys.clone()).write_timeout(Duration::from_millis(50));
    let recorder = recorder.build();
    let address = start(ApiKeyLayer::new(keys.clone()).observer(recorder.clone())).await;
    let id = key.record.id();
    assert_eq!(ask(address, &key).await.status, 200);
    assert_eq!(keys.keys.record(id), Some(Arc::clone(&key.record)));
    // The use of a key that was good is written when it is not any more.
    assert!(keys.keys.revoke(id));
    let revoked = keys.keys.record(id).unwrap();
    keys.now_do(Does::Record);
    in_time(recorder.shutdown()).await.unwrap();
    let stored = KeyRepository::get(&keys, id).await.unwrap().unwrap();
    assert!(stored.last_used_at.is_some());
    assert_eq!(stored.record, revoked);
    assert_eq!(stored.record.state(SystemTime::now()), KeyState::Revoked);
    assert_eq!(ask(address, &key).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_requests_at_once_each_key_is_written_once() {
    let keys = Keys::new(Does::Record);
    let issued: Vec<_> =
        (0..20).map(|number| keys.issue(NewKey::named(format!("robot {number}")))).collect();
    let recorder = UsageRecorder::new(keys.clone());
    let address = start(ApiKeyLayer::new(keys.clone()).observer(recorder)).await;
    let client = reqwest::Client::new();
    let requests = (0..400).map(|number| {
        let secret = issued[number % issued.len()].secret.reveal().to_owned();
        let request = client.get(format!("http://{address}/")).header("x-api-key", secret).send();
        tokio::spawn(async move { assert_eq!(request.await.unwrap().status(), 200) })
    });
    for request in requests.collect::<Vec<_>>() {
        in_time(request).await.unwrap();
    }
    let written = || keys.rows.lock().unwrap().len();
    in_time(async {
        while written() < issued.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let mut ids: Vec<_> = keys.rows.lock().unwrap().iter().map(|row| row.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), written()), (20, 20));
}

#[tokio::test]
async fn a_request_in_which_an_hour_ends_counts_once_when_it_has_its_answer() {
    // Stores keep microseconds.
    let clock = FakeClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("robot").limit("100 per day")).unwrap();
    let (id, begin) = (issued.record.id().clone(), clock.now());
    let usage = UsageRecorder::builder(keys.clone()).clock(clock.clone()).build();
    let layer = ApiKeyLayer::new(keys.clone()).observer(usage.clone());
    let hour = Duration::from_secs(3600);
    let inner = tower::service_fn({
        let clock = clock.clone();
        move |request: http::Request<axum::body::Body>| {
            clock.advance(hour);
            let answer =
                async |_| Ok::<_, Infallible>(http::Response::new(axum::body::Body::empty()));
            let hangs = request.uri().path() == "/hangs";
            let guarded = RequireAbility::new("bots:write").layer(tower::service_fn(answer));
            async move {
                let answered = match request.uri().path() {
                    "/guarded" => guarded.oneshot(request).await?.map(axum::body::Body::new),
                    _ => answer(request).await?,
                };
                if hangs {
                    std::future::pending::<()>().await;
                }
                Ok::<_, Infallible>(answered)
            }
        }
    });
    let service = layer.layer(inner);
    for path in ["/", "/guarded", "/hangs", "/guarded"] {
        let request = http::Request::get(path).header("x-api-key", issued.secret.reveal());
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answered = service.clone().oneshot(request).now_or_never();
        assert_eq!(answered.is_none(), path == "/hangs");
        // What is written meanwhile has nothing of a request that is under way.
        usage.flush().await.unwrap();
    }
    let range = begin..clock.now() + hour;
    let query = UsageQuery::new(UsageOf::Key(id.clone()), &range, UsageStep::Hour);
    let hours: Vec<_> = keys.usage(&query).await.unwrap();
    let counts = hours.iter().map(|hour| (hour.counts.accepted(), hour.counts.refused()));
    assert_eq!(counts.collect::<Vec<_>>(), [(1, 0), (0, 1), (1, 0), (0, 1)]);
    // The hour in which it was answered, and for a refused one, no last use.
    assert!(hours[0].start > begin);
    let last = KeyRepository::get(&keys, &id).await.unwrap().unwrap().last_used_at;
    assert_eq!(last, Some(begin + 3 * hour));
}
