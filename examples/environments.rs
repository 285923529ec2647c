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
    KeyFormat, KeyManager, KeyScheme, MemoryStore, NewKey, Stage, TenantId, VerifiedKey,
};

#[derive(Clone, Deserialize, Serialize)]
struct Event {
    r#type: String,
}

/// The owner of an event: its company and its stage. Nothing is stored or shown without both.
type Owner = (Option<TenantId>, Option<Stage>);
type Events = Arc<Mutex<HashMap<Owner, Vec<Event>>>>;

/// The scheme of keys. The manager has it, and its layer, too.
fn scheme() -> KeyScheme {
    KeyScheme::new([
        KeyFormat::new("sk_live_").stage("live"),
        KeyFormat::new("sk_test_").stage("test"),
    ])
}

fn app(keys: KeyManager, administrators: MemoryStore) -> Router {
    Router::new()
        .route("/v1/events", get(list).post(create))
        .with_state(Events::default())
        .layer(keys.layer().extractor(Bearer))
        .nest("/admin", support::admin(administrators, keys))
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
    let keys = KeyManager::new(MemoryStore::new()).scheme(scheme());
    for (label, tenant, stage) in [
        ("acme-live", "acme", "live"),
        ("acme-test", "acme", "test"),
        ("globex-live", "globex", "live"),
    ] {
        // Only one of the formats is for this stage.
        let issued = keys.issue(NewKey::named(label).tenant(tenant).stage(stage)).await?;
        support::print_key(label, &issued);
    }
    let administrators = MemoryStore::with_scheme(scheme());
    let operations = NewKey::named("operations").stage("live");
    support::print_key("admin", &administrators.issue(operations)?);
    support::serve(app(keys, administrators)).await
}
