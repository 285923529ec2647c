//! A standby of PostgreSQL that is promoted while yesterday's primary lives on, and a name that moves
//! new connections only: no node goes on accepting what was revoked.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::time::{Instant, sleep};
use tower_api_key::store::{InvalidationSource as _, KeyChange, Propagation};
use tower_api_key::{
    CachedStore, IssuedKey, KeyManager, KeyRecord, KeyRepository, KeyScheme, KeyStore, NewKey,
    PostgresStore,
};

use crate::common::caching::next;
use crate::common::in_time;
use crate::common::servers::Postgres;
use crate::postgres_replication::{Name, Pair, pool, run};

const HEARTBEAT: Duration = Duration::from_millis(200);
const MAX_STALENESS: Duration = Duration::from_secs(6);
const LIFETIME: Duration = Duration::from_secs(3);

/// How long a test goes on after a bound is over, to see that it holds.
const AFTERWARDS: Duration = Duration::from_secs(3);

async fn issue(keys: &impl KeyRepository) -> IssuedKey {
    let issued = NewKey::named("a key").generate(&KeyScheme::default()).unwrap();
    keys.commit(&[KeyChange::Insert(issued.record.clone())], &[]).await.unwrap();
    issued
}

/// Revokes a key by plain SQL, on this server.
async fn revoke(server: &PgPool, key: &KeyRecord) {
    let revoke = sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1");
    let revoked = revoke.bind(key.id().as_str()).execute(server).await.unwrap();
    assert_eq!(revoked.rows_affected(), 1);
}

async fn is_revoked(server: &PgPool, key: &KeyRecord) -> bool {
    let revoked = sqlx::query_scalar("SELECT revoked_at IS NOT NULL FROM api_keys WHERE id = $1");
    revoked.bind(key.id().as_str()).fetch_one(server).await.unwrap()
}

fn cached(store: &PostgresStore) -> CachedStore<PostgresStore> {
    CachedStore::builder(store.clone())
        .invalidated_by(store.invalidations())
        .heartbeat(HEARTBEAT)
        .ttl(MAX_STALENESS)
        .max_staleness(MAX_STALENESS)
        .build()
}

