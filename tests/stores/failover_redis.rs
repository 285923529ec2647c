//! Redis and Valkey whose primary changes: no revoked key is accepted by what is left behind.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use tower_api_key::store::{CommitError, InvalidationSource as _, KeyChange, KeyQuery};
use tower_api_key::{
    ApiKeyLayer, CachedStore, Immediate, IssuedKey, KeyId, KeyManager, KeyRecord, KeyRepository,
    KeyScheme, KeyStore as _, NewKey, RedisRateLimiter, RedisStore,
};

use crate::common::proxy::Proxy;
use crate::common::server::{Kind, Server};
use crate::common::servers::Redis;
use crate::common::{get_raw, in_time, serve};
use crate::faults::{Cluster, Node};
use crate::redis_replication::{Front, Pair, RedisKind, ValkeyKind, info, run, set, until};

const HEARTBEAT: Duration = Duration::from_millis(200);

/// What a cache may take to notice that it hears nothing any more, on a slow machine.
const BOUND: Duration = Duration::from_secs(2);

fn url(address: SocketAddr) -> String {
    format!("redis://{address}")
}

async fn store(address: SocketAddr) -> RedisStore {
    in_time(RedisStore::connect(&url(address))).await.unwrap()
}

async fn cached_node(store: RedisStore) -> Node {
    let source = store.invalidations();
    Node::start(store, source, HEARTBEAT, |layer| layer).await
}

/// A node that caches nothing.
async fn plain_node(layer: ApiKeyLayer) -> SocketAddr {
    serve(Router::new().route("/", get(|| async { "in" })).layer(layer)).await
}

async fn ask(node: SocketAddr, key: &IssuedKey) -> u16 {
    let line = format!("x-api-key: {}", key.secret.reveal());
    in_time(get_raw(node, "/", &[&line])).await.status
}

async fn issue(keys: &KeyManager) -> IssuedKey {
    in_time(keys.issue(NewKey::named("a key"))).await.unwrap()
}

fn revoked(record: &KeyRecord) -> KeyChange {
    let mut record = record.clone();
    record.set_revision(record.revision() + 1);
    record.set_revoked_at(Some(std::time::SystemTime::now()));
    KeyChange::Replace(Arc::new(record))
}

/// Makes tests of functions over a kind of server, for Redis and for Valkey.
macro_rules! over_both {
    ($($name:ident)*) => {
        mod redis_7 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Redis: run tests/all"]
            async fn $name() {
                super::$name::<super::RedisKind>().await;
            })*
        }

        mod valkey_9 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            #[ignore = "needs Valkey: run tests/all"]
            async fn $name() {
                super::$name::<super::ValkeyKind>().await;
            })*
        }
    };
}

over_both! {
    a_node_left_on_a_demoted_server_accepts_no_revoked_key
    nodes_follow_a_failover_under_load
    a_node_left_on_yesterdays_primary_leaves_it_in_time
    a_primary_that_lost_its_replicas_is_not_believed_where_that_is_set
    a_primary_that_cannot_write_to_its_disk_is_believed_and_a_replica_is_not
    limits_on_a_demoted_server_are_as_set_for_limiters_that_fail
    after_a_restore_all_nodes_forget_at_one_command
}

/// The addresses of the nodes lead to it for good, and the link to its primary is broken.
async fn a_node_left_on_a_demoted_server_accepts_no_revoked_key<K: Kind>() {
    for break_link in [Proxy::stall, Proxy::refuse] {
        let pair = Pair::<K>::start().await;
        let left = store(pair.first.address()).await;
        // Apart, so that neither learns of it from the other.
        let cached = cached_node(store(pair.first.address()).await).await;
        let plain = plain_node(ApiKeyLayer::new(store(pair.first.address()).await)).await;
        let keys = KeyManager::new(left.clone());
        let (valid, doomed) = (issue(&keys).await, issue(&keys).await);
        cached.becomes(true).await;
        for node in [plain, cached.address] {
            assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (200, 200));
        }
        pair.fail_over().await;
        break_link(&pair.links[1]);
        let current = store(pair.second.address()).await;
        let record = current.find(&doomed.record.digest()).await.unwrap().unwrap();
        current.commit(&[revoked(&record)], &[]).await.unwrap();
        assert_eq!(ask(plain, &doomed).await, 503);
        tokio::time::sleep(BOUND).await;
        for _ in 0..50 {
            for node in [plain, cached.address] {
                assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (503, 503));
            }
        }
        assert!(!cached.is_live());
        // It would have told anybody who asks in another way.
        let name = format!("{{api-keys}}:key:{}", doomed.record.digest());
        let stale: String = run(&pair.first.url(), &format!("GET {name}")).await;
        assert!(stale.contains("\"revoked_at\":null") || !stale.contains("revoked_at"), "{stale}");
        nothing_is_told_by(&left, &doomed).await;
        let error = RedisStore::connect(&pair.first.url()).await.unwrap_err().to_string();
        let primary = pair.links[1].address().to_string();
        assert!(error.contains("is a replica of") && error.contains(&primary), "{error}");
    }
}

