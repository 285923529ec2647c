//! What the SDK of the Model Context Protocol for TypeScript makes of streams that end with their key.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::routing::any_service;
use http::Method;
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ErrorData, ServerCapabilities, ServerConfig,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Value, json};
use tower_api_key::guard::BindSession;
use tower_api_key::{ApiKeyLayer, KeyEnded, MemoryStore, NewKey, StreamWatch};

use crate::clients::node;
use crate::common::MemoryKeys as _;
use crate::common::serve;
use crate::until;

/// A tool that is never done.
#[derive(Clone)]
struct Waiting;

impl ServerHandler for Waiting {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn call_tool(
        &self,
        _: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        std::future::pending().await
    }
}

/// Tells a client of MCP why nothing follows. It cannot name the call that waits: the layer does not read
/// bodies.
fn last_event(ended: &KeyEnded) -> String {
    let message = json!({
        "jsonrpc": "2.0",
        "method": "notifications/message",
        "params": { "level": "error", "data": ended.to_string() },
    });
    format!("event: message\ndata: {message}\n\n")
}

#[tokio::test]
#[ignore = "needs Node: run tests/all"]
async fn the_sdk_for_typescript_is_told_by_the_last_event_and_refused_from_then_on() {
    let keys = MemoryStore::new();
    let [key, other] = ["own", "other"].map(|name| keys.issue(NewKey::named(name)).unwrap());
    let layer = ApiKeyLayer::new(keys.clone())
        .streams(StreamWatch::new().last_event(|ended| Some(last_event(ended).into())));
    let manager = Arc::new(LocalSessionManager::default());
    let config = StreamableHttpServerConfig::default();
    let mcp = any_service(StreamableHttpService::new(|| Ok(Waiting), manager, config));
    let binds = BindSession::new("mcp-session-id");
    let listened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&listened);
    let app = Router::new().route("/mcp", mcp.layer(binds.clone())).layer(layer.clone()).layer(
        from_fn(move |request: Request, next: Next| {
            count.fetch_add(usize::from(request.method() == Method::GET), Ordering::SeqCst);
            next.run(request)
        }),
    );
    let url = format!("http://{}/mcp", serve(app).await);
    let arguments = [&*url, key.secret.reveal(), other.secret.reveal()];
    let end = async {
        // What the server says at any time, and the answer to the call.
        until(|| layer.open_streams_of(key.record.id()) >= 2).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(binds.sessions(), 1);
        assert!(keys.revoke(key.record.id()));
        assert_eq!(binds.sessions(), 0);
    };
    let (said, ()) = tokio::join!(node("mcp.cjs", &arguments), end);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["other"], 404);
    assert_eq!(said["told"], json!(vec!["the API key is not valid any more"; 2]), "{said}");
    // The call itself waits for its time-out.
    assert_eq!(said["call"], -32001, "{said}");
    assert_eq!(said["next"], 401, "{said}");
    // It listens again after a second, is refused, and gives up after the second time.
    let listened = listened.load(Ordering::SeqCst);
    assert!((2..=5).contains(&listened), "{listened}: {said}");
}
