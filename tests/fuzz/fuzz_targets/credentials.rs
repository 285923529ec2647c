//! Finding the credential of a request, and taking it out.
//!
//! The input is a digit that chooses the places, a URI, and header lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_api_key::extract::{AuthorizationScheme, Basic, Bearer, FirstOf, Header, Query};
use tower_api_key::{ApiKeyLayer, KeyHasher, MemoryStore, RejectionKind};
use tower_api_key_fuzz::credentials::{Place, could_be_key, find};
use tower_api_key_fuzz::{Asked, Outcome, call, insert, request};

const API_KEY: Place = Place::Header("x-api-key");
const BEARER: Place = Place::Scheme("Bearer");

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let [choice] = lines.next().unwrap_or_default() else { return };
    let Some(uri) = lines.next() else { return };
    let lines: Vec<_> = lines.collect();
    let request = || request(uri, lines.iter().copied());
    let Some(asked) = request() else { return };

    let of = |layer: ApiKeyLayer| match choice {
        b'0' => (layer, vec![API_KEY, BEARER]),
        b'1' => (layer.extractor(Bearer), vec![BEARER]),
        b'2' => (layer.extractor(Header::new("x-token")), vec![Place::Header("x-token")]),
        b'3' => (layer.extractor(AuthorizationScheme::new("Token")), vec![Place::Scheme("Token")]),
        b'4' => (layer.extractor(Basic), vec![Place::Basic]),
        b'5' => (layer.extractor(FirstOf::new(Bearer, Basic)), vec![BEARER, Place::Basic]),
        b'6' => (layer.extractor(Query::new("key")), vec![Place::Query("key")]),
        _ => (
            layer.extractor(FirstOf::default().or(Query::new("key")).or(Basic)),
            vec![API_KEY, BEARER, Place::Query("key"), Place::Basic],
        ),
    };

    let store = Asked::default();
    let (layer, places) = of(ApiKeyLayer::new(store.clone()));
    let found = find(&places, &asked);
    let (outcome, _) = call(&layer, asked);
    let (expected, digests) = match &found {
        Err(kind) => (*kind, vec![]),
        Ok(None) => (RejectionKind::Missing, vec![]),
        Ok(Some(bytes)) if !could_be_key(bytes) => (RejectionKind::Malformed, vec![]),
        Ok(Some(bytes)) => {
            let text = str::from_utf8(bytes).unwrap();
            (RejectionKind::Unknown, vec![KeyHasher::sha256().digest(text)])
        }
    };
    assert_eq!(outcome, Outcome::Refused(expected));
    assert_eq!(store.take(), digests);
    let (RejectionKind::Unknown, Ok(Some(bytes))) = (expected, found) else { return };

    // The same request with a key that is known: no place has it any more.
    let keys = MemoryStore::new();
    insert(&keys, str::from_utf8(&bytes).unwrap(), |_| {});
    let (layer, places) = of(ApiKeyLayer::new(keys));
    let (before, (outcome, seen)) = (request().unwrap(), call(&layer, request().unwrap()));
    assert_eq!(outcome, Outcome::Admitted("known".to_owned()));
    let seen = seen.unwrap();
    assert_eq!(find(&places, &seen), Ok(None));
    // All else is as it was.
    assert_eq!(seen.uri().path(), before.uri().path());
    let left = |uri: &http::Uri| uri.query().unwrap_or_default().matches('&').count();
    assert!(left(seen.uri()) <= left(before.uri()));
    for (name, value) in before.headers() {
        let is_place = [http::header::AUTHORIZATION.as_str(), "x-api-key", "x-token"];
        if !is_place.contains(&name.as_str()) {
            assert!(seen.headers().get_all(name).iter().any(|kept| kept == value), "{name}");
        }
    }
});
