//! A key's text appears nowhere but where it is revealed.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{OriginalUri, Request};
use axum::response::Response;
use axum::routing::{MethodRouter, any};
use bytes::Bytes;
use http_body_util::Empty;
use tower::util::MapResponseLayer;
use tower::{Layer as _, Service as _, service_fn};
use tower_api_key::extract::{Credential, FirstOf, Query};
use tower_api_key::key::{GenerateError, KeyFormats};
use tower_api_key::testing::ActAs;
use tower_api_key::{
    Ability, ApiKeyLayer, Checksum, GuardLayer, KeyDigest, KeyFormat, KeyHasher, KeyId, KeyScheme,
    MemoryStore, NewKey, Rejection, RejectionKind, RequestHead, RequireAbility, RequireStage,
    RequireTenant, StoreError, VerifiedKey,
};
use tower_http::trace::{DefaultMakeSpan, DefaultOnRequest, DefaultOnResponse, TraceLayer};
use tracing::Level;

use crate::common::MemoryKeys as _;
use crate::common::canary::{assert_error_hidden, assert_hidden, forms, gives_away};
use crate::common::request::{RawRequest, request};
use crate::common::{OddStore, issue, send_raw, serve};
use crate::log::{logged, start_log};

const PEPPER: &str = "a-pepper-that-nobody-may-see-4711";
const CHECKSUM: &str = "a-checksum-secret-nobody-may-see-0815";

#[tokio::test]
async fn the_canary_sings_where_a_secret_is_shown() {
    start_log();
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("canary"));
    assert!(gives_away(&key, &key) && gives_away(&key[3..], &key));
    assert!(gives_away(&format!("{:?}", key.as_bytes()), &key));
    assert!(gives_away(&format!("{:#?}", key.as_bytes()), &key));
    assert!(gives_away(&key.to_lowercase(), &key) && !gives_away(&key[..30], &key));
    let request =
        http::Request::get("/").header("x-api-key", &key).body(Empty::<Bytes>::new()).unwrap();
    assert!(gives_away(&format!("{request:?}"), &key));
    assert!(gives_away(&format!("{:?}", Some(&*key)), &key));
    // A trace outside of the layer sees what a trace within it must not see.
    let app = Router::new().fallback(any(show)).layer(ApiKeyLayer::new(keys));
    let request = format!("GET / HTTP/1.1\r\nx-api-key: {key}");
    assert_eq!(send_raw(serve(traced(app)).await, request).await.status, 200);
    assert!(!logged(&key).is_empty());
}

fn formats() -> [KeyFormat; 2] {
    let keyed = KeyFormat::new("ck_").checksum(Checksum::keyed(CHECKSUM.as_bytes()));
    [KeyFormat::default(), keyed.stage("live")]
}

#[tokio::test]
async fn no_debug_shows_a_secret() {
    for format in formats() {
        let hasher = KeyHasher::hmac_sha256(PEPPER.as_bytes()).or_hmac_sha256(PEPPER.as_bytes());
        let scheme = KeyScheme::new(formats()).hasher(hasher.clone());
        let keys = MemoryStore::new();
        let new = NewKey::named("canary").format(&format).metadata("a", 1);
        let issued = keys.issue_by(&scheme, new.clone()).unwrap();
        let key = issued.secret.reveal();
        let secrets = [key, PEPPER, CHECKSUM];
        assert_hidden(&issued, &secrets);
        assert_hidden(&issued.secret, &secrets);
        assert_hidden(&issued.record, &secrets);
        assert_hidden(&issued.record.digest(), &[&issued.record.digest().to_string(), key]);
        assert_hidden(&(new, &keys, keys.records(), &hasher, &scheme), &secrets);
        assert_hidden(&(&format, KeyFormats::from(formats()), format.regex()), &secrets);
        assert_hidden(&format.parse(key).unwrap(), &secrets);
        assert_hidden(&KeyFormats::from(formats()).parse(key).unwrap(), &secrets);
        for credential in [
            Credential::in_header(http::header::AUTHORIZATION, key.as_bytes()),
            Credential::in_query("key", key.as_bytes()),
            Credential::elsewhere(key.as_bytes().to_vec()),
        ] {
            assert_hidden(&credential, &secrets);
        }
        let layer = ApiKeyLayer::new(keys.clone()).scheme(scheme);
        let layer = layer.extractor(FirstOf::default().or(Query::new("key")));
        let act_as = ActAs::with_secret(&issued.secret);
        assert_hidden(&(&layer, layer.layer(()), &act_as, act_as.clone().bearer()), &secrets);
        let mut document = utoipa::openapi::OpenApi::default();
        layer.security_schemes().add_to(&mut document);
        assert_hidden(&(layer.security_schemes(), document.to_json().unwrap()), &secrets);
        assert_hidden(&act_as.layer(layer.layer(&keys)), &secrets);
        for request in [
            http::Request::get("/").header("x-api-key", key).body(Empty::<Bytes>::new()).unwrap(),
            http::Request::get(format!("/?key={key}")).body(Empty::new()).unwrap(),
        ] {
            assert_hidden(&RequestHead::new(&request), &secrets);
            let inner = service_fn(async |request: http::Request<Empty<Bytes>>| {
                assert_hidden(request.extensions().get::<VerifiedKey>().unwrap(), &secrets);
                Ok::<_, Infallible>(http::Response::new(request))
            });
            let future = layer.layer(inner).call(request);
            assert_hidden(&future, &secrets);
            assert_hidden(&future.await.unwrap(), &secrets);
        }
    }
}

