//! A server of the Model Context Protocol (MCP) over streamable HTTP, whose agents have API keys.
//!
//! It uses the crate rmcp, in a package of its own:
//!
//! ```sh
//! cargo run --manifest-path tests/mounts/Cargo.toml
//! ```
//!
//! It prints three keys; `$AGENT` stands for the first:
//!
//! ```sh
//! claude mcp add --transport http bots http://127.0.0.1:3000/mcp --header "Authorization: Bearer $AGENT"
//! ```
//!
//! 1. Every request needs a key with the ability `mcp:use`: 401 and 403 otherwise.
//! 2. A session belongs to the key that opened it.
//! 3. A tool may require another ability. An agent without it gets an error of the tool, which names the
//!    missing ability, and can go on.

#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use axum::Router;
use axum::routing::any_service;
use http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, schemars, tool, tool_router};
use serde::Deserialize;
use tower_api_key::guard::BindSession;
use tower_api_key::{ApiKeyLayer, KeyManager, MemoryStore, NewKey, RequireAbility, VerifiedKey};

#[derive(Deserialize, schemars::JsonSchema)]
struct Bot {
    /// The name of the bot.
    name: String,
}

#[derive(Clone)]
struct Bots;

#[tool_router(server_handler)]
impl Bots {
    /// Lists the bots of the caller.
    #[tool]
    async fn list_bots(&self, Extension(parts): Extension<Parts>) -> Result<String, ErrorData> {
        let key = caller(&parts, "bots:read")?;
        Ok(format!("{}: scout, courier", key.tenant().map_or("nobody", |tenant| tenant.as_str())))
    }

    /// Restarts a bot.
    #[tool]
    async fn restart_bot(
        &self,
        Extension(parts): Extension<Parts>,
        Parameters(bot): Parameters<Bot>,
    ) -> Result<String, ErrorData> {
        let key = caller(&parts, "bots:write")?;
        Ok(format!("{} was restarted by {}", bot.name, key.name()))
    }
}

/// Returns the key of the request that called a tool, if it has the ability.
fn caller<'a>(parts: &'a Parts, ability: &str) -> Result<&'a VerifiedKey, ErrorData> {
    // It is absent only if the layer is.
    let key = parts.extensions.get::<VerifiedKey>();
    let key = key.ok_or_else(|| ErrorData::internal_error("no API key was verified", None))?;
    if key.can(ability) {
        Ok(key)
    } else {
        let message = format!("the API key lacks the ability {ability}");
        Err(ErrorData::invalid_request(message, None))
    }
}

fn app(keys: MemoryStore, administrators: MemoryStore) -> Router {
    let sessions = Arc::new(LocalSessionManager::default());
    let mcp =
        StreamableHttpService::new(|| Ok(Bots), sessions, StreamableHttpServerConfig::default());
    // The first is the outermost.
    let guards = (RequireAbility::new("mcp:use"), BindSession::new("mcp-session-id"));
    Router::new()
        .route("/mcp", any_service(mcp).layer(guards))
        .layer(ApiKeyLayer::new(keys.clone()))
        .nest("/admin", support::admin(administrators, KeyManager::new(keys)))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    let agent = NewKey::named("agent").tenant("acme").abilities(["mcp:use", "bots:read"]);
    support::print_key("agent", &keys.issue(agent)?);
    let other = NewKey::named("other").tenant("acme").abilities(["bots:*"]);
    support::print_key("other", &keys.issue(other)?);
    let administrators = MemoryStore::new();
    support::print_key("admin", &administrators.issue(NewKey::named("operations"))?);
    support::serve(app(keys, administrators)).await
}
