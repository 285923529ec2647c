//! Keys in the table of another system: the table against the contract of repositories, and the server of
//! `examples/own_table`.

#[allow(dead_code, reason = "the example prints keys, too")]
#[path = "../../examples/own_table/table.rs"]
mod table;

use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use tower_api_key::store::KeyQuery;
use tower_api_key::testing::{
    check_key_repository_without, check_key_store_without, check_record_uses_without,
};
use tower_api_key::{KeyHasher, KeyManager, KeyRepository as _, KeyStore as _, NewKey};

use self::table::{NEW_COLUMNS, NOT_KEPT, OLD_TABLE, OwnTable};
use crate::example::Example;

/// A table in a file, with an old key.
async fn table() -> (tempfile::TempDir, SqlitePool) {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteConnectOptions::new()
        .filename(directory.path().join("app.db"))
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await.unwrap();
    sqlx::raw_sql(OLD_TABLE).execute(&pool).await.unwrap();
    sqlx::query(
        "INSERT INTO api_tokens (id, account, title, token_hash, scopes, created_at) \
         VALUES (7, 'acme', 'old', $1, 'read admin', 1000000)",
    )
    .bind(KeyHasher::sha256().digest("old-key").to_string())
    .execute(&pool)
    .await
    .unwrap();
    sqlx::raw_sql(NEW_COLUMNS).execute(&pool).await.unwrap();
    (directory, pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_keeps_the_contract_of_repositories_for_what_it_has_columns_for() {
    let (_directory, pool) = table().await;
    let keys = OwnTable::new(pool);
    check_key_repository_without(&keys, &NOT_KEPT).await;
    check_record_uses_without(&keys, &NOT_KEPT).await;
    let insert = async |record| {
        let change = tower_api_key::store::KeyChange::Insert(std::sync::Arc::new(record));
        if keys.commit(std::slice::from_ref(&change), &[]).await.is_err() {
            let change = tower_api_key::store::KeyChange::Replace(change.record().clone());
            keys.commit(&[change], &[]).await.unwrap();
        }
    };
    check_key_store_without(&keys, &NOT_KEPT, insert).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_row_is_a_key_with_its_number_as_id() {
    let (_directory, pool) = table().await;
    let keys = OwnTable::new(pool.clone());
    let record = keys.find(&KeyHasher::sha256().digest("old-key")).await.unwrap().unwrap();
    assert_eq!((record.id().as_str(), record.name(), record.revision()), ("7", "old", 0));
    assert!(record.abilities().can("admin") && !record.abilities().can("admin:x"));
    let manager = KeyManager::new(keys.clone());
    // An id that is no number, next to one that is.
    let issued = manager.issue(NewKey::named("new key").tenant("acme")).await.unwrap();
    let listed = manager.list(&KeyQuery::new()).await.unwrap().keys;
    let ids: Vec<_> = listed.iter().map(|key| key.record.id().clone()).collect();
    assert_eq!(ids, [issued.record.id().clone(), "7".parse().unwrap()]);
    manager.revoke(&"7".parse().unwrap()).await.unwrap();
    // As the old application sees it.
    let revoked = "SELECT revoked_at IS NOT NULL FROM api_tokens WHERE id = 7";
    assert!(sqlx::query_scalar::<_, bool>(revoked).fetch_one(&pool).await.unwrap());
    assert!(keys.get(&"07".parse().unwrap()).await.unwrap().is_none());
    // What the table cannot keep is not issued.
    let limited = NewKey::named("limited").limit("10 per second");
    let error = manager.issue(limited).await.unwrap_err().to_string();
    assert!(error.contains("there is no column for limits"), "{error}");
}

#[tokio::test]
async fn words_are_what_keys_may_do() {
    let server = Example::start("own_table");
    let notes = async |label: &str, method: &str| {
        let response = server.call(label, method, "/notes", "").await;
        (response.status, response)
    };
    let (status, answer) = notes("reader", "GET").await;
    assert_eq!(
        (status, answer.json()),
        (200, json!({ "account": "acme", "notes": ["milk", "bread"] }))
    );
    assert_eq!(notes("globex", "GET").await.1.json()["account"], "globex");
    let (status, answer) = notes("reader", "POST").await;
    assert_eq!((status, &answer.json()["detail"]), (403, &json!("Missing ability: write")));
    assert_eq!(notes("writer", "POST").await.0, 201);
    assert_eq!(notes("admin", "POST").await.0, 403);
    assert_eq!(notes("retired", "GET").await.0, 401);
    assert_eq!(server.get("/notes", &[]).await.status, 401);
}

#[tokio::test]
async fn keys_are_managed_in_the_table_and_a_change_counts_at_once() {
    let server = Example::start("own_table");
    assert_eq!(server.call("reader", "GET", "/api-keys", "").await.status, 403);
    let listed = server.call("admin", "GET", "/api-keys", "").await;
    assert_eq!(listed.status, 200, "{}", listed.text());
    let listed = listed.json();
    let mut ids: Vec<_> =
        listed["data"].as_array().unwrap().iter().map(|key| key["id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, ["1", "2", "3", "4"], "the keys of its account only: {listed}");

    let new = r#"{"name":"nightly import","abilities":["read"]}"#;
    let created = server.call("admin", "POST", "/api-keys", new).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let more = r#"{"name":"nightly import","abilities":["write"]}"#;
    assert_eq!(server.call("admin", "POST", "/api-keys", more).await.status, 403);
    let limited = r#"{"name":"nightly import","limits":["1 per hour"]}"#;
    assert!(server.call("admin", "POST", "/api-keys", limited).await.status >= 500);

    // It is in the memory of the cache.
    assert_eq!(server.call("reader", "GET", "/notes", "").await.status, 200);
    let path = format!("/api-keys/{}", server.id("reader"));
    let revoked = server.call("admin", "DELETE", &path, "").await;
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    assert_eq!(server.call("reader", "GET", "/notes", "").await.status, 401);
    let of_globex = format!("/api-keys/{}", server.id("globex"));
    assert_eq!(server.call("admin", "DELETE", &of_globex, "").await.status, 404);
}
