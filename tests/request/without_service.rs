//! A layer that decides without a service says what its service says.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use tower_api_key::observe::{Finished, Observe};
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, FailureThrottle, KeyKind, MemoryRateLimiter, MemoryStore, NewKey, PeerAddress,
    Rejection, RejectionKind, RequireAbility, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::remote::Remote;

/// Notes what it observes.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Observe for Notes {
    fn admitted(&self, key: &VerifiedKey, head: &tower_api_key::RequestHead<'_>) {
        self.0.lock().unwrap().push(format!("admitted {} {:?}", key.name(), head.headers()));
    }

    fn finished(&self, request: &Finished<'_>) {
        let waited = (request.lookup_time().is_some(), request.limiter_time().is_some());
        let key = request.key().map(VerifiedKey::name);
        let note = format!("{:?} {key:?} {waited:?}", request.outcome());
        self.0.lock().unwrap().push(note);
    }
}

/// Does what the service of the layer does, by hand.
async fn by_hand(State(layer): State<ApiKeyLayer>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match layer.verify(&mut parts).await {
        Ok(admitted) => {
            let key = parts.extensions.get::<VerifiedKey>().map(VerifiedKey::id);
            assert_eq!(admitted.key().map(VerifiedKey::id), key);
            let response = next.run(Request::from_parts(parts, body)).await;
            admitted.finish(response).await.into_response()
        }
        Err(refusal) => refusal.into_response_draining(body).map(Body::from),
    }
}

async fn echo(key: Option<VerifiedKey>, headers: HeaderMap) -> String {
    format!("{:?} {headers:?}", key.as_ref().map(VerifiedKey::name))
}

fn app() -> Router {
    let cached = get(|| async { ([("cache-control", "no-cache")], "cached") });
    Router::new()
        .route("/", get(echo).post(echo))
        .route("/cached", cached)
        .route("/guarded", get(echo).layer(RequireAbility::new("bots:write")))
        .route("/acme.Bots/List", post(echo))
}

/// Two applications alike: behind the service of a layer, and behind what does it by hand.
struct Pair {
    apps: [Router; 2],
    notes: [Notes; 2],
    keys: [String; 3],
}

impl Pair {
    fn new(remote: bool, settings: impl Fn(ApiKeyLayer) -> ApiKeyLayer) -> Self {
        let clock = FakeClock::new();
        let store = MemoryStore::new();
        let keys = [
            NewKey::named("reader").abilities(["bots:read"]),
            NewKey::named("limited").abilities(["bots:read"]).limit("3 per hour"),
            NewKey::named("public").kind(KeyKind::Public),
        ];
        let keys = keys.map(|key| store.issue(key).unwrap().secret.reveal().to_owned());
        let notes = [Notes::default(), Notes::default()];
        let [service, hand] = notes.clone().map(|notes| {
            let limiter = MemoryRateLimiter::new().clock(clock.clone());
            let layer = if remote {
                ApiKeyLayer::new(Remote(store.clone())).rate_limiter(Remote(limiter))
            } else {
                ApiKeyLayer::new(store.clone()).rate_limiter(limiter)
            };
            settings(layer.observer(notes))
        });
        let apps = [app().layer(service), app().layer(from_fn_with_state(hand, by_hand))];
        Self { apps, notes, keys }
    }

    /// Asks both, which have to answer alike.
    async fn ask(
        &self,
        request: &http::Request<&'static str>,
    ) -> (StatusCode, Option<RejectionKind>) {
        let [service, hand] = &self.apps;
        let (service, hand) = (answer(service, request).await, answer(hand, request).await);
        assert_eq!(service, hand, "{request:?}");
        (service.0, service.3)
    }
}

type Answer = (StatusCode, HeaderMap, Vec<u8>, Option<RejectionKind>);

async fn answer(app: &Router, request: &http::Request<&'static str>) -> Answer {
    let (parts, body) = request.clone().into_parts();
    let request = Request::from_parts(parts, Body::from(body));
    let response = app.clone().oneshot(request).await.unwrap();
    let kind = response.extensions().get::<Rejection>().map(Rejection::kind);
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, body.collect().await.unwrap().to_bytes().to_vec(), kind)
}

