//! The servers: one router, and what is in front of it.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};
use tower_api_key::{
    ApiKeyLayer, CachedStore, KeyManager, KeyRepository, MemoryStore, NewKey, PostgresStore,
    UsageRecorder,
};

pub(crate) const KINDS: [&str; 5] =
    ["bare", "by hand", "memory", "cached PostgreSQL, last used", "the same, rate limit"];

/// Serves until the process is killed. Prints the address and a key, or what is missing.
pub(crate) fn serve(kind: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let new = || NewKey::named("bench").tenant("acme").abilities(["bots:read"]);
        let memory = MemoryStore::new();
        let issued = KeyManager::new(memory.clone()).issue(new()).await.unwrap();
        let mut key = issued.secret.reveal().to_owned();
        let router = Router::new().route("/bots", get(|| async { "[]" }));
        // Without a body: nginx keeps no connection on which it leaves one unread.
        let router = router.route("/allowed", get(|| async { StatusCode::NO_CONTENT }));
        let router = match kind {
            "bare" => router,
            "by hand" => {
                let digest = hex::encode(Sha256::digest(&key));
                let records = HashMap::from([(digest, Record { _tenant: "acme".to_owned() })]);
                router.layer(from_fn_with_state(Arc::new(RwLock::new(records)), by_hand))
            }
            "memory" => router.layer(ApiKeyLayer::new(memory)),
            _ => {
                let Ok(url) = std::env::var("DATABASE_URL") else {
                    return println!("no database is named in the variable DATABASE_URL");
                };
                let schema = format!("serve_{}", std::process::id());
                let database = PostgresStore::connect(&url).schema(schema).await.unwrap();
                let source = database.invalidations();
                let cached = CachedStore::builder(database).invalidated_by(source).build();
                let new = match kind {
                    "the same, rate limit" => new().limit("1000000000 per second"),
                    _ => new(),
                };
                key = issue(&cached, new).await;
                router.layer(ApiKeyLayer::new(cached.clone()).observer(UsageRecorder::new(cached)))
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{} {key}", listener.local_addr().unwrap());
        axum::serve(listener, router).await.unwrap();
    });
}

async fn issue(keys: &CachedStore<impl KeyRepository + 'static>, key: NewKey) -> String {
    let manager = KeyManager::new(keys.clone());
    manager.issue(key).await.unwrap().secret.reveal().to_owned()
}

#[derive(Clone)]
struct Record {
    _tenant: String,
}

/// What people write by hand.
async fn by_hand(
    State(records): State<Arc<RwLock<HashMap<String, Record>>>>,
    mut request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get("x-api-key").and_then(|value| value.to_str().ok());
    let Some(key) = key else { return StatusCode::UNAUTHORIZED.into_response() };
    let record = records.read().unwrap().get(&hex::encode(Sha256::digest(key))).cloned();
    let Some(record) = record else { return StatusCode::UNAUTHORIZED.into_response() };
    request.extensions_mut().insert(record);
    next.run(request).await
}
