//! What the example servers share: where they listen, what they print, and how they stop.

#![allow(dead_code, reason = "each example uses some of it")]

use std::error::Error;
use std::io::Write as _;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tower_api_key::IssuedKey;

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Binds the address in `ADDR`, or the default one.
pub(crate) async fn bind(default: &str) -> Result<TcpListener> {
    let address = std::env::var("ADDR").unwrap_or_else(|_| default.to_owned());
    TcpListener::bind(&address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}").into())
}

/// Prints the secret of a demo key, which a real server would show to its owner only.
pub(crate) fn print_key(label: &str, issued: &IssuedKey) {
    println!("key {label} {}", issued.secret.reveal());
}

/// Says that connections are accepted from now on.
pub(crate) fn print_listening(listener: &TcpListener) -> Result<()> {
    println!("listening on http://{}", listener.local_addr()?);
    Ok(std::io::stdout().flush()?)
}

/// Serves an axum application until it is told to stop.
pub(crate) async fn serve(app: axum::Router) -> Result<()> {
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
