//! A key's text appears nowhere, whatever is done to the key and wherever it is kept.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use sqlx::{Row as _, SqlitePool};
use tower_api_key::manage::TraceEvents;
use tower_api_key::store::{AuditEvent, KeyQuery};
use tower_api_key::{
    ApiKeyLayer, CachedStore, KeyHasher, KeyId, KeyManager, KeyRepository as _, KeyScheme,
    KeyUpdate, NewKey, PostgresStore, RedisRateLimiter, RedisStore, SqliteStore, UsageRecorder,
    VerifiedKey,
};

use crate::common::canary::{assert_error_hidden, assert_hidden, forms, gives_away};
use crate::common::{get_raw, serve};
use crate::log::{logged, start_log};

const PASSWORD: &str = "a-password-that-nobody-may-see-4711";
const PEPPER: &str = "a-pepper-that-nobody-may-see-4711";

/// Returns the text of every value in every table of a database.
async fn contents(pool: &SqlitePool) -> String {
    let tables = sqlx::query("SELECT name FROM sqlite_master WHERE type = 'table'");
    let mut all = String::new();
    for table in tables.fetch_all(pool).await.unwrap() {
        let rows = format!("SELECT * FROM \"{}\"", table.get::<String, _>(0));
        for row in sqlx::query(sqlx::AssertSqlSafe(rows)).fetch_all(pool).await.unwrap() {
            for column in 0..row.len() {
                let bytes: Option<Vec<u8>> = row.try_get_unchecked(column).unwrap_or_default();
                all.push_str(&String::from_utf8_lossy(&bytes.unwrap_or_default()));
                all.push('\n');
            }
        }
    }
    all
}

#[tokio::test]
async fn no_event_no_log_and_no_table_shows_a_secret() {
    start_log();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys.db");
    let store = CachedStore::new(SqliteStore::open(&file).await.unwrap());
    let events = Arc::<Mutex<String>>::default();
    let manager = KeyManager::new(store.clone())
        .scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(PEPPER.as_bytes())))
        .audit(TraceEvents)
        .audit({
            let events = Arc::clone(&events);
            move |event: &AuditEvent| {
                events.lock().unwrap().push_str(&format!("{event:?} {event:#?}"));
            }
        });
    let usage = UsageRecorder::new(store.clone());
    let layer = ApiKeyLayer::new(store.clone())
        .scheme(KeyScheme::default().hasher(KeyHasher::hmac_sha256(PEPPER.as_bytes())))
        .observer(usage.clone())
        .on_rotation_due(|key| println!("{key:?}"));
    let handler = get(async |key: VerifiedKey| key.id().to_string());
    let address = serve(Router::new().route("/", handler).layer(layer.clone())).await;

    let issued = manager.issue(NewKey::named("canary").tenant("acme")).await.unwrap();
    let rotated = manager.rotate(issued.record.id(), Duration::from_secs(60)).await.unwrap();
    let third = manager.rotate(rotated.record.id(), Duration::ZERO).await.unwrap();
    let secrets = [&issued.secret, &rotated.secret, &third.secret].map(|secret| secret.reveal());
    for (secret, status) in secrets.into_iter().zip([200, 401, 200]) {
        let response = get_raw(address, "/", &[&format!("x-api-key: {secret}")]).await;
        assert_eq!(response.status, status);
        assert_hidden(response.text(), &secrets);
    }
    usage.flush().await.unwrap();
    let update = KeyUpdate::new().name("another canary");
    manager.update(third.record.id(), &update).await.unwrap();
    manager.revoke_presented(secrets[0]).await.unwrap();
    for wrong in [&secrets[0][1..], secrets[0]] {
        // The first is unknown, the second was revoked already.
        if let Err(error) = manager.revoke_presented(wrong).await {
            assert_error_hidden(&error, &secrets);
        }
    }
    assert_error_hidden(
        &manager.rotate(issued.record.id(), Duration::ZERO).await.unwrap_err(),
        &secrets,
    );
    let told = events.lock().unwrap().clone();
    let page = manager.list(&KeyQuery::new()).await.unwrap();
    for shown in [
        &format!("{issued:?}{rotated:?}{third:#?}{page:?}"),
        &format!("{manager:?}{store:?}{usage:?}{layer:?}{update:?}"),
        &told,
        &logged("").join("\n"),
        &contents(&SqlitePool::connect(&format!("sqlite:{}", file.display())).await.unwrap()).await,
    ] {
        assert!(shown.len() > 100, "something is shown: {shown}");
        for secret in secrets {
            assert!(!gives_away(shown, secret), "{shown}");
        }
        assert!(!shown.contains(PEPPER), "{shown}");
    }
    let files = std::fs::read_dir(directory.path()).unwrap();
    for file in files {
        let bytes =
            String::from_utf8_lossy(&std::fs::read(file.unwrap().path()).unwrap()).into_owned();
        assert!(
            !secrets.iter().any(|secret| forms(secret).iter().any(|form| bytes.contains(form)))
        );
    }
    assert!(!logged("tower_api_key::audit").is_empty(), "changes are traced");
}

#[tokio::test]
async fn no_error_and_no_debug_shows_the_password_of_a_server() {
    start_log();
    // Nobody listens there.
    let postgres = format!("postgres://user:{PASSWORD}@127.0.0.1:9/database");
    let redis = format!("redis://user:{PASSWORD}@127.0.0.1:9/");
    let error = PostgresStore::connect(&postgres).await.unwrap_err();
    assert_error_hidden(&error, &[PASSWORD]);
    for wrong in ["postgres://user:{}@[bad", "nonsense {}", "postgres://u:{}@h:99999/"] {
        let url = wrong.replace("{}", PASSWORD);
        assert_error_hidden(&PostgresStore::connect(&url).await.unwrap_err(), &[PASSWORD]);
        assert_error_hidden(&RedisStore::connect(&url).await.unwrap_err(), &[PASSWORD]);
    }
    assert_error_hidden(&RedisStore::connect(&redis).await.unwrap_err(), &[PASSWORD]);
    let lazy = RedisStore::from_client(redis::Client::open(redis.clone()).unwrap());
    let lazy = lazy.connect_lazily().await.unwrap();
    let error = lazy.get(&KeyId::generate().unwrap()).await.unwrap_err();
    assert_error_hidden(&error, &[PASSWORD]);
    assert_hidden(&lazy, &[PASSWORD]);
    assert_hidden(&lazy.invalidations(), &[PASSWORD]);
    let limiter = RedisRateLimiter::from_client(redis::Client::open(redis).unwrap());
    assert_hidden(&limiter, &[PASSWORD]);
    let limiter = limiter.connect_lazily().await.unwrap();
    assert_hidden(&limiter, &[PASSWORD]);
    let pool = sqlx::postgres::PgPoolOptions::new().acquire_timeout(Duration::from_millis(100));
    let pool = pool.connect_lazy(&postgres).unwrap();
    let builder = PostgresStore::from_pool(pool);
    assert_hidden(&builder, &[PASSWORD]);
    assert_error_hidden(&builder.await.unwrap_err(), &[PASSWORD]);
    assert!(logged(PASSWORD).is_empty());
}
