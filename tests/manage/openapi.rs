//! The document of the routes for keys, and whether the router does what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use axum::{Json, Router};
use http::request::Parts;
use serde_json::{Value, json};
use tower_api_key::extract::{Bearer, Credential, extract_fn};
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{
    IdentifyOwner, KeyAction, KeyOwner, KeyRoute, KeyRoutes, Refused,
};
use tower_api_key::{
    ApiKeyLayer, KeyFormat, KeyManager, KeyScheme, MemoryStore, NewKey, SqliteStore,
};
use utoipa::openapi::OpenApi;

use crate::common::python::{assert_valid, python};
use crate::common::{issue, serve};

/// Asks for a key as [`KeyOwner`] does, and lets it manage the keys of a tenant that is not its
/// own, so that it cannot be made to revoke itself.
struct OfAcme(KeyOwner);

#[async_trait]
impl IdentifyOwner for OfAcme {
    async fn identify(&self, parts: &mut Parts, action: &KeyAction) -> Result<Owner, Refused> {
        let _ = self.0.identify(parts, action).await?;
        Ok(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "a client"))
    }
}

fn routes(store: SqliteStore) -> KeyRoutes {
    let keys = KeyManager::new(store).scheme(KeyScheme::new([KeyFormat::new("sk_live_")]));
    KeyRoutes::new(keys, OfAcme(KeyOwner::default()))
}

fn with_security(routes: &KeyRoutes, layer: &ApiKeyLayer) -> OpenApi {
    let mut document = routes.openapi();
    layer.security_schemes().add_to(&mut document);
    document
}

async fn document() -> Value {
    let routes = routes(SqliteStore::in_memory().await.unwrap());
    let layer = ApiKeyLayer::new(MemoryStore::new());
    serde_json::to_value(with_security(&routes, &layer)).unwrap()
}

/// Returns the operations by their ids.
fn operations(document: &Value) -> BTreeMap<&str, &Value> {
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.map(|operation| (operation["operationId"].as_str().unwrap(), operation)).collect()
}

#[tokio::test]
async fn every_answer_is_documented() {
    let document = document().await;
    let shared = ["400", "401", "403", "503"];
    for (id, operation) in operations(&document) {
        let own: &[&str] = match id {
            "listApiKeys" => &["200"],
            "createApiKey" => &["201", "408", "409", "413", "415", "422"],
            "getApiKey" | "revokeApiKey" => &["200", "404"],
            "listApiKeyEvents" => &["200", "404", "501"],
            "getApiKeyUsage" => &["200", "404"],
            "updateApiKey" => &["200", "404", "408", "409", "413", "415", "422"],
            "rotateApiKey" => &["201", "404", "408", "409", "413", "415", "422"],
            _ => panic!("{id}"),
        };
        let responses = operation["responses"].as_object().unwrap();
        let found: BTreeSet<_> = responses.keys().map(String::as_str).collect();
        assert_eq!(found, own.iter().copied().chain(shared).collect(), "{id}");
        for (status, response) in responses {
            let headers = response["headers"].as_object().unwrap();
            let headers: BTreeSet<_> = headers.keys().map(String::as_str).collect();
            let also = match &**status {
                "201" => Some("Location"),
                "401" | "403" => Some("WWW-Authenticate"),
                "503" => Some("Retry-After"),
                _ => None,
            };
            assert_eq!(headers, also.into_iter().chain(["Cache-Control"]).collect(), "{id}");
            let content = match &**status {
                "200" | "201" => "application/json",
                // Those of the application's who says who calls.
                "401" => continue,
                _ => "application/problem+json",
            };
            let contents = response["content"].as_object().unwrap();
            assert_eq!(contents.keys().collect::<Vec<_>>(), [content], "{id} {status}");
        }
    }
}

/// Tells whether a part of a document has a property of this name, also behind references.
fn has_property(document: &Value, part: &Value, name: &str) -> bool {
    match part {
        Value::Object(map) => map.iter().any(|(key, value)| match (&**key, value) {
            ("$ref", Value::String(path)) => {
                let part = document.pointer(path.trim_start_matches('#')).unwrap();
                has_property(document, part, name)
            }
            ("properties", Value::Object(properties)) if properties.contains_key(name) => true,
            _ => has_property(document, value, name),
        }),
        Value::Array(values) => values.iter().any(|value| has_property(document, value, name)),
        _ => false,
    }
}

#[tokio::test]
async fn the_secret_is_in_the_answers_of_create_and_rotate_alone() {
    let document = document().await;
    for (id, operation) in operations(&document) {
        let is_new = matches!(id, "createApiKey" | "rotateApiKey");
        assert_eq!(has_property(&document, operation, "secret"), is_new, "{id}");
        let body = &operation["requestBody"];
        assert!(
            ["secret", "digest", "tenant", "kind", "metadata", "id"]
                .into_iter()
                .all(|name| !has_property(&document, body, name))
        );
        assert!(!has_property(&document, operation, "digest"), "{id}");
    }
    assert!(!document.to_string().contains("# Examples"), "it is not for programmers of Rust");
}

