//! Keys of one workspace, in `x-api-key` and nowhere else (heffl.txt).
//!
//! ```sh
//! cargo run --example workspaces
//! ```
//!
//! It prints three keys; `$SALES` and so on stand for them:
//!
//! ```sh
//! API=http://127.0.0.1:3000/api/v1/workspaces
//! curl -H "x-api-key: $SALES" $API/sales/leads              # 200
//! curl -H "x-api-key: $SALES" $API/support/leads            # 403, another workspace
//! curl -H "x-api-key: $SALES_OLD" $API/sales/leads          # 401, revoked
//! curl -H "Authorization: Bearer $SALES" $API/sales/leads   # 401, Bearer is for the web app
//! ```

#[path = "support/mod.rs"]
mod support;

use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use tower_api_key::extract::Header;
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, RequireTenant, Responder, VerifiedKey};

/// Workspace and name of every lead.
const LEADS: [(&str, &str); 3] = [("sales", "Ada"), ("sales", "Grace"), ("support", "Edsger")];

fn app(keys: MemoryStore) -> Router {
    Router::new().route("/api/v1/workspaces/{workspace}/leads", get(leads)).layer(
        ApiKeyLayer::new(keys)
            .extractor(Header::x_api_key())
            .guard(RequireTenant::in_path_segment(3))
            .responder(Responder::json()),
    )
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
            assert!(keys.revoke(&issued.record.id));
        }
        support::print_key(label, &issued);
    }
    support::serve(app(keys)).await
}
