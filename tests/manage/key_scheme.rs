//! One scheme, given to all that issue and check keys.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tower::{ServiceExt as _, service_fn};
use tower_api_key::key::{IssueError, KeyFormats};
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoutes, Refused};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    Alphabet, ApiKeyLayer, Checksum, KeyFormat, KeyHasher, KeyKind, KeyManager, KeyScheme,
    ManageError, MemoryStore, NewKey, RejectionKind, VerifiedKey,
};
use tower_layer::Layer as _;

const SHOP: &str = "https://shop.example";
const HOUR: Duration = Duration::from_secs(3600);

/// Asks with a key, from a page on which public keys work.
async fn ask(layer: &ApiKeyLayer, key: &str) -> Result<VerifiedKey, RejectionKind> {
    let handler = service_fn(async |request: Request<Empty<&'static [u8]>>| {
        let key = request.extensions().get::<VerifiedKey>().unwrap().clone();
        let mut response = Response::new(Empty::<&'static [u8]>::new());
        response.extensions_mut().insert(key);
        Ok::<_, Infallible>(response)
    });
    let request = Request::get("/").header("x-api-key", key).header("origin", SHOP);
    let request = request.body(Empty::new()).unwrap();
    let layer = layer.clone().accept_public_keys();
    let mut response = layer.layer(handler).oneshot(request).await.unwrap();
    let rejection = response.extensions().get::<tower_api_key::Rejection>();
    match rejection.map(tower_api_key::Rejection::kind) {
        Some(kind) => Err(kind),
        None => Ok(response.extensions_mut().remove().unwrap()),
    }
}

fn peppered() -> KeyHasher {
    KeyHasher::hmac_sha256(b"a pepper of thirty-two bytes ...")
}

fn live_and_test() -> KeyScheme {
    KeyScheme::new([
        KeyFormat::new("sk_live_").stage("live"),
        KeyFormat::new("sk_test_").stage("test"),
    ])
    .hasher(peppered())
}

fn new_key() -> NewKey {
    NewKey::named("nightly import").origins([SHOP])
}

#[tokio::test]
async fn one_scheme_is_enough_for_all() {
    let store = MemoryStore::with_scheme(live_and_test());
    let keys = KeyManager::new(store.clone()).scheme(live_and_test());
    let live = keys.issue(new_key().stage("live")).await.unwrap();
    let test = store.issue(new_key().prefix("sk_test_")).unwrap();
    let rotated = keys.rotate(test.record.id(), HOUR).await.unwrap();
    assert_eq!(test.record.stage().unwrap(), "test");
    assert!(rotated.secret.reveal().starts_with("sk_test_"));
    for layer in [keys.layer(), ApiKeyLayer::new(store.clone()).scheme(live_and_test())] {
        for secret in [&live.secret, &test.secret, &rotated.secret] {
            assert!(ask(&layer, secret.reveal()).await.is_ok());
        }
    }
    assert_eq!(
        keys.revoke_presented(live.secret.reveal()).await.unwrap().record.id(),
        live.record.id()
    );
    // Another scheme finds none of them.
    let other = ApiKeyLayer::new(store.clone());
    assert_eq!(ask(&other, test.secret.reveal()).await.unwrap_err(), RejectionKind::Unknown);
    let other = ApiKeyLayer::new(store).scheme(KeyScheme::new(KeyFormat::default()));
    assert_eq!(ask(&other, test.secret.reveal()).await.unwrap_err(), RejectionKind::Malformed);
}

#[tokio::test]
async fn the_only_format_is_that_of_every_key() {
    let scheme = KeyScheme::new(KeyFormat::new("sk_live_").stage("live"));
    let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
    let issued = keys.issue(new_key()).await.unwrap();
    assert!(issued.secret.reveal().starts_with("sk_live_"));
    let key = ask(&keys.layer(), issued.secret.reveal()).await.unwrap();
    assert_eq!(key.stage().unwrap(), "live");
}

#[tokio::test]
async fn a_key_without_a_format_is_not_issued_and_the_error_says_which_there_are() {
    let store = MemoryStore::new();
    let keys = KeyManager::new(store.clone()).scheme(live_and_test());
    let choice = "`sk_live_` (stage live) or `sk_test_` (stage test)";
    for (key, message) in [
        (new_key(), format!("several formats match the key: choose one by its prefix, {choice}")),
        (new_key().prefix("pk_"), format!("no keys are issued with this prefix: choose {choice}")),
        (
            new_key().stage("staging"),
            format!("the prefix stands for another stage or kind: there is {choice}"),
        ),
        (
            new_key().format(&KeyFormat::default()),
            format!("a key of this format would be refused: choose {choice}"),
        ),
        (
            new_key().prefix("sk_live_").stage("test"),
            "the prefix stands for another stage or kind: there is `sk_live_` (stage live)"
                .to_owned(),
        ),
    ] {
        let error = keys.issue(key.clone()).await.unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(matches!(error, ManageError::Issue(_)), "{error:?}");
        let error = MemoryStore::with_scheme(live_and_test()).issue(key).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    assert!(store.list().is_empty(), "nothing was kept");
}

#[tokio::test]
async fn the_api_says_which_formats_there_are() {
    let keys = KeyManager::new(MemoryStore::new()).scheme(live_and_test());
    let owner = |_: &mut http::request::Parts, _: &KeyAction| {
        Ok::<_, Refused>(Owner::of_tenant("acme".parse().unwrap(), ["*"].try_into().unwrap(), "a"))
    };
    let app = KeyRoutes::new(keys, owner).into_router::<()>();
    let create = async |body: &'static str| {
        let request = Request::post("/api-keys").header("content-type", "application/json");
        let response =
            app.clone().oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice::<Value>(&body).unwrap())
    };
    for body in [r#"{"name":"one","stage":"live"}"#, r#"{"name":"one","prefix":"sk_live_"}"#] {
        let (status, created) = create(body).await;
        assert_eq!((status, &created["data"]["prefix"]), (201, &json!("sk_live_")));
    }
    let choice = "`sk_live_` (stage live) or `sk_test_` (stage test)";
    for (body, field, said) in [
        (
            r#"{"name":"one"}"#,
            "prefix",
            "Several formats match the key: choose one by its prefix, ",
        ),
        (
            r#"{"name":"one","prefix":"pk_"}"#,
            "prefix",
            "No keys are issued with this prefix: choose ",
        ),
        (
            r#"{"name":"one","stage":"dev"}"#,
            "stage",
            "The prefix stands for another stage or kind: there is ",
        ),
    ] {
        let (status, problem) = create(body).await;
        assert_eq!((status, &problem["field"]), (422, &json!(field)));
        assert_eq!(problem["detail"], format!("{said}{choice}"));
    }
}