/// Neither look-ups, one by one and in lists, nor changes, nor heartbeats.
async fn nothing_is_told_by(left: &RedisStore, key: &IssuedKey) {
    let (id, digest) = (key.record.id(), &key.record.digest());
    let query = KeyQuery::new();
    in_time(left.find(digest)).await.unwrap_err();
    in_time(left.find_stored(digest)).await.unwrap_err();
    in_time(left.get(id)).await.unwrap_err();
    in_time(left.list(&query)).await.unwrap_err();
    in_time(left.invalidate_everywhere()).await.unwrap_err();
    in_time(left.invalidations().beat(1)).await.unwrap_err();
    in_time(left.invalidations().publish(digest)).await.unwrap_err();
    let new = NewKey::named("another").generate(&KeyScheme::default()).unwrap();
    for change in [revoked(&key.record), KeyChange::Insert(new.record)] {
        let result = in_time(left.commit(&[change], &[])).await;
        assert!(matches!(result, Err(CommitError::Store(_))), "{result:?}");
    }
}

async fn nodes_follow_a_failover_under_load<K: Kind>() {
    let pair = Pair::<K>::start().await;
    let front = Front::to(pair.first.address()).await;
    let node = async || cached_node(store(front.address()).await).await;
    let cluster = Cluster::start([node().await, node().await]).await;
    cluster.revoke().await;
    cluster.outage_begins();
    let moves = async {
        pair.fail_over().await;
        front.moves_to(pair.second.address());
        pair.links[1].stall();
    };
    tokio::join!(cluster.revoke(), moves);
    cluster.recovers().await;
    // From here on, nothing is refused.
    cluster.revoke().await;
    cluster.goes_on().await;
    let current = store(pair.second.address()).await;
    cluster
        .revoke_by(None, async |id: &KeyId| {
            let record = current.get(id).await.unwrap().unwrap().record;
            current.commit(&[revoked(&record)], &[]).await.unwrap();
        })
        .await;
    cluster.ends().await;
}

/// Nobody has told it that there is another, as when a proxy or a name was changed by hand.
async fn a_node_left_on_yesterdays_primary_leaves_it_in_time<K: Kind>() {
    let lifetime = Duration::from_secs(2);
    let pair = Pair::<K>::start().await;
    let front = Front::to(pair.first.address()).await;
    let connect = || RedisStore::connect(&url(front.address())).connection_lifetime(lifetime);
    let cached = cached_node(connect().await.unwrap()).await;
    let plain = plain_node(ApiKeyLayer::new(connect().await.unwrap())).await;
    let (valid, doomed) = (issue(&cached.keys).await, issue(&cached.keys).await);
    cached.becomes(true).await;
    for node in [plain, cached.address] {
        assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (200, 200));
    }
    until("the copy is complete", || pair.is_in_step(&pair.first)).await;
    pair.links[0].refuse();
    let () = run(&pair.second.url(), "REPLICAOF NO ONE").await;
    front.moves_to(pair.second.address());
    let current = store(pair.second.address()).await;
    current.commit(&[revoked(&doomed.record)], &[]).await.unwrap();
    let began = Instant::now();
    let (mut accepted, mut last) = (0, began);
    while began.elapsed() < lifetime + BOUND * 3 {
        for node in [plain, cached.address] {
            assert_eq!(ask(node, &valid).await, 200, "it is valid on both servers");
            let asked = Instant::now();
            match ask(node, &doomed).await {
                200 => (accepted, last) = (accepted + 1, last.max(asked)),
                status => assert_eq!(status, 401),
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(accepted > 0, "the nodes were left behind at first");
    let time = last - began;
    assert!(time < lifetime + BOUND, "it was accepted for {time:?}");
    cached.becomes(true).await;
}

async fn a_primary_that_lost_its_replicas_is_not_believed_where_that_is_set<K: Kind>() {
    let pair = Pair::<K>::start().await;
    set(&pair.first.url(), "min-replicas-to-write", "1").await;
    set(&pair.first.url(), "min-replicas-max-lag", "2").await;
    until("it knows that it has one", async || {
        info(&pair.first.url(), "replication").await["min_slaves_good_slaves"] == "1"
    })
    .await;
    let left = store(pair.first.address()).await;
    let node = plain_node(ApiKeyLayer::new(left.clone())).await;
    let keys = KeyManager::new(left.clone());
    let (valid, doomed) = (issue(&keys).await, issue(&keys).await);
    assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (200, 200));
    until("the copy is complete", || pair.is_in_step(&pair.first)).await;
    // The one is alone on its side of the network, and the other is made the primary.
    pair.links[0].stall();
    let () = run(&pair.second.url(), "REPLICAOF NO ONE").await;
    let current = store(pair.second.address()).await;
    current.commit(&[revoked(&doomed.record)], &[]).await.unwrap();
    until("the one that is alone answers no more", async || ask(node, &valid).await == 503).await;
    for _ in 0..50 {
        assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (503, 503));
    }
    let error = left.find(&doomed.record.digest()).await.unwrap_err().to_string();
    assert!(error.contains("NOREPLICAS"), "{error}");
}

