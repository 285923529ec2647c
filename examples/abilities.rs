//! Keys with abilities and an hourly limit, public keys for a widget in the browser, and a 401
//! that does not tell the reason (hania.txt).
//!
//! ```sh
//! cargo run --example abilities
//! ```
//!
//! It prints eleven keys and their ids; `$READER`, `$READER_ID`, `$WRITER`, … stand for them:
//!
//! ```sh
//! API=http://127.0.0.1:3000/api/v1
//! curl -H "Authorization: Bearer $READER" $API/bots                          # 200
//! curl -H "Authorization: Bearer $READER" -X DELETE $API/bots/1              # 403 Missing ability: bots:write
//! curl -H "Authorization: Bearer $WRITER" --json '{"name":"Ada"}' $API/bots  # 201
//! curl -H "Authorization: Bearer $CHAT" -X POST $API/bots/1/chat             # 200
//! curl -H "Authorization: Bearer $EXPIRED" $API/bots                         # 401
//! curl $API/bots                                                             # 401, the same answer
//! curl -H "Authorization: Bearer $HOURLY_3" $API/bots                        # 200, three times; then 429
//! curl -H "Authorization: Bearer $READER" -H "Sec-Fetch-Site: cross-site" $API/bots  # 403: a call from another site
//! ```
//!
//! The widget's key is public. It works only on the pages of the shop, and only on this route:
//!
//! ```sh
//! WIDGET_API=http://127.0.0.1:3000/widget/v1/chat
//! curl -H "Authorization: Bearer $WIDGET" -H "Origin: https://shop.example" -X POST $WIDGET_API  # 200
//! curl -H "Authorization: Bearer $WIDGET" -H "Origin: https://evil.example" -X POST $WIDGET_API  # 403
//! curl -H "Authorization: Bearer $WIDGET" -H "Origin: https://shop.example" $API/bots            # 403
//! ```
//!
//! The administrator revokes a key, which is refused at once:
//!
//! ```sh
//! curl -H "Authorization: Bearer $ADMIN" -X POST http://127.0.0.1:3000/admin/keys/$READER_ID/revoke  # 200
//! curl -H "Authorization: Bearer $READER" $API/bots                                                  # 401
//! ```

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tower_api_key::extract::Bearer;
use tower_api_key::key::OriginPattern;
use tower_api_key::{
    Alphabet, JoinVary, KeyFormat, KeyKind, KeyManager, KeyScheme, MemoryStore, NewKey,
    RefuseCrossOrigin, RejectionKind, RequireAbility, RequireKind, Responder,
};
use tower_http::cors::{AllowOrigin, CorsLayer};

type Bots = Arc<Mutex<BTreeMap<u64, String>>>;

#[derive(Deserialize)]
struct NewBot {
    name: String,
}

/// The sites on which the widget runs.
const SHOP: [&str; 2] = ["https://shop.example", "https://*.shop.example"];

fn scheme() -> KeyScheme {
    KeyScheme::new([
        // Account keys, for servers.
        KeyFormat::new("hania_sk_").body(Alphabet::Hex, 40).kind(KeyKind::Secret),
        // Widget keys, which everybody can read in the source of a page. The prefix of account
        // keys starts with theirs; the longer prefix applies.
        KeyFormat::new("hania_").body(Alphabet::Hex, 40).kind(KeyKind::Public),
    ])
}