#[tokio::test]
async fn a_layer_of_a_manager_has_its_clock() {
    let clock = FakeClock::new();
    let keys = KeyManager::new(MemoryStore::new()).clock(clock.clone());
    let end = tower_api_key::Clock::now(&clock) + HOUR;
    let issued = keys.issue(new_key().expires_at(end).limit("1 per hour")).await.unwrap();
    let (layer, key) = (keys.layer(), issued.secret.reveal());
    assert!(ask(&layer, key).await.is_ok());
    assert_eq!(ask(&layer, key).await.unwrap_err(), RejectionKind::RateLimited);
    clock.advance(HOUR);
    assert_eq!(ask(&layer, key).await.unwrap_err(), RejectionKind::Expired);
}

/// Formats that may have each other's prefixes, stand for the same, or for nothing.
fn format() -> impl Strategy<Value = KeyFormat> {
    let prefix = prop::sample::select(vec!["", "a", "ab", "abc", "sk_", "sk_live_", "0"]);
    let alphabet = prop::sample::select(vec![Alphabet::Hex, Alphabet::Base62]);
    let checksum = prop::sample::select(vec![Checksum::none(), Checksum::crc32()]);
    (prefix, alphabet, 32_usize..35, checksum, stage(), kind()).prop_map(
        |(prefix, alphabet, length, checksum, stage, kind)| {
            let format = KeyFormat::new(prefix).body(alphabet, length).checksum(checksum);
            let format = stage.into_iter().fold(format, KeyFormat::stage);
            kind.into_iter().fold(format, KeyFormat::kind)
        },
    )
}

fn stage() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(prop::sample::select(vec!["live", "test"]))
}

fn kind() -> impl Strategy<Value = Option<KeyKind>> {
    prop::option::of(prop::sample::select(vec![KeyKind::Secret, KeyKind::Public]))
}

fn described(
    (prefix, format, stage, kind): (
        Option<&'static str>,
        Option<KeyFormat>,
        Option<&'static str>,
        Option<KeyKind>,
    ),
) -> NewKey {
    let key = prefix.into_iter().fold(new_key(), NewKey::prefix);
    let key = format.iter().fold(key, NewKey::format);
    let key = stage.into_iter().fold(key, NewKey::stage);
    kind.into_iter().fold(key, NewKey::kind)
}

fn wanted() -> impl Strategy<Value = NewKey> {
    let prefix = prop::option::of(prop::sample::select(vec!["", "a", "ab", "abc", "sk_", "ak_"]));
    (prefix, prop::option::weighted(0.3, format()), stage(), kind()).prop_map(described)
}

fn all_belong_to(some: &KeyFormats, all: &[KeyFormat]) -> bool {
    some.iter().all(|own| all.iter().any(|format| format.prefix() == own.prefix()))
}

proptest! {
    #[test]
    fn no_key_is_issued_that_the_same_scheme_refuses(
        formats in prop::collection::vec(format(), 0..4),
        wanted in wanted(),
    ) {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let scheme = KeyScheme::new(KeyFormats::from_iter(formats.clone())).hasher(peppered());
        let keys = KeyManager::new(MemoryStore::new()).scheme(scheme);
        runtime.block_on(async {
            let offered = match formats.is_empty() {
                true => vec![KeyFormat::default()],
                false => formats,
            };
            match keys.issue(wanted).await {
                Ok(issued) => {
                    let key = ask(&keys.layer(), issued.secret.reveal()).await.unwrap();
                    prop_assert_eq!(key.id(), issued.record.id());
                    match keys.rotate(key.id(), HOUR).await {
                        Ok(rotated) => {
                            let key = ask(&keys.layer(), rotated.secret.reveal()).await.unwrap();
                            prop_assert_eq!(key.id(), rotated.record.id());
                        }
                        Err(ManageError::Format | ManageError::Issue(IssueError::Refused(_))) => {}
                        Err(error) => prop_assert!(false, "{}", error),
                    }
                }
                Err(ManageError::Issue(IssueError::Ambiguous(fitting))) => {
                    prop_assert!(fitting.iter().count() > 1 && all_belong_to(&fitting, &offered));
                }
                Err(ManageError::Issue(IssueError::Prefix(all) | IssueError::Refused(all))) => {
                    prop_assert_eq!(all.iter().count(), offered.len());
                    prop_assert!(all_belong_to(&all, &offered));
                }
                Err(ManageError::Issue(IssueError::Meaning(some))) => {
                    prop_assert!(!some.is_empty());
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
            Ok(())
        })?;
    }
}