async fn a_primary_that_cannot_write_to_its_disk_is_believed_and_a_replica_is_not<K: Kind>() {
    let pair = Pair::<K>::start().await;
    let left = store(pair.first.address()).await;
    let node = plain_node(ApiKeyLayer::new(left.clone())).await;
    let keys = KeyManager::new(left.clone());
    let (valid, doomed) = (issue(&keys).await, issue(&keys).await);
    cannot_save(&pair.first).await;
    let commit = left.commit(&[revoked(&doomed.record)], &[]).await;
    assert!(matches!(commit, Err(CommitError::Store(_))), "{commit:?}");
    assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (200, 200));
    assert_eq!(left.get(valid.record.id()).await.unwrap().unwrap().record, valid.record);
    assert_eq!(left.list(&KeyQuery::new()).await.unwrap().keys.len(), 2);
    let both = [valid.record.digest(), doomed.record.digest()];
    assert_eq!(left.find_many(&both).await.unwrap().iter().flatten().count(), 2);
    // The same server as a replica.
    let port = pair.links[1].address().port();
    let () = run(&pair.second.url(), "REPLICAOF NO ONE").await;
    let () = run(&pair.first.url(), &format!("REPLICAOF 127.0.0.1 {port}")).await;
    for _ in 0..20 {
        assert_eq!((ask(node, &valid).await, ask(node, &doomed).await), (503, 503));
    }
    assert!(left.find_many(&both).await.is_err());
}

/// Has a server fail to save what it has, so that it refuses to be written to.
async fn cannot_save<K: Kind>(server: &Server<K>) {
    // What it would take the place of.
    let in_the_way = server.directory().join("dump.rdb");
    let _ = std::fs::remove_file(&in_the_way);
    std::fs::create_dir(&in_the_way).unwrap();
    set(&server.url(), "save", "3600 1").await;
    let () = run(&server.url(), "BGSAVE").await;
    until("saving has failed", async || {
        info(&server.url(), "persistence").await["rdb_last_bgsave_status"] == "err"
    })
    .await;
}

async fn limits_on_a_demoted_server_are_as_set_for_limiters_that_fail<K: Kind>() {
    let (pair, records) = (Pair::<K>::start().await, Redis::start().await);
    let limiter = in_time(RedisRateLimiter::connect(&pair.first.url())).await.unwrap();
    let layer = ApiKeyLayer::new(store(records.address()).await).rate_limiter(limiter);
    let strict = plain_node(layer.clone()).await;
    let lenient = plain_node(layer.allow_when_limiter_fails()).await;
    let keys = KeyManager::new(store(records.address()).await);
    let limited = in_time(keys.issue(NewKey::named("limited").limit("1000 per hour"))).await;
    let (limited, unlimited) = (limited.unwrap(), issue(&keys).await);
    assert_eq!((ask(strict, &limited).await, ask(lenient, &limited).await), (200, 200));
    pair.fail_over().await;
    pair.links[1].stall();
    for _ in 0..10 {
        assert_eq!((ask(strict, &limited).await, ask(lenient, &limited).await), (503, 200));
        assert_eq!((ask(strict, &unlimited).await, ask(lenient, &unlimited).await), (200, 200));
    }
    let error = RedisRateLimiter::connect(&pair.first.url()).await.unwrap_err().to_string();
    assert!(error.contains("is a replica of"), "{error}");
}

async fn after_a_restore_all_nodes_forget_at_one_command<K: Kind>() {
    let server = Server::<K>::start().await;
    let cached = async || {
        let store = store(server.address()).await;
        let source = store.invalidations();
        CachedStore::builder(store).invalidated_by(source).heartbeat(HEARTBEAT).build()
    };
    let nodes = [cached().await, cached().await];
    let key = issue(&KeyManager::new(nodes[0].clone())).await;
    let digest = &key.record.digest();
    let remembers = |node: &CachedStore<RedisStore>| {
        let known = node.find_now(digest);
        matches!(known, Immediate::Answer(Some(_)))
    };
    for node in &nodes {
        until("it is remembered", async || node.find(digest).await.is_ok() && remembers(node))
            .await;
    }
    // The backup is older than the key.
    let name = format!("{{api-keys}}:key:{digest}");
    let () = run(&server.url(), &format!("DEL {name}")).await;
    tokio::time::sleep(HEARTBEAT * 5).await;
    assert!(nodes.iter().all(remembers), "nobody has told them");
    let repository: Arc<dyn KeyRepository> = Arc::new(nodes[0].clone());
    in_time(repository.invalidate_everywhere()).await.unwrap();
    assert!(!remembers(&nodes[0]), "who tells it has forgotten it already");
    until("the other has forgotten it", async || !remembers(&nodes[1])).await;
    for node in &nodes {
        assert_eq!(node.find(digest).await.unwrap(), None);
    }
}
