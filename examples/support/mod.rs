//! What the example servers share: where they listen, what they print, and how they stop.

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
use tower_api_key::{IssuedKey, KeyManager, ManageError, VerifiedKey};

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Binds the address in `ADDR`, or the default one.
pub(crate) async fn bind(default: &str) -> Result<TcpListener> {
    let address = std::env::var("ADDR").unwrap_or_else(|_| default.to_owned());
    TcpListener::bind(&address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// Prints the secret of a demo key, which a real server would show to its owner only, and its
/// public id.
pub(crate) fn print_key(label: &str, issued: &IssuedKey) {
    println!("key {label} {}", issued.secret.reveal());
    println!("id {label} {}", issued.record.id());
}

/// Lets administrators revoke keys.
///
/// Their own keys are in a store of their own, so that no customer's key gets in, whatever it may
/// do.
pub(crate) fn admin(administrators: &KeyManager, keys: KeyManager) -> Router {
    Router::new()
        .route("/keys/{id}/revoke", post(revoke))
        .with_state(keys)
        .layer(administrators.layer())
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

/// Says that connections are accepted from now on.
pub(crate) fn print_listening(listener: &TcpListener) -> Result<()> {
    println!("listening on http://{}", listener.local_addr()?);
    Ok(std::io::stdout().flush()?)
}

/// Serves an axum application until it is told to stop.
pub(crate) async fn serve(app: Router) -> Result<()> {
    let listener = bind("127.0.0.1:3000").await?;
    let stopped = stopped()?;
    print_listening(&listener)?;
    // With the addresses of clients, by which keys may be restricted.
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).with_graceful_shutdown(stopped).await?)
}

/// Listens for SIGINT and SIGTERM from now on, and waits for one of them when awaited.
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

/// Listens for Ctrl-C from now on, and waits for it when awaited.
#[cfg(windows)]
pub(crate) fn stopped() -> Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}