/// Lets pages of the shop read the answers.
fn cors() -> CorsLayer {
    let shop = SHOP.map(|site| site.parse::<OriginPattern>().expect("the shop has a site"));
    let of_shop = move |origin: &HeaderValue, _: &Parts| {
        origin.to_str().is_ok_and(|origin| shop.iter().any(|site| site.matches(origin)))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(of_shop))
        .allow_methods([Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([
            header::RETRY_AFTER,
            HeaderName::from_static("ratelimit"),
            HeaderName::from_static("ratelimit-policy"),
        ])
}

fn app(keys: MemoryStore, administrators: MemoryStore) -> Router {
    const GENERIC: &str = "Unauthenticated.";
    let answers = Responder::json()
        .answer(RejectionKind::Missing, StatusCode::UNAUTHORIZED, GENERIC)
        .answer(RejectionKind::Ambiguous, StatusCode::UNAUTHORIZED, GENERIC)
        .answer_invalid(StatusCode::UNAUTHORIZED, GENERIC);
    let bots: Bots = Arc::new(Mutex::new(BTreeMap::from([(1, "Hania".to_owned())])));
    let api = Router::new()
        .route("/bots", get(list).post(create).layer(RequireAbility::by_method("bots")))
        .route(
            "/bots/{id}",
            get(show).put(rename).delete(delete).layer(RequireAbility::by_method("bots")),
        )
        .route("/bots/{id}/chat", post(chat).layer(RequireAbility::new("chat:send")))
        .with_state(bots);
    let widget = Router::new()
        .route("/chat", post(widget_chat).layer(RequireAbility::new("chat:send")))
        .layer(RequireKind::new(KeyKind::Public));
    let keys = KeyManager::new(keys).scheme(scheme());
    let layer = keys.layer().extractor(Bearer).responder(answers).generic_challenge();
    Router::new()
        .nest("/api/v1", api.layer(layer.clone().guard(RefuseCrossOrigin::new())))
        // CORS is outside: it answers preflights, and pages can read refusals, too. It adds a second
        // `Vary` header, and some caches read only one.
        .nest("/widget/v1", widget.layer(layer.accept_public_keys()).layer(cors()).layer(JoinVary))
        .nest("/admin", support::admin(administrators, keys))
}

fn bot(id: u64, name: &str) -> Value {
    json!({ "id": id, "name": name })
}

async fn list(State(bots): State<Bots>) -> Json<Value> {
    let bots = bots.lock().await;
    let data: Vec<_> = bots.iter().map(|(id, name)| bot(*id, name)).collect();
    Json(json!({ "data": data }))
}

async fn create(State(bots): State<Bots>, Json(new): Json<NewBot>) -> (StatusCode, Json<Value>) {
    let mut bots = bots.lock().await;
    let id = bots.keys().last().map_or(1, |last| last + 1);
    let created = bot(id, &new.name);
    bots.insert(id, new.name);
    (StatusCode::CREATED, Json(json!({ "data": created })))
}

async fn show(State(bots): State<Bots>, Path(id): Path<u64>) -> Result<Json<Value>, StatusCode> {
    let bots = bots.lock().await;
    let name = bots.get(&id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "data": bot(id, name) })))
}

async fn rename(
    State(bots): State<Bots>,
    Path(id): Path<u64>,
    Json(new): Json<NewBot>,
) -> Result<Json<Value>, StatusCode> {
    let mut bots = bots.lock().await;
    let name = bots.get_mut(&id).ok_or(StatusCode::NOT_FOUND)?;
    *name = new.name;
    Ok(Json(json!({ "data": bot(id, name) })))
}

async fn delete(State(bots): State<Bots>, Path(id): Path<u64>) -> StatusCode {
    match bots.lock().await.remove(&id) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

async fn chat(State(bots): State<Bots>, Path(id): Path<u64>) -> Result<Json<Value>, StatusCode> {
    let bots = bots.lock().await;
    let name = bots.get(&id).ok_or(StatusCode::NOT_FOUND)?;
    Ok(Json(json!({ "data": { "reply": format!("{name} says hello") } })))
}

async fn widget_chat() -> Json<Value> {
    Json(json!({ "data": { "reply": "Hania says hello" } }))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::with_scheme(scheme());
    let account = |label| NewKey::named(label).kind(KeyKind::Secret);
    let long_ago = SystemTime::now() - Duration::from_secs(24 * 60 * 60);
    for (label, abilities) in [
        ("reader", &["bots:read"][..]),
        ("writer", &["bots:write"]),
        ("bots", &["bots:*"]),
        ("everything", &["*"]),
        ("chat", &["chat:send"]),
        ("none", &[]),
        ("expired", &["*"]),
        ("revoked", &["*"]),
    ] {
        let mut key = account(label).abilities(abilities.to_vec());
        if label == "expired" {
            key = key.expires_at(long_ago);
        }
        let issued = keys.issue(key)?;
        if label == "revoked" {
            assert!(keys.revoke(issued.record.id()));
        }
        support::print_key(label, &issued);
    }
    let hourly = account("hourly-3").abilities(["bots:read"]);
    support::print_key("hourly-3", &keys.issue(hourly.limit("3 per hour"))?);
    let widget = NewKey::named("widget").kind(KeyKind::Public).abilities(["chat:send"]);
    support::print_key("widget", &keys.issue(widget.origins(SHOP))?);
    let administrators = MemoryStore::with_scheme(scheme());
    support::print_key("admin", &administrators.issue(account("operations"))?);
    support::serve(app(keys, administrators)).await
}
