//! A session or a key on the same route, both as `Authorization: Bearer`.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use http::header::AUTHORIZATION;
use http::{Extensions, Method};
use tower_api_key::extract::{Bearer, Claimed, Extract, Header};
use tower_api_key::guard::Guard;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, KeyFormat, KeyScheme, MemoryStore, NewKey, RequestHead,
    RequireAbility, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::request::{RawRequest, request};
use crate::common::{send_raw, serve, tell_kind};

#[derive(Clone)]
struct User(&'static str);

fn is_user(head: &RequestHead<'_>) -> bool {
    head.extensions().get::<User>().is_some()
}

/// Verifies sessions: one that is a bearer token, and one that is a cookie.
async fn session(mut request: Request, next: Next) -> Response {
    let headers = request.headers();
    let token = headers.get(AUTHORIZATION).filter(|value| *value == "Bearer eyJ.of.alice").cloned();
    let cookie = headers.get("cookie").is_some_and(|value| value == "session=of-bob");
    if let Some(value) = token {
        request.extensions_mut().insert(User("alice"));
        request.extensions_mut().insert(Claimed::new(value));
    } else if cookie {
        request.extensions_mut().insert(User("bob"));
    }
    next.run(request).await
}

async fn who(key: Option<VerifiedKey>, extensions: Extensions) -> String {
    let user = extensions.get::<User>().map(|user| user.0);
    match (key, user) {
        (Some(key), _) => format!("key {}", key.name()),
        (None, Some(user)) => format!("user {user}"),
        (None, None) => "nobody".to_owned(),
    }
}

/// A server and a key for it, which may read bots.
struct Server {
    address: SocketAddr,
    key: String,
}

impl Server {
    async fn new(settings: impl FnOnce(ApiKeyLayer) -> ApiKeyLayer) -> Self {
        let scheme = KeyScheme::new(KeyFormat::new("sk_"));
        let store = MemoryStore::new();
        let issued =
            store.issue_by(&scheme, NewKey::named("reader").abilities(["bots:read"])).unwrap();
        let layer = ApiKeyLayer::new(store)
            .extractor(Header::x_api_key().or(Bearer.starting_with("sk_")))
            .scheme(scheme);
        let paid = |key: &VerifiedKey, _: &RequestHead<'_>| {
            RequireAbility::new("bots:pay").check(key, &RequestHead::new(&http::Request::new(())))
        };
        let app = Router::new()
            .route("/", any(who))
            .route("/guarded", any(who).layer(RequireAbility::new("bots:read")))
            .route("/either", any(who).layer(RequireAbility::new("bots:read").unless(is_user)))
            .route("/write", any(who).layer(RequireAbility::new("bots:write").unless(is_user)))
            .route("/and", any(who).layer(GuardLayer::new(paid.unless(is_user).and(paid))))
            .route("/or", any(who).layer(GuardLayer::new(paid.or(paid.unless(is_user)))))
            .layer(settings(layer))
            .layer(from_fn(session));
        let address = serve(tell_kind(app)).await;
        Self { address, key: issued.secret.reveal().to_owned() }
    }

    async fn answer(&self, start: &str, lines: &[&str]) -> String {
        let lines = lines.iter().map(|line| line.replace("KEY", &self.key));
        let request = lines.fold(request(start), RawRequest::line);
        let response = send_raw(self.address, &request).await;
        match response.status {
            200 => response.text().to_owned(),
            status => format!("{status} {}", response.header("x-kind").unwrap_or("none")),
        }
    }

    async fn answers(&self, expected: &[(&str, &[&str], &str)]) {
        for (start, lines, answer) in expected {
            assert_eq!(self.answer(start, lines).await, *answer, "{start} {lines:?}");
        }
    }
}

const KEY: &[&str] = &["authorization: Bearer KEY"];
const ALICE: &[&str] = &["authorization: Bearer eyJ.of.alice"];
const BOB: &[&str] = &["cookie: session=of-bob"];
const MISTYPED: &[&str] = &["authorization: Bearer s_KEY"];

#[tokio::test]
async fn a_key_or_a_session_passes_and_nobody_else() {
    let server = Server::new(|layer| layer.unless(is_user)).await;
    server
        .answers(&[
            ("GET /", KEY, "key reader"),
            ("GET /", &["x-api-key: KEY"], "key reader"),
            ("GET /", ALICE, "user alice"),
            ("GET /", BOB, "user bob"),
            ("GET /", &[], "401 missing"),
            ("GET /", MISTYPED, "401 malformed"),
            ("GET /", &["authorization: Bearer eyJ.of.mallory"], "401 malformed"),
        ])
        .await;
}

#[tokio::test]
async fn a_token_that_nobody_claims_is_refused_where_keys_are_optional() {
    let server = Server::new(ApiKeyLayer::optional).await;
    server
        .answers(&[
            ("GET /", &[], "nobody"),
            ("GET /", ALICE, "user alice"),
            ("GET /", KEY, "key reader"),
            ("GET /", MISTYPED, "401 malformed"),
            ("GET /", &["authorization: bearer   SK_1"], "401 malformed"),
            ("GET /", &["authorization: Bearer"], "401 malformed"),
            ("GET /", &["authorization: Bearer\tsk_1"], "401 malformed"),
            ("GET /", &["authorization: Bearer sk_1"], "401 malformed"),
            // Of a scheme in which no key is.
            ("GET /", &["authorization: Basic dTpw"], "nobody"),
        ])
        .await;
}

