//! Requests to the management API: paths, queries, and bodies.
//!
//! The input is a method and a path, header lines, an empty line, and a body. Alice, who sends it, is
//! of the tenant `acme` and may grant `bots:*`.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tower::ServiceExt as _;
use tower_api_key::manage::Owner;
use tower_api_key::manage::api::{KeyAction, KeyRoutes, Refused};
use tower_api_key::{
    AbilitySet, KeyFormat, KeyHasher, KeyManager, KeyRecord, KeyScheme, MemoryStore,
};
use tower_api_key_fuzz::memory::MemoryKeys as _;

/// Never to be seen by Alice.
const FOREIGN: &str = "a name of another tenant";

fn alice(_: &mut Parts, _: &KeyAction) -> Result<Owner, Refused> {
    let abilities: AbilitySet = ["bots:*"].try_into().unwrap();
    Ok(Owner::of_tenant("acme".parse().unwrap(), abilities, "alice"))
}

fuzz_target!(|input: &[u8]| {
    let end = input.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&input[..end], &input[end + 2..]),
        None => (input, &b""[..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut start = lines.next().unwrap().splitn(2, |byte| *byte == b' ');
    let (Some(method), Some(uri)) = (start.next(), start.next()) else { return };
    let (Ok(method), Ok(uri)) = (Method::from_bytes(method), Uri::try_from(uri)) else { return };
    let mut request = Request::new(Body::from(Bytes::copy_from_slice(body)));
    (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri);
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    for line in lines {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else { return };
        let name = HeaderName::from_bytes(name);
        let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) else {
            return;
        };
        request.headers_mut().insert(name, value);
    }

    let store = MemoryStore::new();
    for (id, tenant, name) in [
        ("key_1", "acme", "one of acme"),
        ("key_2", "other", FOREIGN),
        ("key_3", "acme", "another"),
    ] {
        let digest = KeyHasher::sha256().digest(id);
        let mut record = KeyRecord::new(id.parse().unwrap(), digest, name, SystemTime::now());
        record.set_tenant(Some(tenant.parse().unwrap()));
        record.set_abilities(["bots:read"].try_into().unwrap());
        store.insert(record);
    }
    let foreign = store.record(&"key_2".parse().unwrap()).unwrap();
    let formats = [KeyFormat::new("sk_live_").stage("live"), KeyFormat::new("sk_test_")];
    let keys = KeyManager::new(store.clone()).scheme(KeyScheme::new(formats));
    let app = KeyRoutes::new(keys, alice).into_router::<()>();
    let answered = async {
        let response = app.oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts, body.collect().await.unwrap().to_bytes())
    };
    // The manager's deadlines are taken by a timer.
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().unwrap());
    let (parts, body) = RUNTIME.block_on(answered);

    let known = [200, 201, 400, 403, 404, 405, 409, 413, 415, 422]
        .map(|status| StatusCode::from_u16(status).unwrap());
    assert!(known.contains(&parts.status), "{}", parts.status);
    let text = str::from_utf8(&body).unwrap();
    assert!(!text.contains(FOREIGN) && !text.contains("\"digest\":"), "{text}");
    let is_json =
        parts.headers.get("content-type").is_some_and(|own| own.as_bytes().ends_with(b"json"));
    if is_json && method != Method::HEAD {
        let json: Value = serde_json::from_str(text).unwrap();
        match parts.status.as_u16() {
            200 | 201 => assert_eq!(json["success"], true),
            status => assert_eq!(json["status"], status),
        }
        assert_eq!(json["data"].get("secret").is_some(), parts.status == StatusCode::CREATED);
    }

    // Nothing that Alice has not was granted, and nothing of others was changed.
    assert!(Arc::ptr_eq(&store.record(foreign.id()).unwrap(), &foreign));
    let ceiling: AbilitySet = ["bots:*"].try_into().unwrap();
    let all = store.records();
    assert!(all.len() <= 4);
    for record in all.iter().filter(|record| record.id() != foreign.id()) {
        assert!(record.tenant().is_some_and(|tenant| *tenant == "acme"));
        assert!(ceiling.covers(record.abilities()), "{record:?}");
        let json = serde_json::to_string(&**record).unwrap();
        assert_eq!(&serde_json::from_str::<KeyRecord>(&json).unwrap(), &**record);
    }
});
