//! Two nodes under load while their PostgreSQL is killed, hangs, is cut off, is slow or has no
//! connections left, and while keys are revoked.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use futures_util::future::try_join_all;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tower_api_key::store::PostgresInvalidations;
use tower_api_key::{KeyHasher, KeyId, KeyManager, KeyStore as _, PostgresStore, UsageRecorder};

use crate::common::in_time;
use crate::common::proxy::Proxy;
use crate::common::servers::Postgres;
use crate::faults::{Cluster, LOOKUP_TIMEOUT, Node};
use crate::writers::{TENANT, Writers};

const HEARTBEAT: Duration = Duration::from_millis(200);

/// The channel of a store in the schema that there is.
const CHANNEL: &str = "public.api_keys";

async fn store(address: SocketAddr) -> PostgresStore {
    in_time(PostgresStore::connect(&Postgres::url_at(address)).into_future()).await.unwrap()
}

async fn node(address: SocketAddr) -> Node {
    let store = store(address).await;
    Node::start(store.clone(), store.invalidations(), HEARTBEAT, |layer| layer).await
}

/// A node that listens and sends heartbeats at another address than that of its look-ups.
async fn node_listening_at(listen: SocketAddr, address: SocketAddr) -> Node {
    let pool = pool(listen, 1).await;
    let source = PostgresInvalidations::new(pool, CHANNEL);
    Node::start(store(address).await, source, HEARTBEAT, |layer| layer).await
}

async fn pool(address: SocketAddr, connections: u32) -> PgPool {
    let options = PgPoolOptions::new().max_connections(connections);
    options.connect(&Postgres::url_at(address)).await.unwrap()
}

/// Revokes a key by plain SQL.
async fn revoke(pool: &PgPool, id: &KeyId) {
    let revoke = sqlx::query("UPDATE api_keys SET revoked_at = now() WHERE id = $1");
    let revoked = revoke.bind(id.as_str()).execute(pool).await.unwrap();
    assert_eq!(revoked.rows_affected(), 1);
}

fn managers(cluster: &Cluster) -> Vec<KeyManager> {
    cluster.nodes.iter().map(|node| node.keys.clone()).collect()
}

