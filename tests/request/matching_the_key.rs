//! Which text is the key, and what a client learns of a text that is not.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::any;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tower_api_key::store::KeyHint;
use tower_api_key::{
    ApiKeyLayer, Checksum, KeyFormat, KeyHasher, KeyId, KeyRecord, KeyScheme, MemoryStore, NewKey,
    Responder, Secret, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::request::request;
use crate::common::{CountingStore, issue, send_raw, serve, tell_kind};

async fn serve_with(layer: ApiKeyLayer) -> SocketAddr {
    let name = async |key: VerifiedKey| key.name().to_owned();
    serve(tell_kind(Router::new().fallback(any(name)).layer(layer))).await
}

/// Sends a key, and returns whose it is, or the kind of the rejection.
async fn answer(address: SocketAddr, key: &str) -> String {
    let response = send_raw(address, request("GET /").key(key)).await;
    let kind = response.header("x-kind").unwrap_or_else(|| response.text());
    format!("{} {kind}", response.status)
}

/// A record of a key that another system issued.
fn record_of(key: &str) -> KeyRecord {
    let digest = KeyHasher::sha256().digest(key);
    KeyRecord::new(KeyId::generate().unwrap(), digest, "owner", SystemTime::now())
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Insert(char),
    Append(char),
    Remove,
    Replace(char),
    SwapCase,
    SwapWithNext,
}

impl Edit {
    fn any() -> impl Strategy<Value = Self> {
        let character = || prop::char::range('!', '~');
        prop_oneof![
            character().prop_map(Self::Insert),
            character().prop_map(Self::Append),
            Just(Self::Remove),
            character().prop_map(Self::Replace),
            Just(Self::SwapCase),
            Just(Self::SwapWithNext),
        ]
    }

    fn at(self, place: usize, key: &str) -> String {
        let mut text: Vec<_> = key.chars().collect();
        match self {
            Self::Insert(character) => text.insert(place, character),
            Self::Append(character) => text.push(character),
            Self::Remove => drop(text.remove(place)),
            Self::Replace(character) => text[place] = character,
            Self::SwapCase if text[place].is_lowercase() => text[place].make_ascii_uppercase(),
            Self::SwapCase => text[place].make_ascii_lowercase(),
            Self::SwapWithNext => text.swap(place, (place + 1) % key.len()),
        }
        text.into_iter().collect()
    }
}

#[test]
fn every_single_edit_of_a_key_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("owner"));
    let address = runtime.block_on(serve_with(ApiKeyLayer::new(keys)));
    let (url, client) = (format!("http://{address}/"), reqwest::Client::new());
    let status = |key: &str| {
        let request = client.get(&url).header("x-api-key", key);
        runtime.block_on(request.send()).unwrap().status().as_u16()
    };
    assert_eq!(status(&key), 200);
    let property = |(edit, place): (Edit, usize)| {
        let edited = edit.at(place, &key);
        prop_assume!(edited != key);
        prop_assert_eq!(status(&edited), 401, "{}", edited);
        Ok::<_, TestCaseError>(())
    };
    let mut runner = TestRunner::new(Config::with_cases(800));
    runner.run(&(Edit::any(), 0..key.len()), property).unwrap();
}

#[tokio::test]
async fn the_ends_and_the_case_of_a_key_count() {
    let keys = MemoryStore::new();
    let key = issue(&keys, NewKey::named("owner"));
    let address = serve_with(ApiKeyLayer::new(keys)).await;
    assert_eq!(answer(address, &key).await, "200 owner");
    let mut wrong = vec![key.to_lowercase(), key.to_uppercase(), key.repeat(2)];
    wrong.extend((1..key.len()).flat_map(|cut| [&key[..cut], &key[cut..]].map(str::to_owned)));
    let ends = ["1", "11", "a", "=", "~", "/", "%20", "%00", "."];
    wrong.extend(ends.map(|end| format!("{key}{end}")));
    for wrong in wrong {
        assert_eq!(answer(address, &wrong).await, "401 unknown", "{wrong}");
    }
}

#[tokio::test]
async fn two_keys_with_the_same_hint_are_each_itself_only() {
    let keys = MemoryStore::new();
    let [one, other] = ["ak_first_half_of_it_1234", "ak_other_half_of_it_1234"].map(|text| {
        let mut record = record_of(text);
        record.set_hint(KeyHint::new("ak_", "1234"));
        record.set_name(text);
        keys.insert(record.clone());
        record
    });
    let address = serve_with(ApiKeyLayer::new(keys.clone())).await;
    assert_eq!(answer(address, one.name()).await, format!("200 {}", one.name()));
    for wrong in ["ak_...1234", "ak_1234", "ak_", "1234", "ak_first_half_of_it_"] {
        assert_eq!(answer(address, wrong).await, "401 unknown");
    }
    assert!(keys.revoke(one.id()));
    assert_eq!(answer(address, one.name()).await, "401 revoked");
    assert_eq!(answer(address, other.name()).await, format!("200 {}", other.name()));
}