#[tokio::test]
async fn a_route_that_is_left_out_is_not_documented() {
    let routes = routes(SqliteStore::in_memory().await.unwrap());
    let routes = routes.only([KeyRoute::List, KeyRoute::Revoke]);
    let document = serde_json::to_value(routes.openapi()).unwrap();
    assert_eq!(
        operations(&document).into_keys().collect::<Vec<_>>(),
        ["listApiKeys", "revokeApiKey"]
    );
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(!schemas.keys().any(|name| name.starts_with("New") || name.contains("Update")));
    assert!(!has_property(&document, &document, "secret"));
}

#[tokio::test]
async fn an_application_that_shapes_errors_says_itself_how_they_look() {
    let routes = routes(SqliteStore::in_memory().await.unwrap());
    let routes = routes.errors(|error| {
        let mut response = http::Response::new(error.to_string().into());
        *response.status_mut() = error.status();
        response
    });
    let document = serde_json::to_value(routes.openapi()).unwrap();
    assert!(!document.to_string().contains("problem"), "{document}");
}

#[tokio::test]
async fn the_document_goes_where_the_router_goes() {
    let routes = routes(SqliteStore::in_memory().await.unwrap());
    let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(Bearer);
    let mut document = OpenApi::default().nest("/v1", routes.openapi());
    layer.security_schemes().add_to(&mut document);
    let document = serde_json::to_value(document).unwrap();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/v1/api-keys",
        "/v1/api-keys/{key_id}",
        "/v1/api-keys/{key_id}/audit",
        "/v1/api-keys/{key_id}/rotate",
        "/v1/api-keys/{key_id}/usage",
    ];
    assert_eq!(paths, expected);
    assert_eq!(document["security"], json!([{ "authorization.bearer": [] }]));
    // References still lead somewhere.
    assert!(has_property(&document, &document["paths"], "secret"));
}

#[tokio::test]
#[ignore = "needs Python with openapi-spec-validator: `tests/all` installs it and runs this too"]
async fn the_document_keeps_to_openapi_3_1() {
    let routes = routes(SqliteStore::in_memory().await.unwrap());
    let closure = extract_fn(|head| {
        Ok(head.headers().get("ticket").map(|value| Credential::elsewhere(value.as_bytes())))
    });
    let layer = ApiKeyLayer::new(MemoryStore::new());
    for layer in [layer.clone(), layer.clone().optional(), layer.extractor(closure)] {
        for routes in [routes.clone(), routes.clone().only([KeyRoute::Revoke])] {
            assert_valid(&with_security(&routes, &layer));
        }
    }
}

/// How often each route was answered with each status.
pub type Answered = Arc<Mutex<BTreeMap<(String, u16), usize>>>;

/// Makes the router with its document at `/openapi.json`, and a key that may use it.
pub async fn documented(answered: &Answered) -> (Router, String) {
    let callers = MemoryStore::new();
    let caller = NewKey::named("a client").abilities(["api-keys:read", "api-keys:write"]);
    let caller = issue(&callers, caller);
    let layer = ApiKeyLayer::new(callers);
    let routes = routes(SqliteStore::in_memory().await.unwrap());
    let document = with_security(&routes, &layer);
    let answered = Arc::clone(answered);
    let count = from_fn(move |path: MatchedPath, request: Request, next: Next| {
        let (route, answered) =
            (format!("{} {}", request.method(), path.as_str()), Arc::clone(&answered));
        async move {
            let response = next.run(request).await;
            let mut answered = answered.lock().unwrap();
            *answered.entry((route, response.status().as_u16())).or_default() += 1;
            response
        }
    });
    let app = routes.into_router().layer(layer).route_layer(count);
    (app.route("/openapi.json", get(async move || Json(document))), caller)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Python with schemathesis: `tests/all` installs it and runs this too"]
async fn the_router_does_what_its_document_says() {
    let answered = Answered::default();
    let (app, key) = documented(&answered).await;
    let address = serve(app).await;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manage");
    let directory = tempfile::tempdir().unwrap();
    let mut schemathesis = python();
    schemathesis
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(tests.join("schemathesis.toml"))
        .args(["run", "--no-color", &format!("http://{address}/openapi.json")])
        .env("API_KEY", key)
        .env("SCHEMATHESIS_HOOKS", tests.join("schemathesis_hooks.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        // It leaves files where it is.
        .current_dir(directory.path());
    let output = tokio::task::spawn_blocking(move || schemathesis.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());

    // It asked for all there is, and not only for what is refused.
    let answered = answered.lock().unwrap().clone();
    println!("{answered:?}");
    assert!(answered.values().sum::<usize>() > 500);
    for (route, statuses) in [
        ("GET /api-keys", [200, 400, 401].as_slice()),
        ("POST /api-keys", &[201, 401, 422]),
        ("GET /api-keys/{key_id}", &[200, 401, 404]),
        ("PATCH /api-keys/{key_id}", &[200, 401, 404, 422]),
        ("DELETE /api-keys/{key_id}", &[200, 401, 404]),
        ("POST /api-keys/{key_id}/rotate", &[201, 401, 404, 422]),
        ("GET /api-keys/{key_id}/usage", &[200, 400, 401, 404]),
    ] {
        for status in statuses {
            assert!(answered.contains_key(&(route.to_owned(), *status)), "{route} {status}");
        }
    }
    for phase in ["Examples", "Coverage", "Fuzzing", "Stateful"] {
        assert!(said.contains(&format!("✅ {phase}")), "{phase} did not run");
    }
}
