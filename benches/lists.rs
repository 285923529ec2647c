//! What the page of keys costs beside the list of the API: 1000 keys, each with its usage of 30 days, over each
//! store.
//!
//! `tests/servers cargo bench -p tower-api-key-benches --bench lists` prints the shortest times of some runs, in
//! which the ways take turns, and how many times longer than the API the page takes. With `-- hours`, each key was
//! used in each hour of the 30 days, and not in one of each day, which takes no longer.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run has to stop")]

use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use http::Request;
use http::request::Parts;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoutes, Refused};
use tower_api_key::manage::pages::KeyPages;
use tower_api_key::store::{
    KeyRepository, KeyUsage, UsageBatch, UsageCounts, UsageKind, UsageRetention, UsageStore,
};
use tower_api_key::{
    IssuedKey, KeyManager, MemoryStore, NewKey, PostgresStore, RedisStore, SqliteStore,
};

const KEYS: usize = 1000;
const HOURS: u64 = 30 * 24;

/// How many keys a page of the API has at most.
const API_PAGE: usize = 100;

/// Keeps requests of each key, so many hours apart.
async fn fill(store: &impl UsageStore, keys: &[IssuedKey], apart: usize) {
    let now = SystemTime::now();
    for hour in (0..HOURS).step_by(apart) {
        let mut counts = UsageCounts::default();
        counts.add(UsageKind::Accepted, 100 + hour * 13 % 50);
        counts.add(UsageKind::RateLimited, hour % 7);
        let at = now - Duration::from_secs(hour * 3600);
        let rows = keys.iter().map(|key| {
            let (id, tenant) = (key.record.id().clone(), key.record.tenant().cloned());
            KeyUsage::new(id, tenant, at, counts)
        });
        let batch = UsageBatch::new("bench", hour + 1, UsageRetention::default(), rows);
        store.add_usage(&batch).await.unwrap();
    }
}

async fn get(app: &Router, path: &str) -> Bytes {
    let request = Request::get(path).header("sec-fetch-site", "none");
    let request = request.body(Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.into_body().collect().await.unwrap().to_bytes()
}

/// Reads all pages of the API, and of each no more than where the next one begins.
async fn get_by_api(app: &Router) {
    let mut path = format!("/api/api-keys?limit={API_PAGE}");
    for page in 1..=KEYS / API_PAGE {
        let answer = String::from_utf8(get(app, &path).await.into()).unwrap();
        let next = answer.split_once(r#""next_cursor":""#).map(|(_, rest)| rest);
        let next = next.and_then(|rest| rest.split('"').next());
        assert_eq!(next.is_some(), page < KEYS / API_PAGE, "page {page}");
        path = format!("/api/api-keys?limit={API_PAGE}&cursor={}", next.unwrap_or_default());
    }
}

async fn compare(name: &str, store: impl KeyRepository + UsageStore + Clone + 'static) {
    let keys = KeyManager::new(store.clone());
    let mut issued = Vec::new();
    for number in 0..KEYS {
        let key = NewKey::named(format!("key number {number}")).tenant("acme").stage("live");
        let key = key.abilities(["bots:read", "chat:send"]).limit("100 per minute");
        issued.push(keys.issue(key).await.unwrap());
    }
    let is_hourly = std::env::args().any(|argument| argument == "hours");
    fill(&store, &issued, if is_hourly { 1 } else { 24 }).await;
    let owner = |_: &mut Parts, _: &KeyAction| -> Result<Owner, Refused> {
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice"))
    };
    let pages = KeyPages::new(keys.clone(), owner).page_size(KEYS);
    let app = Router::new()
        .nest("/plain", pages.clone().without_usage().into_router())
        .nest("/keys", pages.into_router())
        .nest("/api", KeyRoutes::new(keys, owner).into_router());
    let page = String::from_utf8(get(&app, "/keys").await.into()).unwrap();
    assert_eq!(page.matches("class=\"ak-spark\"").count(), KEYS);
    let mut shortest = [Duration::MAX; 3];
    for _ in 0..if is_hourly { 5 } else { 20 } {
        for (place, shortest) in shortest.iter_mut().enumerate() {
            let begun = Instant::now();
            match place {
                0 => drop(get(&app, "/keys").await),
                1 => drop(get(&app, "/plain").await),
                _ => get_by_api(&app).await,
            }
            *shortest = begun.elapsed().min(*shortest);
        }
    }
    let [page, plain, api] = shortest.map(|time| time.as_secs_f64() * 1e3);
    let ratio = page / api;
    println!("{name:<12} {page:>8.1} {plain:>16.1} {api:>8.1} {ratio:>8.2}");
}

#[tokio::main]
async fn main() {
    println!("{:<12} {:>8} {:>16} {:>8} {:>8}", "ms", "page", "without usage", "API", "ratio");
    compare("memory", MemoryStore::new()).await;
    compare("SQLite", SqliteStore::in_memory().await.unwrap()).await;
    if let Ok(url) = std::env::var("DATABASE_URL") {
        let schema = format!("lists_{}", std::process::id());
        compare("PostgreSQL", PostgresStore::connect(&url).schema(schema).await.unwrap()).await;
    }
    if let Ok(url) = std::env::var("REDIS_URL") {
        let prefix = format!("lists-{}:", std::process::id());
        compare("Redis", RedisStore::connect(&url).key_prefix(&*prefix).await.unwrap()).await;
    }
}
