//! Changes that a real PostgreSQL notifies of, and every way in which it can stop doing so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tower_api_key::store::{Invalidation, InvalidationSource, PostgresInvalidations, Subscription};
use tower_api_key::{CachedStore, KeyDigest, KeyHasher, KeyStore, MemoryStore, NewKey};

use crate::common::MemoryKeys as _;
use crate::common::in_time;
use crate::common::proxy::Proxy;
use crate::common::servers::{Postgres, database_url};

const HEARTBEAT: Duration = Duration::from_millis(200);

/// A channel of a test's own, with characters that have to be quoted.
fn channel() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    format!("Test.{} \"{number}\" 'x'", std::process::id())
}

async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new().max_connections(2).connect(url).await.unwrap()
}

async fn notify(pool: &PgPool, channel: &str, payload: &str) {
    let notify = sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload);
    notify.execute(pool).await.unwrap();
}

async fn hears(subscription: &mut Box<dyn Subscription>, expected: Invalidation) {
    assert_eq!(in_time(subscription.next()).await.unwrap(), expected);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn what_is_notified_is_heard_in_order() {
    let (pool, channel) = (pool(&database_url()).await, channel());
    let source = PostgresInvalidations::new(pool.clone(), &*channel);
    notify(&pool, &channel, "before").await;
    let mut subscription = in_time(source.subscribe()).await.unwrap();
    let digest = KeyHasher::sha256().digest("x");
    source.beat(1).await.unwrap();
    notify(&pool, &channel, &digest.to_string()).await;
    notify(&pool, &format!("{channel}."), "another channel").await;
    notify(&pool, &channel, "*").await;
    source.beat(u64::MAX).await.unwrap();
    notify(&pool, &channel, "what?").await;
    for expected in [
        Invalidation::Heartbeat(1),
        Invalidation::Key(digest),
        Invalidation::Everything,
        Invalidation::Heartbeat(u64::MAX),
        Invalidation::Everything,
    ] {
        hears(&mut subscription, expected).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_wait_that_is_given_up_loses_nothing() {
    let (pool, channel) = (pool(&database_url()).await, channel());
    let source = PostgresInvalidations::new(pool, &*channel);
    let mut subscription = in_time(source.subscribe()).await.unwrap();
    for number in 0..200 {
        let beat = async { source.beat(number).await.unwrap() };
        // Dropped at any point of what goes on between.
        let given_up =
            tokio::time::timeout(Duration::from_micros(number * 10), subscription.next());
        let (heard, ()) = tokio::join!(given_up, beat);
        match heard {
            Ok(heard) => assert_eq!(heard.unwrap(), Invalidation::Heartbeat(number)),
            Err(_) => hears(&mut subscription, Invalidation::Heartbeat(number)).await,
        }
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_pool_that_is_all_in_use_holds_up_neither_listening_nor_heartbeats() {
    let (pool, channel) = (pool(&database_url()).await, channel());
    let _used = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let source = PostgresInvalidations::new(pool, &*channel);
    let mut subscription = in_time(source.subscribe()).await.unwrap();
    in_time(source.beat(7)).await.unwrap();
    hears(&mut subscription, Invalidation::Heartbeat(7)).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_connection_that_the_server_closes_is_an_error_for_good() {
    let (pool, channel) = (pool(&database_url()).await, channel());
    let source = PostgresInvalidations::new(pool.clone(), &*channel);
    let mut subscription = in_time(source.subscribe()).await.unwrap();
    source.beat(1).await.unwrap();
    hears(&mut subscription, Invalidation::Heartbeat(1)).await;
    terminate(&pool, &channel).await;
    for _ in 0..3 {
        in_time(subscription.next()).await.unwrap_err();
    }
    // The connection of the heartbeats is gone too: one fails, and the next has another.
    assert!(source.beat(2).await.is_err());
    let mut subscription = in_time(source.subscribe()).await.unwrap();
    source.beat(3).await.unwrap();
    hears(&mut subscription, Invalidation::Heartbeat(3)).await;
}

/// Ends all other connections that did something with the channel.
async fn terminate(pool: &PgPool, channel: &str) {
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE pid <> pg_backend_pid() AND position($1 IN query) > 0";
    let quoted = channel.replace('"', "\"\"");
    sqlx::query(ended).bind(quoted).execute(pool).await.unwrap();
}

struct Cached {
    cached: CachedStore<MemoryStore>,
    digest: KeyDigest,
}

impl Cached {
    fn by(pool: PgPool, channel: &str) -> Self {
        let keys = MemoryStore::new();
        let digest = keys.issue(NewKey::named("robot")).unwrap().record.digest();
        let source = PostgresInvalidations::new(pool, channel);
        let cached = CachedStore::builder(keys).invalidated_by(source).heartbeat(HEARTBEAT);
        Self { cached: cached.build(), digest }
    }

    async fn becomes(&self, live: bool) {
        let becomes = async {
            while self.cached.is_live() != live {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time(becomes).await;
    }

    async fn warm_up(&self) {
        let warm = async {
            while self.cached.find_now(&self.digest).answer().is_none() {
                self.cached.find(&self.digest).await.unwrap();
            }
        };
        in_time(warm).await;
    }

    async fn forgets(&self) {
        let forgets = async {
            while self.cached.find_now(&self.digest).answer().is_some() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        in_time(forgets).await;
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_cache_forgets_what_is_notified_and_all_when_its_connection_is_closed() {
    let (pool, channel) = (pool(&database_url()).await, channel());
    let test = Cached::by(pool.clone(), &channel);
    test.becomes(true).await;
    for payload in [test.digest.to_string(), "*".to_owned()] {
        test.warm_up().await;
        notify(&pool, &channel, &payload).await;
        test.forgets().await;
    }
    test.warm_up().await;
    terminate(&pool, &channel).await;
    test.forgets().await;
    test.becomes(true).await;
    test.warm_up().await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_connection_over_which_nothing_comes_any_more_is_noticed() {
    let server = Postgres::start().await;
    let proxy = Proxy::to(server.address()).await;
    let pool = pool(&Postgres::url_at(proxy.address())).await;
    let test = Cached::by(pool, &channel());
    for _ in 0..3 {
        test.becomes(true).await;
        test.warm_up().await;
        proxy.stall();
        test.forgets().await;
        assert!(!test.cached.is_live());
        proxy.resume();
    }
    test.becomes(true).await;
    proxy.refuse();
    test.becomes(false).await;
    proxy.resume();
    test.becomes(true).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_server_that_is_killed_and_started_again_is_heard_again() {
    let mut server = Postgres::start().await;
    let test = Cached::by(pool(&server.url()).await, &channel());
    test.becomes(true).await;
    test.warm_up().await;
    server.kill().await;
    test.forgets().await;
    server.start_again().await;
    test.becomes(true).await;
    server.pause().await;
    test.becomes(false).await;
    server.resume();
    test.becomes(true).await;
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_channel_on_which_nothing_is_delivered_never_lives() {
    // As behind a pooler: it may be listened on, but `beat` goes elsewhere.
    let (pool, channel) = (pool(&database_url()).await, channel());
    struct Elsewhere(PostgresInvalidations, PostgresInvalidations);
    #[async_trait::async_trait]
    impl InvalidationSource for Elsewhere {
        async fn subscribe(&self) -> Result<Box<dyn Subscription>, tower_api_key::StoreError> {
            self.0.subscribe().await
        }

        async fn beat(&self, number: u64) -> Result<(), tower_api_key::StoreError> {
            self.1.beat(number).await
        }
    }
    let here = PostgresInvalidations::new(pool.clone(), &*channel);
    let source = Elsewhere(here, PostgresInvalidations::new(pool, format!("{channel}.")));
    let cached = CachedStore::builder(MemoryStore::new());
    let cached = cached.invalidated_by(source).heartbeat(HEARTBEAT).build();
    for _ in 0..20 {
        tokio::time::sleep(HEARTBEAT / 2).await;
        assert!(!cached.is_live());
    }
}