#[test]
fn no_json_of_a_record_shows_a_secret() {
    for format in formats() {
        let issued =
            NewKey::named("canary").format(&format).generate(&KeyScheme::default()).unwrap();
        let json = serde_json::to_string_pretty(&*issued.record).unwrap();
        assert!(json.contains(issued.record.id().as_str()));
        assert!(!gives_away(&json, issued.secret.reveal()), "{json}");
    }
}

#[test]
fn no_error_and_no_panic_shows_a_secret() {
    for format in formats() {
        let secret = format.generate().unwrap();
        let key = secret.reveal();
        let typo = format!("{}!", &key[..key.len() - 1]);
        let last = if key.ends_with('x') { 'y' } else { 'x' };
        let other = format!("{}{last}", &key[..key.len() - 1]);
        for wrong in [typo, other, format!("{key}x"), format!("x{key}"), format!("{key},{key}")] {
            for error in [
                format.parse(&wrong).unwrap_err(),
                KeyFormats::from(formats()).parse(&wrong).unwrap_err(),
            ] {
                assert_error_hidden(&error, &[key]);
            }
            let wrong = format!("{wrong} ");
            assert_error_hidden(&wrong.parse::<KeyDigest>().unwrap_err(), &[key]);
            assert_error_hidden(&wrong.parse::<KeyId>().unwrap_err(), &[key]);
            assert_error_hidden(&wrong.parse::<Ability>().unwrap_err(), &[key]);
            let invalid = NewKey::named("x").tenant(&wrong).generate(&KeyScheme::default());
            assert_error_hidden(&invalid.unwrap_err(), &[key]);
        }
    }
    let unchecked = KeyFormat::new("ck_").checksum(Checksum::keyed_unchecked());
    let error: GenerateError = unchecked.generate().unwrap_err();
    assert_error_hidden(&error, &[PEPPER, CHECKSUM]);
    let short = [
        catch_unwind(|| drop(KeyHasher::hmac_sha256(&PEPPER.as_bytes()[..15]))),
        catch_unwind(|| drop(Checksum::keyed(&PEPPER.as_bytes()[..15]))),
    ];
    for panic in short {
        let panic = panic.unwrap_err();
        assert!(!panic.downcast_ref::<&str>().unwrap().contains(&PEPPER[3..15]));
    }
}

/// Shows all that was forwarded.
async fn show(OriginalUri(uri): OriginalUri, request: Request) -> String {
    format!("{uri} {request:?}")
}

fn traced(app: Router) -> Router {
    let span = DefaultMakeSpan::new().include_headers(true).level(Level::TRACE);
    let response = DefaultOnResponse::new().include_headers(true).level(Level::TRACE);
    let request = DefaultOnRequest::new().level(Level::TRACE);
    let trace = TraceLayer::new_for_http().make_span_with(span).on_response(response);
    app.layer(trace.on_request(request))
}

type Seen = Arc<Mutex<Vec<Rejection>>>;

/// Serves all that can happen to a request, with a trace within the layer.
async fn serve_all(layer: ApiKeyLayer, seen: &Seen) -> SocketAddr {
    let refuse = |kind: RejectionKind| {
        let guard = move |_: &VerifiedKey, _: &RequestHead<'_>| Err(Rejection::new(kind));
        any(show).layer(GuardLayer::new(guard))
    };
    let seen = Arc::clone(seen);
    let app = Router::new()
        .route("/ability", any(show).layer(RequireAbility::new("bots:read")))
        .route("/stage", any(show).layer(RequireStage::fixed("prod")))
        .route("/tenant", any(show).layer(RequireTenant::fixed("acme")))
        .route("/not-allowed", refuse(RejectionKind::NotAllowed))
        .route("/too-often", refuse(RejectionKind::RateLimited))
        .nest("/nested", Router::new().fallback(any(show)))
        .fallback(any(show));
    let unguarded: MethodRouter = any(show).layer(RequireAbility::new("bots:read"));
    let app = traced(app).layer(layer).route("/unguarded", unguarded);
    let keep = MapResponseLayer::new(move |response: Response| {
        seen.lock().unwrap().extend(response.extensions().get::<Rejection>().cloned());
        response
    });
    serve(app.layer(keep)).await
}

/// What becomes of a key before it is sent.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Valid,
    Revoked,
    Disabled,
    Expired,
}

/// Makes a request that carries a key.
type Carries = fn(&str) -> RawRequest;

