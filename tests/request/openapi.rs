//! What documents say of the layer, by which clients are made.

#![allow(dead_code, reason = "documents of handlers nobody calls")]

use http::StatusCode;
use serde_json::{Value, json};
use tower_api_key::extract::{
    AuthorizationScheme, Basic, Bearer, Cookie, Credential, FirstOf, Header, Query, Subprotocol,
    extract_fn,
};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{ApiKeyLayer, MemoryStore, Responder};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme};

use crate::common::python::assert_valid;

/// Lists the bots.
#[utoipa::path(get, path = "/v1/bots", responses((status = 200, description = "All bots")))]
async fn list() {}

#[utoipa::path(post, path = "/v1/bots", responses((status = 201, description = "It is there")))]
async fn create() {}

#[utoipa::path(
    get,
    path = "/v1/bots/{bot}",
    params(("bot" = String, Path)),
    responses((status = 200, description = "The bot")),
)]
async fn show() {}

#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "Well")))]
async fn healthz() {}

#[derive(OpenApi)]
#[openapi(
    paths(list),
    info(title = "Bots", version = "1.0.0", description = "", license(name = "MIT"))
)]
struct Small;

#[derive(OpenApi)]
#[openapi(paths(list, create, show, healthz), info(title = "Bots", version = "1.0.0"))]
struct Large;

fn layer() -> ApiKeyLayer {
    ApiKeyLayer::new(MemoryStore::new())
}

fn json(document: &Document) -> Value {
    serde_json::to_value(document).unwrap()
}

/// Returns the schemes and the requirements that are added to a document that has none.
fn added(layer: &ApiKeyLayer) -> [Value; 2] {
    let mut document = Small::openapi();
    layer.security_schemes().add_to(&mut document);
    let mut document = json(&document);
    let schemes = document["components"]["securitySchemes"].take();
    [schemes, document["security"].take()]
}

#[test]
fn a_document_says_how_keys_are_presented() {
    let mut document = Small::openapi();
    layer().security_schemes().add_to(&mut document);
    let expected = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bots",
            "version": "1.0.0",
            "description": "",
            "license": { "name": "MIT" },
        },
        "paths": {
            "/v1/bots": {
                "get": {
                    "tags": [],
                    "summary": "Lists the bots.",
                    "operationId": "list",
                    "responses": { "200": { "description": "All bots" } },
                },
            },
        },
        "components": {
            "securitySchemes": {
                "header.x-api-key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
                "authorization.bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "API key",
                },
            },
        },
        "security": [{ "header.x-api-key": [] }, { "authorization.bearer": [] }],
    });
    assert_eq!(json(&document), expected);
}

