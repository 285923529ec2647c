//! The management API on a socket, for keys and for sessions of a dashboard.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use http::StatusCode;
use http::request::Parts;
use serde_json::Value;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyOwner, KeyRoutes, Refused};
use tower_api_key::{
    ApiKeyLayer, IssuedKey, KeyFormat, KeyManager, KeyScheme, NewKey, SqliteStore,
};

use crate::common::{RawResponse, in_time, send_raw_with_body, serve};
use crate::stores::{AnyStore, Store};

/// A session of the tenant `acme` that may grant everything.
pub const ALICE: &str = "x-session: acme *";

pub fn formats() -> [KeyFormat; 2] {
    [KeyFormat::new("sk_live_").stage("live"), KeyFormat::new("sk_test_").stage("test")]
}

/// Reads whose session it is, and the ceiling of its abilities. `reads` may read only.
pub fn session(parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
    let session = parts.headers.get("x-session").ok_or(StatusCode::UNAUTHORIZED)?;
    let mut words = session.to_str().unwrap().split(' ');
    let tenant = words.next().unwrap().parse().unwrap();
    let words: Vec<_> = words.collect();
    if action.changes_keys() && words.contains(&"reads") {
        return Err(StatusCode::FORBIDDEN.into());
    }
    let abilities = words.iter().filter_map(|word| word.parse().ok()).collect();
    Ok(Owner::of_tenant(tenant, abilities, "alice@acme.example"))
}

/// A server with the routes for keys under `/v1`, and for sessions under `/dashboard`.
pub struct World {
    pub store: Store,
    pub keys: KeyManager,
    pub address: SocketAddr,
}

impl World {
    pub async fn new(store: impl AnyStore + 'static) -> Self {
        let store: Store = Arc::new(store);
        let keys = KeyManager::new(store.clone()).scheme(KeyScheme::new(formats()));
        let by_key = KeyRoutes::new(keys.clone(), KeyOwner::default());
        let by_session = KeyRoutes::new(keys.clone(), session);
        let app = Router::new()
            .nest("/v1", by_key.into_router())
            .layer(ApiKeyLayer::new(store.clone()).accept_public_keys().optional())
            .nest("/dashboard", by_session.into_router());
        Self { store, keys, address: serve(app).await }
    }

    /// Issues a key as the application.
    pub async fn issue(&self, key: NewKey) -> IssuedKey {
        self.keys.issue(key.format(&formats()[0])).await.unwrap()
    }

    /// Issues a key of `acme` that may manage keys, and returns it as a header.
    pub async fn manager(&self, key: NewKey) -> String {
        let key = key.tenant("acme").abilities(["api-keys:read", "api-keys:write"]);
        format!("x-api-key: {}", self.issue(key).await.secret.reveal())
    }

    /// Sends a request with this header, and with JSON if there is any.
    pub async fn call(&self, who: &str, method: &str, path: &str, json: &str) -> RawResponse {
        let length = json.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{who}\r\ncontent-type: application/json\r\n\
             content-length: {length}"
        );
        in_time(send_raw_with_body(self.address, request, json)).await
    }

    /// Does as [`call`](Self::call) under `/dashboard` as Alice.
    pub async fn alice(&self, method: &str, path: &str, json: &str) -> RawResponse {
        self.call(ALICE, method, &format!("/dashboard/api-keys{path}"), json).await
    }

    /// Creates a key as Alice, and returns its public id and its secret.
    pub async fn create(&self, name: &str) -> (String, String) {
        let body = format!(r#"{{"name":"{name}","prefix":"sk_live_"}}"#);
        let response = self.alice("POST", "", &body).await;
        assert_eq!(response.status, 201, "{}", response.text());
        let text = |field: &str| response.json()["data"][field].as_str().unwrap().to_owned();
        (text("id"), text("secret"))
    }
}

/// Asserts that a problem has this status and blames this field.
#[track_caller]
pub fn assert_blamed(response: &RawResponse, status: u16, field: impl Into<Value>) {
    let (problem, field) = (response.json(), field.into());
    assert_eq!((response.status, &problem["field"]), (status, &field), "{problem}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()));
    assert!(problem["detail"].as_str().unwrap().starts_with(char::is_uppercase), "{problem}");
}

pub async fn over_sqlite(test: impl AsyncFnOnce(&World)) {
    test(&World::new(SqliteStore::in_memory().await.unwrap()).await).await;
}

/// Runs a test over PostgreSQL, in a schema that is dropped even if it fails.
#[cfg(unix)]
pub async fn over_postgres(test: impl AsyncFnOnce(&World)) {
    use std::panic::AssertUnwindSafe;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use sqlx::{AssertSqlSafe, PgPool};
    use tower_api_key::PostgresStore;

    static NUMBER: AtomicUsize = AtomicUsize::new(0);

    let url = crate::common::servers::database_url();
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let schema = format!("manage_api_{}_{number}", std::process::id());
    let store = PostgresStore::connect(&url).schema(&schema).await.unwrap();
    let world = World::new(store).await;
    let outcome = AssertUnwindSafe(test(&world)).catch_unwind().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
    sqlx::raw_sql(drop).execute(&pool).await.unwrap();
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Makes tests of functions that take a [`World`], over each database.
macro_rules! over_each_database {
    ($($name:ident)*) => {
        mod over_sqlite {
            $(#[tokio::test]
            async fn $name() {
                $crate::world::over_sqlite(super::$name).await;
            })*
        }

        #[cfg(unix)]
        mod over_postgres {
            $(#[tokio::test]
            #[ignore = "needs PostgreSQL: run tests/all"]
            async fn $name() {
                $crate::world::over_postgres(super::$name).await;
            })*
        }
    };
}

pub(crate) use over_each_database;
