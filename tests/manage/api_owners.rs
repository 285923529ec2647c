//! Who may call the management API, and how far they get.

use std::time::{Duration, SystemTime};

use axum::Router;
use serde_json::json;
use tower_api_key::manage::api::{KeyOwner, KeyRoute, KeyRoutes};
use tower_api_key::store::Actor;
use tower_api_key::{
    ApiKeyLayer, KeyId, KeyKind, KeyManager, MemoryStore, NewKey, RejectionKind, Responder,
};

use crate::common::MemoryKeys as _;
use crate::common::{RawResponse, errors, get_raw, in_time, issue, send_raw, serve, start_log};
use crate::world::{ALICE, World, assert_blamed, over_each_database, session};

over_each_database! {
    only_those_who_may_get_in
    a_foreign_key_is_answered_like_an_unknown_one
    a_list_has_the_keys_of_the_caller_s_tenant
    a_key_grants_no_more_than_it_has
    a_session_grants_no_more_than_its_ceiling
    what_takes_away_may_be_done_to_a_mightier_key
    a_key_that_was_revoked_meanwhile_manages_nothing
}

const ROUTES: [(&str, &str); 7] = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/key_1"),
    ("PATCH", "/key_1"),
    ("DELETE", "/key_1"),
    ("POST", "/key_1/rotate"),
    ("GET", "/key_1/audit"),
];

async fn only_those_who_may_get_in(world: &World) {
    let key = |name: &str| NewKey::named(name).tenant("acme");
    let line = async |key: NewKey| format!("x-api-key: {}", world.issue(key).await.secret.reveal());
    let reader = line(key("reader").abilities(["api-keys:read"])).await;
    let writer = line(key("writer").abilities(["api-keys:write"])).await;
    let nothing = line(key("nothing")).await;
    let public = key("public").abilities(["*"]).kind(KeyKind::Public);
    let public = line(public.origins(["https://shop.example"])).await;
    let public = format!("{public}\r\norigin: https://shop.example");
    for (method, path) in ROUTES {
        let path = format!("/v1/api-keys{path}");
        let ask = async |who: &str| world.call(who, method, &path, "").await;
        let missing = ask("accept: */*").await;
        assert_eq!(
            (missing.status, &missing.json()["detail"]),
            (401, &json!("An API key is required"))
        );
        assert!(missing.header("www-authenticate").is_some());
        assert_eq!(ask("x-api-key: sk_live_unknown").await.status, 401);
        let nothing = ask(&nothing).await;
        let needed = if method == "GET" { "api-keys:read" } else { "api-keys:write" };
        let message = json!(format!("Missing ability: {needed}"));
        assert_eq!((nothing.status, &nothing.json()["detail"]), (403, &message));
        let public = ask(&public).await;
        let message = json!("Public API keys do not work here");
        assert_eq!((public.status, &public.json()["detail"]), (403, &message));
        let (in_as_reader, in_as_writer) = (ask(&reader).await, ask(&writer).await);
        assert_eq!(in_as_reader.status == 403, method != "GET", "{method} {path}");
        assert_eq!(in_as_writer.status == 403, method == "GET", "{method} {path}");
        assert_eq!(in_as_reader.header("cache-control"), Some("no-store"));

        let path = path.replace("/v1", "/dashboard");
        assert_eq!(world.call(&writer, method, &path, "").await.status, 401, "no session");
        let reads = world.call("x-session: acme reads", method, &path, "").await;
        assert_eq!(reads.status == 403, method != "GET");
        assert_eq!(reads.header("cache-control"), Some("no-store"));
    }
    let head = world.call(&writer, "HEAD", "/v1/api-keys", "").await;
    assert_eq!((head.status, head.body.len()), (403, 0));
}

