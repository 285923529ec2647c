//! `BindSession` forgets the sessions of keys that have ended.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Empty, Full};
use tokio::time::sleep;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::guard::BindSession;
use tower_api_key::{
    ApiKeyLayer, IssuedKey, KeyManager, KeyStore, MemoryStore, NewKey, Secret, StreamWatch,
};

use crate::common::MemoryKeys as _;
use crate::stores::Database;
use crate::{get, open, until};

const SESSION: &str = "mcp-session-id";

/// A server whose sessions are opened by the header `open`.
struct Server {
    layer: ApiKeyLayer,
    binds: BindSession,
}

impl Server {
    fn of(keys: impl KeyStore + 'static) -> Self {
        Self { layer: ApiKeyLayer::new(keys), binds: BindSession::new(SESSION) }
    }

    async fn send(&self, key: &Secret, method: Method, name: &str, session: &str) -> StatusCode {
        let handler = service_fn(async |request: Request<Empty<Bytes>>| {
            let mut response = Response::new(Full::<Bytes>::default());
            if let Some(session) = request.headers().get("open") {
                response.headers_mut().insert(SESSION, session.clone());
            }
            Ok::<_, Infallible>(response)
        });
        let service = self.layer.layer(self.binds.layer(handler));
        let request = Request::builder().method(method).header("x-api-key", key.reveal());
        let request = request.header(name, session).body(Empty::new()).unwrap();
        service.oneshot(request).await.unwrap().status()
    }

    async fn open(&self, key: &Secret, session: &str) {
        assert_eq!(self.send(key, Method::POST, "open", session).await, 200);
    }

    async fn call(&self, key: &Secret, session: &str) -> StatusCode {
        self.send(key, Method::POST, SESSION, session).await
    }
}

fn issue(keys: &MemoryStore) -> IssuedKey {
    keys.issue(NewKey::named("agent")).unwrap()
}

#[tokio::test]
async fn sessions_are_forgotten_when_their_key_is_revoked_or_removed_or_expires() {
    let keys = MemoryStore::new();
    let server = Server::of(keys.clone());
    let [revoked, removed, other] = [(); 3].map(|()| issue(&keys));
    let soon = std::time::SystemTime::now() + Duration::from_millis(300);
    let short = keys.issue(NewKey::named("short").expires_at(soon)).unwrap();
    for (key, sessions) in [(&revoked, ["a", "b"]), (&removed, ["c", "d"]), (&short, ["e", "f"])] {
        for session in sessions {
            server.open(&key.secret, session).await;
        }
    }
    server.open(&other.secret, "g").await;
    assert_eq!(server.binds.sessions(), 7);
    // They are no streams.
    assert_eq!(server.layer.open_streams(), 0);
    assert_eq!(server.layer.open_streams_of(other.record.id()), 0);
    assert!(keys.revoke(revoked.record.id()));
    assert_eq!(server.binds.sessions(), 5);
    keys.remove(removed.record.id());
    assert_eq!(server.binds.sessions(), 3);
    until(|| server.binds.sessions() == 1).await;
    assert_eq!(server.call(&other.secret, "g").await, 200);
    // The id is free again.
    server.open(&other.secret, "a").await;
    assert_eq!(server.call(&other.secret, "a").await, 200);
}

#[tokio::test]
async fn what_may_come_back_keeps_its_sessions_and_loses_them_when_it_ends_later() {
    let keys = MemoryStore::new();
    let server = Server::of(keys.clone());
    let key = issue(&keys);
    server.open(&key.secret, "a").await;
    for disabled in [true, false] {
        keys.update(key.record.id(), |record| record.set_disabled(disabled)).unwrap();
        assert_eq!(server.call(&key.secret, "a").await, if disabled { 401 } else { 200 });
        assert_eq!(server.binds.sessions(), 1);
    }
    // Used again, it is looked on again.
    assert!(keys.revoke(key.record.id()));
    assert_eq!(server.binds.sessions(), 0);
}

#[tokio::test]
async fn a_successor_has_the_sessions_of_the_key_that_was_rotated() {
    for grace in [Duration::ZERO, Duration::from_millis(200)] {
        let keys = MemoryStore::new();
        let server = Server::of(keys.clone());
        let manager = KeyManager::new(keys.clone());
        let old = manager.issue(NewKey::named("agent")).await.unwrap();
        server.open(&old.secret, "a").await;
        let rotated = manager.rotate(old.record.id(), grace).await.unwrap();
        // The old one has ended.
        sleep(grace * 3).await;
        assert_eq!(server.call(&old.secret, "a").await, 401);
        assert_eq!(server.call(&rotated.secret, "a").await, 200, "{grace:?}");
        assert_eq!(server.binds.sessions(), 1);
        manager.revoke(rotated.record.id()).await.unwrap();
        assert_eq!(server.binds.sessions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn for_sessions_alone_the_store_is_asked_less_often() {
    let database = Database::default();
    let server = Server::of(database.clone());
    let key = issue(&database.keys);
    server.open(&key.secret, "a").await;
    database.take_asked();
    sleep(Duration::from_secs(600)).await;
    let asked = database.take_asked().len();
    assert!((15..=26).contains(&asked), "{asked}");
    // A stream is another matter.
    let (_frames, body) = open(&server.layer, key.secret.reveal(), get()).await;
    let mut body = body.into_body();
    assert!(crate::poll(&mut body).is_pending());
    sleep(Duration::from_secs(7)).await;
    assert!(database.take_asked().len() >= 2);
    sleep(Duration::from_secs(593)).await;
    let asked = database.take_asked().len();
    assert!((95..=150).contains(&asked), "{asked}");
    drop(body);
    assert!(database.keys.revoke(key.record.id()));
    sleep(Duration::from_secs(40)).await;
    assert_eq!(server.binds.sessions(), 0);
    database.take_asked();
    sleep(Duration::from_secs(600)).await;
    assert!(database.take_asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_once_the_last_session_is_deleted_or_displaced() {
    let database = Database::default();
    let mut server = Server::of(database.clone());
    server.binds = server.binds.max_sessions(1);
    let (key, other) = (issue(&database.keys), issue(&database.keys));
    server.open(&key.secret, "a").await;
    server.open(&other.secret, "b").await;
    assert_eq!(
        (server.call(&key.secret, "a").await, server.binds.sessions()),
        (StatusCode::NOT_FOUND, 1)
    );
    assert_eq!(server.send(&other.secret, Method::DELETE, SESSION, "b").await, 200);
    assert_eq!(server.binds.sessions(), 0);
    database.take_asked();
    sleep(Duration::from_secs(600)).await;
    assert!(database.take_asked().is_empty());
}

#[tokio::test]
async fn a_layer_that_does_not_watch_leaves_sessions_to_the_bounds() {
    let keys = MemoryStore::new();
    let mut server = Server::of(keys.clone());
    server.layer = server.layer.streams(StreamWatch::off());
    let key = issue(&keys);
    server.open(&key.secret, "a").await;
    assert!(keys.revoke(key.record.id()));
    assert_eq!(server.binds.sessions(), 1);
}

#[tokio::test]
async fn sessions_keep_no_layer_that_is_gone() {
    let keys = Arc::new(MemoryStore::new());
    let gone = Arc::downgrade(&keys);
    let server = Server::of(Arc::clone(&keys));
    let key = issue(&keys);
    server.open(&key.secret, "a").await;
    assert_eq!(server.call(&key.secret, "a").await, 200);
    drop((server, keys));
    // The task of the layer notices it.
    until(|| gone.strong_count() == 0).await;
}
