//! Streams that end with their key: an event stream, a WebSocket and a gRPC stream that end when their
//! key is revoked or expires.
//!
//! ```sh
//! cargo run -p tower-api-key-examples --example streams
//! ```
//!
//! It prints four keys and their ids; `$LISTENER`, `$LISTENER_ID`, … stand for them. In one terminal:
//!
//! ```sh
//! curl -N -H "x-api-key: $LISTENER" http://127.0.0.1:3000/events  # an event each 100 ms
//! curl -N -H "x-api-key: $SHORT" http://127.0.0.1:3000/events     # ends five seconds after the start
//! ```
//!
//! In another one:
//!
//! ```sh
//! curl -H "x-api-key: $ADMIN" -X POST http://127.0.0.1:3000/admin/keys/$LISTENER_ID/revoke
//! ```
//!
//! The first stream ends at once, with an event that names the reason. A gRPC stream ends with the
//! status UNAUTHENTICATED. With the `health.proto` of the gRPC project in the working directory:
//!
//! ```sh
//! grpcurl -plaintext -proto health.proto -H "x-api-key: $SECOND" \
//!     127.0.0.1:3000 grpc.health.v1.Health/Watch
//! ```
//!
//! Open <http://127.0.0.1:3000/> in a browser, paste a key, and see how its event stream and its
//! WebSocket end. A page cannot set headers for a WebSocket, so it sends the key as a subprotocol.

#[path = "support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::sse::{Event, Sse};
use axum::response::{Html, Response};
use axum::routing::{any, get};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::IntervalStream;
use tower_api_key::extract::{FirstOf, Subprotocol};
use tower_api_key::{
    ApiKeyLayer, KeyManager, MemoryStore, NewKey, RequireAbility, StreamWatch, VerifiedKey,
};

const PAGE: &str = include_str!("support/streams.html");

/// Ticks each 100 ms.
fn ticks() -> impl Stream<Item = usize> {
    let mut interval = interval(Duration::from_millis(100));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    IntervalStream::new(interval).enumerate().map(|(number, _)| number)
}

/// Contains no code for keys: the layer ends the body.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    Sse::new(ticks().map(|number| Ok(Event::default().data(number.to_string()))))
}

async fn socket(key: VerifiedKey, upgrade: WebSocketUpgrade) -> Response {
    upgrade.protocols(["realtime"]).on_upgrade(async move |mut socket| {
        // A socket is not the body of a response, so its handler ends it.
        if let Err(ended) = key.while_valid(serve_socket(&mut socket)).await {
            let reason = ended.to_string().into();
            let _ = socket.send(Message::Close(Some(CloseFrame { code: 1008, reason }))).await;
        }
    })
}

async fn serve_socket(socket: &mut WebSocket) {
    let mut ticks = std::pin::pin!(ticks());
    while let Some(number) = ticks.next().await {
        if socket.send(Message::text(number.to_string())).await.is_err() {
            return;
        }
    }
}

fn app(keys: MemoryStore, administrators: MemoryStore) -> Router {
    // The whole service, "", has the status SERVING from the start.
    let (_reporter, health) = tonic_health::server::health_reporter();
    let last_event =
        |ended: &tower_api_key::KeyEnded| Some(format!("event: ended\ndata: {ended}\n\n").into());
    let layer = ApiKeyLayer::new(keys.clone())
        .extractor(FirstOf::default().or(Subprotocol::default()))
        .streams(StreamWatch::new().last_event(last_event));
    Router::new()
        .route("/events", get(events))
        // `GET` over HTTP/1.1, `CONNECT` over HTTP/2.
        .route("/socket", any(socket))
        .route_service("/grpc.health.v1.Health/{method}", health)
        .layer(RequireAbility::new("events:read"))
        .layer(layer)
        .route("/", get(async || Html(PAGE)))
        .nest("/admin", support::admin(administrators, KeyManager::new(keys)))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    let reads = |label| NewKey::named(label).abilities(["events:read"]);
    support::print_key("listener", &keys.issue(reads("listener"))?);
    support::print_key("second", &keys.issue(reads("second"))?);
    let soon = SystemTime::now() + Duration::from_secs(5);
    support::print_key("short", &keys.issue(reads("short").expires_at(soon))?);
    let administrators = MemoryStore::new();
    support::print_key("admin", &administrators.issue(NewKey::named("operations"))?);
    support::serve(app(keys, administrators)).await
}
