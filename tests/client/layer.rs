//! Programs that send their key: by the usual clients, to servers on sockets, and to no other
//! server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::Code;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer as _, Service, ServiceBuilder, ServiceExt as _, service_fn};
use tower_api_key::client::{AddApiKeyError, AddApiKeyLayer, ApiKey, Origin};
use tower_api_key::extract::{FirstOf, Header};
use tower_api_key::{ApiKeyLayer, MemoryStore, NewKey, VerifiedKey};
use tower_http::follow_redirect::FollowRedirectLayer;
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, TraceLayer};

use crate::common::canary::{assert_error_hidden, assert_hidden, forms};
use crate::common::{in_time, issue, logged, serve, serve_tonic, start_log};

/// A client of any sort, with what is around it.
type Sender = BoxCloneSyncService<http::Request<Full<Bytes>>, Response<Bytes>, BoxError>;

fn boxed<S, B>(service: S) -> Sender
where
    S: Service<http::Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let collected = service.map_err(Into::into).and_then(async |response: Response<B>| {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(Into::into)?.to_bytes();
        Ok::<_, BoxError>(Response::from_parts(parts, body))
    });
    BoxCloneSyncService::new(collected)
}

fn hyper(http2: bool) -> Sender {
    boxed(Client::builder(TokioExecutor::new()).http2_only(http2).build_http::<Full<Bytes>>())
}

fn reqwest(redirects: reqwest::redirect::Policy) -> Sender {
    let client = reqwest::Client::builder().redirect(redirects).build().unwrap();
    boxed(service_fn(move |request: http::Request<Full<Bytes>>| {
        let client = client.clone();
        async move {
            let request = request.map(reqwest::Body::wrap).try_into()?;
            client.execute(request).await.map(Response::from)
        }
    }))
}

fn all_clients() -> [Sender; 3] {
    [hyper(false), hyper(true), reqwest(reqwest::redirect::Policy::none())]
}

async fn ask(
    client: impl Service<http::Request<Full<Bytes>>, Response = Response<Bytes>, Error: std::fmt::Debug>,
    url: &str,
    lines: &[(&str, &str)],
) -> (StatusCode, String) {
    let mut request = http::Request::get(url);
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::default()).unwrap();
    let response = in_time(client.oneshot(request)).await.unwrap();
    (response.status(), String::from_utf8(response.body().to_vec()).unwrap())
}

/// The headers of all requests that a server has seen.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<HeaderMap>>>);

impl Seen {
    /// Returns the keys of all requests, and forgets them. One that has none is empty.
    fn keys(&self) -> Vec<String> {
        let headers = std::mem::take(&mut *self.0.lock().unwrap());
        let keys = headers.iter().map(|headers| {
            let names = [header::AUTHORIZATION, HeaderName::from_static("x-api-key")];
            let values = names.iter().flat_map(|name| headers.get_all(name));
            values.map(|value| value.to_str().unwrap()).collect::<Vec<_>>().join(" ")
        });
        keys.collect()
    }

    fn record(&self, app: Router) -> Router {
        let seen = self.clone();
        app.layer(axum::middleware::map_request(move |request: Request| {
            seen.0.lock().unwrap().push(request.headers().clone());
            async { request }
        }))
    }
}

/// Serves what anybody may see, and tells what was asked with which keys.
async fn recorder() -> (SocketAddr, Seen) {
    let seen = Seen::default();
    (serve(seen.record(Router::new().fallback(|| async { "seen" }))).await, seen)
}

/// A server with a key for it.
struct Api {
    address: SocketAddr,
    url: String,
    text: String,
    key: ApiKey,
    seen: Seen,
}

/// Serves an API, where `/to/…` redirects to whatever follows.
async fn api() -> Api {
    let keys = MemoryStore::new();
    let text = issue(&keys, NewKey::named("client"));
    let extractor = FirstOf::default().or(Header::new("x-acme-key"));
    let whoami = |key: VerifiedKey| async move { key.name().to_owned() };
    let redirect = |request: Request| async move {
        let to = request.uri().to_string().split_once("/to/").unwrap().1.to_owned();
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)])
    };
    let seen = Seen::default();
    let app = Router::new().route("/", get(whoami)).route("/to/{*url}", get(redirect));
    let app = app.layer(ApiKeyLayer::new(keys).extractor(extractor));
    let address = serve(seen.record(app)).await;
    let key = text.parse().unwrap();
    Api { address, url: format!("http://{address}"), text, key, seen }
}

