//! Programs that do what a server says: over sockets, to servers of this crate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tonic::transport::{Channel, Server};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::retry::RetryLayer;
use tower::{Layer as _, ServiceBuilder, ServiceExt as _};
use tower_api_key::client::{AddApiKeyLayer, Advice, ApiKey, KeyFault, Problem, RetryPolicy};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, MemoryStore, NewKey, RequireAbility, RequireStage, StoreError, VerifiedKey,
};

use crate::common::{OddStore, in_time, issue, serve, serve_tonic};

/// A server, and how often it was asked.
struct Api {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl Api {
    /// Serves `layer`; `after` is told of each response.
    async fn start(
        layer: ApiKeyLayer,
        after: impl Fn(&Response) + Clone + Send + Sync + 'static,
    ) -> Self {
        let echo =
            |key: VerifiedKey, body: String| async move { format!("{}: {body}", key.name()) };
        let guarded = get(|| async {}).layer(RequireAbility::new("bots:read"));
        let staged = get(|| async {}).layer(RequireStage::fixed("live"));
        let app = Router::new().route("/", post(echo).get(echo)).route("/guarded", guarded);
        let app = app.route("/staged", staged).layer(layer);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let app = app.layer(axum::middleware::map_response(move |response: Response| {
            count.fetch_add(1, Ordering::SeqCst);
            after(&response);
            async { response }
        }));
        Self { address: serve(app).await, asked }
    }

    /// Asks through the retries and the key's layer. Returns the status, the body, and how often
    /// the server was asked.
    async fn ask(&self, policy: RetryPolicy, key: &str, method: Method) -> (u16, String, usize) {
        let url = format!("http://{}", self.address);
        let key: ApiKey = key.parse().unwrap();
        let client = ServiceBuilder::new()
            .layer(RetryLayer::new(policy))
            .layer(AddApiKeyLayer::bearer(&key, [&*url]).unwrap())
            .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
        let request = Request::builder().method(method).uri(url).body(Full::from("hello")).unwrap();
        let before = self.asked.load(Ordering::SeqCst);
        let response = in_time(client.oneshot(request)).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let asked = self.asked.load(Ordering::SeqCst) - before;
        (status, String::from_utf8(body.to_vec()).unwrap(), asked)
    }
}

/// A client without retries, which may have a key.
async fn advice(address: SocketAddr, path: &str, lines: &[(&str, &str)]) -> (Advice, Problem) {
    let mut request = Request::get(format!("http://{address}{path}"));
    for (name, value) in lines {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.body(Full::<Bytes>::default()).unwrap());
    let response = in_time(response).await.unwrap();
    let advice = Advice::of(&response);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (advice, Problem::parse(&body).unwrap())
}

fn broken() -> ApiKeyLayer {
    let answer = || Poll::Ready(Err(StoreError::new("down")));
    ApiKeyLayer::new(OddStore { answer, at_once: false })
}

#[tokio::test]
async fn a_limited_key_gets_in_after_the_time_that_the_server_told() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("limited").limit("1 per second"));
    let clock = FakeClock::new();
    // The server's time passes when it has told a client to wait: the client's own is real.
    let passing = clock.clone();
    let api = Api::start(ApiKeyLayer::new(keys).clock(clock), move |response| {
        if let Some(wait) = response.headers().get("retry-after") {
            passing.advance(Duration::from_secs(wait.to_str().unwrap().parse().unwrap()));
        }
    })
    .await;
    let done = |asked| (200, "limited: hello".to_owned(), asked);
    assert_eq!(api.ask(RetryPolicy::new(), &key, Method::POST).await, done(1));
    let start = tokio::time::Instant::now();
    assert_eq!(api.ask(RetryPolicy::new(), &key, Method::POST).await, done(2));
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_that_asks_for_more_than_the_cap_is_not_asked_again() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("limited").limit("1 per hour"));
    let api = Api::start(ApiKeyLayer::new(keys), |_| {}).await;
    assert_eq!(api.ask(RetryPolicy::new(), &key, Method::GET).await.0, 200);
    let (status, body, asked) = api.ask(RetryPolicy::new(), &key, Method::GET).await;
    assert_eq!((status, asked), (429, 1));
    let problem = Problem::parse(body.as_bytes()).unwrap();
    assert_eq!(problem.violated_policies(), ["hourly"]);
}

#[tokio::test]
async fn a_wrong_key_is_not_tried_again() {
    let api = Api::start(ApiKeyLayer::new(MemoryStore::new()), |_| {}).await;
    let (status, _, asked) = api.ask(RetryPolicy::new(), "ak_unknown", Method::GET).await;
    assert_eq!((status, asked), (401, 1));
}

