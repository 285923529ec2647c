//! Real shared caches in front of an application: none answers for one key with what another got,
//! and all keep what the application lets them keep.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::response::{AppendHeaders, IntoResponse};
use axum::routing::get;
use http::HeaderValue;
use tower_api_key::{ApiKeyLayer, JoinVary, MemoryStore, NewKey, VerifiedKey};
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;

use crate::caches::{Program, SharedCache};
use crate::common::{issue, serve};

/// What handlers say to caches.
const ANSWERS: [(&str, &[(&str, &str)]); 9] = [
    ("silent", &[]),
    ("public", &[PUBLIC]),
    ("public-vary", &[PUBLIC, ("vary", "accept")]),
    ("public-vary-lines", &[PUBLIC, ("vary", "accept"), ("vary", "accept-language")]),
    ("max-age", &[("cache-control", "max-age=60")]),
    ("s-maxage", &[("cache-control", "s-maxage=60")]),
    ("public-lines", &[("cache-control", "public"), ("cache-control", "max-age=60")]),
    ("any", &[PUBLIC, ("vary", "accept, *")]),
    (
        "targeted",
        &[
            ("x-accel-expires", "60"),
            ("cache-control", "no-store"),
            ("surrogate-control", "max-age=60"),
            ("cdn-cache-control", "max-age=60"),
        ],
    ),
];
const PUBLIC: (&str, &str) = ("cache-control", "public, max-age=60");

/// Where a client puts its key.
#[derive(Clone, Copy, Debug)]
enum Carrier {
    ApiKey,
    Bearer,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Ann,
    Bob,
    /// With a key that is not valid.
    Wrong,
    /// Without a key.
    Nobody,
}

use self::Carrier::{ApiKey, Bearer};
use self::Client::{Ann, Bob, Nobody, Wrong};

/// An application with a cache in front of it.
struct Site {
    cache: SharedCache,
    /// Ann's and Bob's.
    keys: [String; 2],
    client: reqwest::Client,
}

/// Serves answers behind layers under their names.
async fn application() -> (SocketAddr, [String; 2]) {
    let keys = MemoryStore::new();
    let clients = ["Ann", "Bob"].map(|name| issue(&keys, NewKey::named(name)));
    let layer = ApiKeyLayer::new(keys);
    let answers = || Router::new().route("/{answer}/{case}", get(answer));
    let outside = answers().layer(layer.clone()).layer(CompressionLayer::new());
    let cors = CorsLayer::new().allow_origin([HeaderValue::from_static("https://shop.example")]);
    let app = Router::new()
        .route("/ready", get(|| async { ([("cache-control", "no-store")], "ready") }))
        .nest("/required", answers().layer(layer.clone()))
        .nest("/optional", answers().layer(layer.clone().optional()))
        .nest("/outside", outside.layer(cors).layer(JoinVary))
        .nest("/untold", answers().layer(layer.without_cache_headers()));
    (serve(app).await, clients)
}

/// Says who asked, and how many were answered before.
async fn answer(
    Path((answer, _)): Path<(String, usize)>,
    key: Option<VerifiedKey>,
) -> impl IntoResponse {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let fields = ANSWERS.iter().find(|(name, _)| *name == answer).unwrap().1;
    let name = key.as_ref().map_or("Nobody", |key| key.name());
    let count = ANSWERED.fetch_add(1, Ordering::Relaxed);
    // Long enough to be compressed.
    (AppendHeaders(fields.iter().copied()), format!("{name} {count} {}", ".".repeat(64)))
}