#[tokio::test]
async fn a_session_that_is_no_token_does_not_claim_one() {
    let server = Server::new(|layer| layer.unless(is_user)).await;
    let mistyped = [BOB, MISTYPED].concat();
    assert_eq!(server.answer("GET /", &mistyped).await, "401 malformed");
    let key = [BOB, KEY].concat();
    assert_eq!(server.answer("GET /", &key).await, "key reader");
}

#[tokio::test]
async fn a_key_beside_a_token_of_others_is_ambiguous() {
    let server = Server::new(|layer| layer.unless(is_user)).await;
    for token in [ALICE, MISTYPED, KEY] {
        let lines = [&["x-api-key: KEY"], token].concat();
        assert_eq!(server.answer("GET /", &lines).await, "400 ambiguous", "{token:?}");
    }
    let two = [ALICE, &["authorization: Basic dTpw"]].concat();
    assert_eq!(server.answer("GET /", &two).await, "400 ambiguous");
}

#[tokio::test]
async fn guards_let_pass_what_something_else_authenticated_only_where_they_are_told() {
    let server = Server::new(|layer| layer.optional()).await;
    server
        .answers(&[
            ("GET /guarded", KEY, "key reader"),
            ("GET /guarded", ALICE, "401 missing"),
            ("GET /either", KEY, "key reader"),
            ("GET /either", ALICE, "user alice"),
            ("GET /either", BOB, "user bob"),
            ("GET /either", &[], "401 missing"),
            ("GET /either", MISTYPED, "401 malformed"),
            // A key is judged by what it may do, whoever sends it.
            ("GET /write", KEY, "403 missing_ability"),
            ("GET /write", &[BOB[0], KEY[0]], "403 missing_ability"),
            ("GET /write", BOB, "user bob"),
            ("GET /and", BOB, "401 missing"),
            ("GET /or", BOB, "user bob"),
        ])
        .await;
}

#[tokio::test]
async fn a_guard_without_its_layer_lets_no_session_pass() {
    let app = Router::new()
        .route("/", any(who).layer(RequireAbility::new("bots:read").unless(is_user)))
        .layer(from_fn(session));
    let address = serve(tell_kind(app)).await;
    let response = send_raw(address, request("GET /").line(BOB[0])).await;
    assert_eq!((response.status, response.header("x-kind")), (500, Some("missing_layer")));
}

#[tokio::test]
async fn with_a_policy_sessions_pass_to_what_it_lists() {
    let policy =
        AccessPolicy::builder().allow("GET /", Requirement::ability("bots:write")).build().unwrap();
    let server = Server::new(|layer| layer.unless(is_user).policy(policy)).await;
    server
        .answers(&[
            ("GET /", ALICE, "user alice"),
            ("GET /", BOB, "user bob"),
            ("GET /", KEY, "403 missing_ability"),
            ("GET /", &[], "401 missing"),
            ("POST /", BOB, "401 missing"),
            ("GET /either", BOB, "401 missing"),
            // It may be a `POST` to a service that does not look at methods.
            ("GET /", &[BOB[0], "content-type: application/grpc"], "401 missing"),
        ])
        .await;
}

#[tokio::test]
async fn the_challenge_asks_for_bearer_and_documents_have_it() {
    let server = Server::new(|layer| layer).await;
    let response = send_raw(server.address, request("GET /")).await;
    assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"api\""));
    assert_eq!(response.header("vary"), Some("x-api-key, authorization"));
    let layer = ApiKeyLayer::new(MemoryStore::new());
    let [own, plain] =
        [layer.clone().extractor(Bearer.starting_with("sk_")), layer.extractor(Bearer)].map(
            |layer| {
                let mut document = utoipa::openapi::OpenApi::default();
                layer.security_schemes().add_to(&mut document);
                serde_json::to_value(&document).unwrap()
            },
        );
    assert_eq!(own, plain);
}

#[test]
#[should_panic(expected = "the extractor cannot carry keys of the format")]
fn a_scheme_with_keys_that_start_otherwise_is_refused() {
    let scheme = KeyScheme::new(KeyFormat::new("ak_"));
    let _ =
        ApiKeyLayer::new(MemoryStore::new()).scheme(scheme).extractor(Bearer.starting_with("sk_"));
}

#[test]
fn extractors_are_joined_as_it_reads() {
    let extractor =
        Header::x_api_key().or(Bearer.starting_with("sk_")).or(Bearer.starting_with("pk_"));
    for (token, key) in [("sk_1", true), ("pk_1", true), ("rk_1", false)] {
        let request = http::Request::builder()
            .method(Method::GET)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(())
            .unwrap();
        let head = RequestHead::new(&request);
        assert_eq!(extractor.extract(&head).unwrap().is_some(), key, "{token}");
    }
}