/// Asks a node until it has refused the revoked key for some time. A valid one is never refused, nor
/// is the revoked one accepted by a request that begins after the bound.
async fn applies<S: KeyStore>(
    node: S,
    revoked: Arc<KeyRecord>,
    valid: Arc<KeyRecord>,
    bound: Duration,
) {
    let revoked_at = Instant::now();
    let mut applied = 0;
    while revoked_at.elapsed() < bound + AFTERWARDS {
        let asked_at = Instant::now();
        let found = in_time(node.find(&valid.digest())).await.unwrap();
        assert!(found.unwrap().revoked_at().is_none());
        let found = in_time(node.find(&revoked.digest())).await.unwrap().unwrap();
        match found.revoked_at() {
            Some(_) => applied += 1,
            None => assert!(asked_at - revoked_at < bound, "accepted after {bound:?}"),
        }
        sleep(Duration::from_millis(25)).await;
    }
    assert!(applied > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn nodes_that_are_left_behind_apply_a_revocation_within_the_maximal_staleness() {
    let pair = Pair::start().await;
    let name = Name::of(pair.primary.address()).await;
    let connect = async |_| in_time(PostgresStore::connect(&name.url()).into_future()).await;
    let stores = [connect(0).await.unwrap(), connect(1).await.unwrap(), connect(2).await.unwrap()];
    let keys = [issue(&stores[0]).await.record, issue(&stores[0]).await.record];
    let nodes = stores.each_ref().map(cached);
    for node in &nodes {
        in_time(async {
            while !node.is_live() {
                sleep(HEARTBEAT).await;
            }
        })
        .await;
        for key in &keys {
            node.find(&key.digest()).await.unwrap().unwrap();
        }
    }
    // They go on like this over some renewals, and ask nobody.
    sleep(MAX_STALENESS).await;
    assert!(nodes.iter().all(CachedStore::is_live));

    pair.catches_up().await;
    pair.promote().await;
    name.moves_to(pair.standby.address());
    let new = pool(&pair.standby.url()).await;
    revoke(&new, &keys[0]).await;
    let all = nodes.iter().map(|node| {
        applies(node.clone(), Arc::clone(&keys[0]), Arc::clone(&keys[1]), MAX_STALENESS)
    });
    join_all(all).await;
    // What is changed now is changed on the new one, and heard of.
    assert!(nodes.iter().all(CachedStore::is_live));
    KeyManager::new(nodes[0].clone()).revoke(keys[1].id()).await.unwrap();
    assert!(is_revoked(&new, &keys[1]).await);
    let heard = async {
        while nodes[1].find(&keys[1].digest()).await.unwrap().unwrap().revoked_at().is_none() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    in_time(heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_store_that_is_left_behind_applies_a_revocation_within_the_life_of_a_connection() {
    let pair = Pair::start().await;
    let name = Name::of(pair.primary.address()).await;
    let own = PostgresStore::connect(&name.url()).connection_lifetime(LIFETIME).await.unwrap();
    let lent = PgPoolOptions::new().max_lifetime(LIFETIME / 2).connect(&name.url()).await.unwrap();
    let lent = PostgresStore::from_pool(lent).await.unwrap();
    let keys = [issue(&own).await.record, issue(&own).await.record];
    pair.catches_up().await;
    pair.promote().await;
    name.moves_to(pair.standby.address());
    revoke(&pool(&pair.standby.url()).await, &keys[0]).await;
    let all = [own, lent].map(|store| applies(store, keys[0].clone(), keys[1].clone(), LIFETIME));
    join_all(all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_server_that_makes_no_changes_any_more_fails_no_revocation() {
    let pair = Pair::start().await;
    let name = Name::of(pair.primary.address()).await;
    let own = PostgresStore::connect(&name.url()).await.unwrap();
    let lent = PgPoolOptions::new().connect(&name.url()).await.unwrap();
    let lent = PostgresStore::from_pool(lent).await.unwrap();
    let mut keys = Vec::new();
    for _ in 0..5 {
        keys.push((issue(&own).await.record, issue(&lent).await.record));
    }
    // Both pools have several connections.
    for store in [&own, &lent] {
        let digest = keys[0].0.digest();
        join_all((0..8).map(|_| store.find(&digest))).await;
    }
    pair.catches_up().await;
    let old = pool(&pair.primary.url()).await;
    run(&old, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    run(&old, "SELECT pg_reload_conf()").await;
    pair.promote().await;
    name.moves_to(pair.standby.address());
    let new = pool(&pair.standby.url()).await;
    let (own, lent) = (KeyManager::new(own), KeyManager::new(lent));
    for (by_own, by_lent) in &keys {
        in_time(own.revoke(by_own.id())).await.unwrap();
        in_time(lent.revoke(by_lent.id())).await.unwrap();
        assert!(is_revoked(&new, by_own).await && is_revoked(&new, by_lent).await);
        assert!(!is_revoked(&old, by_own).await && !is_revoked(&old, by_lent).await);
    }
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_role_that_is_read_only_by_default_looks_keys_up() {
    let pair = Pair::start().await;
    let key = issue(&PostgresStore::connect(&pair.primary.url()).await.unwrap()).await.record;
    let sql = pool(&pair.primary.url()).await;
    run(&sql, "ALTER ROLE postgres SET default_transaction_read_only = on").await;
    let store = PostgresStore::connect(&pair.primary.url()).await.unwrap();
    assert!(store.find(&key.digest()).await.unwrap().is_some());
    let error = KeyManager::new(store).revoke(key.id()).await.unwrap_err();
    assert!(error.to_string().contains("read-only transaction"), "{error}");
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_standby_is_refused_unless_it_is_accepted_and_then_only_if_it_is_not_too_far_behind() {
    let pair = Pair::start().await;
    let primary = PostgresStore::connect(&pair.primary.url()).await.unwrap();
    let [valid, revoked] = [issue(&primary).await.record, issue(&primary).await.record];
    pair.catches_up().await;
    let url = pair.standby.url();
    let error = PostgresStore::connect(&url).await.unwrap_err().to_string();
    let address = pair.standby.address().to_string();
    for part in ["is a standby", "connect to the primary", "`accept_standby`", &address] {
        assert!(error.contains(part), "{error}");
    }

    let hour = Duration::from_secs(3600);
    let store = PostgresStore::connect(&url).accept_standby(hour).await.unwrap();
    assert_eq!(store.propagation(), Propagation::Within(hour));
    assert!(store.find(&valid.digest()).await.unwrap().unwrap().revoked_at().is_none());
    KeyManager::new(primary.clone()).revoke(revoked.id()).await.unwrap();
    pair.catches_up().await;
    assert!(store.find(&revoked.digest()).await.unwrap().unwrap().revoked_at().is_some());
    // It changes nothing, and hears of nothing.
    let error = KeyManager::new(store.clone()).revoke(valid.id()).await.unwrap_err().to_string();
    assert!(error.contains("is a standby"), "{error}");
    let Err(error) = store.invalidations().subscribe().await else { panic!("it listens") };
    assert!(error.to_string().contains("is a standby"), "{error}");

    // From here on it repeats nothing.
    let strict = PostgresStore::connect(&url).accept_standby(Duration::from_secs(2));
    primary.find(&valid.digest()).await.unwrap();
    issue(&primary).await;
    pair.catches_up().await;
    let strict = strict.await.unwrap();
    strict.find(&valid.digest()).await.unwrap();
    run(&pool(&url).await, "SELECT pg_wal_replay_pause()").await;
    issue(&primary).await;
    sleep(Duration::from_secs(3)).await;
    let error = strict.find(&valid.digest()).await.unwrap_err().to_string();
    assert!(error.contains("behind, and 2s is accepted"), "{error}");
    assert!(store.find(&valid.digest()).await.unwrap().is_some());
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_pool_that_is_led_to_a_standby_comes_back_by_itself() {
    let pair = Pair::start().await;
    let name = Name::of(pair.primary.address()).await;
    let store = PostgresStore::connect(&name.url()).connection_lifetime(LIFETIME).await.unwrap();
    let key = issue(&store).await.record;
    pair.catches_up().await;
    name.moves_to(pair.standby.address());
    let refused = async {
        loop {
            match store.find(&key.digest()).await {
                Ok(found) => assert!(found.is_some()),
                Err(error) => break error.to_string(),
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let error = in_time(refused).await;
    assert!(error.contains("is a standby"), "{error}");
    name.moves_to(pair.primary.address());
    assert!(store.find(&key.digest()).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn nothing_is_acknowledged_that_a_synchronous_standby_does_not_have() {
    let pair = Pair::start().await;
    let sql = pool(&pair.primary.url()).await;
    let store = PostgresStore::connect(&pair.primary.url()).await.unwrap();
    let keys = [issue(&store).await.record, issue(&store).await.record];
    pair.catches_up().await;
    run(&sql, "ALTER SYSTEM SET synchronous_standby_names = '*'").await;
    run(&sql, "SELECT pg_reload_conf()").await;
    let manager = KeyManager::new(store.clone());
    manager.revoke(keys[0].id()).await.unwrap();
    pair.standby.pause().await;
    // Longer than any statement may take.
    let change = next(&keys[1], |record| record.set_revoked_at(Some(record.created_at())));
    let changes = [KeyChange::Replace(change)];
    let revoke = tokio::time::timeout(Duration::from_secs(8), store.commit(&changes, &[]));
    assert!(!matches!(revoke.await, Ok(Ok(()))), "it was acknowledged");
    pair.standby.resume();
    // Once it is acknowledged, it outlives a failover.
    let revoked = async {
        while let Err(error) = manager.revoke(keys[1].id()).await {
            assert!(!error.to_string().contains("standby"), "{error}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    in_time(revoked).await;
    pair.promote().await;
    let new = pool(&pair.standby.url()).await;
    assert!(is_revoked(&new, &keys[0]).await && is_revoked(&new, &keys[1]).await);
}

#[tokio::test]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn what_was_acknowledged_is_on_the_disk_whatever_the_role_has_set() {
    let server = Postgres::start().await;
    let sql = pool(&server.url()).await;
    PostgresStore::connect(&server.url()).await.unwrap();
    let note = "CREATE TABLE seen (setting text);
        CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO seen VALUES (current_setting(''synchronous_commit'')); RETURN NEW; END';
        CREATE TRIGGER see AFTER INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION see()";
    run(&sql, note).await;
    for (set, expected) in [("off", "local"), ("local", "local"), ("remote_apply", "remote_apply")]
    {
        run(&sql, &format!("ALTER ROLE postgres SET synchronous_commit = {set}")).await;
        issue(&PostgresStore::connect(&server.url()).await.unwrap()).await;
        let seen: String =
            sqlx::query_scalar("DELETE FROM seen RETURNING setting").fetch_one(&sql).await.unwrap();
        assert_eq!(seen, expected);
    }
}
