//! A Redis that fails, hangs, restarts or refuses, and that comes back.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use redis::{Client, cmd};
use tokio::net::{TcpListener, TcpStream};
use tower_api_key::store::{CommitError, KeyChange};
use tower_api_key::{
    ApiKeyLayer, IssuedKey, KeyRecord, KeyRepository as _, KeyScheme, KeyStore as _, NewKey,
    RedisRateLimiter, RedisStore,
};

use crate::common::proxy::Proxy;
use crate::common::servers::Redis;
use crate::common::{RawResponse, get_raw, in_time, serve};

fn key() -> IssuedKey {
    NewKey::named("test").generate(&KeyScheme::default()).unwrap()
}

async fn insert(store: &RedisStore, key: &IssuedKey) -> Result<(), CommitError> {
    in_time(store.commit(&[KeyChange::Insert(Arc::clone(&key.record))], &[])).await
}

async fn revoke(store: &RedisStore, record: &KeyRecord) -> Result<(), CommitError> {
    let mut revoked = record.clone();
    revoked.set_revision(revoked.revision() + 1);
    revoked.set_revoked_at(Some(std::time::SystemTime::now()));
    in_time(store.commit(&[KeyChange::Replace(Arc::new(revoked))], &[])).await
}

async fn run(url: &str, command: &[&str]) {
    let client = Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap();
}

/// A server whose keys are in Redis.
async fn start(store: RedisStore) -> SocketAddr {
    start_with(ApiKeyLayer::new(store)).await
}

async fn start_with(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().route("/", get(|| async { "in" })).layer(layer)).await
}

async fn ask(address: SocketAddr, key: &IssuedKey) -> RawResponse {
    let line = format!("x-api-key: {}", key.secret.reveal());
    in_time(get_raw(address, "/", &[&line])).await
}

fn assert_unavailable(response: &RawResponse) {
    assert_eq!(response.status, 503, "{}", response.text());
    assert!(response.header("retry-after").is_some());
}