/// Checks that each change of the writers left its event, and each event its change.
async fn check_audit(pool: &PgPool) {
    let wrong = "SELECT count(*) FROM \
         (SELECT id, revision + 1 AS changes FROM api_keys WHERE tenant = $1) AS keys FULL JOIN \
         (SELECT key_id, count(*) AS events FROM api_key_audit WHERE tenant = $1 GROUP BY key_id) \
         AS audit ON key_id = id WHERE events IS DISTINCT FROM changes";
    let wrong: i64 = sqlx::query_scalar(wrong).bind(TENANT).fetch_one(pool).await.unwrap();
    assert_eq!(wrong, 0, "changes without events, or events without changes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_server_that_is_killed_and_started_again_loses_and_confuses_nothing() {
    let mut server = Postgres::start().await;
    let address = server.address();
    let cluster = Cluster::start([node(address).await, node(address).await]).await;
    let writers = Writers::start(&managers(&cluster));
    for downtime in [Duration::ZERO, LOOKUP_TIMEOUT + Duration::from_secs(1)] {
        cluster.outage_begins();
        cluster.revoke().await;
        server.kill().await;
        let comes_back = async {
            tokio::time::sleep(downtime).await;
            server.start_again().await;
        };
        // Tried in vain until it is back.
        tokio::join!(cluster.revoke(), comes_back);
        cluster.recovers().await;
        cluster.revoke().await;
    }
    let (kept, failures) = writers.end(&cluster.nodes[1].keys).await;
    assert!(kept > 20 && failures > 0, "{kept} keys, {failures} failures");
    check_audit(&pool(address, 1).await).await;
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_server_that_hangs_is_waited_for_in_vain_and_heard_again() {
    let server = Postgres::start().await;
    let address = server.address();
    let cluster = Cluster::start([node(address).await, node(address).await]).await;
    let writers = Writers::start(&managers(&cluster));
    cluster.outage_begins();
    cluster.revoke().await;
    server.pause().await;
    let goes_on = async {
        tokio::time::sleep(LOOKUP_TIMEOUT + Duration::from_secs(1)).await;
        server.resume();
    };
    tokio::join!(cluster.revoke(), goes_on);
    cluster.recovers().await;
    cluster.revoke().await;
    writers.end(&cluster.nodes[1].keys).await;
    check_audit(&pool(address, 1).await).await;
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn listeners_that_the_server_ends_cost_no_request() {
    let server = Postgres::start().await;
    let address = server.address();
    let cluster = Cluster::start([node(address).await, node(address).await]).await;
    let sql = pool(address, 1).await;
    let terminate = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE query LIKE 'LISTEN %'";
    for _ in 0..3 {
        let ended: i64 = sqlx::query_scalar(terminate).fetch_one(&sql).await.unwrap();
        assert_eq!(ended, 2);
        cluster.revoke().await;
        sqlx::query(terminate).execute(&sql).await.unwrap();
        cluster.revoke_by(None, async |id| revoke(&sql, id).await).await;
        cluster.recovers().await;
    }
    cluster.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_node_that_hears_of_nothing_serves_nothing_from_memory() {
    let server = Postgres::start().await;
    let address = server.address();
    let proxies = [Proxy::to(address).await, Proxy::to(address).await];
    let listening = proxies.each_ref().map(|proxy| node_listening_at(proxy.address(), address));
    let nodes = try_join_all(listening.map(async |node| Ok::<_, ()>(node.await))).await.unwrap();
    let cluster = Cluster::start(nodes.try_into().ok().unwrap()).await;
    let sql = pool(address, 1).await;
    for (deaf, proxy) in proxies.iter().enumerate() {
        // The one that revokes applies it though it does not hear of it.
        proxy.stall();
        cluster.revoke().await;
        cluster.nodes[deaf].becomes(false).await;
        cluster.revoke().await;
        cluster.goes_on().await;
        proxy.resume();
        cluster.recovers().await;
        proxy.refuse();
        cluster.revoke_by(None, async |id| revoke(&sql, id).await).await;
        cluster.goes_on().await;
        proxy.resume();
        cluster.recovers().await;
    }
    cluster.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_node_that_the_network_lost_accepts_no_revoked_key() {
    let server = Postgres::start().await;
    let address = server.address();
    let proxy = Proxy::to(address).await;
    let cluster = Cluster::start([node(address).await, node(proxy.address()).await]).await;
    cluster.outage_begins();
    proxy.stall();
    cluster.revoke().await;
    cluster.goes_on().await;
    proxy.resume();
    cluster.recovers().await;
    cluster.outage_begins();
    proxy.refuse();
    cluster.revoke().await;
    cluster.goes_on().await;
    proxy.resume();
    cluster.recovers().await;
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_pool_without_connections_delays_no_revocation() {
    let server = Postgres::start().await;
    let address = server.address();
    let pool = pool(address, 3).await;
    let store = PostgresStore::from_pool(pool.clone()).await.unwrap();
    let source = store.invalidations();
    let starved = Node::start(store, source, HEARTBEAT, |layer| layer).await;
    let cluster = Cluster::start([node(address).await, starved]).await;
    for _ in 0..2 {
        cluster.outage_begins();
        let held = in_time(try_join_all((0..3).map(|_| pool.acquire()))).await.unwrap();
        cluster.revoke().await;
        cluster.goes_on().await;
        tokio::time::sleep(LOOKUP_TIMEOUT).await;
        // It hears of changes by connections of its own.
        assert!(cluster.nodes[1].is_live());
        drop(held);
        cluster.recovers().await;
    }
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_slow_server_delays_revocations_by_no_more_than_the_heartbeats_allow() {
    let server = Postgres::start().await;
    let address = server.address();
    let proxy = Proxy::to(address).await;
    let (near, far) = (node(address).await, node(proxy.address()).await);
    let cluster = Cluster::start([near, far]).await;
    for delay in [20, 100, 300] {
        cluster.outage_begins();
        proxy.delay(Duration::from_millis(delay));
        cluster.revoke().await;
        cluster.goes_on().await;
        cluster.revoke().await;
        cluster.goes_on().await;
        proxy.resume();
        cluster.recovers().await;
    }
    cluster.ends().await;
}

/// Forwards connections, each of which takes its time to be made.
async fn slow_to_connect(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let mut client = listener.accept().await.unwrap().0;
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let Ok(mut server) = TcpStream::connect(server).await else { return };
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn a_connection_is_made_also_if_nobody_waits_for_it() {
    let server = Postgres::start().await;
    let keys = store(slow_to_connect(server.address()).await).await;
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'tower-api-key'";
    let sql = pool(server.address(), 1).await;
    sqlx::query(terminate).execute(&sql).await.unwrap();
    let digest = KeyHasher::sha256().digest("unknown");
    // As requests are that all give up before it is made.
    let find = || tokio::time::timeout(Duration::from_millis(500), keys.find(&digest));
    let found = async { while !matches!(find().await, Ok(Ok(None))) {} };
    in_time(found).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs PostgreSQL: run tests/all"]
async fn uses_that_could_not_be_written_fail_no_request_and_are_written_afterwards() {
    let server = Postgres::start().await;
    let address = server.address();
    let proxy = Proxy::to(address).await;
    let usage = UsageRecorder::builder(store(proxy.address()).await)
        .interval(Duration::from_millis(200))
        .write_timeout(Duration::from_millis(500))
        .build();
    let store = store(address).await;
    let (source, observer) = (store.invalidations(), usage.clone());
    let first = Node::start(store, source, HEARTBEAT, |layer| layer.observer(observer)).await;
    let cluster = Cluster::start([first, node(address).await]).await;
    for fault in [Proxy::stall, Proxy::refuse] {
        fault(&proxy);
        cluster.revoke().await;
        cluster.goes_on().await;
        let during = SystemTime::now();
        proxy.resume();
        let keys = &cluster.nodes[0].keys;
        let written = async {
            while keys.get(cluster.valid_id()).await.unwrap().last_used_at < Some(during) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        in_time(written).await;
    }
    cluster.ends().await;
    usage.shutdown().await.unwrap();
}
