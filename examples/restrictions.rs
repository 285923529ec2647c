//! Keys that work only from some addresses, pages or endpoints, and that list and revoke each
//! other (rest.txt).
//!
//! ```sh
//! cargo run --features manage --example restrictions
//! ```
//!
//! It prints seven keys; `$LIVE`, `$IP_10`, … stand for them, and `$ID` for the public id of one:
//!
//! ```sh
//! API=http://127.0.0.1:3000/v1
//! curl -H "Authorization: Bearer $LIVE" --json '{"amount":1000}' $API/charges  # 201, "livemode":true
//! curl -H "Authorization: Bearer $TEST" --json '{"amount":1000}' $API/charges  # 201, "livemode":false
//! curl -H "Authorization: Bearer $IP_LOCAL" $API/users/usr_123                 # 200
//! curl -H "Authorization: Bearer $IP_10" $API/users/usr_123                    # 403
//! curl -H "Authorization: Bearer $REFERRER" $API/reports/daily                 # 403
//! curl -H "Authorization: Bearer $REFERRER" -e https://app.example/ $API/reports/daily  # 200
//! curl -H "Authorization: Bearer $USERS_ONLY" $API/users/usr_123               # 200
//! curl -H "Authorization: Bearer $USERS_ONLY" $API/reports/daily               # 403
//! curl -H "Authorization: Bearer $EXPIRED" $API/users/usr_123                  # 401
//! curl -H "Authorization: Bearer $LIVE" $API/api-keys                          # 200, with "last_used"
//! curl -H "Authorization: Bearer $TEST" $API/api-keys                          # 403, it lacks the ability
//! curl -H "Authorization: Bearer $LIVE" -X DELETE $API/api-keys/$ID            # 200, and $ID no longer works
//! curl -H "Authorization: Bearer $LIVE" --json '{"name":"mine"}' $API/api-keys # 405, keys are created in the dashboard
//! ```
//!
//! Behind proxies, `TRUSTED_PROXIES` names those whose `X-Forwarded-For` is trusted. Started as
//!
//! ```sh
//! TRUSTED_PROXIES=127.0.0.0/8 cargo run --features manage --example restrictions
//! ```
//!
//! it prints new keys, and the proxy sets the address of the client:
//!
//! ```sh
//! curl -H "Authorization: Bearer $IP_10" -H "X-Forwarded-For: 10.1.2.3" $API/users/usr_123  # 200
//! ```

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use http::{Response, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower_api_key::extract::Bearer;
use tower_api_key::manage::api::{ApiError, KeyOwner, KeyRoute, KeyRoutes};
use tower_api_key::{
    KeyFormat, KeyManager, KeyScheme, MemoryStore, NewKey, Rejection, RequestHead, TrustedProxies,
    UsageRecorder, VerifiedKey,
};

#[derive(Clone, Default, Deserialize, Serialize)]
struct Charge {
    amount: Option<u64>,
}

type Charges = Arc<Mutex<Vec<Charge>>>;

fn scheme() -> KeyScheme {
    KeyScheme::new([
        KeyFormat::new("sk_live_").stage("live"),
        KeyFormat::new("sk_test_").stage("test"),
    ])
}

/// Answers a request that the layer has refused.
fn rejected(rejection: &Rejection, _: &RequestHead<'_>) -> Response<Bytes> {
    error(rejection.kind().status(), &rejection.message())
}

/// Answers an error of the management API.
fn failed(failure: &ApiError) -> Response<Bytes> {
    error(failure.status(), failure.message())
}

/// `{"success":false,"error":{"message":…}}`
fn error(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = json!({ "success": false, "error": { "message": message } });
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn app(keys: MemoryStore, usage: UsageRecorder, proxies: TrustedProxies) -> Router {
    let keys = KeyManager::new(keys).scheme(scheme());
    let api_keys = KeyRoutes::new(keys.clone(), KeyOwner::default())
        .only([KeyRoute::List, KeyRoute::Revoke])
        .errors(failed);
    Router::new()
        .route("/v1/users/{id}", get(user))
        .route("/v1/reports/daily", get(report))
        .route("/v1/charges", post(charge))
        .with_state(Charges::default())
        .nest("/v1", api_keys.into_router())
        .layer(
            keys.layer()
                .extractor(Bearer)
                .trusted_proxies(proxies)
                .observer(usage)
                .responder(rejected),
        )
}

async fn user(Path(id): Path<String>) -> Json<Value> {
    Json(json!({ "success": true, "data": { "id": id } }))
}

async fn report(State(charges): State<Charges>) -> Json<Value> {
    Json(json!({ "success": true, "data": { "charges": charges.lock().await.len() } }))
}

async fn charge(
    key: VerifiedKey,
    State(charges): State<Charges>,
    charge: Option<Json<Charge>>,
) -> (StatusCode, Json<Value>) {
    let charge = charge.unwrap_or_default().0;
    let livemode = key.stage().is_some_and(|stage| *stage == "live");
    let created = json!({ "livemode": livemode, "amount": charge.amount });
    if livemode {
        charges.lock().await.push(charge);
    }
    (StatusCode::CREATED, Json(created))
}

/// Reads the networks of the proxies in front of this server.
fn trusted_proxies() -> support::Result<TrustedProxies> {
    let networks = std::env::var("TRUSTED_PROXIES").unwrap_or_default();
    let networks = networks.split(',').map(str::trim).filter(|network| !network.is_empty());
    TrustedProxies::try_networks(networks)
        .map_err(|error| format!("TRUSTED_PROXIES: {error}").into())
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let proxies = trusted_proxies()?;
    let keys = MemoryStore::with_scheme(scheme());
    let key = |label: &str| NewKey::named(label).tenant("acme").stage("live");
    let long_ago = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    for (label, key) in [
        ("live", key("live").abilities(["api-keys:read", "api-keys:write"])),
        ("test", key("test").stage("test")),
        ("ip-10", key("ip-10").addresses(["10.0.0.0/8"])),
        ("ip-local", key("ip-local").addresses(["127.0.0.0/8", "::1"])),
        ("referrer", key("referrer").referrers(["https://app.example/*"])),
        ("users-only", key("users-only").endpoints(["GET /v1/users/{id}"])),
        ("expired", key("expired").expires_at(long_ago)),
    ] {
        support::print_key(label, &keys.issue(key)?);
    }
    let usage = UsageRecorder::new(keys.clone());
    support::serve(app(keys, usage.clone(), proxies)).await?;
    Ok(usage.shutdown().await?)
}
