//! salvo, which has requests and handlers of its own.
//!
//! The layer does not go through salvo's `tower_compat`: that wants an error of the body that is one
//! type which is an error, and the layer's is a `Box<dyn Error>`.

use salvo::conn::{Acceptor as _, Listener as _, TcpListener};
use salvo::http::ResBody;
use salvo::{Depot, FlowCtrl, Handler, Request, Response, Router, async_trait, handler};
use tower_api_key::{ApiKeyLayer, PeerAddress, VerifiedKey};

use crate::contract::{Keys, check_served, list, policy};

/// The layer as a handler of salvo in front of others.
struct ApiKeys(ApiKeyLayer);

#[async_trait]
impl Handler for ApiKeys {
    async fn handle(
        &self,
        request: &mut Request,
        depot: &mut Depot,
        response: &mut Response,
        ctrl: &mut FlowCtrl,
    ) {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.version = request.version();
        parts.headers = std::mem::take(request.headers_mut());
        parts.extensions = std::mem::take(request.extensions_mut());
        if let Some(peer) = request.remote_addr().clone().into_std() {
            parts.extensions.insert(PeerAddress(peer));
        }
        let decided = self.0.verify(&mut parts).await;
        request.set_uri(parts.uri);
        *request.headers_mut() = parts.headers;
        *request.extensions_mut() = parts.extensions;
        match decided {
            Ok(admitted) => {
                ctrl.call_next(request, depot, response).await;
                let finished = admitted.finish(response.strip_to_hyper()).await;
                response.merge_hyper(finished.map(|body| ResBody::Boxed(Box::pin(body))));
            }
            Err(refusal) => {
                let refused = refusal.into_response_draining(request.take_body());
                response.merge_hyper(refused.map(ResBody::Once));
                ctrl.skip_rest();
            }
        }
    }
}

#[handler]
async fn list_bots(request: &mut Request) -> String {
    list(request.extensions().get::<VerifiedKey>().unwrap(), request.headers())
}

#[handler]
async fn create_bot(response: &mut Response) {
    response.status_code(salvo::http::StatusCode::CREATED);
}

#[tokio::test]
async fn a_handler_of_salvo_decides_by_the_layer() {
    let keys = Keys::new();
    let app = Router::with_path("bots")
        .hoop(ApiKeys(keys.layer().policy(policy())))
        .get(list_bots)
        .post(create_bot);
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let address = acceptor.holdings()[0].local_addr.clone().into_std().unwrap();
    tokio::spawn(salvo::Server::new(acceptor).serve(app));
    check_served(address, &keys).await;
}
