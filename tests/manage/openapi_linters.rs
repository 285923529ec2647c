//! What linters of OpenAPI say of the management document within the document of an application, to
//! which a layer has added what it does.

#![allow(dead_code, reason = "documents of handlers nobody calls")]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tower_api_key::manage::api::{KeyOwner, KeyRoutes};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore};
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

/// Lists the bots.
///
/// All of the caller's.
#[utoipa::path(get, path = "/bots", tag = "Bots", responses((status = 200, description = "All bots")))]
async fn list() {}

/// Makes a bot.
///
/// It starts at once.
#[utoipa::path(post, path = "/bots", tag = "Bots", responses((status = 201, description = "It is there")))]
async fn create() {}

/// Tells whether the service is well.
///
/// For load balancers.
#[utoipa::path(
    get,
    path = "/health",
    tag = "Bots",
    responses((status = 200, description = "Well"), (status = 429, description = "Too often")),
)]
async fn health() {}

/// What an application says of itself: linters want all of it.
#[derive(OpenApi)]
#[openapi(
    paths(list, create, health),
    info(
        title = "Bots",
        version = "1.0.0",
        description = "Bots for all.",
        contact(name = "Support", email = "support@acme.example"),
        license(name = "MIT", identifier = "MIT"),
    ),
    servers((url = "https://api.acme.example")),
    tags((name = "Bots", description = "Bots of the caller.")),
)]
struct Bots;

fn document(abilities_as_extension: bool) -> Document {
    let policy = AccessPolicy::builder()
        .allow("GET /bots", Requirement::any_of(["bots:read", "bots:write"]))
        .allow("POST /bots", Requirement::all_of(["bots:write", "audit:write"]))
        .public("GET /health", "load balancers have no key")
        .allow("/v1/api-keys", Requirement::ability("api-keys:write"))
        .allow("/v1/api-keys/*", Requirement::ability("api-keys:write"))
        .build();
    let layer = ApiKeyLayer::new(MemoryStore::new()).policy(policy.unwrap());
    let schemes = layer.security_schemes().with_responses();
    let schemes =
        if abilities_as_extension { schemes.with_abilities_as_extension() } else { schemes };
    let keys = KeyRoutes::new(KeyManager::new(MemoryStore::new()), KeyOwner::default());
    let mut document = Bots::openapi().nest("/v1", keys.openapi());
    schemes.add_to(&mut document);
    document
}

/// The document in a file, and the tools.
struct Linted(tempfile::TempDir);

impl Linted {
    fn new(document: &Document) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let json = document.to_pretty_json().unwrap();
        std::fs::write(directory.path().join("openapi.json"), json).unwrap();
        Self(directory)
    }

    fn run(&self, mut command: Command) -> Output {
        command.current_dir(self.0.path());
        // It neither reports nor asks for updates.
        command.env("REDOCLY_TELEMETRY", "off").env("REDOCLY_SUPPRESS_UPDATE_NOTICE", "true");
        command.output().unwrap()
    }

    /// Returns the rules that Spectral names, each with the path to what it is about.
    fn spectral(&self) -> Vec<(String, Value)> {
        let mut spectral = npm("spectral");
        let rules = folder().join("spectral.yaml");
        spectral.args(["lint", "--quiet", "--format", "json", "openapi.json", "--ruleset"]);
        let output = self.run({
            spectral.arg(rules);
            spectral
        });
        let found: Vec<Value> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let named = |found: Value| (found["code"].as_str().unwrap().into(), found["path"].clone());
        found.into_iter().map(named).collect()
    }

    /// Returns what Redocly finds by its recommended rules.
    fn redocly(&self) -> Value {
        let mut redocly = npm("redocly");
        redocly.args(["lint", "--extends", "recommended", "--format", "json", "openapi.json"]);
        let output = self.run(redocly);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
    }

    fn swagger_parser(&self) -> String {
        let mut parser = Command::new("node");
        parser.arg(folder().join("swagger_parser.cjs")).arg("openapi.json");
        parser.env("NODE_PATH", packages());
        let output = self.run(parser);
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

/// What the tests of documents need beside them.
pub fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manage/openapi")
}

/// Returns the folder of what `tests/package.json` lists.
pub fn packages() -> String {
    std::env::var("TEST_NODE_PATH").expect("tests/all sets it")
}

/// Returns a program of a package of npm.
pub fn npm(program: &str) -> Command {
    Command::new(Path::new(&packages()).join(".bin").join(program))
}

#[test]
#[ignore = "needs Node: run tests/all"]
fn linters_find_nothing_where_abilities_are_an_extension() {
    let document = document(true);
    let json = serde_json::to_value(&document).unwrap();
    // It is all there.
    let create = &json["paths"]["/bots"]["post"];
    assert_eq!(create["x-required-abilities"][0][1], "audit:write", "{create}");
    assert_eq!(create["responses"]["429"]["$ref"], "#/components/responses/ApiKeyRateLimited");
    assert_eq!(json["paths"]["/v1/api-keys"]["post"]["tags"][0], "API keys");

    let linted = Linted::new(&document);
    assert_eq!(linted.spectral(), []);
    let redocly = linted.redocly();
    assert_eq!(redocly["totals"]["errors"], 0, "{redocly:#}");
    assert_eq!(redocly["totals"]["warnings"], 0, "{redocly:#}");
    assert_eq!(linted.swagger_parser(), "valid: Bots\n");
}

#[test]
#[ignore = "needs Node: run tests/all"]
fn only_spectral_warns_of_abilities_that_are_scopes() {
    let linted = Linted::new(&document(false));
    let found = linted.spectral();
    assert!(!found.is_empty());
    for (rule, path) in found {
        assert_eq!(rule, "oas3-operation-security-defined", "{path}");
    }
    assert_eq!(linted.redocly()["totals"]["warnings"], 0);
    assert_eq!(linted.swagger_parser(), "valid: Bots\n");
}
