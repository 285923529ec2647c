//! What the management API answers when the store fails, and in which shape; and that no answer
//! and no log shows a secret.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::extract::Request;
use axum::http::request::Parts;
use axum::routing::any;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{
    ApiError, IdentifyOwner, KeyAction, KeyOwner, KeyRoute, KeyRoutes, Refused,
};
use tower_api_key::store::RecordUses;
use tower_api_key::store::{
    AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, KeyUse, StoredKey,
};
use tower_api_key::{
    KeyDigest, KeyId, KeyManager, KeyRecord, KeyRepository, KeyScheme, KeyStore, MemoryStore,
    NewKey, StoreError,
};

use crate::common::canary::{assert_hidden, gives_away};
use crate::common::{errors, get_raw, in_time, logged, serve, start_log};
use crate::world::{ALICE, World, assert_blamed, formats, over_sqlite, session};

/// A store that works until it is told to fail.
#[derive(Default)]
struct Failing {
    keys: MemoryStore,
    fails: AtomicBool,
}

const DETAILS: &str = "connection to db-7.internal refused";

impl Failing {
    fn check(&self) -> Result<(), StoreError> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(StoreError::new(DETAILS)),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl KeyStore for Failing {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.keys.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Failing {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.check()?;
        KeyRepository::get(&self.keys, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.check()?;
        KeyRepository::list(&self.keys, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        self.check()?;
        self.keys.commit(changes, events).await
    }
}

#[async_trait]
impl RecordUses for Failing {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.keys.record_uses(uses).await
    }
}

#[tokio::test]
async fn a_store_that_fails_is_unavailable_and_tells_nothing() {
    start_log();
    let store = Arc::new(Failing::default());
    let world = World::new(Arc::clone(&store)).await;
    let (id, _) = world.create("nightly import").await;
    let key = world.manager(NewKey::named("manager")).await;
    store.fails.store(true, Ordering::SeqCst);
    let before = errors(DETAILS);
    let create = r#"{"name":"nightly import","prefix":"sk_live_"}"#;
    let mut asked = 0;
    for (who, base) in [(ALICE, "/dashboard"), (&*key, "/v1")] {
        for (method, path, body) in [
            ("GET", String::new(), ""),
            ("POST", String::new(), create),
            ("GET", format!("/{id}"), ""),
            ("PATCH", format!("/{id}"), "{}"),
            ("DELETE", format!("/{id}"), ""),
            ("POST", format!("/{id}/rotate"), ""),
        ] {
            let path = format!("{base}/api-keys{path}");
            let response = world.call(who, method, &path, body).await;
            assert_blamed(&response, 503, Value::Null);
            assert_eq!(response.header("retry-after"), Some("1"));
            assert!(!response.text().contains("db-7"));
            asked += 1;
        }
    }
    assert_eq!((errors(DETAILS) - before, asked), (1, 12), "the same fault");
}

#[tokio::test]
async fn errors_have_the_shape_of_the_application() {
    fn answer(error: &ApiError) -> Response<Bytes> {
        let body = json!({ "oops": error.message(), "where": error.field() });
        let mut response = Response::new(body.to_string().into());
        *response.status_mut() = match error.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        response
    }
    let store = Arc::new(Failing::default());
    let routes = KeyRoutes::new(KeyManager::new(Arc::clone(&store)), session).errors(answer);
    let document = serde_json::to_string(&routes.openapi()).unwrap();
    assert!(!document.contains("problem"), "{document}");
    let keys = KeyManager::new(Arc::clone(&store));
    let address = serve(routes.into_router()).await;
    let world = World { store: store.clone(), keys, address };
    let wrong = world.call(ALICE, "POST", "/api-keys", r#"{"name":7}"#).await;
    let body = json!({ "oops": "Not a string: pass a string", "where": "name" });
    assert_eq!((wrong.status, wrong.json()), (400, body));
    assert_eq!(wrong.header("cache-control"), Some("no-store"));
    store.fails.store(true, Ordering::SeqCst);
    let down = world.call(ALICE, "GET", "/api-keys", "").await;
    assert_eq!((down.status, &down.json()["where"]), (503, &Value::Null));
    assert_eq!(down.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_secret_is_in_the_answers_of_create_and_rotate_alone() {
    start_log();
    over_sqlite(async |world| {
        let created = world.alice("POST", "", r#"{"name":"one","prefix":"sk_live_"}"#).await;
        let id = created.json()["data"]["id"].as_str().unwrap().to_owned();
        let rotated = world.alice("POST", &format!("/{id}/rotate"), "").await;
        let secrets = [&created, &rotated].map(|response| {
            assert_eq!(response.header("cache-control"), Some("no-store"));
            let secret = response.json()["data"]["secret"].as_str().unwrap().to_owned();
            assert_eq!(response.text().matches(&secret).count(), 1);
            secret
        });
        let successor = rotated.json()["data"]["id"].as_str().unwrap().to_owned();
        for (method, path, body) in [
            ("GET", String::new(), ""),
            ("GET", format!("/{id}"), ""),
            ("GET", format!("/{successor}"), ""),
            ("PATCH", format!("/{successor}"), r#"{"name":"two"}"#),
            ("POST", format!("/{id}/rotate"), ""),
            ("DELETE", format!("/{successor}"), ""),
        ] {
            let response = world.alice(method, &path, body).await;
            for secret in &secrets {
                let shown = format!("{:?}{}", response.headers, response.text());
                assert!(!gives_away(&shown, secret), "{method} {path}");
            }
        }
        let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
        let owner = Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "alice");
        let routes = KeyRoutes::new(world.keys.clone(), session);
        assert_hidden(&(owner, KeyOwner::default(), routes), &secrets);
        assert_hidden(&world.keys, &secrets);
        for line in logged("") {
            assert!(!secrets.iter().any(|secret| gives_away(&line, secret)), "{line}");
        }
    })
    .await;
}

#[tokio::test]
async fn no_error_repeats_a_secret_that_is_in_the_wrong_place() {
    over_sqlite(async |world| {
        let (id, _) = world.create("nightly import").await;
        let (_, secret) = world.create("pasted").await;
        let texts = [secret.clone(), format!("{secret}:read"), format!("1 per {secret}")];
        let mut bodies = vec![secret.clone(), format!("\"{secret}\""), format!("{{\"{secret}\":1")];
        for text in &texts {
            for field in
                ["name", "prefix", "stage", "expires_at", "limits", "secret", secret.as_str()]
            {
                let mut body = json!({ "name": "x", "prefix": "sk_live_" });
                body[field] = json!(text);
                bodies.push(body.to_string());
            }
            for list in ["abilities", "limits"] {
                bodies
                    .push(json!({ "name": "xyz", "prefix": "sk_live_", list: [text] }).to_string());
            }
            for list in ["addresses", "origins", "referrers", "endpoints", secret.as_str()] {
                bodies.push(json!({ "name": "xyz", "restrictions": { list: [text] } }).to_string());
                bodies.push(json!({ "restrictions": { list: text } }).to_string());
            }
        }
        for body in bodies {
            for (method, path) in [("POST", String::new()), ("PATCH", format!("/{id}"))] {
                let response = world.alice(method, &path, &body).await;
                // A name may be any text, and no one can tell that it is a secret.
                if response.status >= 400 {
                    assert!(!gives_away(response.text(), &secret), "{}", response.text());
                }
            }
        }
        for path in [format!("/{secret}"), format!("?{secret}=1"), format!("?cursor={secret}")] {
            let response = world.alice("GET", &path, "").await;
            assert!(response.status >= 400 && !gives_away(response.text(), &secret));
        }
    })
    .await;
}

/// Sessions whose cookie is looked up.
struct Cookies;

#[async_trait]
impl IdentifyOwner for Cookies {
    async fn identify(&self, parts: &mut Parts, _: &KeyAction) -> Result<Owner, Refused> {
        tokio::task::yield_now().await;
        let is_alice = parts.headers.get("cookie").is_some_and(|cookie| cookie == "session=alice");
        let owner = || Owner::of_tenant("acme".parse().unwrap(), Default::default(), "alice");
        is_alice.then(owner).ok_or((StatusCode::UNAUTHORIZED, "sign in first").into())
    }
}

#[tokio::test]
async fn who_calls_may_be_looked_up() {
    let keys = KeyManager::new(MemoryStore::new());
    // Below a parameter of the application's own.
    let routes = KeyRoutes::new(keys.clone(), Cookies).into_router();
    let address = serve(Router::new().nest("/teams/{id}", routes)).await;
    let issued = keys.issue(NewKey::named("one").tenant("acme")).await.unwrap();
    let path = format!("/teams/7/api-keys/{}", issued.record.id());
    let alice = in_time(get_raw(address, &path, &["cookie: session=alice"])).await;
    assert_eq!((alice.status, &alice.json()["data"]["name"]), (200, &json!("one")));
    let nobody = in_time(get_raw(address, &path, &["cookie: session=bob"])).await;
    assert_eq!((nobody.status, nobody.text()), (401, "sign in first"));
    assert_eq!(nobody.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn who_calls_is_asked_what_is_to_be_done_with_which_key() {
    let asked = Arc::<std::sync::Mutex<Vec<KeyAction>>>::default();
    let seen = Arc::clone(&asked);
    let identify = move |_: &mut Parts, action: &KeyAction| -> Result<Owner, Refused> {
        seen.lock().unwrap().push(action.clone());
        Err(StatusCode::FORBIDDEN.into())
    };
    let routes = KeyRoutes::new(KeyManager::new(MemoryStore::new()), identify).into_router();
    // An application's own parameter of the same name is not the id of a key.
    let address = serve(Router::new().nest("/{key_id}", routes)).await;
    let on = |route| KeyAction::on(route, "key_1".parse().unwrap());
    for (method, path, action) in [
        ("GET", "/x/api-keys", KeyAction::new(KeyRoute::List)),
        ("HEAD", "/x/api-keys", KeyAction::new(KeyRoute::List)),
        ("POST", "/x/api-keys", KeyAction::new(KeyRoute::Create)),
        ("GET", "/x/api-keys/key_1", on(KeyRoute::Show)),
        ("PATCH", "/x/api-keys/key_1", on(KeyRoute::Update)),
        ("DELETE", "/x/api-keys/key_1", on(KeyRoute::Revoke)),
        ("POST", "/x/api-keys/key_1/rotate", on(KeyRoute::Rotate)),
        ("DELETE", "/x/api-keys/no%20key", KeyAction::new(KeyRoute::Revoke)),
    ] {
        let head = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        let answer = in_time(crate::common::send_raw(address, head)).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert_eq!(std::mem::take(&mut *asked.lock().unwrap()), [action], "{method} {path}");
    }
}

#[tokio::test]
async fn a_location_names_no_host() {
    let keys = KeyManager::new(MemoryStore::new());
    let routes = KeyRoutes::new(keys.clone(), session).into_router();
    let address = serve(Router::new().nest("/{area}/{team}", routes)).await;
    let world = World { store: Arc::new(MemoryStore::new()), keys, address };
    let body = r#"{"name":"one"}"#;
    for (team, expected) in [("/a/b", "/a/b"), ("//evil.example", "/evil.example")] {
        let path = format!("{team}/api-keys");
        let created = world.call(ALICE, "POST", &path, body).await;
        assert_eq!(created.status, 201, "{team}");
        let json = created.json();
        let id = json["data"]["id"].as_str().unwrap();
        let location = format!("{expected}/api-keys/{id}");
        assert_eq!(created.header("location"), Some(&*location));
        let rotated = world.call(ALICE, "POST", &format!("{path}/{id}/rotate"), "").await;
        assert_eq!(rotated.status, 201, "{team}");
        let location = rotated.header("location").unwrap();
        assert!(location.starts_with(&format!("{expected}/api-keys/key_")), "{location}");
    }
}

#[tokio::test]
async fn a_request_that_a_handler_hands_on_is_about_its_own_path() {
    let keys = KeyManager::new(MemoryStore::new());
    let routes = KeyRoutes::new(keys.clone(), session).into_router();
    let inner = Router::new().nest("/v1", routes);
    let hand_on = async move |mut request: Request| {
        *request.uri_mut() = request.headers()["to"].to_str().unwrap().parse().unwrap();
        inner.oneshot(request).await
    };
    let routes = Router::new().route("/on", any(hand_on.clone()));
    let address = serve(routes.route("/on/{key_id}", any(hand_on))).await;
    let world = World { store: Arc::new(MemoryStore::new()), keys, address };
    let to = |path: &str| format!("{ALICE}\r\nto: {path}");
    let body = r#"{"name":"one"}"#;
    let mut ids = Vec::new();
    for _ in 0..2 {
        let created = world.call(&to("/v1/api-keys"), "POST", "/on", body).await;
        assert_eq!((created.status, created.header("location")), (201, None));
        ids.push(created.json()["data"]["id"].as_str().unwrap().to_owned());
    }
    // The outer path may name another key.
    let path = format!("/v1/api-keys/{}", ids[0]);
    let shown = world.call(&to(&path), "GET", &format!("/on/{}", ids[1]), "").await;
    assert_eq!((shown.status, &shown.json()["data"]["id"]), (200, &json!(ids[0])));
    let rotated = world.call(&to(&format!("{path}/rotate")), "POST", "/on", "").await;
    assert_eq!((rotated.status, rotated.header("location")), (201, None));
}

#[tokio::test]
async fn a_manager_with_one_format_needs_no_prefix() {
    for (keys, prefix) in [
        (KeyManager::new(MemoryStore::new()), "ak_"),
        (
            KeyManager::new(MemoryStore::new()).scheme(KeyScheme::new(formats()[1].clone())),
            "sk_test_",
        ),
        (KeyManager::new(MemoryStore::new()).scheme(KeyScheme::new([])), "ak_"),
    ] {
        let address = serve(KeyRoutes::new(keys.clone(), session).into_router()).await;
        let store = Arc::new(MemoryStore::new());
        let world = World { store, keys, address };
        let body = r#"{"name":"one","prefix":null,"stage":null,"expires_at":null}"#;
        let created = world.call(ALICE, "POST", "/api-keys", body).await;
        assert_eq!((created.status, &created.json()["data"]["prefix"]), (201, &json!(prefix)));
    }
}

#[test]
fn the_document_describes_the_routes_that_there_are() {
    let keys = KeyManager::new(MemoryStore::new());
    let routes = KeyRoutes::new(keys, KeyOwner::default());
    let document = serde_json::to_value(routes.clone().openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let operations = |document: &Value| -> BTreeSet<String> {
        let paths = document["paths"].as_object().unwrap();
        let ids = paths.values().flat_map(|path| path.as_object().unwrap().values());
        ids.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
    };
    let all = [
        "createApiKey",
        "getApiKey",
        "getApiKeyUsage",
        "listApiKeyEvents",
        "listApiKeys",
        "revokeApiKey",
        "rotateApiKey",
        "updateApiKey",
    ];
    assert!(operations(&document).iter().eq(all));
    let less = serde_json::to_value(routes.without([KeyRoute::Create]).openapi()).unwrap();
    assert!(!operations(&less).contains("createApiKey"));
    // What is referred to is there.
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["NewApiKey"]["required"], json!(["name"]));
    assert_eq!(schemas["NewApiKey"]["additionalProperties"], json!(false));
}
