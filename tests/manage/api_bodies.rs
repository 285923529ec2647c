//! Requests to the management API whose bodies come later, or never.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use http::request::Parts;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{ApiError, KeyAction, KeyOwner, KeyRoutes, Refused};
use tower_api_key::store::KeyQuery;
use tower_api_key::{
    ApiKeyLayer, IssuedKey, KeyId, KeyManager, KeyRecord, KeyUpdate, MemoryStore, NewKey,
};

use crate::common::{
    RawResponse, get_raw, in_time, read_answer, send_raw, send_raw_with_body, serve,
};
use crate::world::{ALICE, World, assert_blamed, over_each_database, session};

over_each_database! {
    a_key_that_is_revoked_while_the_body_is_on_its_way_does_nothing
    a_key_that_is_reduced_while_the_body_is_on_its_way_grants_less
    a_key_that_is_renamed_while_the_body_is_on_its_way_does_it
}

/// A request whose head the server has, and whose body it waits for.
struct Begun {
    stream: TcpStream,
    body: String,
}

impl Begun {
    async fn new(address: SocketAddr, who: &str, method: &str, path: &str, body: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{who}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // Which it says when it is asked for the body.
        let mut answer = [0; 25];
        in_time(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, body: body.to_owned() }
    }

    /// Sends the body.
    async fn finish(mut self) -> RawResponse {
        self.stream.write_all(self.body.as_bytes()).await.unwrap();
        self.answer().await
    }

    /// Waits for an answer without sending the body.
    async fn answer(self) -> RawResponse {
        in_time(read_answer(self.stream)).await
    }
}

/// A key of `acme` that may manage keys, and one that it manages.
async fn owner_and_peer(world: &World) -> (IssuedKey, String, KeyId) {
    let owner = NewKey::named("owner").tenant("acme").limit("100 per hour");
    let owner = owner.abilities(["bots:*", "api-keys:read", "api-keys:write"]);
    let owner = world.issue(owner).await;
    let peer = NewKey::named("peer").tenant("acme").abilities(["bots:read"]).limit("100 per hour");
    let line = format!("x-api-key: {}", owner.secret.reveal());
    (owner, line, world.issue(peer).await.record.id().clone())
}

/// Begins what can be done with a body.
async fn begin_all(world: &World, who: &str, peer: &KeyId) -> [Begun; 3] {
    let create = json!({
        "name": "heir", "prefix": "sk_live_", "abilities": ["bots:read"], "limits": ["100 per hour"],
    });
    let (create, update) = (create.to_string(), json!({ "name": "mine" }).to_string());
    let path = format!("/v1/api-keys/{peer}");
    [
        Begun::new(world.address, who, "POST", "/v1/api-keys", &create).await,
        Begun::new(world.address, who, "PATCH", &path, &update).await,
        Begun::new(world.address, who, "POST", &format!("{path}/rotate"), "{}").await,
    ]
}

/// All records but that of the owner.
async fn others(world: &World, owner: &KeyId) -> Vec<Arc<KeyRecord>> {
    let keys = world.keys.list(&KeyQuery::new()).await.unwrap().keys.into_iter();
    keys.map(|key| key.record).filter(|record| record.id() != owner).collect()
}

async fn a_key_that_is_revoked_while_the_body_is_on_its_way_does_nothing(world: &World) {
    let (owner, line, peer) = owner_and_peer(world).await;
    let before = others(world, owner.record.id()).await;
    let begun = begin_all(world, &line, &peer).await;
    world.keys.revoke(owner.record.id()).await.unwrap();
    for begun in begun {
        let refused = begun.finish().await;
        // Past the layer, which found that the key works.
        assert_blamed(&refused, 403, Value::Null);
        assert!(refused.text().contains("does not work any more"), "{}", refused.text());
    }
    assert_eq!(others(world, owner.record.id()).await, before);
}

async fn a_key_that_is_reduced_while_the_body_is_on_its_way_grants_less(world: &World) {
    let less = |limit: &str| {
        let limits = tower_api_key::key::RateLimits::new([limit.parse().unwrap()]).unwrap();
        KeyUpdate::new().limits(limits)
    };
    let abilities = |abilities: &[&str]| {
        let abilities = abilities.iter().map(|ability| ability.parse().unwrap()).collect();
        KeyUpdate::new().abilities(abilities)
    };
    let writes = "api-keys:write";
    for (update, field, message) in [
        (KeyUpdate::new().disabled(true), Value::Null, "does not work any more"),
        (abilities(&["bots:*"]), Value::Null, "lacks the ability to manage keys"),
        (abilities(&["bots:*", "api-keys:read"]), Value::Null, "lacks the ability to manage keys"),
        (abilities(&["bots:write", writes]), json!("abilities"), "an ability is missing"),
        (less("99 per hour"), json!("limits"), "its limits are lower"),
    ] {
        let (owner, line, peer) = owner_and_peer(world).await;
        let before = others(world, owner.record.id()).await;
        let begun = begin_all(world, &line, &peer).await;
        world.keys.update(owner.record.id(), &update).await.unwrap();
        for begun in begun {
            let refused = begun.finish().await;
            assert_blamed(&refused, 403, field.clone());
            assert!(refused.text().contains(message), "{}", refused.text());
        }
        assert_eq!(others(world, owner.record.id()).await, before);
    }
}

