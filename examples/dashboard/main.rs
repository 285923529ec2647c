//! A small product whose customers manage their API keys in a browser, at "Settings → API keys".
//!
//! ```sh
//! cargo run -p tower-api-key-examples --example dashboard
//! ```
//!
//! It prints its address, the sign-ins of two people of two customers, and two keys. Sign in, create a key,
//! and call the API with it:
//!
//! ```sh
//! curl -H "Authorization: Bearer $IMPORT" http://127.0.0.1:3000/v1/bots  # 200, and the page shows the use
//! curl -H "Authorization: Bearer $WIDGET" http://127.0.0.1:3000/v1/bots  # 403: a public key
//! ```
//!
//! * `sessions.rs`: cookie sessions with tower-sessions; keys are created, rotated and revoked only shortly
//!   after the password was typed;
//! * `layout.rs`: the product's own layout around the pages;
//! * `demo.rs`: demo keys with a history and usage; then a `UsageRecorder` counts the requests to the API;
//! * this file: the pages, the API behind the keys, and their router.
//!
//! Keys are in SQLite, in memory, or in the file that `DATABASE` names.

#[path = "../support/mod.rs"]
mod support;

mod demo;
mod layout;
mod sessions;

use std::net::SocketAddr;
use std::time::Duration;

use axum::response::Redirect;
use axum::routing::get;
use axum::{Json, Router};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tower_api_key::key::AbilityCatalogue;
use tower_api_key::manage::pages::{KeyPages, PageTexts};
use tower_api_key::{
    KeyFormat, KeyKind, KeyManager, KeyScheme, RequireAbility, SqliteStore, UsageRecorder,
    VerifiedKey,
};
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;

fn scheme() -> KeyScheme {
    KeyScheme::new([
        KeyFormat::new("sk_live_").stage("live").kind(KeyKind::Secret),
        KeyFormat::new("sk_test_").stage("test").kind(KeyKind::Secret),
        KeyFormat::new("pk_live_").stage("live").kind(KeyKind::Public),
    ])
}

/// The abilities of keys, in the words of customers.
fn catalogue() -> AbilityCatalogue {
    AbilityCatalogue::new()
        .resource("bots", "Bots")
        .ability("bots:read", "List and read bots")
        .ability("bots:write", "Create and change bots")
        .ability("bots:delete", "Delete bots")
        .resource("chat", "Chat")
        .ability("chat:read", "Read conversations")
        .ability("chat:send", "Send messages")
        .resource("reports", "Reports")
        .ability("reports:read", "Read reports")
        .preset(
            "Read only",
            "Looks at everything, changes nothing",
            ["bots:read", "chat:read", "reports:read"],
        )
        .preset(
            "Full access",
            "Everything in this workspace",
            ["bots:read", "bots:write", "bots:delete", "chat:read", "chat:send", "reports:read"],
        )
}

fn texts() -> PageTexts {
    let mut texts = PageTexts::english();
    texts.stage = "Environment".into();
    texts.stage_hint = "Test keys see test data only.".into();
    texts.any_stage = "All".into();
    texts.stages = vec![("live".into(), "Live".into()), ("test".into(), "Test".into())];
    texts
}

/// The pages, in the layout of the product, for users who are signed in.
fn pages(keys: KeyManager, url: &str) -> KeyPages {
    KeyPages::new(keys, sessions::SignedIn)
        .catalogue(catalogue())
        .texts(texts())
        .layout(layout::around)
        .api_url(format!("{url}/v1/bots"))
        .variable("ORBIT_API_KEY")
}

/// The API that the keys are for.
fn api(keys: &KeyManager, usage: UsageRecorder) -> Router {
    Router::new()
        .route("/v1/bots", get(bots).layer(RequireAbility::new("bots:read")))
        .layer(keys.layer().observer(usage))
}

async fn bots(key: VerifiedKey) -> Json<Value> {
    let tenant = key.tenant().map(ToString::to_string);
    Json(json!({ "workspace": tenant, "bots": ["greeter", "night watch"] }))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let store = match std::env::var_os("DATABASE") {
        Some(file) => SqliteStore::open(file).await?,
        None => SqliteStore::in_memory().await?,
    };
    let keys = KeyManager::new(store.clone()).scheme(scheme());
    demo::fill(&store, &keys).await?;
    // A short interval, so that the pages soon show the last calls.
    let usage = UsageRecorder::builder(store.clone()).interval(Duration::from_secs(2)).build();

    let listener = support::bind("127.0.0.1:3000").await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("\nSign in at {url}:");
    for person in sessions::PEOPLE {
        println!("sign-in {} {}", person.email, sessions::PASSWORD);
    }
    println!();

    let dashboard = Router::new()
        .route("/", get(async || Redirect::to("/settings/api-keys")))
        .route("/orbit.css", get(async || ([(CONTENT_TYPE, "text/css")], layout::STYLE)))
        .merge(sessions::routes())
        .nest("/settings/api-keys", pages(keys.clone(), &url).into_router())
        .layer(sessions::layer())
        .layer(CsrfLayer::new())
        .layer(CompressionLayer::new());
    let app = api(&keys, usage.clone()).merge(dashboard);

    let stopped = support::stopped()?;
    support::print_listening(&listener)?;
    // With the addresses of clients, for keys that are restricted to addresses.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    usage.shutdown().await?;
    store.close().await;
    Ok(())
}
