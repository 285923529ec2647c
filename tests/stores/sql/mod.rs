//! What is asked of both SQL stores.

#![allow(clippy::unwrap_used, dead_code, unreachable_pub, reason = "tests")]

pub mod usage;
pub mod version_1;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::routing::get;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value};
use tokio::runtime::Runtime;
use tower_api_key::store::{
    Actor, AuditAction, AuditEvent, CommitError, KeyChange, KeyHint, KeyQuery, KeyUse, RecordUses,
};
use tower_api_key::testing::{check_key_repository, check_record_uses};
use tower_api_key::{ApiKeyLayer, KeyDigest, KeyRecord, KeyRepository, KeyScheme, NewKey, Secret};

use crate::common::with_id;
use crate::common::{RawResponse, get_raw, in_time, serve, tell_kind};

/// Makes a key whose times are whole microseconds.
pub fn issue(key: NewKey) -> (KeyRecord, Secret) {
    let issued = key.generate(&KeyScheme::default()).unwrap();
    let mut record = KeyRecord::clone(&issued.record);
    record.set_created_at(at(1_700_000_000_123_456));
    (record, issued.secret)
}

pub fn record() -> KeyRecord {
    issue(NewKey::named("a key").tenant("acme").abilities(["bots:read"])).0
}

pub fn at(microseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(microseconds)
}

pub fn insert(record: &KeyRecord) -> KeyChange {
    KeyChange::Insert(Arc::new(record.clone()))
}

/// Changes a record to its next revision.
pub fn replace(record: &KeyRecord, change: impl FnOnce(&mut KeyRecord)) -> KeyChange {
    let mut record = record.clone();
    record.set_revision(record.revision() + 1);
    change(&mut record);
    KeyChange::Replace(Arc::new(record))
}

pub fn remove(record: &KeyRecord) -> KeyChange {
    KeyChange::Remove(Arc::new(record.clone()))
}

pub fn event(before: Option<&KeyRecord>, after: Option<&KeyRecord>) -> AuditEvent {
    let [before, after] = [before, after].map(|record| record.cloned().map(Arc::new));
    AuditEvent::new(
        at(1),
        Actor::from("Zo\u{eb} 'the' \"admin\""),
        AuditAction::Updated,
        before,
        after,
    )
}

/// Inserts a new key.
pub async fn inserted(keys: &impl KeyRepository) -> KeyRecord {
    let record = record();
    keys.commit(&[insert(&record)], &[]).await.unwrap();
    record
}

pub async fn got(keys: &impl KeyRepository, record: &KeyRecord) -> KeyRecord {
    KeyRecord::clone(&keys.get(record.id()).await.unwrap().unwrap().record)
}

/// Runs the suite over a repository that others write to at the same time.
pub async fn check(keys: &(impl KeyRepository + RecordUses)) {
    tokio::join!(check_key_repository(keys), check_key_repository(keys));
    tokio::join!(check_record_uses(keys), check_record_uses(keys));
}