#[test]
fn each_place_is_a_scheme() {
    let extractor = FirstOf::new(Query::new("api[key]"), Header::new("X-Acme-Key"))
        .or(Basic)
        .or(AuthorizationScheme::new("Token"))
        .or(Cookie::new("__Host-key"))
        .or(Subprotocol::default());
    let schemes = json!({
        "query.api.5Bkey.5D": { "type": "apiKey", "in": "query", "name": "api[key]" },
        "header.x-acme-key": { "type": "apiKey", "in": "header", "name": "x-acme-key" },
        "authorization.basic": {
            "type": "http",
            "scheme": "basic",
            "description": "The key is the user name, and the password is empty.",
        },
        "authorization.token": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token`, a space, and the key.",
        },
        "cookie.__Host-key": { "type": "apiKey", "in": "cookie", "name": "__Host-key" },
        "subprotocol.key.2E": {
            "type": "apiKey",
            "in": "header",
            "name": "Sec-WebSocket-Protocol",
            "description": "For WebSockets: the subprotocol `key.` followed by the key, beside the \
                            one that is to be spoken.",
        },
    });
    let security = json!([
        { "query.api.5Bkey.5D": [] },
        { "header.x-acme-key": [] },
        { "authorization.basic": [] },
        { "authorization.token": [] },
        { "cookie.__Host-key": [] },
        { "subprotocol.key.2E": [] },
    ]);
    assert_eq!(added(&layer().extractor(extractor)), [schemes, security]);
}

#[test]
fn a_place_that_is_named_twice_is_one_alternative() {
    let twice = FirstOf::new(Bearer, AuthorizationScheme::new("bearer"));
    assert_eq!(added(&layer().extractor(twice)), added(&layer().extractor(Bearer)));
}

#[test]
fn where_keys_are_optional_none_is_an_alternative() {
    let [schemes, security] = added(&layer().extractor(Bearer).optional());
    assert_eq!(schemes, added(&layer().extractor(Bearer))[0]);
    assert_eq!(security, json!([{ "authorization.bearer": [] }, {}]));
}

#[test]
fn a_document_says_nothing_of_a_closure() {
    let ticket = extract_fn(|head| {
        Ok(head.headers().get("ticket").map(|value| Credential::elsewhere(value.as_bytes())))
    });
    let layer = layer().extractor(ticket).optional();
    assert_eq!(added(&layer), [Value::Null, Value::Null]);
    // An empty list would say that nothing is required.
    assert!(layer.security_schemes().requirements(["bots:read"]).is_none());
}

#[test]
fn what_the_document_says_already_stays() {
    let mut document = Small::openapi();
    let own = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("session")));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("session", own.clone());
    components.add_security_scheme("authorization.bearer", own);
    document.security = Some(vec![SecurityRequirement::new("session", [""; 0])]);
    let get = document.paths.paths.get_mut("/v1/bots").unwrap().get.as_mut().unwrap();
    get.security = Some(vec![]);

    layer().optional().security_schemes().add_to(&mut document);
    let cookie = json!({ "type": "apiKey", "in": "cookie", "name": "session" });
    let schemes = json!({
        "session": cookie,
        "authorization.bearer": cookie,
        "header.x-api-key": { "type": "apiKey", "in": "header", "name": "x-api-key" },
    });
    // Without a session and a key, nobody passes.
    let security =
        json!([{ "session": [] }, { "header.x-api-key": [] }, { "authorization.bearer": [] }]);
    let document = json(&document);
    assert_eq!(document["components"]["securitySchemes"], schemes);
    assert_eq!(document["security"], security);
    assert_eq!(document["paths"]["/v1/bots"]["get"]["security"], json!([]));
}

fn policy() -> AccessPolicy {
    AccessPolicy::builder()
        .public("GET /healthz", "probes")
        .allow("GET /v1/bots", Requirement::any_of(["bots:read", "bots:write"]))
        .allow("POST /v1/bots", Requirement::all_of(["bots:write", "audit:write"]))
        .public("GET /v1/bots/demo", "everybody may try it")
        .allow("GET /v1/bots/{id}", Requirement::key().stage("prod"))
        .build()
        .unwrap()
}

fn security_of_operations(layer: &ApiKeyLayer) -> Value {
    let mut document = Large::openapi();
    layer.security_schemes().add_to(&mut document);
    let document = json(&document);
    let of = |path: &str, method: &str| document["paths"][path][method]["security"].clone();
    json!({
        "all": document["security"],
        "list": of("/v1/bots", "get"),
        "create": of("/v1/bots", "post"),
        "show": of("/v1/bots/{bot}", "get"),
        "healthz": of("/healthz", "get"),
    })
}

#[test]
fn a_policy_says_what_operations_require() {
    let layer = layer().extractor(FirstOf::new(Bearer, Basic)).optional().policy(policy());
    let (bearer, basic) = ("authorization.bearer", "authorization.basic");
    let expected = json!({
        // Without a key, requests pass only where the policy says so.
        "all": [{ bearer: [] }, { basic: [] }],
        "list": [
            { bearer: ["bots:read"] },
            { basic: ["bots:read"] },
            { bearer: ["bots:write"] },
            { basic: ["bots:write"] },
        ],
        "create": [
            { bearer: ["bots:write", "audit:write"] },
            { basic: ["bots:write", "audit:write"] },
        ],
        "show": [{ bearer: [] }, { basic: [] }],
        "healthz": [],
    });
    assert_eq!(security_of_operations(&layer), expected);
}

#[test]
fn a_policy_that_is_only_tried_says_nothing() {
    let layer = layer().extractor(Bearer).optional().policy(policy().report_only());
    let expected = json!({
        "all": [{ "authorization.bearer": [] }, {}],
        "list": null,
        "create": null,
        "show": null,
        "healthz": null,
    });
    assert_eq!(security_of_operations(&layer), expected);
}

#[test]
fn abilities_that_are_only_reported_are_no_scopes() {
    let requirement = Requirement::ability("bots:read").report_only();
    let policy = AccessPolicy::builder().allow("GET /v1/bots", requirement).build().unwrap();
    let found = security_of_operations(&layer().extractor(Bearer).policy(policy));
    assert_eq!(found["list"], json!([{ "authorization.bearer": [] }]));
    assert_eq!(found["healthz"], Value::Null, "no rule, no key passes: the document's own word");
}

#[test]
fn what_an_operation_says_already_stays_whatever_the_policy_says() {
    let layer = layer().policy(policy());
    let mut document = Large::openapi();
    let healthz = document.paths.paths.get_mut("/healthz").unwrap().get.as_mut().unwrap();
    healthz.security = Some(vec![SecurityRequirement::new("session", [""; 0])]);
    layer.security_schemes().add_to(&mut document);
    let security = &json(&document)["paths"]["/healthz"]["get"]["security"];
    assert_eq!(*security, json!([{ "session": [] }]));
}

#[test]
fn adding_twice_is_adding_once() {
    for layer in [layer(), layer().optional(), layer().policy(policy())] {
        let schemes = layer.security_schemes();
        let mut document = Large::openapi();
        schemes.add_to(&mut document);
        let once = json(&document);
        schemes.add_to(&mut document);
        assert_eq!(json(&document), once);
    }
}

#[test]
#[should_panic(expected = "an ability is")]
fn a_scope_that_is_no_ability_is_refused() {
    let _ = layer().security_schemes().requirements(["read bots"]);
}

#[test]
#[should_panic(expected = "not the wildcard")]
fn a_scope_that_is_a_wildcard_is_refused() {
    let _ = layer().security_schemes().requirements(["bots:*"]);
}

#[test]
#[ignore = "needs Python with openapi-spec-validator: `tests/all` installs it and runs this too"]
fn documents_keep_to_openapi_3_1() {
    let places = FirstOf::default().or(Query::new("api[key]")).or(AuthorizationScheme::new("Tok"));
    for layer in [layer(), layer().optional(), layer().extractor(places).policy(policy())] {
        let mut document = Large::openapi();
        layer.security_schemes().add_to(&mut document);
        assert_valid(&document);
    }
}

#[test]
#[ignore = "needs Python: run tests/all"]
fn the_refusals_of_the_layer_are_described_as_the_responder_makes_them() {
    let policy = AccessPolicy::builder()
        .public("GET /healthz", "probes")
        .allow("GET /v1/bots", Requirement::any_of(["bots:read", "bots:write"]))
        .allow("POST /v1/bots", Requirement::key())
        .build()
        .unwrap();
    let layer = layer().extractor(Bearer).policy(policy);
    let describe = |layer: &ApiKeyLayer| {
        let schemes = layer.security_schemes().with_responses().with_abilities_as_extension();
        let mut document = Large::openapi();
        schemes.add_to(&mut document);
        let once = json(&document);
        schemes.add_to(&mut document);
        assert_eq!(json(&document), once);
        assert_valid(&document);
        once
    };
    let document = describe(&layer);
    let paths = &document["paths"];
    let list = &paths["/v1/bots"]["get"];
    assert_eq!(list["security"], json!([{ "authorization.bearer": [] }]));
    assert_eq!(list["x-required-abilities"], json!([["bots:read"], ["bots:write"]]));
    assert_eq!(paths["/v1/bots"]["post"]["x-required-abilities"], Value::Null);
    assert_eq!(paths["/healthz"]["get"]["responses"].as_object().unwrap().len(), 1);
    for (status, name) in [
        ("401", "ApiKeyUnauthorized"),
        ("403", "ApiKeyForbidden"),
        ("429", "ApiKeyRateLimited"),
        ("503", "ApiKeyUnavailable"),
    ] {
        let reference = format!("#/components/responses/{name}");
        assert_eq!(list["responses"][status], json!({ "$ref": reference }), "{status}");
        let response = &document["components"]["responses"][name];
        let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
        assert_eq!(*schema, "#/components/schemas/ApiKeyProblem");
        assert!(response["headers"]["cache-control"].is_object());
    }
    let limited = &document["components"]["responses"]["ApiKeyRateLimited"]["headers"];
    assert!(limited["ratelimit"].is_object() && limited["retry-after"].is_object());

    // With a status and a body of its own.
    let responder = Responder::json().answer_invalid(StatusCode::FORBIDDEN, "Invalid API Key");
    let document = describe(&layer.clone().responder(responder));
    let list = &document["paths"]["/v1/bots"]["get"]["responses"];
    assert!(list.get("401").is_none(), "{list}");
    let response = &document["components"]["responses"]["ApiKeyUnauthorized"]["content"];
    let schema = &response["application/json"]["schema"]["$ref"];
    assert_eq!(*schema, "#/components/schemas/ApiKeyMessage");
}