#[tokio::test]
async fn no_response_and_no_log_shows_a_secret() {
    start_log();
    let keys = MemoryStore::new();
    let (seen, now) = (Seen::default(), SystemTime::now());
    let layer = ApiKeyLayer::new(keys.clone());
    let layer = layer.extractor(FirstOf::default().or(Query::new("token")));
    let broken = OddStore { answer: || Poll::Ready(Err(StoreError::new("down"))), at_once: false };
    let all = serve_all(layer.clone(), &seen).await;
    let keeps = serve_all(ApiKeyLayer::new(keys.clone()).keep_credential(), &seen).await;
    let down = serve_all(ApiKeyLayer::new(broken), &seen).await;
    let mut sent = Vec::new();
    let requests: [(u16, SocketAddr, Fate, Carries); 27] = [
        (200, all, Fate::Valid, |key| request("GET /x").key(key)),
        (200, all, Fate::Valid, |key| {
            request("GET /x").line(format!("authorization: Bearer {key}"))
        }),
        (200, all, Fate::Valid, |key| request(format!("GET /x?a=b&token={key}&c"))),
        (200, all, Fate::Valid, |key| request(format!("GET /nested/x?token={key}"))),
        (200, keeps, Fate::Valid, |key| request("GET /x").key(key)),
        (200, keeps, Fate::Valid, |key| {
            request("GET /x").line(format!("authorization: Bearer {key}"))
        }),
        (401, all, Fate::Valid, |key| request("GET /missing").line(format!("x_api_key: {key}"))),
        (400, all, Fate::Valid, |key| request(format!("GET /ambiguous?token={key}")).key(key)),
        (400, all, Fate::Valid, |key| {
            request("GET /ambiguous").line(format!("authorization: Bearer {key}")).key(key)
        }),
        (401, all, Fate::Valid, |key| {
            request("GET /malformed").line(format!("x-api-key: {key},{key}"))
        }),
        (401, all, Fate::Valid, |key| request(format!("GET /malformed?token={key}%FF"))),
        (401, all, Fate::Valid, |key| {
            request("GET /malformed").line(format!("authorization: Bearer {key} extra"))
        }),
        (401, all, Fate::Valid, |key| {
            request("GET /malformed")
                .line(format!("x-api-key: {key}{key}{key}{key}{key}{key}{key}{key}"))
        }),
        (401, all, Fate::Valid, |key| request("GET /unknown").line(format!("x-api-key: {key}x"))),
        (401, all, Fate::Valid, |key| request(format!("GET /unknown?token={key}x"))),
        (401, all, Fate::Revoked, |key| request("GET /revoked").key(key)),
        (401, all, Fate::Disabled, |key| request("GET /disabled").key(key)),
        (401, all, Fate::Expired, |key| {
            request("GET /expired").line(format!("authorization: Bearer {key}"))
        }),
        (403, all, Fate::Valid, |key| request("GET /stage").key(key)),
        (403, all, Fate::Valid, |key| request(format!("GET /tenant?token={key}"))),
        (403, all, Fate::Valid, |key| request("GET /ability").key(key)),
        (403, all, Fate::Valid, |key| {
            request("POST /ability").line("content-type: application/grpc").key(key)
        }),
        (403, all, Fate::Valid, |key| request("GET /not-allowed").key(key)),
        (429, all, Fate::Valid, |key| request("GET /too-often").key(key)),
        (503, down, Fate::Valid, |key| request("GET /unavailable").key(key)),
        (500, all, Fate::Valid, |key| request("GET /unguarded").key(key)),
        (500, all, Fate::Valid, |key| request(format!("GET /unguarded?token={key}"))),
    ];
    for (status, address, fate, request) in requests {
        let new = NewKey::named("canary");
        let new = if fate == Fate::Expired { new.expires_at(now) } else { new };
        let issued = keys.issue(new).unwrap();
        let (id, key) = (issued.record.id(), issued.secret.reveal());
        match fate {
            Fate::Revoked => assert!(keys.revoke(id)),
            Fate::Disabled => assert!(keys.set_disabled(id, true)),
            Fate::Valid | Fate::Expired => {}
        }
        let request = request(key);
        assert!(gives_away(&request.to_string(), key));
        let response = send_raw(address, &request).await;
        assert_eq!(response.status, status, "{request}");
        let shown = format!("{:?} {}", response.headers, response.text());
        assert!(!gives_away(&shown, key), "{request} is answered {shown}");
        sent.push((request, issued.secret));
    }
    for (request, key) in &sent {
        for form in forms(key.reveal()) {
            assert_eq!(logged(&form), [""; 0], "{request}");
        }
        for rejection in &*seen.lock().unwrap() {
            assert_error_hidden(rejection, &[key.reveal()]);
        }
    }
    // All of it was logged, and every reason was seen.
    let kinds: HashSet<_> = seen.lock().unwrap().iter().map(Rejection::kind).collect();
    assert_eq!(kinds.len(), 14, "{kinds:?}");
    assert!(logged("TRACE").iter().any(|line| line.contains("started processing request")));
    assert!(logged("API key verified").len() > 5 && logged("request refused").len() > 5);
    assert!(logged("Sensitive").len() > 1);
}