fn requests(keys: &[String; 3]) -> Vec<http::Request<&'static str>> {
    let [reader, limited, public] = keys;
    let get =
        |path: &str, key: &str| http::Request::get(path).header("x-api-key", key).body("").unwrap();
    let mut requests = vec![
        get("/", reader),
        get("/", reader),
        get("/cached", reader),
        get("/guarded", reader),
        get("/nowhere", reader),
        get("/", public),
        get("/", "ak_unknown"),
        get("/", "not a key"),
        get("/", ""),
        http::Request::get("/").body("").unwrap(),
        http::Request::head("/").header("authorization", "Bearer x").body("").unwrap(),
        http::Request::get("/")
            .header("x-api-key", reader)
            .header("authorization", format!("Bearer {reader}"))
            .body("")
            .unwrap(),
        http::Request::post("/").header("x-api-key", reader).body("a body").unwrap(),
        http::Request::post("/").header("x-api-key", "wrong").body("a body").unwrap(),
        http::Request::options("/")
            .header("origin", "https://acme.example")
            .header("access-control-request-method", "GET")
            .body("")
            .unwrap(),
    ];
    for key in [reader, "wrong"] {
        let call = http::Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri("/acme.Bots/List")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-api-key", key)
            .body("a message");
        requests.push(call.unwrap());
    }
    // A refusal by a guard is given back: what is left tells.
    for path in ["/", "/guarded", "/", "/guarded", "/", "/", "/"] {
        requests.push(get(path, limited));
    }
    for request in &mut requests {
        request.extensions_mut().insert(PeerAddress((Ipv4Addr::LOCALHOST, 1).into()));
    }
    requests
}

#[tokio::test]
async fn both_ways_say_the_same() {
    let policy = || {
        AccessPolicy::builder()
            .public("GET /cached", "a test")
            .allow("GET /", Requirement::ability("bots:read"))
            .allow("GET /guarded", Requirement::key())
            .allow_grpc("acme.Bots/List", Requirement::key().any_kind())
            .build()
            .unwrap()
    };
    let throttle = || FailureThrottle::new("2 per hour").clock(FakeClock::new());
    let settings: [&dyn Fn(ApiKeyLayer) -> ApiKeyLayer; 6] = [
        &|layer| layer,
        &|layer| layer.optional().keep_credential().x_rate_limit_headers(),
        &|layer| layer.policy(policy()),
        &|layer| layer.failure_throttle(throttle()),
        &|layer| layer.guard(RequireAbility::new("bots:read")).without_cache_headers(),
        &|layer| layer.request_cost(|_, _| 2).accept_public_keys(),
    ];
    for (number, settings) in settings.iter().enumerate() {
        for remote in [false, true] {
            let pair = Pair::new(remote, settings);
            let mut seen = Vec::new();
            for request in &requests(&pair.keys) {
                seen.push(pair.ask(request).await);
            }
            let [service, hand] =
                pair.notes.map(|notes| std::mem::take(&mut *notes.0.lock().unwrap()));
            assert_eq!(service, hand, "settings {number}, remote: {remote}");
            assert!(service.len() >= seen.len(), "{service:?}");
            let kinds: Vec<_> = seen.into_iter().filter_map(|(_, kind)| kind).collect();
            assert!(kinds.contains(&RejectionKind::RateLimited), "{number}: {kinds:?}");
        }
    }
}

#[tokio::test]
async fn what_is_dropped_is_observed() {
    let keys = MemoryStore::new();
    let key = keys.issue(NewKey::named("reader")).unwrap().secret;
    let notes = Notes::default();
    let layer = ApiKeyLayer::new(keys).observer(notes.clone());
    let request = http::Request::get("/").header("x-api-key", key.reveal()).body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    drop(layer.verify(&mut parts).await.unwrap());
    assert_eq!(notes.0.lock().unwrap()[1], "Dropped Some(\"reader\") (false, false)");
}

#[tokio::test]
async fn a_body_that_is_finished_ends_with_its_key() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("reader")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let request =
        http::Request::get("/").header("x-api-key", issued.secret.reveal()).body(()).unwrap();
    let (mut parts, ()) = request.into_parts();
    let admitted = layer.verify(&mut parts).await.unwrap();
    let (sender, body) = tokio::sync::mpsc::channel::<Result<&str, std::io::Error>>(4);
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(body));
    let mut body = admitted.finish(http::Response::new(body)).await.into_body();
    for text in ["one", "two"] {
        sender.send(Ok(text)).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    }
    assert!(keys.revoke(issued.record.id()));
    let ended = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.unwrap();
    assert!(ended.unwrap().is_err());
    assert!(layer.verify(&mut parts).await.is_err());
}

#[tokio::test]
async fn a_refusal_is_an_error_and_a_response() {
    let layer = ApiKeyLayer::new(MemoryStore::new());
    let (mut parts, ()) = http::Request::get("/").body(()).unwrap().into_parts();
    let refusal = layer.verify(&mut parts).await.unwrap_err();
    assert_eq!(refusal.to_string(), "request refused: missing");
    assert_eq!(refusal.rejection().kind(), RejectionKind::Missing);
    let response = http::Response::from(refusal);
    assert_eq!(response.status(), 401);
    assert_eq!(response.headers()["www-authenticate"], "Bearer realm=\"api\"");
    // What is not let through is left as it was.
    assert_eq!(parts.uri, "/");
}
