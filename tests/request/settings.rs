//! The settings of the layer, one by one, over sockets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use http::Response;
use http::header::CONTENT_LENGTH;
use tower::Layer as _;
use tower_api_key::extract::{AuthorizationScheme, Header, Query};
use tower_api_key::testing::{ActAs, FakeClock};
use tower_api_key::{
    ApiKeyLayer, Clock as _, KeyFormat, KeyHasher, KeyManager, KeyScheme, MemoryStore, NewKey,
    Rejection, RequestHead, RequireAbility, RequireStage, RequireTenant, Responder, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::{
    CountingStore, RawResponse, echo, http2_client, in_time, issue, send_raw, serve, serve_hyper,
};

async fn start(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().route("/", get(echo)).layer(layer)).await
}

fn robot() -> (MemoryStore, String) {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("robot"));
    (keys, key)
}

async fn ask(address: SocketAddr, path: &str, lines: &[&str]) -> RawResponse {
    in_time(crate::common::get_raw(address, path, lines)).await
}

async fn ask_with(address: SocketAddr, key: &str) -> RawResponse {
    ask(address, "/", &[&format!("x-api-key: {key}")]).await
}

/// Returns the first word of `echo`.
fn name(response: &RawResponse) -> Option<&str> {
    assert_eq!(response.status, 200, "{}", response.text());
    response.text().split(' ').next()
}

#[tokio::test]
async fn optional_keys_may_be_absent_but_not_wrong() {
    let (keys, key) = robot();
    let address = start(ApiKeyLayer::new(keys).optional()).await;
    assert_eq!(name(&ask(address, "/", &[]).await), Some("nobody"));
    assert_eq!(name(&ask_with(address, &key).await), Some("robot"));
    let twice = format!("x-api-key: {key}\r\nx-api-key: {key}");
    for (line, status) in [("x-api-key: nobody", 401), ("x-api-key: ", 401), (&*twice, 400)] {
        assert_eq!(ask(address, "/", &[line]).await.status, status, "{line}");
    }
}

#[tokio::test]
async fn a_route_that_needs_a_key_refuses_anonymous_requests_in_the_words_of_the_layer() {
    let (keys, key) = robot();
    let words = |rejection: &Rejection, head: &RequestHead<'_>| {
        let text = format!("{} at {}", rejection.kind(), head.uri().path());
        Response::builder().status(rejection.kind().status()).body(text.into()).unwrap()
    };
    let layer = ApiKeyLayer::new(keys).optional().responder(words).realm("shop");
    let app = Router::new()
        .route("/guarded", get(echo).layer(RequireAbility::new("bots:read")))
        .route("/taken", get(async |key: VerifiedKey| key.name().to_owned()));
    let address = serve(app.layer(layer)).await;
    for path in ["/guarded", "/taken"] {
        let refused = ask(address, path, &[]).await;
        assert_eq!((refused.status, refused.text()), (401, &*format!("missing at {path}")));
        assert_eq!(refused.header("www-authenticate"), Some(r#"Bearer realm="shop""#));
    }
    let line = format!("x-api-key: {key}");
    assert_eq!(ask(address, "/taken", &[&line]).await.text(), "robot");
    let weak = ask(address, "/guarded", &[&line]).await;
    assert_eq!((weak.status, weak.text()), (403, "missing_ability at /guarded"));
}

#[tokio::test]
async fn a_text_of_no_format_never_reaches_the_store() {
    let store = CountingStore::default();
    let live = KeyFormat::new("sk_live_").stage("live");
    let key = issue(&store.keys, NewKey::named("robot").format(&live));
    let layer =
        ApiKeyLayer::new(store.clone()).scheme(KeyScheme::new([KeyFormat::default(), live]));
    let address = start(layer).await;
    let test = key.replace("live", "test");
    for wrong in ["nobody", "sk_live_", &test, &key[1..], &key[..key.len() - 1]] {
        assert_eq!(ask_with(address, wrong).await.status, 401);
    }
    assert_eq!(store.asked(), 0);
    assert_eq!(name(&ask_with(address, &key).await), Some("robot"));
    assert_eq!(store.asked(), 1);
}

#[tokio::test]
async fn a_pepper_can_be_replaced_while_its_keys_still_work() {
    let (old, new) = (KeyHasher::hmac_sha256(&[1; 32]), KeyHasher::hmac_sha256(&[2; 32]));
    let both = new.clone().or_hmac_sha256(&[1; 32]);
    let [old, both, new] = [old, both, new].map(|hasher| KeyScheme::default().hasher(hasher));
    let keys = MemoryStore::new();
    let old_key = keys.issue_by(&old, NewKey::named("old")).unwrap().secret;
    let issued = NewKey::named("new").generate(&both).unwrap();
    keys.insert(issued.record);
    for (scheme, statuses) in [(old, [200, 401]), (both, [200, 200]), (new, [401, 200])] {
        let address = start(ApiKeyLayer::new(keys.clone()).scheme(scheme)).await;
        for (key, status) in [old_key.reveal(), issued.secret.reveal()].into_iter().zip(statuses) {
            assert_eq!(ask_with(address, key).await.status, status);
        }
    }
}

#[tokio::test]
async fn a_key_expires_by_the_clock_of_the_layer() {
    let (clock, keys) = (FakeClock::new(), MemoryStore::new());
    let end = clock.now() + Duration::from_secs(60);
    let key = issue(&keys, NewKey::named("brief").expires_at(end));
    let address = start(ApiKeyLayer::new(keys).clock(clock.clone())).await;
    for (step, status) in [(0, 200), (59_999_999_999, 200), (1, 401), (1 << 40, 401)] {
        clock.advance(Duration::from_nanos(step));
        assert_eq!(ask_with(address, &key).await.status, status, "after {step} ns more");
    }
}

#[tokio::test]
async fn the_guards_of_the_layer_are_asked_in_order_of_every_key() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone()).responder(Responder::text()).optional();
    let layer = layer.guard(RequireTenant::fixed("acme")).guard(RequireStage::fixed("prod"));
    let address = start(layer).await;
    let x = NewKey::named("x");
    for (key, body) in [
        (x.clone(), "The API key is for another tenant"),
        (x.tenant("acme"), "The API key is for another stage"),
    ] {
        let refused = ask_with(address, &issue(&keys, key)).await;
        assert_eq!((refused.status, refused.text()), (403, body));
    }
    let right = issue(&keys, NewKey::named("robot").tenant("acme").stage("prod"));
    assert_eq!(name(&ask_with(address, &right).await), Some("robot"));
    assert_eq!(name(&ask(address, "/", &[]).await), Some("nobody"));
}