/// Asks until the server is back. Until then it is unavailable, and nothing else.
async fn until_back(address: SocketAddr, key: &IssuedKey) -> RawResponse {
    in_time(async {
        loop {
            let response = ask(address, key).await;
            if response.status != 503 {
                return response;
            }
            assert_unavailable(&response);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_is_killed_and_started_again_is_found_by_itself() {
    let mut redis = Redis::start().await;
    let store = RedisStore::connect(&redis.url()).await.unwrap();
    let (good, revoked, new) = (key(), key(), key());
    insert(&store, &good).await.unwrap();
    insert(&store, &revoked).await.unwrap();
    revoke(&store, &revoked.record).await.unwrap();
    let address = start(store.clone()).await;
    for _ in 0..3 {
        assert_eq!(ask(address, &good).await.status, 200);
        redis.kill().await;
        let began = Instant::now();
        for _ in 0..20 {
            assert_unavailable(&ask(address, &good).await);
            assert_unavailable(&ask(address, &revoked).await);
            assert_unavailable(&ask(address, &new).await);
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it fails at once");
        assert!(matches!(insert(&store, &new).await, Err(CommitError::Store(_))));
        redis.start_again().await;
        assert_eq!(until_back(address, &good).await.status, 200);
        assert_eq!(ask(address, &revoked).await.status, 401);
        assert_eq!(ask(address, &new).await.status, 401);
    }
    // Changes have a connection of their own, which leaves the server alone for a moment after it failed.
    in_time(async {
        while let Err(error) = insert(&store, &new).await {
            assert!(matches!(error, CommitError::Store(_)), "{error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert_eq!(ask(address, &new).await.status, 200);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_hangs_is_given_up_and_its_late_answers_are_nobodys() {
    let redis = Redis::start().await;
    let store = RedisStore::connect(&redis.url()).await.unwrap();
    let (one, other, new) = (key(), key(), key());
    insert(&store, &one).await.unwrap();
    insert(&store, &other).await.unwrap();
    let address = start(store.clone()).await;
    redis.pause().await;
    let began = Instant::now();
    store.find(&one.record.digest()).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5), "before a layer gives up");
    assert_unavailable(&ask(address, &one).await);
    assert!(matches!(insert(&store, &new).await, Err(CommitError::Store(_))));
    redis.resume();
    assert_eq!(until_back(address, &one).await.status, 200);
    for _ in 0..20 {
        let found = in_time(store.find(&other.record.digest())).await.unwrap().unwrap();
        assert_eq!(found.id(), other.record.id());
        assert_eq!(in_time(store.find(&key().record.digest())).await.unwrap(), None);
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_connection_that_was_closed_while_nobody_asked_costs_no_request() {
    let redis = Redis::start().await;
    let store = RedisStore::connect(&redis.url()).await.unwrap();
    let limiter = RedisRateLimiter::connect(&redis.url()).await.unwrap();
    let limited = NewKey::named("test").limit("1000 per hour");
    let limited = limited.generate(&KeyScheme::default()).unwrap();
    insert(&store, &limited).await.unwrap();
    let address = start_with(ApiKeyLayer::new(store.clone()).rate_limiter(limiter)).await;
    for _ in 0..5 {
        assert_eq!(ask(address, &limited).await.status, 200);
        run(&redis.url(), &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        assert_eq!(ask(address, &limited).await.status, 200);
        run(&redis.url(), &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
        insert(&store, &key()).await.unwrap();
    }
}

/// Forwards connections, as a firewall or a name of a service does.
struct Forwarder {
    address: SocketAddr,
    /// Where to new ones go.
    server: Arc<Mutex<SocketAddr>>,
    /// Whether those that there are stay open, and nothing is ever heard on them again.
    forgets: Arc<AtomicBool>,
}

impl Forwarder {
    async fn to(server: SocketAddr) -> Self {
        Self::slow(server, Duration::ZERO).await
    }

    /// Takes so long to connect.
    async fn slow(server: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, forgets) = (Arc::new(Mutex::new(server)), Arc::new(AtomicBool::new(false)));
        let forwarder =
            Self { address, server: Arc::clone(&server), forgets: Arc::clone(&forgets) };
        tokio::spawn(async move {
            loop {
                let client = listener.accept().await.unwrap().0;
                let server = *server.lock().unwrap();
                let forward = forward(client, server, Arc::clone(&forgets));
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    forward.await;
                });
            }
        });
        forwarder
    }
}

async fn forward(mut client: TcpStream, server: SocketAddr, forgets: Arc<AtomicBool>) {
    // Those that come after it has forgotten are not forgotten.
    let is_new = forgets.load(Ordering::SeqCst);
    let mut server = TcpStream::connect(server).await.unwrap();
    let forgotten = async {
        while is_new || !forgets.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        () = forgotten => std::future::pending().await,
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_connection_on_which_nothing_is_heard_any_more_is_replaced() {
    let redis = Redis::start().await;
    let key = key();
    insert(&RedisStore::connect(&redis.url()).await.unwrap(), &key).await.unwrap();
    // Also if nobody waits as long as the store does.
    for patience in [Duration::from_secs(5), Duration::from_millis(100)] {
        let forwarder = Forwarder::to(redis.address()).await;
        let store = RedisStore::connect(&Redis::url_at(forwarder.address)).await.unwrap();
        let address = start_with(ApiKeyLayer::new(store).lookup_timeout(patience)).await;
        assert_eq!(ask(address, &key).await.status, 200);
        forwarder.forgets.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_unavailable(&ask(address, &key).await);
        assert_eq!(until_back(address, &key).await.status, 200);
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_connection_is_made_also_if_nobody_waits_for_it() {
    let redis = Redis::start().await;
    let key = key();
    insert(&RedisStore::connect(&redis.url()).await.unwrap(), &key).await.unwrap();
    let forwarder = Forwarder::slow(redis.address(), Duration::from_secs(1)).await;
    let store =
        RedisStore::connect(&Redis::url_at(forwarder.address)).connect_lazily().await.unwrap();
    let layer = ApiKeyLayer::new(store).lookup_timeout(Duration::from_millis(300));
    let address = start_with(layer).await;
    assert_unavailable(&ask(address, &key).await);
    assert_eq!(until_back(address, &key).await.status, 200);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_became_a_replica_is_left_for_its_successor() {
    let (old, new) = (Redis::start().await, Redis::start().await);
    let forwarder = Forwarder::to(old.address()).await;
    let store = RedisStore::connect(&Redis::url_at(forwarder.address)).await.unwrap();
    let key = key();
    insert(&store, &key).await.unwrap();
    let port = new.address().port().to_string();
    run(&old.url(), &["REPLICAOF", "127.0.0.1", &port]).await;
    *forwarder.server.lock().unwrap() = new.address();
    let other = self::key();
    // It loads the records of its successor first, and then refuses to write.
    in_time(async {
        while let Err(error) = insert(&store, &other).await {
            assert!(matches!(error, CommitError::Store(_)), "{error:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let of_new = RedisStore::connect(&new.url()).await.unwrap();
    assert_eq!(of_new.find(&other.record.digest()).await.unwrap(), Some(other.record));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_network_that_holds_everything_back_is_survived() {
    let redis = Redis::start().await;
    let proxy = Proxy::to(redis.address()).await;
    let store = RedisStore::connect(&Redis::url_at(proxy.address())).await.unwrap();
    let key = key();
    insert(&store, &key).await.unwrap();
    let address = start(store).await;
    proxy.stall();
    // Some wait for the connection that is lost, and some for one that cannot be made.
    for _ in 0..2 {
        let asked = (0..5).map(|_| ask(address, &key));
        futures_util::future::join_all(asked).await.iter().for_each(assert_unavailable);
    }
    proxy.resume();
    assert_eq!(until_back(address, &key).await.status, 200);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_refused_the_password_for_a_while_is_tried_again() {
    let redis = Redis::start().await;
    let url = redis.url().replace("redis://", "redis://:hunter2@");
    run(&redis.url(), &["CONFIG", "SET", "requirepass", "hunter2"]).await;
    RedisStore::connect(&redis.url()).await.expect_err("it needs a password");
    let store = RedisStore::connect(&url).await.unwrap();
    let key = key();
    insert(&store, &key).await.unwrap();
    let address = start(store).await;
    assert_eq!(ask(address, &key).await.status, 200);
    run(&url, &["CONFIG", "SET", "requirepass", "another"]).await;
    let other = redis.url().replace("redis://", "redis://:another@");
    run(&other, &["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    for _ in 0..3 {
        assert_unavailable(&ask(address, &key).await);
    }
    run(&other, &["CONFIG", "SET", "requirepass", "hunter2"]).await;
    assert_eq!(until_back(address, &key).await.status, 200);
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_is_full_changes_nothing() {
    let redis = Redis::start().await;
    let store = RedisStore::connect(&redis.url()).await.unwrap();
    let old: Vec<_> = (0..4).map(|_| key()).collect();
    for key in &old {
        insert(&store, key).await.unwrap();
    }
    run(&redis.url(), &["CONFIG", "SET", "maxmemory", "1"]).await;
    for old in &old {
        let new = key();
        let changes = [
            KeyChange::Remove(Arc::clone(&old.record)),
            KeyChange::Insert(Arc::clone(&new.record)),
        ];
        let result = in_time(store.commit(&changes, &[])).await;
        assert!(matches!(result, Err(CommitError::Store(_))), "{result:?}");
        let got = store.get(old.record.id()).await.unwrap().unwrap();
        assert_eq!(got.record, old.record);
        assert_eq!(store.get(new.record.id()).await.unwrap(), None);
        revoke(&store, &old.record).await.unwrap_err();
    }
    run(&redis.url(), &["CONFIG", "SET", "maxmemory", "0"]).await;
    revoke(&store, &old[0].record).await.unwrap();
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn no_error_repeats_the_password() {
    let redis = Redis::start().await;
    run(&redis.url(), &["CONFIG", "SET", "requirepass", "another"]).await;
    let address = redis.address();
    let urls = [
        format!("redis://:hunter2@{address}"),
        format!("redis://name:hunter2@{address}/3"),
        "redis://:hunter2@127.0.0.1:1".to_owned(),
        "redis://:hunter2@127.0.0.1:99999".to_owned(),
        "redis://:hunter2@/x".to_owned(),
        "rediss://:hunter2@127.0.0.1".to_owned(),
        "redis://:hunter2@no-such-host.invalid".to_owned(),
        "redis://127.0.0.1:1/hunter2".to_owned(),
        "hunter2".to_owned(),
    ];
    for url in urls {
        let of_store = RedisStore::connect(&url).await.unwrap_err();
        let of_limiter = RedisRateLimiter::connect(&url).await.unwrap_err();
        for error in [&of_store as &dyn Error, &of_limiter] {
            let mut next = Some(error);
            while let Some(error) = next {
                let text = format!("{error} {error:?}");
                assert!(!text.contains("hunter2"), "{text}");
                next = error.source();
            }
        }
    }
    let client = Client::open("redis://:hunter2@127.0.0.1:1").unwrap();
    let store = RedisStore::from_client(client.clone()).connect_lazily().await.unwrap();
    let limiter = RedisRateLimiter::from_client(client).connect_lazily().await.unwrap();
    let texts = format!("{store:?} {:?} {limiter:?}", store.invalidations());
    assert!(!texts.contains("hunter2"), "{texts}");
}
