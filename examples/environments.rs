//! Keys whose prefix says whether they are live or for the sandbox (hapnd.txt).
//!
//! ```sh
//! cargo run --example environments
//! ```
//!
//! It prints four keys and their ids; `$ACME_LIVE`, `$ACME_LIVE_ID` and so on stand for them:
//!
//! ```sh
//! API=http://127.0.0.1:3000/v1/events
//! curl -H "Authorization: Bearer $ACME_LIVE" --json '{"type":"signup"}' $API  # 201
//! curl -H "Authorization: Bearer $ACME_LIVE" $API                             # 200, that event
//! curl -H "Authorization: Bearer $ACME_TEST" $API                             # 200, none
//! curl -H "Authorization: Bearer $GLOBEX_LIVE" $API                           # 200, none
//!
//! REVOKE=http://127.0.0.1:3000/admin/keys/$ACME_LIVE_ID/revoke
//! curl -H "Authorization: Bearer $ADMIN" -X POST $REVOKE                      # 200
//! curl -H "Authorization: Bearer $ACME_LIVE" $API                             # 401 from now on
//! ```

#[path = "support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower_api_key::extract::Bearer;
use tower_api_key::{
    ApiKeyLayer, KeyFormat, KeyManager, MemoryStore, NewKey, Stage, TenantId, VerifiedKey,
};

#[derive(Clone, Deserialize, Serialize)]
struct Event {
    r#type: String,
}

/// Whose data it is: nothing is stored or shown without both.
type Owner = (Option<TenantId>, Option<Stage>);
type Events = Arc<Mutex<HashMap<Owner, Vec<Event>>>>;

fn formats() -> [KeyFormat; 2] {
    [KeyFormat::new("sk_live_").stage("live"), KeyFormat::new("sk_test_").stage("test")]
}

fn app(keys: MemoryStore, administrators: MemoryStore) -> Router {
    Router::new()
        .route("/v1/events", get(list).post(create))
        .with_state(Events::default())
        .layer(ApiKeyLayer::new(keys.clone()).extractor(Bearer).formats(formats()))
        .nest("/admin", support::admin(administrators, KeyManager::new(keys)))
}

fn owner(key: &VerifiedKey) -> Owner {
    (key.tenant().cloned(), key.stage().cloned())
}

async fn list(key: VerifiedKey, State(events): State<Events>) -> Json<Value> {
    let events = events.lock().await.get(&owner(&key)).cloned().unwrap_or_default();
    Json(json!({ "environment": key.stage().map(Stage::as_str), "events": events }))
}

async fn create(
    key: VerifiedKey,
    State(events): State<Events>,
    Json(event): Json<Event>,
) -> (StatusCode, Json<Value>) {
    let created = json!({ "environment": key.stage().map(Stage::as_str), "event": event });
    events.lock().await.entry(owner(&key)).or_default().push(event);
    (StatusCode::CREATED, Json(created))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    let [live, test] = formats();
    for (label, tenant, format) in [
        ("acme-live", "acme", &live),
        ("acme-test", "acme", &test),
        ("globex-live", "globex", &live),
    ] {
        let issued = keys.issue(NewKey::named(label).tenant(tenant).format(format))?;
        support::print_key(label, &issued);
    }
    let administrators = MemoryStore::new();
    let operations = NewKey::named("operations").format(&live);
    support::print_key("admin", &administrators.issue(operations)?);
    support::serve(app(keys, administrators)).await
}
