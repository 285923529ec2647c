//! API keys in SQLite on an axum server, with the defaults of the library.
//!
//! ```sh
//! cargo run --example quickstart
//! ```
//!
//! It prints two keys and the calls to try; `$READER` and `$LIMITED` stand for the keys:
//!
//! ```sh
//! curl -H "x-api-key: $READER" http://127.0.0.1:3000/whoami      # 200, the key
//! curl -H "Authorization: Bearer $READER" http://127.0.0.1:3000/reports  # 200
//! curl -H "x-api-key: $LIMITED" http://127.0.0.1:3000/reports    # 403, Missing ability: reports:read
//! curl http://127.0.0.1:3000/whoami                              # 401, An API key is required
//! ```
//!
//! Keys are in memory, or in the file that `DATABASE` names. Keys in the file still work after a
//! restart, which adds two more:
//!
//! ```sh
//! DATABASE=keys.db cargo run --example quickstart
//! ```

#[path = "support/mod.rs"]
mod support;

use std::net::SocketAddr;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_api_key::{ApiKeyLayer, KeyManager, NewKey, RequireAbility, SqliteStore, VerifiedKey};

fn app(keys: SqliteStore) -> Router {
    Router::new()
        .route("/whoami", get(whoami))
        .route("/reports", get(reports).layer(RequireAbility::new("reports:read")))
        .layer(ApiKeyLayer::new(keys))
}

async fn whoami(key: VerifiedKey) -> Json<Value> {
    let abilities: Vec<_> = key.abilities().iter().map(ToString::to_string).collect();
    Json(json!({
        "key": key.id().as_str(),
        "name": key.name(),
        "tenant": key.tenant().map(ToString::to_string),
        "abilities": abilities,
    }))
}

async fn reports(key: VerifiedKey) -> Json<Value> {
    Json(json!({ "tenant": key.tenant().map(ToString::to_string), "reports": ["Q3", "Q4"] }))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let store = match std::env::var_os("DATABASE") {
        Some(file) => SqliteStore::open(file).await?,
        None => SqliteStore::in_memory().await?,
    };
    let keys = KeyManager::new(store.clone());
    let reader = NewKey::named("monthly reporting").tenant("acme").abilities(["reports:read"]);
    let reader = keys.issue(reader).await?;
    let limited = keys.issue(NewKey::named("uptime monitor").tenant("acme")).await?;
    support::print_key("reader", &reader);
    support::print_key("limited", &limited);

    let listener = support::bind("127.0.0.1:3000").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let (reader, limited) = (reader.secret.reveal(), limited.secret.reveal());
    println!("\nTry:");
    println!("  curl -H 'x-api-key: {reader}' {url}/whoami");
    println!("  curl -H 'Authorization: Bearer {reader}' {url}/reports");
    println!("  curl -i -H 'x-api-key: {limited}' {url}/reports");
    println!("  curl -i {url}/whoami\n");
    let stopped = support::stopped()?;
    support::print_listening(&listener)?;
    // With the addresses of clients, for keys that are restricted to addresses.
    let app = app(store.clone()).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    store.close().await;
    Ok(())
}
