//! A small API whose access rules are one table, with one rule that is only reported.
//!
//! ```sh
//! cargo run --example policy
//! ```
//!
//! It prints the table and two keys; `$READER` and `$ADMIN` stand for them:
//!
//! ```sh
//! API=http://127.0.0.1:3000
//! curl $API/healthz                                             # 200, without a key
//! curl -H "x-api-key: $READER" $API/v1/users/7                  # 200
//! curl -H "x-api-key: $READER" -X DELETE $API/v1/users/7        # 403 Missing ability: users:write
//! curl -H "x-api-key: $ADMIN" -X DELETE $API/v1/users/7         # 204
//! curl -H "x-api-key: $READER" $API/v1/reports/daily            # 200, and a line on standard error
//! curl -H "x-api-key: $ADMIN" $API/v1/forgotten                 # 403: there is a route, but no rule
//! ```

#[path = "support/mod.rs"]
mod support;

use axum::Router;
use axum::extract::Path;
use axum::routing::{delete, get};
use http::StatusCode;
use tower_api_key::policy::{AccessPolicy, PolicyError, Requirement};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};

fn policy() -> Result<AccessPolicy, PolicyError> {
    AccessPolicy::builder()
        .public("GET /healthz", "the load balancer asks without a key")
        .allow("GET /v1/users/{id}", Requirement::ability("users:read"))
        .allow("DELETE /v1/users/{id}", Requirement::ability("users:write"))
        .allow("GET /v1/reports/*", Requirement::ability("reports:read").report_only())
        .on_report(|report| {
            let key = report.key_id().map_or("no key", |id| id.as_str());
            let (method, why) = (report.method(), report.rejection().message());
            let path = report.path().unwrap_or_default();
            eprintln!("would be refused: {method} {path} with {key}: {why}");
        })
        .build()
}

fn app(keys: MemoryStore, policy: AccessPolicy) -> Router {
    let user = get(|Path(id): Path<String>| async move { format!("user {id}\n") });
    Router::new()
        .route("/healthz", get(|| async { "well\n" }))
        .route("/v1/users/{id}", user.merge(delete(|| async { StatusCode::NO_CONTENT })))
        .route("/v1/reports/{name}", get(|| async { "a report\n" }))
        .route("/v1/forgotten", get(|| async { "nobody sees this\n" }))
        .layer(ApiKeyLayer::new(keys).policy(policy))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let policy = policy()?;
    println!("{policy}");
    let keys = MemoryStore::new();
    let reader = NewKey::named("reader").abilities(["users:read"]);
    support::print_key("reader", &keys.issue(reader)?);
    let admin = NewKey::named("admin").abilities(["users:*", "reports:read"]);
    support::print_key("admin", &keys.issue(admin)?);
    support::serve(app(keys, policy)).await
}