async fn a_key_that_is_renamed_while_the_body_is_on_its_way_does_it(world: &World) {
    let (owner, line, peer) = owner_and_peer(world).await;
    let begun = begin_all(world, &line, &peer).await;
    let update = KeyUpdate::new().name("renamed");
    world.keys.update(owner.record.id(), &update).await.unwrap();
    let mut statuses = Vec::new();
    for begun in begun {
        statuses.push(begun.finish().await.status);
    }
    assert_eq!(statuses, [201, 200, 201]);
}

#[tokio::test]
async fn a_key_reads_as_far_as_its_record_says_and_not_the_layer() {
    // A layer that knows an older record.
    let (store, before) = (MemoryStore::new(), MemoryStore::new());
    let keys = KeyManager::new(store.clone());
    let key = NewKey::named("owner").tenant("acme").abilities(["api-keys:read", "api-keys:write"]);
    let issued = keys.issue(key).await.unwrap();
    before.insert(Arc::clone(&issued.record));
    let routes = KeyRoutes::new(keys.clone(), KeyOwner::default());
    let address = serve(routes.into_router().layer(ApiKeyLayer::new(before))).await;
    let line = format!("x-api-key: {}", issued.secret.reveal());
    let own = format!("/api-keys/{}", issued.record.id());
    let ask = async |path: &str| in_time(get_raw(address, path, &[&line])).await;
    assert_eq!(ask("/api-keys").await.status, 200);
    let update = KeyUpdate::new().abilities(["api-keys:write"].try_into().unwrap());
    keys.update(issued.record.id(), &update).await.unwrap();
    for path in ["/api-keys", &own] {
        let refused = ask(path).await;
        assert_blamed(&refused, 403, Value::Null);
        assert!(refused.text().contains("lacks the ability to manage keys"), "{}", refused.text());
    }
    let head = format!("DELETE {own} HTTP/1.1\r\n{line}");
    assert_eq!(in_time(send_raw(address, head)).await.status, 200, "it may still write");
}

#[tokio::test]
async fn a_session_is_asked_for_once_the_body_is_there() {
    let sessions = Arc::new(Mutex::new(HashSet::from(["alice"])));
    let known = Arc::clone(&sessions);
    let identify = move |parts: &mut Parts, action: &KeyAction| {
        assert!(action.changes_keys());
        let cookie = parts.headers.get("cookie").and_then(|cookie| cookie.to_str().ok());
        let user = cookie.filter(|user| known.lock().unwrap().contains(user));
        let user = user.ok_or(StatusCode::UNAUTHORIZED)?;
        Ok::<_, Refused>(Owner::of_tenant("acme".parse().unwrap(), Default::default(), user))
    };
    let keys = KeyManager::new(MemoryStore::new());
    let address = serve(KeyRoutes::new(keys.clone(), identify).into_router()).await;
    let body = r#"{"name":"nightly import"}"#;
    let begin = async || Begun::new(address, "cookie: alice", "POST", "/api-keys", body).await;
    let (one, other) = (begin().await, begin().await);
    assert_eq!(one.finish().await.status, 201);
    sessions.lock().unwrap().clear();
    assert_eq!(other.finish().await.status, 401);
    assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 1);
}

/// Serves the routes for sessions, which the test sets.
async fn serve_routes(set: impl FnOnce(KeyRoutes) -> KeyRoutes) -> (KeyManager, SocketAddr) {
    let keys = KeyManager::new(MemoryStore::new());
    let routes = set(KeyRoutes::new(keys.clone(), session));
    (keys, serve(routes.into_router()).await)
}

async fn create(address: SocketAddr, who: &str, body: &str) -> RawResponse {
    let head = format!(
        "POST /api-keys HTTP/1.1\r\n{who}\r\ncontent-type: application/json\r\ncontent-length: {}",
        body.len()
    );
    in_time(send_raw_with_body(address, head, body)).await
}

const BODY: &str = r#"{"name":"nightly import"}"#;

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_given_up() {
    let (keys, address) =
        serve_routes(|routes| routes.body_timeout(Duration::from_millis(100))).await;
    let late = Begun::new(address, ALICE, "POST", "/api-keys", BODY).await.answer().await;
    assert_blamed(&late, 408, Value::Null);
    let stranger = Begun::new(address, "x: y", "POST", "/api-keys", BODY).await.answer().await;
    assert_eq!(stranger.status, 401, "who calls comes first");
    assert_eq!(create(address, ALICE, BODY).await.status, 201);
    assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 1);
}

