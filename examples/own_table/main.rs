//! Keys that stay in an existing table of an application: numbers as ids, a column with the SHA-256 of each
//! key, and words as scopes. `table.rs` is all the code that is needed for it.
//!
//! ```sh
//! cargo run --features manage --example own_table
//! ```
//!
//! It creates the old table with some keys, adds the missing columns, and prints the keys; `$READER` and so
//! on stand for them:
//!
//! ```sh
//! curl -H "Authorization: Bearer $READER" http://127.0.0.1:3000/notes            # 200
//! curl -H "Authorization: Bearer $READER" -X POST http://127.0.0.1:3000/notes    # 403, it has only `read`
//! curl -H "Authorization: Bearer $WRITER" -X POST http://127.0.0.1:3000/notes    # 201
//! curl -H "Authorization: Bearer $RETIRED" http://127.0.0.1:3000/notes           # 401, revoked
//! # A key with `admin` manages the keys of its account; "last_used_at" is in the list.
//! curl -H "Authorization: Bearer $ADMIN" http://127.0.0.1:3000/api-keys
//! curl -H "Authorization: Bearer $ADMIN" -H 'content-type: application/json' \
//!     -d '{"name":"nightly import","abilities":["admin"]}' http://127.0.0.1:3000/api-keys
//! curl -H "Authorization: Bearer $ADMIN" -X DELETE http://127.0.0.1:3000/api-keys/1
//! ```

#[path = "../support/mod.rs"]
mod support;
mod table;

use std::time::SystemTime;

use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
use tower_api_key::store::{AuditEvent, CachedStore};
use tower_api_key::{KeyFormat, KeyHasher, KeyManager, RequireAbility, UsageRecorder, VerifiedKey};

use self::table::{NEW_COLUMNS, OLD_TABLE, OwnTable, microseconds};

/// Label, account and scopes of the existing keys.
const OLD_KEYS: [(&str, &str, &str); 5] = [
    ("reader", "acme", "read"),
    ("writer", "acme", "read write"),
    ("admin", "acme", "admin read"),
    ("retired", "acme", "read write"),
    ("globex", "globex", "read"),
];

fn app(keys: CachedStore<OwnTable>, last_uses: UsageRecorder) -> Router {
    let manager = KeyManager::new(keys).audit(|event: &AuditEvent| {
        eprintln!("{} {} {:?}", event.actor, event.action, event.key_id());
    });
    let notes = get(read)
        .layer(RequireAbility::new("read"))
        .merge(axum::routing::post(write).layer(RequireAbility::new("write")));
    // The manager's layer, so that the next request sees a change.
    let layer = manager.layer().observer(last_uses);
    let owner = KeyOwner::with_abilities("admin", "admin");
    Router::new()
        .route("/notes", notes)
        .merge(KeyRoutes::new(manager, owner).into_router())
        .layer(layer)
}

async fn read(key: VerifiedKey) -> Json<Value> {
    Json(json!({ "account": key.tenant().map(ToString::to_string), "notes": ["milk", "bread"] }))
}

async fn write() -> StatusCode {
    StatusCode::CREATED
}

/// Creates the table like the application did, and prints the keys that it issued.
async fn old_application(pool: &SqlitePool) -> support::Result<()> {
    sqlx::raw_sql(OLD_TABLE).execute(pool).await?;
    let format = KeyFormat::new("tok_");
    for (number, (label, account, scopes)) in (1_i64..).zip(OLD_KEYS) {
        let secret = format.generate()?;
        let now = microseconds(SystemTime::now());
        sqlx::query(
            "INSERT INTO api_tokens (id, account, title, token_hash, scopes, created_at, revoked_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(number)
        .bind(account)
        .bind(format!("the key of {label}"))
        .bind(KeyHasher::sha256().digest(secret.reveal()).to_string())
        .bind(scopes)
        .bind(now)
        .bind((label == "retired").then_some(now))
        .execute(pool)
        .await?;
        println!("key {label} {}", secret.reveal());
        println!("id {label} {number}");
    }
    Ok(())
}

#[tokio::main]
async fn main() -> support::Result<()> {
    // The database is in memory, so all queries need the same connection.
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(SqliteConnectOptions::new().in_memory(true))
        .await?;
    old_application(&pool).await?;
    sqlx::raw_sql(NEW_COLUMNS).execute(&pool).await?;

    let table = OwnTable::new(pool);
    let last_uses = UsageRecorder::last_uses_only(table.clone()).build();
    support::serve(app(CachedStore::new(table), last_uses.clone())).await?;
    Ok(last_uses.shutdown().await?)
}