async fn a_foreign_key_is_answered_like_an_unknown_one(world: &World) {
    let foreign = world.issue(NewKey::named("foreign").tenant("globex")).await.record.id().clone();
    let nobodys = world.issue(NewKey::named("of nobody")).await.record.id().clone();
    let key = world.manager(NewKey::named("manager")).await;
    for (who, base) in [(&*key, "/v1"), (ALICE, "/dashboard")] {
        for (method, suffix, body) in [
            ("GET", "", ""),
            ("PATCH", "", r#"{"name":"mine now"}"#),
            ("PATCH", "", r#"{"wrong":1}"#),
            ("PATCH", "", "{"),
            ("DELETE", "", ""),
            ("POST", "/rotate", ""),
            ("POST", "/rotate", r#"{"wrong":1}"#),
        ] {
            let ask = async |id: &str| {
                let path = format!("{base}/api-keys/{id}{suffix}");
                world.call(who, method, &path, body).await
            };
            let unknown = ask(KeyId::generate().unwrap().as_str()).await;
            assert_blamed(&unknown, 404, json!(null));
            for id in [foreign.as_str(), nobodys.as_str(), "x", "%FF", "a%2Fb", "%00", "%20"] {
                assert_eq!(ask(id).await, unknown, "{method} {id}");
            }
        }
    }
    for id in [foreign, nobodys] {
        let record = world.keys.get(&id).await.unwrap().record;
        assert_eq!((record.revision(), record.revoked_at()), (0, None));
    }
}

async fn a_list_has_the_keys_of_the_caller_s_tenant(world: &World) {
    world.issue(NewKey::named("foreign").tenant("globex")).await;
    world.issue(NewKey::named("of nobody")).await;
    let key = world.manager(NewKey::named("manager")).await;
    for (who, path) in [(&*key, "/v1/api-keys"), (ALICE, "/dashboard/api-keys")] {
        let page = world.call(who, "GET", path, "").await.json();
        let names: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
        assert_eq!(names, ["manager"]);
    }
}

async fn a_key_grants_no_more_than_it_has(world: &World) {
    let soon = SystemTime::now() + Duration::from_secs(3600);
    let manager = NewKey::named("manager").abilities(["bots:*"]).expires_at(soon);
    let manager = world.manager(manager.limit("100 per hour").endpoints(["/v1/*"])).await;
    let create = async |more: serde_json::Value| {
        let mut body = json!({ "name": "granted", "prefix": "sk_live_" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.call(&manager, "POST", "/v1/api-keys", &body.to_string()).await
    };
    for (more, blamed) in [
        (json!({ "abilities": ["chat:send"] }), "abilities"),
        (json!({ "abilities": ["*"] }), "abilities"),
        (json!({ "expires_at": "2100-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "limits": ["101 per hour"] }), "limits"),
        (json!({ "limits": ["1 per minute"] }), "limits"),
        (json!({ "restrictions": { "endpoints": ["/v2/*"] } }), "restrictions"),
        (json!({ "prefix": "sk_test_" }), "stage"),
    ] {
        assert_blamed(&create(more).await, 403, blamed);
    }
    let granted = create(json!({ "abilities": ["bots:read"] })).await;
    assert_eq!(granted.status, 201, "{}", granted.text());
    let data = &granted.json()["data"];
    assert_eq!((&data["limits"], &data["stage"]), (&json!(["100 per hour"]), &json!("live")));
    assert_eq!(data["restrictions"]["endpoints"], json!(["/v1/*"]));
    let path = format!("/v1/api-keys/{}", data["id"].as_str().unwrap());
    for (body, blamed) in [
        (json!({ "abilities": ["*"] }), "abilities"),
        (json!({ "expires_at": null }), "expires_at"),
        (json!({ "limits": [] }), "limits"),
        (json!({ "restrictions": {} }), "restrictions"),
    ] {
        let refused = world.call(&manager, "PATCH", &path, &body.to_string()).await;
        assert_blamed(&refused, 403, blamed);
    }
}

async fn a_session_grants_no_more_than_its_ceiling(world: &World) {
    let ceiling = "x-session: acme bots:* chat:send";
    let create = async |who: &str, abilities: serde_json::Value| {
        let body = json!({ "name": "granted", "prefix": "sk_test_", "abilities": abilities });
        world.call(who, "POST", "/dashboard/api-keys", &body.to_string()).await
    };
    assert_eq!(create(ceiling, json!(["bots:read", "chat:send"])).await.status, 201);
    for abilities in [json!(["*"]), json!(["chat:*"]), json!(["bots:read", "docs:read"])] {
        assert_blamed(&create(ceiling, abilities).await, 403, "abilities");
    }
    let nothing = "x-session: acme";
    assert_blamed(&create(nothing, json!(["bots:read"])).await, 403, "abilities");
    assert_eq!(create(nothing, json!([])).await.status, 201);
    let foreign = create("x-session: globex *", json!(["*"])).await.json();
    let foreign: KeyId = foreign["data"]["id"].as_str().unwrap().parse().unwrap();
    let record = world.keys.get(&foreign).await.unwrap().record;
    assert_eq!(record.tenant().unwrap(), "globex");
}

async fn what_takes_away_may_be_done_to_a_mightier_key(world: &World) {
    let mighty = world.issue(NewKey::named("mighty").tenant("acme").abilities(["*"])).await;
    let path = format!("/dashboard/api-keys/{}", mighty.record.id());
    let ask = async |method: &str, suffix: &str, body: &str| {
        world.call("x-session: acme bots:*", method, &format!("{path}{suffix}"), body).await
    };
    // Rotating tells the secret of the successor.
    assert_blamed(&ask("POST", "/rotate", "").await, 403, "abilities");
    assert_blamed(&ask("PATCH", "", r#"{"name":"my own"}"#).await, 403, "abilities");
    let both = r#"{"disabled":true,"name":"my own"}"#;
    assert_blamed(&ask("PATCH", "", both).await, 403, "abilities");
    assert_eq!(ask("PATCH", "", r#"{"disabled":true}"#).await.status, 200);
    assert_blamed(&ask("PATCH", "", r#"{"disabled":false}"#).await, 403, "abilities");
    assert_eq!(ask("PATCH", "", r#"{"abilities":["bots:read"]}"#).await.status, 200, "demoted");
    assert_eq!(ask("DELETE", "", "").await.status, 200);
}

async fn a_key_that_was_revoked_meanwhile_manages_nothing(world: &World) {
    let store = MemoryStore::new();
    // A layer over another store, which knows the key no more.
    let issued = store.issue(NewKey::named("gone").tenant("acme").abilities(["*"])).unwrap();
    let routes = KeyRoutes::new(world.keys.clone(), KeyOwner::default());
    let address = serve(routes.into_router::<()>().layer(ApiKeyLayer::new(store))).await;
    let line = format!("x-api-key: {}", issued.secret.reveal());
    let refused = in_time(get_raw(address, "/api-keys", &[&line])).await;
    assert_blamed(&refused, 403, json!(null));
}

#[tokio::test]
async fn without_a_layer_nobody_gets_in() {
    start_log();
    let keys = KeyManager::new(MemoryStore::new());
    let address = serve(KeyRoutes::new(keys, KeyOwner::default()).into_router()).await;
    for (method, path) in ROUTES {
        let response =
            in_time(send_raw(address, format!("{method} /api-keys{path} HTTP/1.1"))).await;
        assert_eq!(response.status, 500, "{method} {path}");
        assert_eq!(response.header("cache-control"), Some("no-store"));
    }
    assert!(errors("no ApiKeyLayer is around it") >= ROUTES.len());
}

#[tokio::test]
async fn keys_are_refused_in_the_words_of_the_layer() {
    let store = MemoryStore::new();
    let key = issue(&store, NewKey::named("other").tenant("acme").abilities(["keys:list"]));
    let answers = Responder::json().answer(
        RejectionKind::MissingAbility,
        http::StatusCode::IM_A_TEAPOT,
        "not for you",
    );
    let owner = KeyOwner::with_abilities("keys:list", "keys:change");
    let routes = KeyRoutes::new(KeyManager::new(store.clone()), owner);
    let app = routes.into_router().layer(ApiKeyLayer::new(store).responder(answers));
    let address = serve(app).await;
    let line = format!("x-api-key: {key}");
    assert_eq!(in_time(get_raw(address, "/api-keys", &[&line])).await.status, 200);
    let request = format!("DELETE /api-keys/key_1 HTTP/1.1\r\n{line}");
    let refused = in_time(send_raw(address, request)).await;
    assert_eq!((refused.status, refused.json()), (418, json!({ "message": "not for you" })));
}

#[tokio::test]
async fn who_did_it_is_in_the_audit_trail() {
    let store = MemoryStore::new();
    let actors = std::sync::Arc::<std::sync::Mutex<Vec<Actor>>>::default();
    let keys = KeyManager::new(store.clone()).audit({
        let actors = std::sync::Arc::clone(&actors);
        move |event: &tower_api_key::store::AuditEvent| {
            actors.lock().unwrap().push(event.actor.clone());
        }
    });
    let app = Router::new().merge(KeyRoutes::new(keys, session).into_router());
    let world = World {
        store: std::sync::Arc::new(store.clone()),
        keys: KeyManager::new(store),
        address: serve(app).await,
    };
    let body = r#"{"name":"by alice"}"#;
    assert_eq!(world.call(ALICE, "POST", "/api-keys", body).await.status, 201);
    assert_eq!(*actors.lock().unwrap(), [Actor::from("alice@acme.example")]);
}

#[tokio::test]
async fn routes_that_are_left_out_are_not_there() {
    let keys = KeyManager::new(MemoryStore::new());
    let allow = |response: &RawResponse| response.header("allow").map(str::to_owned);
    let ask = async |routes: KeyRoutes, method: &str, path: &str| {
        let address = serve(routes.into_router()).await;
        in_time(send_raw(address, format!("{method} /api-keys{path} HTTP/1.1\r\n{ALICE}"))).await
    };
    let all = || KeyRoutes::new(keys.clone(), session);
    let no_create = ask(all().without([KeyRoute::Create]), "POST", "").await;
    assert_eq!((no_create.status, allow(&no_create).as_deref()), (405, Some("GET,HEAD")));
    assert_eq!(no_create.header("cache-control"), Some("no-store"));
    assert_eq!(ask(all().without([KeyRoute::Create]), "GET", "").await.status, 200);
    let two = || all().only([KeyRoute::List, KeyRoute::Revoke]);
    for (method, path, status) in [
        ("GET", "", 200),
        ("POST", "", 405),
        ("DELETE", "/key_1", 404),
        ("GET", "/key_1", 405),
        ("PATCH", "/key_1", 405),
        ("POST", "/key_1/rotate", 404),
        ("GET", "/", 404),
        ("TRACE", "", 405),
        ("OPTIONS", "", 405),
    ] {
        assert_eq!(ask(two(), method, path).await.status, status, "{method} {path}");
    }
    assert_eq!(ask(all().only([]), "GET", "").await.status, 404);
    let left = two().openapi();
    let paths: Vec<_> = left.paths.paths.keys().map(String::as_str).collect();
    assert_eq!(paths, ["/api-keys", "/api-keys/{key_id}"]);
}