#[tokio::test]
async fn those_who_never_end_their_bodies_are_in_nobody_s_way() {
    let forever = Duration::from_secs(3600);
    let (keys, address) =
        serve_routes(|routes| routes.bodies_in_flight(3).body_timeout(forever)).await;
    let begin = async |who: &str| Begun::new(address, who, "POST", "/api-keys", BODY).await;
    let id = keys.issue(NewKey::named("leaked").tenant("acme")).await.unwrap().record.id().clone();
    let mut held = std::collections::VecDeque::new();
    for _ in 0..3 {
        held.push_back(begin("x: y").await);
    }
    for _ in 0..5 {
        let own = begin(ALICE).await;
        // In the place of the oldest.
        assert_eq!(held.pop_front().unwrap().answer().await.status, 401);
        assert_eq!(own.finish().await.status, 201);
        held.push_back(begin("x: y").await);
    }
    // What has no body needs no place.
    let head = format!("DELETE /api-keys/{id} HTTP/1.1\r\n{ALICE}");
    assert_eq!(in_time(send_raw(address, head)).await.status, 200);
    let slow = begin(ALICE).await;
    for _ in 0..3 {
        held.push_back(begin("x: y").await);
    }
    let given_up = slow.answer().await;
    assert_blamed(&given_up, 503, Value::Null);
    assert_eq!(given_up.header("retry-after"), Some("1"));
    assert_eq!(keys.list(&KeyQuery::new()).await.unwrap().keys.len(), 1 + 5);
}

#[tokio::test]
async fn a_body_is_as_long_as_the_application_allows() {
    let (keys, address) = serve_routes(|routes| routes.body_limit(BODY.len())).await;
    assert_eq!(create(address, ALICE, BODY).await.status, 201);
    let longer = format!("{BODY} ");
    assert_blamed(&create(address, ALICE, &longer).await, 413, Value::Null);
    assert_eq!(create(address, "x: y", &longer).await.status, 401, "who calls comes first");
    let ask = async |id: &KeyId| {
        let length = longer.len();
        let head = format!(
            "PATCH /api-keys/{id} HTTP/1.1\r\n{ALICE}\r\ncontent-type: application/json\r\n\
             content-length: {length}"
        );
        in_time(send_raw_with_body(address, head, &longer)).await
    };
    let key = keys.issue(NewKey::named("foreign").tenant("globex")).await.unwrap();
    assert_blamed(&ask(key.record.id()).await, 404, Value::Null);
    let own = keys.list(&KeyQuery::new().tenant("acme".parse().unwrap())).await.unwrap().keys;
    assert_blamed(&ask(own[0].record.id()).await, 413, Value::Null);
}

#[tokio::test]
async fn errors_of_bodies_have_the_shape_of_the_application() {
    fn answer(error: &ApiError) -> Response<Bytes> {
        let mut response = Response::new(format!("oops: {}", error.message()).into());
        *response.status_mut() = error.status();
        response
    }
    let (_, address) =
        serve_routes(|routes| routes.errors(answer).body_timeout(Duration::from_millis(50))).await;
    let late = Begun::new(address, ALICE, "POST", "/api-keys", BODY).await.answer().await;
    assert_eq!(
        (late.status, late.text()),
        (408, "oops: The body did not arrive in time: try again")
    );
    assert_eq!(late.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_key_without_a_tenant_manages_keys_only_where_that_is_allowed() {
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone());
    let other = keys.issue(NewKey::named("another service")).await.unwrap().record.id().clone();
    let key = NewKey::named("a service").abilities(["api-keys:read", "api-keys:write"]);
    let line = format!("x-api-key: {}", keys.issue(key).await.unwrap().secret.reveal());
    for allowed in [false, true] {
        let owner = KeyOwner::default();
        let owner = if allowed { owner.allow_tenantless() } else { owner };
        let routes = KeyRoutes::new(keys.clone(), owner);
        let app: Router = routes.into_router().layer(ApiKeyLayer::new(store.clone()));
        let address = serve(app).await;
        for (method, path, status) in [
            ("GET", "/api-keys".to_owned(), 200),
            ("GET", format!("/api-keys/{other}"), 200),
            ("POST", format!("/api-keys/{other}/rotate"), 201),
            ("DELETE", format!("/api-keys/{other}"), 200),
        ] {
            let head = format!("{method} {path} HTTP/1.1\r\n{line}");
            let answer = in_time(send_raw(address, head)).await;
            assert_eq!(answer.status, if allowed { status } else { 403 }, "{method} {path}");
            if !allowed {
                assert_blamed(&answer, 403, Value::Null);
                assert!(answer.text().contains("belongs to no tenant"), "{}", answer.text());
            }
        }
    }
    let record = store.get(&other).unwrap();
    assert!(record.successor().is_some() && record.revoked_at().is_some());
}
