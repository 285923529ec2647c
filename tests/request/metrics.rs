//! Metrics: what a recorder is given, by which names.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use axum::body::Body;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Request, Response};
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::metrics::Metrics;
use tower_api_key::store::{
    Invalidation, InvalidationSource, KeyUse, RecordUses, Subscription, UsageBatch, UsageBucket,
    UsageByKeyQuery, UsageQuery, UsageRetention, UsageStore,
};
use tower_api_key::{
    ApiKeyLayer, CachedStore, FailureThrottle, KeyId, KeyManager, KeyStore as _, KeyUpdate,
    MemoryRateLimiter, MemoryStore, NewKey, PeerAddress, PostgresStore, RequestHead,
    RequireAbility, SqliteStore, StoreError, UsageRecorder, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{OddStore, in_time, issue};

/// A recorder of this test alone.
struct Scraped {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Scraped {
    fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        Self { handle: recorder.handle(), recorder }
    }

    /// Publishes, and returns all lines that are no comments.
    fn scrape(&self, metrics: &Metrics) -> Vec<String> {
        metrics::with_local_recorder(&self.recorder, || metrics.publish());
        let page = self.handle.render();
        page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    }

    /// Publishes, and returns the counters and gauges that are not zero, and begin like this.
    fn some(&self, metrics: &Metrics, name: &str) -> Vec<String> {
        let lines = self.scrape(metrics).into_iter();
        let mut lines: Vec<_> = lines
            .filter_map(|line| {
                line.strip_prefix("tower_api_key_")?.strip_prefix(name).map(str::to_owned)
            })
            .filter(|line| !line.ends_with(" 0"))
            .collect();
        lines.sort();
        lines
    }
}

fn request(path: &str, key: &str) -> Request<Body> {
    let request = Request::get(path).header("x-api-key", key);
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(PeerAddress("192.0.2.7:1".parse().unwrap()));
    request
}

async fn answer(_: Request<Body>) -> Result<Response<Body>, Infallible> {
    Ok(Response::new(Body::from("in")))
}

/// Calls a layer, and returns the status.
async fn call(layer: &ApiKeyLayer, key: &str) -> u16 {
    let service = layer.layer(service_fn(answer));
    in_time(service.oneshot(request("/", key))).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn each_request_is_counted_once_by_its_outcome_and_its_look_up() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    let past = SystemTime::now() - Duration::from_secs(1);
    let expired = issue(&keys, NewKey::named("expired").expires_at(past));
    let limited = issue(&keys, NewKey::named("limited").limit("1 per hour"));
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    let layer = ApiKeyLayer::new(keys).observer(metrics.clone());
    for _ in 0..3 {
        assert_eq!(call(&layer, &key).await, 200);
    }
    assert_eq!(call(&layer, &expired).await, 401);
    assert_eq!([call(&layer, &limited).await, call(&layer, &limited).await], [200, 429]);
    assert_eq!(call(&layer, "a b").await, 401);
    // What the layer admits and a guard within refuses is one request.
    let guarded = layer.layer(RequireAbility::new("bots:read").layer(service_fn(answer)));
    assert_eq!(guarded.oneshot(request("/", &key)).await.unwrap().status(), 403);
    let anonymous = Request::new(Body::empty());
    let optional = layer.clone().optional().layer(service_fn(answer));
    assert_eq!(optional.oneshot(anonymous).await.unwrap().status(), 200);
    let throttled = layer.clone().failure_throttle(FailureThrottle::new("1 per hour"));
    assert_eq!([call(&throttled, "a b").await, call(&throttled, &key).await], [401, 429]);
    let store = OddStore { answer: || Poll::Pending, at_once: false };
    let waiting = ApiKeyLayer::new(store).observer(metrics.clone()).layer(service_fn(answer));
    assert!(waiting.oneshot(request("/", &key)).now_or_never().is_none());
    let outcomes = [
        "{outcome=\"accepted\"} 4",
        "{outcome=\"anonymous\"} 1",
        "{outcome=\"canceled\"} 1",
        "{outcome=\"expired\"} 1",
        "{outcome=\"malformed\"} 2",
        "{outcome=\"missing_ability\"} 1",
        "{outcome=\"rate_limited\"} 1",
        "{outcome=\"throttled\"} 1",
    ];
    assert_eq!(scraped.some(&metrics, "requests_total"), outcomes);
    let lookups = scraped.some(&metrics, "lookups_total");
    assert_eq!(lookups, ["{result=\"hit\"} 5", "{result=\"thread\"} 2"]);
    // What was given is not given again.
    assert_eq!(scraped.some(&metrics, "requests_total"), outcomes);
    call(&layer, "a b").await;
    let more = scraped.some(&metrics, "requests_total");
    assert!(more.contains(&"{outcome=\"malformed\"} 3".to_owned()), "{more:?}");
}

#[test]
fn what_threads_count_adds_up_also_when_they_are_gone() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    let layer = ApiKeyLayer::new(keys).observer(metrics.clone());
    for _ in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let service = layer.layer(service_fn(answer));
                        let answered = service.oneshot(request("/", &key)).now_or_never();
                        assert_eq!(answered.unwrap().unwrap().status(), 200);
                    }
                });
            }
        });
    }
    assert_eq!(scraped.some(&metrics, "requests_total"), ["{outcome=\"accepted\"} 300"]);
}