/// Many are found in their order, also more than a statement may have values for.
pub async fn check_many(keys: &impl KeyRepository) {
    let [one, other] = [inserted(keys).await, inserted(keys).await];
    let unknown = |number: u32| {
        let mut bytes = [7; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        KeyDigest::from_bytes(bytes)
    };
    let mut digests: Vec<_> = (0..70_000).map(unknown).collect();
    (digests[5], digests[69_999]) = (one.digest(), other.digest());
    let found = keys.find_many(&digests).await.unwrap();
    assert_eq!(found.len(), digests.len());
    assert_eq!(found.iter().flatten().count(), 2);
    assert_eq!([found[5].as_deref(), found[69_999].as_deref()], [Some(&one), Some(&other)]);
}

/// Says how many rows a table has.
pub trait Count {
    async fn count(&self, table: &str) -> i64;
}

/// A commit whose last change is refused leaves nothing, and one that is made leaves its events,
/// without digests.
pub async fn check_all_or_nothing(keys: &(impl KeyRepository + RecordUses), tables: &impl Count) {
    let (old, new) = (inserted(keys).await, record());
    let rotated = replace(&old, |record| record.set_successor(Some(new.id().clone())));
    let stale = replace(&old, |record| record.set_revision(record.revision() + 5));
    let mut later = old.clone();
    later.set_revision(5);
    let another = KeyChange::Require(Arc::new(later));
    let events = [event(Some(&old), Some(&new)), event(None, Some(&new))];
    for (changes, conflict) in [
        (vec![rotated.clone(), insert(&new), stale], true),
        (vec![rotated.clone(), insert(&new), another.clone()], true),
        (vec![another, rotated.clone(), insert(&new)], true),
        (vec![insert(&new), rotated.clone(), insert(&old)], false),
    ] {
        let error = keys.commit(&changes, &events).await.unwrap_err();
        assert_eq!(matches!(error, CommitError::Conflict), conflict, "{error}");
        assert_eq!(matches!(error, CommitError::Exists), !conflict, "{error}");
        assert_eq!(tables.count("api_key_audit").await, 0);
        assert_eq!(tables.count("api_keys").await, 1);
        assert_eq!(got(keys, &old).await, old);
    }
    // An event that cannot be kept, such as one before 1970, takes the changes with it.
    let mut early = event(None, None);
    early.at = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    let error = keys.commit(&[insert(&new)], &[early]).await.unwrap_err();
    assert!(matches!(error, CommitError::Store(_)), "{error}");
    assert_eq!(tables.count("api_keys").await, 1);

    keys.commit(&[rotated, insert(&new)], &events).await.unwrap();
    assert_eq!(tables.count("api_key_audit").await, 2);
    assert_eq!(tables.count("api_keys").await, 2);
    keys.record_uses(&[KeyUse::new(new.id().clone(), at(7))]).await.unwrap();
    keys.commit(&[remove(&new)], &[event(Some(&new), None)]).await.unwrap();
    assert_eq!(tables.count("api_key_uses").await, 0, "a use outlived its key");
    assert_eq!(tables.count("api_key_audit").await, 3, "an event did not outlive its key");
}

/// What is in no form that a row can have is refused, and nothing is written.
pub async fn check_refusals(keys: &(impl KeyRepository + RecordUses), tables: &impl Count) {
    let changes: [fn(&mut KeyRecord); 5] = [
        |record| record.set_revision(1 << 63),
        |record| record.set_created_at(SystemTime::UNIX_EPOCH - Duration::from_nanos(1)),
        |record| record.set_expires_at(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40))),
        |record| record.set_rotation_due_at(Some(SystemTime::UNIX_EPOCH + Duration::MAX / 4)),
        |record| {
            let deep = (0..200).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
            record.set_metadata(Map::from_iter([("deep".to_owned(), deep)]));
        },
    ];
    for change in changes {
        let mut odd = record();
        change(&mut odd);
        let error = keys.commit(&[insert(&record()), insert(&odd)], &[]).await.unwrap_err();
        assert!(error.to_string().contains("cannot be kept"), "{error}");
    }
    assert_eq!(tables.count("api_keys").await, 0);
    let far = KeyUse::new(record().id().clone(), SystemTime::UNIX_EPOCH - Duration::from_secs(1));
    assert!(keys.record_uses(&[far]).await.is_err());
    // What no row has can be asked for all the same.
    let mut query = KeyQuery::new();
    for time in [SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 40), at(u64::MAX / 2)] {
        for limit in [0, usize::MAX] {
            query = query.unused_since(time).rotation_due_by(time);
            (query.at, query.limit) = (time, limit);
            assert!(keys.list(&query).await.unwrap().keys.is_empty());
        }
    }
}

/// Drops a future after it was polled so often, unless it is done before.
async fn cancelled<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let (mut future, mut left) = (Box::pin(future), polls);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(None) } else { Poll::Pending }
        }
    })
    .await
}

/// Writers whose futures are dropped anywhere leave nothing half done and nobody in the way.
/// `settled` waits until the database is at rest.
pub async fn check_cancelled(keys: &impl KeyRepository, settled: impl AsyncFn()) {
    let mut dropped = 0;
    for polls in (1..20).chain(1..20) {
        let (one, other) = (inserted(keys).await, inserted(keys).await);
        let changes = [&one, &other].map(|old| replace(old, |record| record.set_disabled(true)));
        let events = [event(Some(&one), Some(&one))];
        let commit = cancelled(keys.commit(&changes, &events), polls).await;
        dropped += usize::from(commit.is_none());
        settled().await;
        // Comes after it, whether it was made or not.
        let late = in_time(
            keys.commit(&[replace(&one, |record| record.set_hint(KeyHint::default()))], &[]),
        )
        .await;
        let [one, other] = [got(keys, &one).await, got(keys, &other).await];
        assert_eq!(one.is_disabled(), other.is_disabled());
        assert_eq!(late.is_err(), one.is_disabled());
    }
    assert!(dropped > 0, "none was dropped");
}

/// Requests through the layer over a real server.
pub struct Server {
    address: std::net::SocketAddr,
    key: String,
}

impl Server {
    pub async fn start<R: KeyRepository + Clone + 'static>(keys: &R) -> (Self, KeyRecord) {
        let (record, secret) = issue(NewKey::named("a caller"));
        keys.commit(&[insert(&record)], &[]).await.unwrap();
        let app =
            Router::new().route("/", get(async || "in")).layer(ApiKeyLayer::new(keys.clone()));
        let server = Self { address: serve(tell_kind(app)).await, key: secret.reveal().to_owned() };
        (server, record)
    }

    pub async fn ask(&self) -> RawResponse {
        let line = format!("x-api-key: {}", self.key);
        in_time(get_raw(self.address, "/", &[&line])).await
    }

    pub async fn assert_kind(&self, status: u16, kind: Option<&str>) {
        let answer = self.ask().await;
        assert_eq!((answer.status, answer.header("x-kind")), (status, kind), "{}", answer.text());
    }
}