#[tokio::test]
async fn a_server_without_its_store_is_asked_again_for_what_can_be_done_twice() {
    let api = Api::start(broken(), |_| {}).await;
    let policy = RetryPolicy::new().max_attempts(2);
    let (status, _, asked) = api.ask(policy.clone(), "ak_any", Method::GET).await;
    assert_eq!((status, asked), (503, 2));
    let (status, _, asked) = api.ask(policy, "ak_any", Method::POST).await;
    assert_eq!((status, asked), (503, 1));
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error_at_once() {
    // Nobody listens there any more.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = RetryLayer::new(RetryPolicy::new().max_attempts(1000)).layer(client);
    let request = Request::get(url).body(Full::default()).unwrap();
    assert!(in_time(client.oneshot(request)).await.unwrap_err().is_connect());
}

#[tokio::test]
async fn every_refusal_says_what_to_do() {
    let keys = MemoryStore::new();
    let weak = issue(&keys, NewKey::named("weak"));
    let limited = issue(&keys, NewKey::named("limited").limit("1 per hour"));
    let layer = ApiKeyLayer::new(keys.clone()).clock(FakeClock::new());
    let api = Api::start(layer, |_| {}).await;
    let store = Api::start(broken(), |_| {}).await;
    let [weak, limited] = [("x-api-key", &*weak), ("x-api-key", &*limited)];
    spend(api.address, limited).await;
    let scope = KeyFault::InsufficientScope { scope: vec!["bots:read".to_owned()] };
    for (address, path, lines, expected, detail) in [
        (api.address, "/", &[][..], Advice::FixKey(KeyFault::Missing), "An API key is required"),
        (
            api.address,
            "/",
            &[("x-api-key", "ak_unknown")],
            Advice::FixKey(KeyFault::Invalid),
            "The API key is not valid",
        ),
        (
            api.address,
            "/",
            &[weak, ("authorization", "Bearer other")],
            Advice::FixKey(KeyFault::InvalidRequest),
            "More than one API key was given",
        ),
        (api.address, "/guarded", &[weak], Advice::FixKey(scope), "Missing ability: bots:read"),
        (
            api.address,
            "/staged",
            &[weak],
            Advice::FixKey(KeyFault::Forbidden),
            "The API key is for another stage",
        ),
        (
            api.address,
            "/",
            &[limited],
            Advice::Wait(Duration::from_secs(3600)),
            "The API key was used too often",
        ),
        (
            store.address,
            "/",
            &[weak],
            Advice::Wait(Duration::from_secs(1)),
            "API keys cannot be verified at the moment",
        ),
    ] {
        let (advice, problem) = advice(address, path, lines).await;
        assert_eq!(advice, expected, "{path} {lines:?}");
        assert_eq!(problem.detail(), Some(detail));
    }
}

/// Spends the only request of a key, which is served.
async fn spend(address: SocketAddr, key: (&str, &str)) {
    let request = Request::get(format!("http://{address}/")).header(key.0, key.1);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.body(Full::<Bytes>::default()).unwrap());
    assert_eq!(Advice::of(&in_time(response).await.unwrap()), Advice::Proceed);
}

#[tokio::test]
async fn every_refusal_of_a_grpc_server_says_what_to_do() {
    let keys = MemoryStore::new();
    let [weak, limited] = [
        issue(&keys, NewKey::named("weak")),
        issue(&keys, NewKey::named("limited").limit("1 per hour").abilities(["health:check"])),
    ];
    let layer = ApiKeyLayer::new(keys.clone()).clock(FakeClock::new());
    let forbidden = Advice::FixKey(KeyFault::Forbidden);
    let seen = |layer: ApiKeyLayer| async move {
        let (_, service) = tonic_health::server::health_reporter();
        let service = layer.layer(RequireAbility::new("health:check").layer(service));
        serve_tonic(Server::builder().add_service(service)).await
    };
    let (api, store) = (seen(layer).await, seen(broken()).await);
    for (address, key, expected) in [
        (api, "ak_unknown", Advice::FixKey(KeyFault::Invalid)),
        (api, &*weak, forbidden),
        (api, &*limited, Advice::Proceed),
        (api, &*limited, Advice::Wait(Duration::from_secs(3600))),
        (store, "ak_any", Advice::Wait(Duration::from_secs(1))),
    ] {
        let url = format!("http://{address}");
        let channel = Channel::from_shared(url.clone()).unwrap().connect().await.unwrap();
        // What a layer in the client sees, and what its caller sees.
        let key: ApiKey = key.parse().unwrap();
        let told = Arc::new(std::sync::Mutex::new(None));
        let heard = Arc::clone(&told);
        let service = ServiceBuilder::new()
            .layer(AddApiKeyLayer::x_api_key(&key, [&*url]).unwrap())
            .map_response(move |response: http::Response<_>| {
                *heard.lock().unwrap() = Some(Advice::of(&response));
                response
            })
            .service(channel);
        let mut client = HealthClient::with_origin(service, url.parse().unwrap());
        let advice = match in_time(client.check(HealthCheckRequest::default())).await {
            Ok(_) => Advice::Proceed,
            Err(status) => Advice::of_grpc(status.code().into(), status.metadata().as_ref()),
        };
        assert_eq!(advice, expected);
        assert_eq!(told.lock().unwrap().take(), Some(expected));
    }
}