#[tokio::test]
async fn every_outcome_is_there_before_it_happens_and_none_names_a_key_a_tenant_or_a_path() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot-7").tenant("tenant-7"));
    let (metrics, scraped) = (Metrics::sample(1), Scraped::new());
    let before = scraped.scrape(&metrics);
    for outcome in ["accepted", "throttled", "unknown", "revoked", "unavailable"] {
        let line = format!("tower_api_key_requests_total{{outcome=\"{outcome}\"}} 0");
        assert!(before.contains(&line), "{line} {before:?}");
    }
    let layer = ApiKeyLayer::new(keys).observer(metrics.clone());
    let service = layer.layer(service_fn(answer));
    service.oneshot(request("/path-7", &key)).await.unwrap();
    let page = scraped.scrape(&metrics).join("\n");
    let page = page.replace("tower_api_key_", "");
    for secret in [&*key, "key_", "-7"] {
        assert!(!page.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn times_are_those_of_a_sample() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    for (every, sampled) in [(0, 0), (1, 12), (4, 3)] {
        let (metrics, scraped) = (Metrics::sample(every), Scraped::new());
        let store = CachedStore::new(Slow(keys.clone()));
        let layer = ApiKeyLayer::new(store).observer(metrics.clone());
        for _ in 0..12 {
            assert_eq!(call(&layer, &key).await, 200);
        }
        let decisions = scraped.some(&metrics, "decision_duration_seconds_count");
        assert_eq!(decisions.len(), usize::from(sampled > 0));
        assert!(decisions.iter().all(|count| *count == format!(" {sampled}")), "{decisions:?}");
        // Only the first request waited for the store.
        let waited = scraped.some(&metrics, "lookup_duration_seconds_count");
        assert_eq!(waited.len(), usize::from(sampled > 0), "{waited:?}");
        assert!(waited.iter().all(|count| *count == "{result=\"miss\"} 1"), "{waited:?}");
        assert_eq!(scraped.some(&metrics, "requests_total"), ["{outcome=\"accepted\"} 12"]);
    }
}

/// Answers only who waits.
struct Slow(MemoryStore);

#[async_trait]
impl tower_api_key::KeyStore for Slow {
    async fn find(
        &self,
        digest: &tower_api_key::KeyDigest,
    ) -> Result<Option<Arc<tower_api_key::KeyRecord>>, StoreError> {
        tokio::task::yield_now().await;
        self.0.find(digest).await
    }
}

#[tokio::test]
async fn what_is_watched_is_reported_and_not_kept_alive() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good").limit("9 per hour"));
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    let cached = CachedStore::builder(keys.clone()).capacity(1).build();
    let [other, unknown] = [(); 2].map(|()| MemoryStore::new().issue(NewKey::named("other")));
    let other = keys.insert_as(other.unwrap());
    cached.find(&other).await.unwrap();
    cached.find(&unknown.unwrap().record.digest()).await.unwrap();
    let (limiter, throttle) = (MemoryRateLimiter::new(), FailureThrottle::new("9 per hour"));
    let writes = Gate(Arc::new(tokio::sync::Semaphore::new(0)));
    let used = UsageRecorder::new(writes.clone());
    let sqlite = SqliteStore::in_memory().await.unwrap();
    let layer = ApiKeyLayer::new(cached.clone())
        .observer(metrics.clone())
        .observer(used.clone())
        .rate_limiter(limiter.clone())
        .failure_throttle(throttle.clone());
    metrics.watch(&cached);
    metrics.watch(&limiter);
    metrics.watch(&throttle);
    metrics.watch(&used);
    metrics.watch(&sqlite);
    metrics.watch(&layer);
    let events = |_: Request<Body>| async {
        let frames = futures_util::stream::repeat(Ok::<_, Infallible>("frame"));
        Ok::<_, Infallible>(Response::new(Body::from_stream(frames.take(9))))
    };
    let stream = layer.layer(service_fn(events)).oneshot(request("/", &key)).await.unwrap();
    let mut stream = stream.into_body();
    for _ in 0..3 {
        stream.frame().await.unwrap().unwrap();
    }
    assert_eq!(call(&layer, "a b").await, 401);
    let read = |name| scraped.some(&metrics, name);
    assert_eq!(read("open_streams"), [" 1"]);
    assert_eq!(read("cache_entries"), ["{kind=\"record\"} 1", "{kind=\"unknown\"} 1"]);
    assert_eq!(read("cache_evictions"), ["_total{kind=\"record\"} 1"]);
    assert!(read("cache_size_bytes")[0].trim().parse::<f64>().unwrap() > 100.0);
    assert_eq!(read("limited_subjects"), [" 1"]);
    assert_eq!(read("throttle_addresses"), [" 1"]);
    // A connection is given back in the background.
    in_time(async {
        while read("pool_connections") != ["_max 1", "{state=\"idle\"} 1"] {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // A cache without a source hears of nothing and is live.
    assert!(read("subscription").is_empty());
    assert_eq!(read("usage_backlog"), [" 1"]);
    writes.0.add_permits(9);
    used.flush().await.unwrap();
    assert!(read("usage_backlog").is_empty());
    drop(stream);
    assert!(read("open_streams").is_empty());
    let is_gone = Arc::new(());
    let observer = Arc::clone(&is_gone);
    let layer = layer.observer(move |_: &VerifiedKey, _: &RequestHead<'_>| {
        drop(Arc::clone(&observer));
    });
    metrics.watch(&layer);
    drop(layer);
    assert_eq!(Arc::strong_count(&is_gone), 1, "the metrics keep no layer alive");
}

/// Writes uses once it may.
#[derive(Clone)]
struct Gate(Arc<tokio::sync::Semaphore>);

#[async_trait]
impl RecordUses for Gate {
    async fn record_uses(&self, _: &[KeyUse]) -> Result<(), StoreError> {
        self.0.acquire().await.map_err(StoreError::new)?.forget();
        Ok(())
    }
}

#[async_trait]
impl UsageStore for Gate {
    async fn add_usage(&self, _: &UsageBatch) -> Result<(), StoreError> {
        self.record_uses(&[]).await
    }

    async fn usage(&self, _: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        Ok(Vec::new())
    }

    async fn usage_by_key(
        &self,
        _: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn prune_usage(
        &self,
        _: UsageRetention,
        _: SystemTime,
        _: u32,
    ) -> Result<u64, StoreError> {
        Ok(0)
    }
}

trait InsertAs {
    fn insert_as(&self, issued: tower_api_key::IssuedKey) -> tower_api_key::KeyDigest;
}

impl InsertAs for MemoryStore {
    fn insert_as(&self, issued: tower_api_key::IssuedKey) -> tower_api_key::KeyDigest {
        let record = Arc::unwrap_or_clone(issued.record);
        let digest = record.digest();
        self.insert(record);
        digest
    }
}

#[tokio::test]
async fn streams_that_end_and_changes_of_keys_are_counted() {
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    let keys = MemoryStore::new();
    let manager = KeyManager::new(keys.clone()).audit(metrics.clone());
    let issued = manager.issue(NewKey::named("listener")).await.unwrap();
    let layer = ApiKeyLayer::new(keys).observer(metrics.clone());
    let events = |_: Request<Body>| async {
        let frames = futures_util::stream::repeat(Ok::<_, Infallible>("frame"));
        Ok::<_, Infallible>(Response::new(Body::from_stream(frames)))
    };
    let request = request("/", issued.secret.reveal());
    let stream = layer.layer(service_fn(events)).oneshot(request).await.unwrap();
    let mut stream = stream.into_body();
    for _ in 0..3 {
        stream.frame().await.unwrap().unwrap();
    }
    manager.update(issued.record.id(), &KeyUpdate::new().name("other")).await.unwrap();
    manager.revoke(issued.record.id()).await.unwrap();
    while let Some(Ok(_)) = in_time(stream.frame()).await {}
    assert_eq!(scraped.some(&metrics, "streams_ended"), ["_total{reason=\"revoked\"} 1"]);
    let changes = scraped.some(&metrics, "management_changes_total");
    let expected = ["issued", "revoked", "updated"];
    assert_eq!(changes, expected.map(|action| format!("{{action=\"{action}\"}} 1")));
}

/// Hears its own heartbeats, until it is cut off.
#[derive(Clone)]
struct Echo(tokio::sync::watch::Sender<Option<u64>>, Arc<AtomicBool>);

impl Echo {
    fn new() -> Self {
        Self(tokio::sync::watch::channel(None).0, Arc::default())
    }

    fn cut_off(&self) {
        self.1.store(true, Ordering::SeqCst);
        self.0.send_replace(None);
    }

    fn is_there(&self) -> Result<(), StoreError> {
        let is_cut_off = self.1.load(Ordering::SeqCst);
        if is_cut_off { Err(StoreError::new("cut off")) } else { Ok(()) }
    }
}

struct Heard(tokio::sync::watch::Receiver<Option<u64>>);

#[async_trait]
impl InvalidationSource for Echo {
    async fn subscribe(&self) -> Result<Box<dyn Subscription>, StoreError> {
        self.is_there()?;
        Ok(Box::new(Heard(self.0.subscribe())))
    }

    async fn beat(&self, number: u64) -> Result<(), StoreError> {
        self.is_there()?;
        self.0.send_replace(Some(number));
        Ok(())
    }
}

#[async_trait]
impl Subscription for Heard {
    async fn next(&mut self) -> Result<Invalidation, StoreError> {
        self.0.changed().await.map_err(StoreError::new)?;
        tokio::time::sleep(Duration::from_millis(1)).await;
        match *self.0.borrow() {
            Some(number) => Ok(Invalidation::Heartbeat(number)),
            None => Err(StoreError::new("cut off")),
        }
    }
}

/// Fails while it is away, and answers only who waits.
struct Unsteady {
    keys: MemoryStore,
    is_away: Arc<AtomicBool>,
}

#[async_trait]
impl tower_api_key::KeyStore for Unsteady {
    async fn find(
        &self,
        digest: &tower_api_key::KeyDigest,
    ) -> Result<Option<Arc<tower_api_key::KeyRecord>>, StoreError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(StoreError::new("away"));
        }
        self.keys.find(digest).await
    }
}

#[cfg(unix)]
#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn who_waits_for_a_connection_is_counted() {
    let url = crate::common::servers::database_url();
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(1);
    let pool = pool.max_lifetime(Duration::from_secs(30)).connect(&url).await.unwrap();
    let keys = PostgresStore::from_pool(pool.clone()).table_prefix("metrics_").await.unwrap();
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    metrics.watch(&keys);
    let read = |name| scraped.some(&metrics, name);
    assert!(read("pool_waiting").is_empty());
    let held = pool.acquire().await.unwrap();
    let digest = MemoryStore::new().issue(NewKey::named("other")).unwrap().record.digest();
    let find = tokio::spawn(async move { keys.find(&digest).await.map(drop).map(|()| keys) });
    in_time(async {
        while read("pool_waiting") != [" 1"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(read("pool_connections"), ["_max 1", "{state=\"in_use\"} 1"]);
    drop(held);
    let keys = find.await.unwrap().unwrap();
    assert!(read("pool_waiting").is_empty());
    drop(keys);
}

#[tokio::test]
async fn a_cache_says_whether_it_hears_and_how_long_heartbeats_take() {
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    let source = Echo::new();
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    let is_away = Arc::<AtomicBool>::default();
    let store = Unsteady { keys, is_away: Arc::clone(&is_away) };
    let cached = CachedStore::builder(store).invalidated_by(source.clone());
    let cached = cached.serve_while_unreachable(Duration::from_secs(60)).build();
    metrics.watch(&cached);
    let layer = ApiKeyLayer::new(cached).observer(metrics.clone());
    let live = || scraped.some(&metrics, "subscription_live");
    assert!(live().is_empty());
    in_time(async {
        while live() != [" 1"] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    let delay = scraped.some(&metrics, "subscription_heartbeat_delay_seconds");
    let delay: f64 = delay[0].trim().parse().unwrap();
    assert!(delay > 0.0005, "{delay}");
    assert_eq!(call(&layer, &key).await, 200);
    source.cut_off();
    in_time(async {
        while live() == [" 1"] {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(call(&layer, &key).await, 200);
    // What cannot be asked for is served from memory, whether the store was asked just now or before.
    is_away.store(true, Ordering::SeqCst);
    assert_eq!([call(&layer, &key).await, call(&layer, &key).await], [200, 200]);
    assert_eq!(call(&layer, "unknown").await, 503);
    let lookups = scraped.some(&metrics, "lookups_total");
    assert_eq!(lookups, ["{result=\"error\"} 1", "{result=\"grace\"} 2", "{result=\"miss\"} 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_task_of_the_application_publishes_each_second() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("good"));
    let (metrics, scraped) = (Metrics::new(), Scraped::new());
    let layer = ApiKeyLayer::new(keys).observer(metrics.clone());
    let accepted = || {
        let page = scraped.handle.render();
        let line = page.lines().find(|line| line.contains("\"accepted\"")).map(str::to_owned);
        line.map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    let mut running = Box::pin(metrics.run());
    let mut run_for = async |time| {
        let end = tokio::time::sleep(time);
        let mut both = std::pin::pin!(async {
            tokio::select! { () = &mut running => {}, () = end => {} }
        });
        std::future::poll_fn(|cx| {
            metrics::with_local_recorder(&scraped.recorder, || both.as_mut().poll(cx))
        })
        .await;
    };
    run_for(Duration::from_millis(100)).await;
    assert_eq!(accepted().as_deref(), Some("0"));
    assert_eq!(call(&layer, &key).await, 200);
    run_for(Duration::from_millis(800)).await;
    assert_eq!(accepted().as_deref(), Some("0"));
    run_for(Duration::from_millis(200)).await;
    assert_eq!(accepted().as_deref(), Some("1"));
}
