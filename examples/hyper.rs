//! API keys on a plain hyper server, for HTTP/1.1 and HTTP/2.
//!
//! ```sh
//! cargo run --example hyper
//! ```
//!
//! It prints one key; `$DEMO` stands for it:
//!
//! ```sh
//! curl -H "x-api-key: $DEMO" http://127.0.0.1:3000/                           # 200, hello acme
//! curl --http2-prior-knowledge -H "x-api-key: $DEMO" http://127.0.0.1:3000/   # the same
//! curl http://127.0.0.1:3000/                                                 # 401
//! ```

#[path = "support/mod.rs"]
mod support;

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tower::{ServiceBuilder, ServiceExt as _};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, PeerAddress, VerifiedKey};

async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let key = request.extensions().get::<VerifiedKey>();
    let tenant = key.and_then(VerifiedKey::tenant).map_or("nobody", |tenant| tenant.as_str());
    Ok(Response::new(format!("hello {tenant}").into()))
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let keys = MemoryStore::new();
    support::print_key("demo", &keys.issue(NewKey::named("demo").tenant("acme"))?);
    let service = ServiceBuilder::new().layer(ApiKeyLayer::new(keys)).service_fn(hello);

    let listener = support::bind("127.0.0.1:3000").await?;
    let mut stopped = pin!(support::stopped()?);
    support::print_listening(&listener)?;
    let server = auto::Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // The server goes on if it cannot accept a connection, such as without free
                // descriptors.
                let Ok((stream, peer)) = accepted else { continue };
                // Keys that are restricted to addresses need it.
                let service = service.clone().map_request(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert(PeerAddress(peer));
                    request
                });
                let service = TowerToHyperService::new(service);
                let connection = server.serve_connection(TokioIo::new(stream), service);
                let connection = connections.watch(connection.into_owned());
                tokio::spawn(connection);
            }
            () = &mut stopped => break,
        }
    }
    connections.shutdown().await;
    Ok(())
}
