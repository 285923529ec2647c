//! API keys on a tonic server: the standard health service, with an ability for each method.
//!
//! ```sh
//! cargo run -p tower-api-key-examples --example grpc
//! ```
//!
//! It prints three keys; `$CHECKER` and so on stand for them. With the `health.proto` of the
//! gRPC project in the working directory:
//!
//! ```sh
//! grpcurl -plaintext -proto health.proto -H "x-api-key: $CHECKER" \
//!     127.0.0.1:50051 grpc.health.v1.Health/Check   # SERVING
//! grpcurl -plaintext -proto health.proto -H "x-api-key: $CHECKER" \
//!     127.0.0.1:50051 grpc.health.v1.Health/Watch   # PermissionDenied, Missing ability: health:watch
//! grpcurl -plaintext -proto health.proto \
//!     127.0.0.1:50051 grpc.health.v1.Health/Check   # Unauthenticated, An API key is required
//! ```

#[path = "support/mod.rs"]
mod support;

use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tower_api_key::guard::Guard;
use tower_api_key::{
    ApiKeyLayer, MemoryStore, NewKey, Protocol, Rejection, RejectionKind, RequestHead,
    RequireAbility, VerifiedKey,
};

/// Requires an ability for each method of the service, and refuses unknown methods.
fn methods() -> impl Guard {
    let check = RequireAbility::new("health:check");
    let watch = RequireAbility::new("health:watch");
    move |key: &VerifiedKey, head: &RequestHead<'_>| match head.uri().path() {
        "/grpc.health.v1.Health/Check" => check.check(key, head),
        "/grpc.health.v1.Health/Watch" => watch.check(key, head),
        _ => Err(Rejection::new(RejectionKind::NotAllowed)),
    }
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    for (label, abilities) in
        [("checker", &["health:check"][..]), ("watcher", &["health:*"]), ("none", &[])]
    {
        let key = NewKey::named(label).tenant("acme").abilities(abilities.to_vec());
        support::print_key(label, &keys.issue(key)?);
    }
    // The whole service, "", has the status SERVING from the start.
    let (_reporter, health) = tonic_health::server::health_reporter();
    let listener = support::bind("127.0.0.1:50051").await?;
    let stopped = support::stopped()?;
    support::print_listening(&listener)?;
    Server::builder()
        .layer(ApiKeyLayer::new(keys).protocol(Protocol::Grpc).guard(methods()))
        .add_service(health)
        .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped)
        .await?;
    Ok(())
}
