//! Keys of one workspace, only in the header `x-api-key`, which its users review in the web app
//! (heffl.txt).
//!
//! ```sh
//! cargo run --features manage --example workspaces
//! ```
//!
//! It prints three keys, and the token of a session in the web app of `sales`; `$SALES`, `$WEB_APP`
//! and so on stand for them:
//!
//! ```sh
//! API=http://127.0.0.1:3000/api/v1/workspaces
//! curl -H "x-api-key: $SALES" $API/sales/leads              # 200
//! curl -H "x-api-key: $SALES" $API/support/leads            # 403, another workspace
//! curl -H "x-api-key: $SALES_OLD" $API/sales/leads          # 401, revoked
//! curl -H "Authorization: Bearer $SALES" $API/sales/leads   # 401, Bearer is for the web app
//! curl -H "Authorization: Bearer $WEB_APP" $API/sales/api-keys    # 200, with "last_used"
//! curl -H "Authorization: Bearer $WEB_APP" $API/support/api-keys  # 403, another workspace
//! curl -H "x-api-key: $SALES" $API/sales/api-keys                 # 401, keys are for leads
//! ```

#[path = "support/mod.rs"]
mod support;

use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use serde_json::{Value, json};
use tower_api_key::extract::{Bearer, Header};
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoute, KeyRoutes, Refused};
use tower_api_key::{
    AbilitySet, ApiKeyLayer, KeyManager, MemoryStore, NewKey, RequireTenant, Responder,
    UsageRecorder, VerifiedKey,
};

/// Workspace and name of every lead.
const LEADS: [(&str, &str); 3] = [("sales", "Ada"), ("sales", "Grace"), ("support", "Edsger")];

/// The API for programs, which have keys.
fn api(keys: MemoryStore, usage: UsageRecorder) -> Router {
    Router::new().route("/api/v1/workspaces/{workspace}/leads", get(leads)).layer(
        ApiKeyLayer::new(keys)
            .extractor(Header::x_api_key())
            .guard(RequireTenant::in_path_segment(3))
            .observer(usage)
            .responder(Responder::json()),
    )
}

/// The API for the web app, whose users have sessions.
///
/// The sessions are in a separate store, so that no key is accepted.
fn web_app(keys: MemoryStore, sessions: MemoryStore) -> Router {
    let review = KeyRoutes::new(KeyManager::new(keys), signed_in).only([KeyRoute::List]);
    Router::new().nest("/api/v1/workspaces/{workspace}", review.into_router()).layer(
        ApiKeyLayer::new(sessions)
            .extractor(Bearer)
            .guard(RequireTenant::in_path_segment(3))
            .responder(Responder::json()),
    )
}

/// Lets every user of a workspace see its keys.
fn signed_in(parts: &mut Parts, _: &KeyAction) -> Result<Owner, Refused> {
    let session = parts.extensions.get::<VerifiedKey>().ok_or(StatusCode::UNAUTHORIZED)?;
    let workspace = session.tenant().cloned().ok_or(StatusCode::FORBIDDEN)?;
    Ok(Owner::of_tenant(workspace, AbilitySet::default(), session.name()))
}

async fn leads(key: VerifiedKey) -> Json<Value> {
    let workspace = key.tenant().map_or("", |tenant| tenant.as_str());
    let own = LEADS.iter().filter(|(of, _)| *of == workspace);
    let leads: Vec<_> = own.map(|(_, name)| name).collect();
    Json(json!({ "workspace": workspace, "leads": leads }))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    for (label, workspace) in [("sales", "sales"), ("support", "support"), ("sales-old", "sales")] {
        let issued = keys.issue(NewKey::named(label).tenant(workspace))?;
        if label == "sales-old" {
            assert!(keys.revoke(issued.record.id()));
        }
        support::print_key(label, &issued);
    }
    let sessions = MemoryStore::new();
    let alice = NewKey::named("alice").tenant("sales");
    support::print_key("web-app", &sessions.issue(alice)?);
    let usage = UsageRecorder::new(keys.clone());
    let app = api(keys.clone(), usage.clone()).merge(web_app(keys, sessions));
    support::serve(app).await?;
    Ok(usage.shutdown().await?)
}