/// A key works until it is revoked, and nobody says that it is wrong when the table is away.
pub async fn check_server<R>(keys: &R, drop_tables: impl AsyncFnOnce())
where
    R: KeyRepository + Clone + 'static,
{
    let (server, record) = Server::start(keys).await;
    server.assert_kind(200, None).await;
    let revoke = replace(&record, |record| record.set_revoked_at(Some(at(1_700_000_000_000_000))));
    keys.commit(&[revoke], &[]).await.unwrap();
    server.assert_kind(401, Some("revoked")).await;
    let (other, _) = Server::start(keys).await;
    other.assert_kind(200, None).await;
    let unknown = Server { key: format!("{}x", other.key), ..other };
    unknown.assert_kind(401, Some("unknown")).await;
    drop_tables().await;
    unknown.assert_kind(503, Some("unavailable")).await;
    server.assert_kind(503, Some("unavailable")).await;
}

/// Whatever a record holds is read back as it was, and can be replaced.
pub fn check_round_trip(runtime: &Runtime, keys: &impl KeyRepository, name: &'static str) {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let pairs = (any_record(name), any_record(name));
    let result = TestRunner::new(config).run(&pairs, |(one, other)| {
        runtime.block_on(async {
            keys.commit(&[insert(&one)], &[]).await.unwrap();
            prop_assert_eq!(&got(keys, &one).await, &one);
            let found = keys.find(&one.digest()).await.unwrap();
            prop_assert_eq!(found.as_deref(), Some(&one));
            let mut other = with_id(&other, one.id());
            other.set_digest(one.digest());
            if one.revoked_at().is_some() {
                other.set_revoked_at(one.revoked_at());
            }
            other.set_revision(one.revision() + 1);
            let changes = [KeyChange::Replace(Arc::new(other.clone()))];
            keys.commit(&changes, &[event(Some(&one), Some(&other))]).await.unwrap();
            prop_assert_eq!(&got(keys, &one).await, &other);
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::NORMAL.prop_map(Value::from),
        Just(Value::from(-0.0)),
        Just(Value::from(5e-324)),
        any::<String>().prop_map(Value::from),
        Just(Value::from("\0 \u{feff} \u{10ffff} \\u0000")),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            any_object(inner).prop_map(Value::from),
        ]
    })
}

fn any_object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
    let pairs = prop::collection::vec((any::<String>(), values), 0..6);
    pairs.prop_map(|pairs| pairs.into_iter().collect())
}

fn any_time() -> impl Strategy<Value = SystemTime> {
    prop_oneof![
        (0u64..=253_402_300_799_999_999).prop_map(at),
        Just(at(0)),
        Just(at(253_402_300_799_999_999)),
        (1_500_000_000_000_000u64..2_000_000_000_000_000).prop_map(at),
    ]
}

fn any_record(name: &'static str) -> impl Strategy<Value = KeyRecord> {
    let times = (any_time(), [(); 3].map(|()| prop::option::of(any_time())));
    let texts = (name, name, prop::option::of("[A-Za-z0-9_.-]{1,128}"));
    let rest = (any::<[u8; 32]>(), any::<bool>(), any::<bool>(), 0..i64::MAX as u64);
    (times, texts, any_object(any_json()), rest, 0usize..4).prop_map(
        |((created_at, optional), (name, hint, text), metadata, rest, extent)| {
            let (digest, disabled, public, revision) = rest;
            let all = ["bots:*", "chat:send", "a:b:c:d"];
            let kind = if public { "public" } else { "secret" };
            let mut key = NewKey::named(name).abilities(all.into_iter().take(extent));
            if public {
                key = key.kind(tower_api_key::KeyKind::Public);
            }
            if extent > 1 {
                key = key.limit("10 per second").limit("bulk: 5 per 2 hours, shared by tenant");
                key = key.addresses(["192.0.2.0/24", "2001:db8::1"]).origins([""; 0]);
            }
            if extent > 2 {
                key = key.endpoints(["GET /v1/users/{id}", "/v1/reports/*"]);
                key = key.referrers(["https://app.example/checkout/*"]);
            }
            let issued = key.generate(&KeyScheme::default()).unwrap();
            let mut record = KeyRecord::clone(&issued.record);
            assert_eq!(record.kind().to_string(), kind);
            record.set_digest(tower_api_key::KeyDigest::from_bytes(digest));
            record.set_hint(KeyHint::from_text(hint));
            record.set_tenant(text.as_ref().map(|text| text.parse().unwrap()));
            record.set_created_by(text.as_ref().map(|text| Actor::from(&**text)));
            record.set_stage(text.as_ref().map(|text| text.parse().unwrap()));
            record.set_successor(text.as_ref().map(|text| text.parse().unwrap()));
            record.set_counted_as(text.as_ref().map(|text| text.parse().unwrap()));
            record.set_created_at(created_at);
            let [expires_at, revoked_at, rotation_due_at] = optional;
            record.set_expires_at(expires_at);
            record.set_revoked_at(revoked_at);
            record.set_rotation_due_at(rotation_due_at);
            record.set_disabled(disabled);
            record.set_metadata(metadata);
            record.set_revision(revision);
            record
        },
    )
}
