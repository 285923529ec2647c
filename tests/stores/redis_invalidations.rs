//! Changes of keys in Redis, and who hears of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Client, cmd};
use tower_api_key::store::{Invalidation, InvalidationSource as _, KeyChange, Subscription};
use tower_api_key::{
    KeyDigest, KeyId, KeyRecord, KeyRepository as _, KeyScheme, NewKey, RedisStore,
};

use crate::common::in_time;
use crate::common::proxy::Proxy;
use crate::common::servers::{Redis, redis_url};

async fn store() -> RedisStore {
    let prefix = format!("test:{}:", KeyId::generate().unwrap());
    RedisStore::connect(&redis_url()).key_prefix(&prefix).await.unwrap()
}

fn record() -> Arc<KeyRecord> {
    NewKey::named("test").generate(&KeyScheme::default()).unwrap().record
}

fn changed(record: &KeyRecord) -> KeyChange {
    let mut record = record.clone();
    record.set_revision(record.revision() + 1);
    KeyChange::Replace(Arc::new(record))
}

async fn next(subscription: &mut Box<dyn Subscription>) -> Invalidation {
    in_time(subscription.next()).await.unwrap()
}

async fn run(redis: &Redis, command: &[&str]) {
    let client = Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let () = cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap();
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn every_change_is_told_to_every_subscriber_and_to_nobody_else() {
    let (writer, stranger) = (store().await, store().await);
    let reader = writer.clone();
    let mut subscriptions = [
        reader.invalidations().subscribe().await.unwrap(),
        reader.invalidations().subscribe().await.unwrap(),
    ];
    let mut elsewhere = stranger.invalidations().subscribe().await.unwrap();
    let (one, other) = (record(), record());
    let commits = [
        vec![KeyChange::Insert(Arc::clone(&one))],
        vec![changed(&one), KeyChange::Insert(Arc::clone(&other))],
        vec![KeyChange::Remove(Arc::clone(&other))],
    ];
    for changes in commits {
        writer.commit(&changes, &[]).await.unwrap();
        let expected: HashSet<KeyDigest> =
            changes.iter().map(|change| change.record().digest()).collect();
        for subscription in &mut subscriptions {
            let mut told = HashSet::new();
            for _ in &expected {
                match next(subscription).await {
                    Invalidation::Key(digest) => drop(told.insert(digest)),
                    invalidation => panic!("{invalidation:?}"),
                }
            }
            assert_eq!(told, expected);
        }
    }
    writer.commit(&[changed(&other)], &[]).await.unwrap_err();
    writer.invalidations().publish(&other.digest()).await.unwrap();
    writer.invalidations().beat(7).await.unwrap();
    writer.invalidations().publish_everything().await.unwrap();
    for subscription in &mut subscriptions {
        assert_eq!(next(subscription).await, Invalidation::Key(other.digest()));
        assert_eq!(next(subscription).await, Invalidation::Heartbeat(7));
        assert_eq!(next(subscription).await, Invalidation::Everything);
    }
    stranger.invalidations().beat(7).await.unwrap();
    assert_eq!(
        next(&mut elsewhere).await,
        Invalidation::Heartbeat(7),
        "it heard of nothing before"
    );
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_change_is_told_once_it_is_found() {
    let writer = store().await;
    let reader = writer.clone();
    let mut subscription = reader.invalidations().subscribe().await.unwrap();
    let mut record = record();
    writer.commit(&[KeyChange::Insert(Arc::clone(&record))], &[]).await.unwrap();
    next(&mut subscription).await;
    for _ in 0..100 {
        let change = changed(&record);
        let KeyChange::Replace(new) = &change else { unreachable!() };
        record = Arc::clone(new);
        let changes = [change];
        let (committed, found) = futures_util::future::join(writer.commit(&changes, &[]), async {
            next(&mut subscription).await;
            reader.get(record.id()).await.unwrap().unwrap().record
        })
        .await;
        committed.unwrap();
        assert_eq!(found.revision(), record.revision());
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_subscription_that_is_cut_is_reported_and_does_not_come_back() {
    let redis = Redis::start().await;
    let store = RedisStore::connect(&redis.url()).await.unwrap();
    for lost in ["by the server", "on the way", "with what was in between"] {
        let proxy = Proxy::to(redis.address()).await;
        let source = RedisStore::connect(&Redis::url_at(proxy.address())).await.unwrap();
        let source = source.invalidations();
        let mut subscription = in_time(source.subscribe()).await.unwrap();
        let record = record();
        store.commit(&[KeyChange::Insert(Arc::clone(&record))], &[]).await.unwrap();
        assert_eq!(next(&mut subscription).await, Invalidation::Key(record.digest()));
        match lost {
            "by the server" => run(&redis, &["CLIENT", "KILL", "TYPE", "pubsub"]).await,
            "on the way" => proxy.cut(),
            _ => drop(proxy),
        }
        for _ in 0..3 {
            let error = in_time(subscription.next()).await.unwrap_err();
            assert!(error.to_string().contains("subscription was lost"), "{error}");
        }
        if lost != "with what was in between" {
            // What was lost is not made up for: whoever subscribes again has to forget all.
            store.commit(&[changed(&record)], &[]).await.unwrap();
            let mut subscription = in_time(source.subscribe()).await.unwrap();
            source.beat(7).await.unwrap();
            assert_eq!(next(&mut subscription).await, Invalidation::Heartbeat(7));
        }
    }
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_subscription_ends_with_its_server() {
    let mut redis = Redis::start().await;
    let source = RedisStore::connect(&redis.url()).await.unwrap().invalidations();
    let mut subscription = source.subscribe().await.unwrap();
    redis.kill().await;
    in_time(subscription.next()).await.unwrap_err();
    assert!(source.subscribe().await.is_err());
    assert!(source.beat(7).await.is_err());
    redis.start_again().await;
    let mut subscription = in_time(source.subscribe()).await.unwrap();
    // The connection for messages comes back by itself.
    in_time(async { while source.beat(7).await.is_err() {} }).await;
    assert_eq!(next(&mut subscription).await, Invalidation::Heartbeat(7));
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_was_demoted_sends_no_heartbeats() {
    let (primary, other) = (Redis::start().await, Redis::start().await);
    let source = RedisStore::connect(&primary.url()).await.unwrap().invalidations();
    source.beat(1).await.unwrap();
    let port = other.address().port().to_string();
    run(&primary, &["REPLICAOF", "127.0.0.1", &port]).await;
    assert!(in_time(source.beat(2)).await.is_err());
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn nobody_subscribes_to_a_server_that_hangs() {
    let redis = Redis::start().await;
    let source = RedisStore::connect(&redis.url()).await.unwrap().invalidations();
    redis.pause().await;
    let began = Instant::now();
    assert!(in_time(source.subscribe()).await.is_err());
    assert!(in_time(source.beat(7)).await.is_err());
    assert!(began.elapsed() < Duration::from_secs(15));
    redis.resume();
}

#[tokio::test]
#[ignore = "needs Redis: run tests/all"]
async fn waiting_for_a_change_can_be_given_up() {
    let store = store().await;
    let mut subscription = store.invalidations().subscribe().await.unwrap();
    for _ in 0..50 {
        let record = record();
        let changes = [KeyChange::Insert(Arc::clone(&record))];
        let mut commit = Box::pin(store.commit(&changes, &[]));
        let told = in_time(async {
            loop {
                tokio::select! {
                    biased;
                    result = &mut commit => {
                        result.unwrap();
                        return next(&mut subscription).await;
                    }
                    told = subscription.next() => return told.unwrap(),
                    () = tokio::time::sleep(Duration::from_micros(50)) => {}
                }
            }
        })
        .await;
        assert_eq!(told, Invalidation::Key(record.digest()));
    }
}