impl Api {
    fn layers(&self) -> [AddApiKeyLayer; 3] {
        let origins = [&*self.url];
        let header = HeaderName::from_static("x-acme-key");
        [
            AddApiKeyLayer::bearer(&self.key, origins).unwrap(),
            AddApiKeyLayer::x_api_key(&self.key, origins).unwrap(),
            AddApiKeyLayer::header(header, &self.key, origins).unwrap(),
        ]
    }

    fn x_api_key(&self) -> AddApiKeyLayer {
        AddApiKeyLayer::x_api_key(&self.key, [&*self.url]).unwrap()
    }
}

#[tokio::test]
async fn every_client_gets_in_with_its_key() {
    let api = api().await;
    for client in all_clients() {
        assert_eq!(ask(client.clone(), &api.url, &[]).await.0, StatusCode::UNAUTHORIZED);
        for layer in api.layers() {
            let answer = ask(layer.layer(client.clone()), &api.url, &[]).await;
            assert_eq!(answer, (StatusCode::OK, "client".to_owned()));
        }
    }
}

#[tokio::test]
async fn no_other_server_sees_the_key() {
    let api = api().await;
    let (other, seen) = recorder().await;
    let host = api.address.to_string();
    for client in all_clients() {
        for layer in api.layers() {
            let client = layer.layer(client.clone());
            for url in [format!("http://{other}/"), format!("http://localhost:{}/", other.port())] {
                assert_eq!(ask(client.clone(), &url, &[]).await.1, "seen");
                assert_eq!(seen.keys(), [""]);
            }
        }
    }
    // What the request says of its host is not where it goes.
    let client = api.x_api_key().layer(hyper(false));
    assert_eq!(
        ask(client.clone(), &format!("http://{other}/"), &[("host", &host)]).await.1,
        "seen"
    );
    assert_eq!(seen.keys(), [""]);
    // The same server by another name is another origin.
    let url = format!("http://localhost:{}/", api.address.port());
    assert_eq!(ask(client, &url, &[]).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_keys_never_reach_a_server() {
    let api = api().await;
    let bearer = format!("Bearer {}", api.text);
    for client in all_clients() {
        for layer in &api.layers()[..2] {
            let client = layer.layer(client.clone());
            for own in [("x-api-key", &*api.text), ("authorization", &*bearer)] {
                api.seen.keys();
                assert_eq!(ask(client.clone(), &api.url, &[own]).await.0, StatusCode::OK);
                assert_eq!(api.seen.keys(), [own.1]);
            }
            let wrong = ("x-api-key", "ak_somebody_elses");
            assert_eq!(ask(client, &api.url, &[wrong]).await.0, StatusCode::UNAUTHORIZED);
        }
    }
}

/// Follows redirects outside of the layer, as its documentation says.
fn following(
    layer: AddApiKeyLayer,
    client: Sender,
) -> impl Service<http::Request<Full<Bytes>>, Response = Response<Bytes>, Error = BoxError, Future: Send>
+ Clone {
    ServiceBuilder::new().layer(FollowRedirectLayer::new()).layer(layer).service(client)
}

#[tokio::test]
async fn a_redirect_to_another_origin_takes_no_key_along() {
    let api = api().await;
    let (other, seen) = recorder().await;
    for client in all_clients() {
        for layer in api.layers() {
            let client = following(layer, client.clone());
            for target in
                [format!("http://{other}/"), format!("http://localhost:{}/", other.port())]
            {
                let answer = ask(client.clone(), &format!("{}/to/{target}", api.url), &[]).await;
                assert_eq!(answer.1, "seen");
                assert_eq!(seen.keys(), [""]);
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_within_the_origin_keeps_the_key() {
    let api = api().await;
    let back = format!("{0}/to/{0}/to/{0}/", api.url);
    for client in all_clients() {
        for layer in api.layers() {
            let answer = ask(following(layer, client.clone()), &back, &[]).await;
            assert_eq!(answer, (StatusCode::OK, "client".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_redirect_there_and_back_gets_the_key_at_its_own_origin_only() {
    let api = api().await;
    let seen = Seen::default();
    let target = format!("{}/", api.url);
    let away = get(move || async move { (StatusCode::FOUND, [(header::LOCATION, target)]) });
    let other = serve(seen.record(Router::new().route("/", away))).await;
    for client in all_clients() {
        let client = following(api.x_api_key(), client);
        let answer = ask(client, &format!("{}/to/http://{other}/", api.url), &[]).await;
        assert_eq!(answer, (StatusCode::OK, "client".to_owned()));
        assert_eq!(seen.keys(), [""]);
    }
}

/// The caveat in the documentation of the layer, which no layer can do anything about.
#[tokio::test]
async fn who_follows_redirects_within_the_layer_gives_x_api_key_away() {
    let api = api().await;
    let (other, seen) = recorder().await;
    let url = format!("{}/to/http://{other}/", api.url);
    let [bearer, x_api_key, _] = api.layers();
    let within = || BoxCloneSyncService::new(FollowRedirectLayer::new().layer(hyper(false)));
    for client in [reqwest(Default::default()), within()] {
        assert_eq!(ask(x_api_key.layer(client.clone()), &url, &[]).await.1, "seen");
        assert_eq!(seen.keys(), [&*api.text]);
        assert_eq!(ask(bearer.layer(client), &url, &[]).await.1, "seen");
        assert_eq!(seen.keys(), [""]);
    }
}

#[tokio::test]
async fn a_tonic_client_says_its_origin() {
    let keys = MemoryStore::new();
    let key: ApiKey = issue(&keys, NewKey::named("client")).parse().unwrap();
    let (_, service) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(ApiKeyLayer::new(keys).layer(service));
    let url = format!("http://{}", serve_tonic(server).await);
    let channel = Channel::from_shared(url.clone()).unwrap().connect().await.unwrap();
    for layer in [
        AddApiKeyLayer::bearer(&key, [&*url]).unwrap(),
        AddApiKeyLayer::x_api_key(&key, [&*url]).unwrap(),
    ] {
        let channel = layer.layer(channel.clone());
        let code = async |mut client: HealthClient<_>| {
            let answer = in_time(client.check(HealthCheckRequest::default())).await;
            answer.map_or_else(|status| status.code(), |_| Code::Ok)
        };
        let uri: Uri = url.parse().unwrap();
        assert_eq!(code(HealthClient::with_origin(channel.clone(), uri)).await, Code::Ok);
        // Without an origin, nobody knows where the request goes.
        assert_eq!(code(HealthClient::new(channel.clone())).await, Code::Unauthenticated);
        let other = Uri::from_static("https://api.hapnd.example");
        let client = HealthClient::with_origin(channel, other);
        assert_eq!(code(client).await, Code::Unauthenticated);
    }
}

#[tokio::test]
async fn neither_debug_nor_log_nor_error_shows_the_key() {
    start_log();
    let api = api().await;
    let secrets = [&*api.text];
    assert_hidden(&api.key, &secrets);
    for layer in api.layers() {
        assert_hidden(&layer, &secrets);
        assert_hidden(&layer.layer(()), &secrets);
        assert_hidden(&layer.layer(hyper(false)), &secrets);
    }
    let odd: ApiKey = format!("{}!", api.text).parse().unwrap();
    let error = AddApiKeyLayer::bearer(&odd, [&*api.url]).unwrap_err();
    assert_eq!(error, AddApiKeyError::Characters);
    assert_error_hidden(&error, &secrets);
    // A key in the place of an origin.
    let error = AddApiKeyLayer::bearer(&api.key, [&*api.text]).unwrap_err();
    assert_error_hidden(&error, &secrets);
    assert_error_hidden(&api.text.parse::<Origin>().unwrap_err(), &secrets);
    // A trace and clients within the layer, which see the header.
    let trace = TraceLayer::new_for_http()
        .make_span_with(DefaultMakeSpan::new().include_headers(true))
        .on_request(DefaultOnRequest::new());
    for http2 in [false, true] {
        let client = ServiceBuilder::new().layer(api.x_api_key()).layer(trace.clone());
        let client =
            client.service(Client::builder(TokioExecutor::new()).http2_only(http2).build_http());
        let request = http::Request::get(&api.url).body(Full::<Bytes>::default()).unwrap();
        assert_eq!(in_time(client.oneshot(request)).await.unwrap().status(), StatusCode::OK);
    }
    let leaks: Vec<_> = forms(&api.text).iter().flat_map(|form| logged(form)).collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert!(!logged("Sensitive").is_empty());
}
