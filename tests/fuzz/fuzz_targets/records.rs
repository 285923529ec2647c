//! Records as JSON, as stores keep them, and what a layer makes of one.
//!
//! The input is a record.

#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use tower_api_key::manage::KeyView;
use tower_api_key::store::{KeyCursor, KeyQuery, KeyState, StoredKey};
use tower_api_key::{ApiKeyLayer, KeyHasher, KeyRecord, MemoryStore, PeerAddress};
use tower_api_key_fuzz::memory::MemoryKeys as _;
use tower_api_key_fuzz::{Outcome, call, request};

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = str::from_utf8(input)
        && let Ok(cursor) = text.parse::<KeyCursor>()
    {
        assert_eq!(cursor.to_string().parse().as_ref(), Ok(&cursor));
    }
    let Ok(record) = serde_json::from_slice::<KeyRecord>(input) else { return };
    // What was read can be kept, and is read again as it was.
    let json = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<KeyRecord>(&json).unwrap(), record);
    let _ = format!("{record:?}");

    let now = std::time::SystemTime::now();
    let stored = StoredKey::new(record.clone().into(), None);
    let state = record.state(now);
    let mut query = KeyQuery::new().state(state);
    query.at = now;
    assert!(query.matches(&stored));
    serde_json::to_string(&KeyView::new(&stored, now)).unwrap();

    let mut record = record;
    record.set_digest(KeyHasher::sha256().digest("key"));
    let keys = MemoryStore::new();
    let (name, id) = (record.name().to_owned(), record.id().clone());
    let is_free = *record.restrictions() == Default::default();
    let is_secret = record.kind() == tower_api_key::KeyKind::Secret;
    keys.insert(record);
    assert!(keys.record(&id).is_some());
    let mut request = request(b"/v1/users/7?x", [&b"x-api-key: key"[..]]).unwrap();
    request.extensions_mut().insert(PeerAddress(([192, 0, 2, 1], 1).into()));
    let origin = HeaderValue::from_static("https://shop.example");
    request.headers_mut().insert("origin", origin);
    let (outcome, _) = call(&ApiKeyLayer::new(keys), request);
    if state != KeyState::Active {
        assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    } else if is_free && is_secret {
        assert_eq!(outcome, Outcome::Admitted(name));
    }
});
