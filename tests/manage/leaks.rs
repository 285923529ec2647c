//! Reports of leaked keys, signed as GitHub signs them.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::FutureExt as _;
use futures_util::stream::{self, StreamExt as _};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use tower_api_key::manage::leaks::LeakReports;
use tower_api_key::store::{AuditEvent, CommitError, KeyChange, KeyPage, KeyQuery, StoredKey};
use tower_api_key::{
    KeyDigest, KeyId, KeyManager, KeyRecord, KeyRepository, KeyStore, MemoryStore, NewKey,
    StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::in_time;

const IDENTIFIER: &str = "of-this-test";

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

async fn public_key(identifier: String) -> Result<Option<String>, std::io::Error> {
    match identifier.as_str() {
        IDENTIFIER => {
            let key = p256::PublicKey::from(signing_key().verifying_key());
            Ok(Some(key.to_public_key_pem(LineEnding::LF).unwrap()))
        }
        "unreachable" => Err(std::io::Error::other("no route")),
        "no-key" => Ok(Some("-----BEGIN PUBLIC KEY-----".to_owned())),
        _ => Ok(None),
    }
}

fn sign(body: &str) -> String {
    let signature: Signature = signing_key().sign(body.as_bytes());
    BASE64_STANDARD.encode(signature.to_der())
}

async fn send(app: &Router, body: &str, headers: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = headers
        .iter()
        .fold(Request::post("/"), |request, (name, value)| request.header(*name, *value));
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = in_time(app.clone().oneshot(request)).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

async fn report(app: &Router, body: &str) -> (StatusCode, Value) {
    let signature = sign(body);
    let headers = [
        ("github-public-key-identifier", IDENTIFIER),
        ("github-public-key-signature", &*signature),
    ];
    send(app, body, &headers).await
}

fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

#[tokio::test]
async fn keys_that_were_published_are_revoked_and_told_apart_from_others() {
    let store = MemoryStore::new();
    let issued = store.issue(NewKey::named("leaked")).unwrap();
    let other = store.issue(NewKey::named("other")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let reports =
        LeakReports::new(KeyManager::new(store.clone()), public_key).on_leak(move |leak| {
            let revoked = leak.record().revoked_at().is_some();
            let found = format!("{} {} {:?}", leak.url(), leak.token_type(), leak.source());
            tell.lock().unwrap().push((leak.record().id().clone(), revoked, found));
        });
    let app = reports.into_router();
    let secret = issued.secret.reveal();
    let body = json!([
        {"token": secret, "type": "acme", "url": "https://github.com/x", "source": "content"},
        {"token": "ak_not_a_key", "type": "acme", "url": "", "source": "commit"},
        {"token": "", "type": "acme", "url": null, "extra": 1},
    ]);
    let answer = json!([
        {"token_hash": hash(secret), "token_type": "acme", "label": "true_positive"},
        {"token_hash": hash("ak_not_a_key"), "token_type": "acme", "label": "false_positive"},
        {"token_hash": hash(""), "token_type": "acme", "label": "false_positive"},
    ]);
    // Again, since a report may come twice.
    for _ in 0..2 {
        assert_eq!(report(&app, &body.to_string()).await, (StatusCode::OK, answer.clone()));
    }
    assert!(store.record(issued.record.id()).unwrap().revoked_at().is_some());
    assert!(store.record(other.record.id()).unwrap().revoked_at().is_none());
    let leak = (
        issued.record.id().clone(),
        true,
        "https://github.com/x acme Some(\"content\")".to_owned(),
    );
    assert_eq!(*told.lock().unwrap(), [leak.clone(), leak]);
}

#[tokio::test]
async fn keys_are_only_reported_where_that_is_set() {
    let store = MemoryStore::new();
    let issued = store.issue(NewKey::named("leaked")).unwrap();
    let reports = LeakReports::new(KeyManager::new(store.clone()), public_key).report_only();
    let app = reports.into_router();
    let body = json!([{"token": issued.secret.reveal(), "type": "acme", "url": ""}]);
    let (status, answer) = report(&app, &body.to_string()).await;
    assert_eq!((status, &answer[0]["label"]), (StatusCode::OK, &json!("true_positive")));
    assert!(store.record(issued.record.id()).unwrap().revoked_at().is_none());
}

#[tokio::test]
async fn what_is_not_signed_changes_nothing() {
    let store = MemoryStore::new();
    let issued = store.issue(NewKey::named("key")).unwrap();
    let app = LeakReports::new(KeyManager::new(store.clone()), public_key).into_router();
    let body = json!([{"token": issued.secret.reveal(), "type": "acme", "url": ""}]).to_string();
    let signature = sign(&body);
    let changed = body.replace("acme", "acmf");
    let of_another = sign("another");
    let (id, sig) = ("github-public-key-identifier", "github-public-key-signature");
    let flipped = signature.replacen('M', "N", 1);
    for (body, headers, status) in [
        (&*body, vec![], 401),
        (&*body, vec![(id, IDENTIFIER)], 401),
        (&*body, vec![(sig, &*signature)], 401),
        (&*body, vec![(id, IDENTIFIER), (sig, "")], 401),
        (&*body, vec![(id, IDENTIFIER), (sig, "no base64")], 401),
        (&*body, vec![(id, IDENTIFIER), (sig, &*of_another)], 401),
        (&*body, vec![(id, IDENTIFIER), (sig, &*flipped)], 401),
        (&*body, vec![(id, "unknown"), (sig, &*signature)], 401),
        (&*body, vec![(id, IDENTIFIER), (id, IDENTIFIER), (sig, &*signature)], 401),
        (&*changed, vec![(id, IDENTIFIER), (sig, &*signature)], 401),
        (&*body, vec![(id, "unreachable"), (sig, &*signature)], 503),
        (&*body, vec![(id, "no-key"), (sig, &*signature)], 503),
    ] {
        assert_eq!(send(&app, body, &headers).await.0, status, "{headers:?}");
    }
    assert!(store.record(issued.record.id()).unwrap().revoked_at().is_none());
}

#[tokio::test]
async fn what_is_no_report_is_refused() {
    let app = LeakReports::new(KeyManager::new(MemoryStore::new()), public_key).into_router();
    for body in ["", "{}", "[1]", r#"[{"token":1,"type":"x"}]"#, r#"[{"type":"x"}]"#] {
        assert_eq!(report(&app, body).await.0, StatusCode::BAD_REQUEST, "{body}");
    }
    let long = format!("[{}]", " ".repeat(1 << 20));
    assert_eq!(report(&app, &long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(report(&app, "[]").await, (StatusCode::OK, json!([])));
}

#[tokio::test]
async fn a_report_that_github_has_published_is_verified() {
    // Of the documentation of the program.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
        MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9MJJHnMfn2+H4xL4YaPDA4RpJqUq\n\
        kCmRCBnYERxZanmcpzQSXs1X/AljlKkbJ8qpVIW4clayyef9gWhFbNHWAA==\n\
        -----END PUBLIC KEY-----\n";
    const ID: &str = "90a421169f0a406205f1563a953312f0be898d3c7b6c06b681aa86a874555f4a";
    const SIGNATURE: &str = "MEUCIQDKZokqnCjrRtw0tni+2Ltvl/uiMJ1EGumEsp1BsNr32AIgQY1YXD2nlj+XNfGK4rBfkMJ1JDOQcYXxa2sY8FNkrKc=";
    const BODY: &str = r#"[{"token":"some_token","type":"some_type","url":"some_url"}]"#;

    let key =
        |id: String| async move { Ok::<_, std::io::Error>((id == ID).then(|| KEY.to_owned())) };
    let app = LeakReports::new(KeyManager::new(MemoryStore::new()), key).into_router();
    let headers =
        [("GITHUB-PUBLIC-KEY-IDENTIFIER", ID), ("GITHUB-PUBLIC-KEY-SIGNATURE", SIGNATURE)];
    let (status, answer) = send(&app, BODY, &headers).await;
    assert_eq!((status, &answer[0]["label"]), (StatusCode::OK, &json!("false_positive")));
    assert_eq!(send(&app, &format!("{BODY}\n"), &headers).await.0, StatusCode::UNAUTHORIZED);
}

/// A repository that cannot read the row of one key.
struct WithBrokenRow(MemoryStore, KeyDigest);

#[async_trait]
impl KeyStore for WithBrokenRow {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        match *digest == self.1 {
            true => Err(StoreError::answered("a row that cannot be read")),
            false => self.0.find(digest).await,
        }
    }
}

#[async_trait]
impl KeyRepository for WithBrokenRow {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        KeyRepository::get(&self.0, id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        KeyRepository::list(&self.0, query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        self.0.commit(changes, events).await
    }
}

/// The report fails as a whole, and comes again; but the others do not wait for somebody to mend the row.
#[tokio::test]
async fn a_key_that_cannot_be_looked_up_keeps_no_other_from_being_revoked() {
    let store = MemoryStore::new();
    let [broken, other] = ["broken", "other"].map(|name| store.issue(NewKey::named(name)).unwrap());
    let repository = WithBrokenRow(store.clone(), broken.record.digest());
    let app = LeakReports::new(KeyManager::new(repository), public_key).into_router();
    let found = |text: &str| json!({"token": text, "type": "acme", "url": ""});
    // More than are looked up at a time stand between them.
    let texts = [broken.secret.reveal()].into_iter().chain(["no key"; 20]);
    let matches: Vec<_> = texts.chain([other.secret.reveal()]).map(found).collect();
    let (status, _) = report(&app, &json!(matches).to_string()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(store.record(other.record.id()).unwrap().revoked_at().is_some());
}

/// Nobody has to have a key to send one, nor to leave it unfinished.
#[tokio::test]
async fn of_too_many_reports_that_do_not_end_the_oldest_is_given_up() {
    let app = LeakReports::new(KeyManager::new(MemoryStore::new()), public_key).into_router();
    let unfinished = || {
        let start = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"["))]);
        let body = Body::from_stream(start.chain(stream::pending()));
        Box::pin(app.clone().oneshot(Request::post("/").body(body).unwrap()))
    };
    let mut reports: Vec<_> = (0..257).map(|_| unfinished()).collect();
    for report in &mut reports {
        assert!(report.now_or_never().is_none());
    }
    let first = reports[0].as_mut().now_or_never().expect("the oldest is given up");
    assert_eq!(first.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(reports[1].as_mut().now_or_never().is_none());
    assert_eq!(report(&app, "[]").await, (StatusCode::OK, json!([])));
}
