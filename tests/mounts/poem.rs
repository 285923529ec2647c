//! poem, which has requests and middleware of its own.

use std::io;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use poem::endpoint::make_sync;
use poem::http::StatusCode;
use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::{Endpoint, EndpointExt as _, Middleware, Request, Response};
use tower_api_key::{ApiKeyLayer, PeerAddress, VerifiedKey};

use crate::contract::{Keys, check_served, list, policy};

/// The layer as a middleware of poem.
struct ApiKeys(ApiKeyLayer);

impl<E: Endpoint> Middleware<E> for ApiKeys {
    type Output = Verified<E>;

    fn transform(&self, inner: E) -> Self::Output {
        Verified { layer: self.0.clone(), inner }
    }
}

struct Verified<E> {
    layer: ApiKeyLayer,
    inner: E,
}

impl<E: Endpoint> Endpoint for Verified<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.version = request.version();
        parts.headers = std::mem::take(request.headers_mut());
        parts.extensions = std::mem::take(request.extensions_mut());
        if let Some(peer) = request.remote_addr().as_socket_addr() {
            parts.extensions.insert(PeerAddress(*peer));
        }
        let admitted = match self.layer.verify(&mut parts).await {
            Ok(admitted) => admitted,
            Err(refusal) => {
                let body = BoxBody::from(request.take_body());
                let refused = refusal.into_response_draining(body).map(Full::new);
                return Ok(refused.map(|body| body.map_err(io::Error::other)).into());
            }
        };
        *request.uri_mut() = parts.uri;
        *request.headers_mut() = parts.headers;
        *request.extensions_mut() = parts.extensions;
        let response: http::Response<BoxBody<_, _>> = self.inner.get_response(request).await.into();
        let response = admitted.finish(response).await;
        Ok(response.map(|body| body.map_err(io::Error::other)).into())
    }
}

#[tokio::test]
async fn a_middleware_of_poem_decides_by_the_layer() {
    let keys = Keys::new();
    let list_bots = make_sync(|request: Request| {
        list(request.extensions().get::<VerifiedKey>().unwrap(), request.headers())
    });
    let bots = poem::get(list_bots).post(make_sync(|_| StatusCode::CREATED));
    let app = poem::Route::new().at("/bots", bots);
    let app = app.with(ApiKeys(keys.layer().policy(policy())));
    let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
    let address = *acceptor.local_addr()[0].as_socket_addr().unwrap();
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app));
    check_served(address, &keys).await;
}