#[tokio::test]
async fn challenges_have_the_realm_and_do_not_tell_missing_from_wrong_if_asked_to() {
    let layer = ApiKeyLayer::new(MemoryStore::new()).realm("my shop");
    let token = layer.clone().extractor(AuthorizationScheme::new("Token"));
    let generic = layer.clone().generic_challenge();
    let plain = |scheme| format!(r#"{scheme} realm="my shop""#);
    let wrong = format!(r#"{}, error="invalid_token""#, plain("Bearer"));
    for (layer, missing, invalid) in [
        (layer, plain("Bearer"), &wrong),
        (generic, wrong.clone(), &wrong),
        (token.clone(), plain("Token"), &plain("Token")),
        (token.extractor(Query::new("k")), plain("ApiKey"), &plain("ApiKey")),
    ] {
        let address = start(layer).await;
        let (none, bad) = (ask(address, "/", &[]).await, ask_with(address, "nobody").await);
        assert_eq!(none.header("www-authenticate"), Some(&*missing));
        assert_eq!(bad.header("www-authenticate"), Some(&**invalid));
    }
}

#[tokio::test]
async fn head_is_refused_with_the_length_of_the_body_that_get_has() {
    let layer = ApiKeyLayer::new(MemoryStore::new());
    let around = layer.layer(Router::new());
    for address in [start(layer).await, serve_hyper(around).await] {
        let length = ask(address, "/", &[]).await.body.len().to_string();
        assert!(length.len() > 1, "there is a body");
        let head = in_time(send_raw(address, "HEAD / HTTP/1.1")).await;
        assert_eq!((head.status, head.text()), (401, ""));
        assert_eq!(head.header("content-length"), Some(&*length));
        let head = in_time(http2_client().head(format!("http://{address}/")).send()).await.unwrap();
        assert_eq!(head.status(), 401);
        assert_eq!(head.headers()[CONTENT_LENGTH], length);
        assert_eq!(in_time(head.bytes()).await.unwrap(), "");
    }
}

#[tokio::test]
async fn a_test_can_act_as_the_holder_of_a_key() {
    let keys = KeyManager::new(MemoryStore::new());
    let guarded = get(echo).layer(RequireAbility::new("bots:read"));
    let app = Router::new().route("/", guarded).layer(keys.layer());
    let reader = NewKey::named("reader").abilities(["bots:read"]);
    let reader = ActAs::new(&keys, reader).await.unwrap();
    for reader in [reader.clone(), reader.bearer()] {
        let address = serve_hyper(reader.layer(app.clone())).await;
        assert_eq!(name(&ask(address, "/", &[]).await), Some("reader"));
    }
    let weak = ActAs::new(&keys, NewKey::named("weak")).await.unwrap().layer(app);
    assert_eq!(ask(serve_hyper(weak).await, "/", &[]).await.status, 403);
}

#[tokio::test]
async fn a_key_of_an_outer_layer_does_not_count_within_an_inner_one() {
    let ((outer_keys, outer_key), keys) = (robot(), MemoryStore::new());
    let outer = ApiKeyLayer::new(outer_keys).extractor(Header::new("x-outer"));
    let inner = ApiKeyLayer::new(keys.clone());
    let app = Router::new()
        .route("/", get(echo))
        .route("/guarded", get(echo).layer(RequireStage::fixed("prod")))
        .layer(inner.clone().optional())
        .route("/required", get(echo).layer(inner));
    let address = serve(app.layer(outer)).await;
    let outer = format!("x-outer: {outer_key}");
    assert_eq!(name(&ask(address, "/", &[&outer]).await), Some("nobody"));
    for path in ["/guarded", "/required"] {
        assert_eq!(ask(address, path, &[&outer]).await.status, 401, "{path}");
    }
    let inner = format!("x-api-key: {}", issue(&keys, NewKey::named("inner")));
    for path in ["/", "/required"] {
        assert_eq!(name(&ask(address, path, &[&outer, &inner]).await), Some("inner"));
        assert_eq!(ask(address, path, &[&inner]).await.status, 401, "{path}");
    }
}