impl Site {
    async fn start(program: Program) -> Self {
        let (application, keys) = application().await;
        let cache = SharedCache::start(program, application).await;
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20));
        Self { cache, keys, client: client.build().unwrap() }
    }

    /// Sends requests to a URL of their own, and returns the bodies of their answers, or which of
    /// them was not for the one who asked.
    async fn ask(
        &self,
        layer: &str,
        answer: &str,
        requests: &[(Client, Carrier)],
    ) -> Result<Vec<String>, String> {
        static CASES: AtomicUsize = AtomicUsize::new(0);
        let case = CASES.fetch_add(1, Ordering::Relaxed);
        let url = format!("http://{}/{layer}/{answer}/{case}", self.cache.address());
        let mut bodies = Vec::new();
        for (client, carrier) in requests {
            let key = match client {
                Ann => &*self.keys[0],
                Bob => &*self.keys[1],
                Wrong => "wrong",
                Nobody => "",
            };
            let request = self.client.get(&url);
            let request = match carrier {
                _ if *client == Nobody => request,
                ApiKey => request.header("x-api-key", key),
                Bearer => request.bearer_auth(key),
            };
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            let body = response.text().await.unwrap();
            let is_refused = *client == Wrong || (*client == Nobody && layer != "optional");
            let is_right = match is_refused {
                true => status == 401,
                false => status == 200 && body.starts_with(&format!("{client:?} ")),
            };
            if !is_right {
                let before = &requests[..bodies.len()];
                return Err(format!("{url}: {client:?} got {status} {body} after {before:?}"));
            }
            bodies.push(body);
        }
        Ok(bodies)
    }

    async fn assert_keys_are_apart(&self, answer: &str) {
        let is_public = answer.starts_with("public");
        for (layer, carrier) in
            [("required", ApiKey), ("required", Bearer), ("outside", ApiKey), ("outside", Bearer)]
        {
            let clients = [Ann, Ann, Bob, Wrong, Nobody, Ann, Bob];
            let requests = clients.map(|client| (client, carrier));
            let bodies = self.ask(layer, answer, &requests).await.unwrap();
            let kept = [bodies[1] == bodies[0], bodies[5] == bodies[0], bodies[6] == bodies[2]];
            let requests = format!("{answer} by {carrier:?} behind {layer}");
            // Neither others nor refusals take away what is kept.
            assert!(!is_public || kept == [true; 3], "{requests}: kept {kept:?}");
            assert!(answer != "silent" || kept == [false; 3], "{requests}: kept {kept:?}");

            let refused_first = [Wrong, Nobody, Ann, Ann].map(|client| (client, carrier));
            let bodies = self.ask(layer, answer, &refused_first).await.unwrap();
            assert!(!is_public || bodies[2] == bodies[3], "{requests}: a refusal is in the way");
        }
        for (first, second) in [(ApiKey, Bearer), (Bearer, ApiKey)] {
            let requests = [
                (Ann, first),
                (Bob, second),
                (Wrong, second),
                (Ann, second),
                (Bob, first),
                (Wrong, first),
                (Nobody, first),
            ];
            self.ask("required", answer, &requests).await.unwrap();
        }
    }

    async fn assert_keys_and_nobody_are_apart(&self, answer: &str) {
        let is_public = answer.starts_with("public");
        for carrier in [ApiKey, Bearer] {
            for clients in [
                [Nobody, Nobody, Ann, Ann, Bob, Wrong, Nobody, Ann],
                [Ann, Ann, Nobody, Nobody, Bob, Wrong, Ann, Nobody],
            ] {
                let requests = clients.map(|client| (client, carrier));
                let bodies = self.ask("optional", answer, &requests).await.unwrap();
                let kept = [bodies[1] == bodies[0], bodies[3] == bodies[2]];
                assert!(!is_public || kept == [true; 2], "{answer} by {carrier:?}: kept {kept:?}");
            }
        }
        let both = [(Ann, ApiKey), (Bob, Bearer), (Nobody, Bearer), (Wrong, ApiKey), (Ann, Bearer)];
        self.ask("optional", answer, &both).await.unwrap();
    }

    /// The tests of these answers can fail.
    async fn assert_keys_are_not_apart_untold(&self) {
        for carrier in [ApiKey, Bearer] {
            for client in [Bob, Wrong, Nobody] {
                let requests = [(Ann, carrier), (client, carrier)];
                let error = self.ask("untold", "public", &requests).await.unwrap_err();
                assert!(error.contains("got 200 Ann"), "{error}");
            }
        }
    }
}

async fn check(program: Program) {
    let site = Site::start(program).await;
    for (answer, _) in ANSWERS {
        site.assert_keys_are_apart(answer).await;
        site.assert_keys_and_nobody_are_apart(answer).await;
    }
    site.assert_keys_are_not_apart_untold().await;
}

#[tokio::test]
#[ignore = "needs nginx: run tests/all"]
async fn nginx_gives_no_key_the_answer_of_another() {
    check(Program::Nginx).await;
}

#[tokio::test]
#[ignore = "needs Traffic Server: run tests/all"]
async fn traffic_server_gives_no_key_the_answer_of_another() {
    check(Program::TrafficServer).await;
}

#[tokio::test]
#[ignore = "needs Varnish: run tests/all"]
async fn varnish_gives_no_key_the_answer_of_another() {
    check(Program::Varnish).await;
}

#[tokio::test]
#[ignore = "needs Squid: run tests/all"]
async fn squid_gives_no_key_the_answer_of_another() {
    check(Program::Squid).await;
}

#[tokio::test]
#[ignore = "needs Apache: run tests/all"]
async fn apache_gives_no_key_the_answer_of_another() {
    check(Program::Apache).await;
}