#[tokio::test]
async fn a_swapped_prefix_is_another_key() {
    for checksum in [Checksum::none(), Checksum::crc32()] {
        let live = KeyFormat::new("sk_live_").stage("live");
        let formats = [live, KeyFormat::new("sk_test_").stage("test")];
        let formats = formats.map(|format| format.checksum(checksum.clone()));
        let keys = MemoryStore::new();
        let layer = ApiKeyLayer::new(keys.clone());
        for layer in [layer.clone(), layer.scheme(KeyScheme::new(formats.clone()))] {
            let address = serve_with(layer).await;
            for format in &formats {
                let key = issue(&keys, NewKey::named("owner").format(format));
                assert_eq!(answer(address, &key).await, "200 owner");
                let other = if format.prefix() == "sk_live_" { "sk_test_" } else { "sk_live_" };
                let swapped = format!("{other}{}", &key[8..]);
                assert_eq!(answer(address, &swapped).await, "401 unknown");
            }
        }
    }
}

#[tokio::test]
async fn what_is_public_of_a_key_is_no_credential() {
    let keys = MemoryStore::new();
    let record = keys.issue(NewKey::named("owner").tenant("acme")).unwrap().record;
    let address = serve_with(ApiKeyLayer::new(keys)).await;
    let (digest, hint) = (record.digest().to_string(), record.hint().as_str().replace('…', ""));
    for public in [record.id().as_str(), &digest, &hint, "owner", "acme"] {
        assert_eq!(answer(address, public).await, "401 unknown", "{public}");
    }
}

#[tokio::test]
async fn a_plain_checksum_is_no_shield_and_a_keyed_one_is() {
    let plain = KeyFormat::default();
    let keyed = |secret: &[u8]| KeyFormat::new("ak_").checksum(Checksum::keyed(secret));
    let (right, forger) = (keyed(b"a secret of the servers"), keyed(b"a guess at the secret"));
    for (format, forger, shield) in [(plain.clone(), plain, false), (right, forger, true)] {
        let store = CountingStore::default();
        let key = issue(&store.keys, NewKey::named("owner").format(&format));
        let address =
            serve_with(ApiKeyLayer::new(store.clone()).scheme(KeyScheme::new(format))).await;
        assert_eq!(answer(address, &key).await, "200 owner");
        assert_eq!(store.asked(), 1);
        // Both find a typing error.
        for place in [3, 20, key.len() - 1] {
            let other = if key[place..].starts_with('x') { 'y' } else { 'x' };
            let typo = Edit::Replace(other).at(place, &key);
            assert_eq!(answer(address, &typo).await, "401 malformed");
        }
        assert_eq!(store.asked(), 1);
        // Anyone can compute a plain one.
        let forged = forger.generate().unwrap();
        let expected = if shield { "401 malformed" } else { "401 unknown" };
        assert_eq!(answer(address, forged.reveal()).await, expected);
        assert_eq!(store.asked(), 1 + usize::from(!shield));
        // It says nothing of a revocation.
        assert!(store.keys.revoke(store.keys.records()[0].id()));
        assert_eq!(answer(address, &key).await, "401 revoked");
    }
}

#[test]
fn generated_keys_are_distinct_also_from_clones_and_across_threads() {
    let (format, new) = (KeyFormat::default(), NewKey::named("x"));
    let generate = || {
        let (format, new, scheme) = (format.clone(), new.clone(), KeyScheme::default());
        let texts = (0..500).flat_map(move |_| {
            let issued = new.clone().generate(&scheme).unwrap();
            let (one, other) = (issued.secret, format.generate().unwrap());
            [one.reveal(), other.reveal(), issued.record.id().as_str()].map(str::to_owned)
        });
        texts.collect::<Vec<_>>()
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(generate));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.len(), 6_000);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
}

#[tokio::test]
async fn clients_cannot_tell_why_a_key_is_not_valid() {
    let keys = MemoryStore::new();
    let past = SystemTime::now() - Duration::from_secs(60);
    let [valid, revoked, disabled] =
        ["a", "b", "c"].map(|name| keys.issue(NewKey::named(name)).unwrap());
    assert!(keys.revoke(revoked.record.id()) && keys.set_disabled(disabled.record.id(), true));
    let expired = keys.issue(NewKey::named("d").expires_at(past)).unwrap();
    let (valid, unknown) = (valid.secret.reveal(), KeyFormat::default().generate().unwrap());
    let wrong = [unknown, revoked.secret, disabled.secret, expired.secret];
    let mut wrong: Vec<_> = wrong.iter().map(Secret::reveal).collect();
    wrong.extend(["", "a b", &valid[..20], &valid[1..], "ä"]);
    for layer in [
        ApiKeyLayer::new(keys.clone()),
        ApiKeyLayer::new(keys.clone()).scheme(KeyScheme::new(KeyFormat::default())),
        ApiKeyLayer::new(keys.clone()).responder(Responder::json()).optional(),
        ApiKeyLayer::new(keys.clone()).responder(Responder::text()).generic_challenge(),
    ] {
        let app = Router::new().fallback(any(async || "in")).layer(layer);
        let address = serve(app).await;
        for start in [
            "GET / HTTP/1.1",
            "HEAD /x HTTP/1.1",
            "POST /y HTTP/1.1\r\ncontent-type: application/grpc",
        ] {
            let send = async |key: &str| {
                let request = format!("{start}\r\nx-api-key: {key}");
                send_raw(address, request).await
            };
            assert_eq!(send(valid).await.text(), if start.starts_with("HEAD") { "" } else { "in" });
            let first = send(wrong[0]).await;
            assert_eq!(first.header("cache-control"), Some("no-store"));
            assert!(first.status == 401 || first.header("grpc-status") == Some("16"));
            for wrong in &wrong[1..] {
                assert_eq!(send(wrong).await, first, "{start} with {wrong:?}");
            }
        }
    }
}
