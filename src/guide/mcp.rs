//! MCP: keys for a Model Context Protocol server, and sessions that belong to them.
//!
//! Mount the layer around the service of streamable HTTP, such as that of `rmcp`, like around any
//! other. An MCP client then sends its key with each request, as `Authorization: Bearer` or
//! `x-api-key`.
//!
//! The protocol has sessions: a client that knows the id of a session can call its tools, listen to its
//! messages and delete it. [`BindSession`](crate::guard::BindSession) binds a session to the key that
//! opened it. Other keys get a 404, as for an unknown session.
//!
//! ```sh
//! cargo add tower-api-key --features axum
//! cargo add axum
//! ```
//!
//! ```
//! use axum::Router;
//! use axum::routing::any_service;
//! use tower_api_key::guard::BindSession;
//! use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey};
//!
//! # use axum::body::Body;
//! # use http::{Request, Response};
//! # use tower::{Layer, ServiceExt, service_fn};
//! # use tower_api_key::testing::ActAs;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mcp = service_fn(async |_: Request<Body>| {
//! #     Response::builder().header("mcp-session-id", "session-1").body(Body::empty())
//! # });
//! # let mcp = tower::ServiceBuilder::new().map_err(|error: http::Error| -> std::convert::Infallible { panic!("{error}") }).service(mcp);
//! // `mcp` is `rmcp`'s `StreamableHttpService`.
//! let keys = MemoryStore::new();
//! let app: Router = Router::new()
//!     .route("/mcp", any_service(mcp).layer(BindSession::new("mcp-session-id")))
//!     .layer(ApiKeyLayer::new(keys.clone()));
//!
//! let ann = ActAs::new(&keys, NewKey::named("Ann"))?.layer(app.clone());
//! let bob = ActAs::new(&keys, NewKey::named("Bob"))?.layer(app);
//! let opened = ann.clone().oneshot(Request::post("/mcp").body(Body::empty())?).await?;
//! let id = &opened.headers()["mcp-session-id"];
//! let call = || Request::post("/mcp").header("mcp-session-id", id).body(Body::empty());
//! assert_eq!(ann.oneshot(call()?).await?.status(), 200);
//! assert_eq!(bob.oneshot(call()?).await?.status(), 404);
//! # Ok(())
//! # }
//! ```
//!
//! * A session ends with its key. A rotated key passes its sessions on to its successor.
//! * A process remembers up to 65 536 sessions, and up to 1024 of one key. Beyond that it forgets those
//!   that were unused for longest. Their clients get a 404, and open new ones.
//! * With several nodes, route a client to the node that opened its session, as most servers with
//!   sessions require anyway.
//! * Version 2026-07-28 of MCP has no sessions; requests without one pass.
//! * A listening client has an open event stream, which ends with its key. The page [streams and
//!   revocation](super::streams) describes how clients react: the TypeScript SDK needs a last event to
//!   notice it at once.
//!
//! Tested with rmcp 3.11 as the server and with the clients of Python's and TypeScript's SDK.
//! The example `mcp` is such a server: `cargo run --manifest-path tests/mounts/Cargo.toml`.
