//! Helpers of the example servers: listening, printing keys, and shutdown.

#![allow(dead_code, reason = "each example uses some of it")]

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_api_key::{ApiKeyLayer, IssuedKey, KeyManager, ManageError, MemoryStore, VerifiedKey};

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Binds the address in `ADDR`, or the default one.
pub(crate) async fn bind(default: &str) -> Result<TcpListener> {
    let address = std::env::var("ADDR").unwrap_or_else(|_| default.to_owned());
    TcpListener::bind(&address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// Prints the secret and the id of a demo key. A real server shows a secret only to its owner.
pub(crate) fn print_key(label: &str, issued: &IssuedKey) {
    println!("key {label} {}", issued.secret.reveal());
    println!("id {label} {}", issued.record.id());
}

/// Lets administrators revoke keys.
///
/// Keys of administrators are in a separate store, so that no key of a customer is accepted, whatever its
/// abilities are.
pub(crate) fn admin(administrators: MemoryStore, keys: KeyManager) -> Router {
    Router::new()
        .route("/keys/{id}/revoke", post(revoke))
        .with_state(keys)
        .layer(ApiKeyLayer::new(administrators))
}

async fn revoke(
    administrator: VerifiedKey,
    State(keys): State<KeyManager>,
    Path(id): Path<String>,
) -> std::result::Result<Json<Value>, StatusCode> {
    let id = id.parse().map_err(|_| StatusCode::NOT_FOUND)?;
    match keys.acting_as(administrator.id().clone()).revoke(&id).await {
        Ok(_) => Ok(Json(json!({ "success": true, "message": "API key revoked successfully" }))),
        Err(ManageError::NotFound) => Err(StatusCode::NOT_FOUND),
        Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}

/// Prints the address, once connections are accepted.
pub(crate) fn print_listening(listener: &TcpListener) -> Result<()> {
    println!("listening on http://{}", listener.local_addr()?);
    Ok(std::io::stdout().flush()?)
}

/// Serves an axum application until SIGINT or SIGTERM.
pub(crate) async fn serve(app: Router) -> Result<()> {
    let listener = bind("127.0.0.1:3000").await?;
    let stopped = stopped()?;
    print_listening(&listener)?;
    // With the addresses of clients, for keys that are restricted to addresses.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).with_graceful_shutdown(stopped).await?)
}

/// Registers for SIGINT and SIGTERM at once. The future waits for one of them.
#[cfg(unix)]
pub(crate) fn stopped() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Registers for Ctrl-C at once. The future waits for it.
#[cfg(windows)]
pub(crate) fn stopped() -> Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
