//! Two nodes under load while their Redis is killed, hangs or is cut off, and while keys are
//! revoked.

use std::net::SocketAddr;
use std::time::Duration;

use redis::{Client, cmd};
use tower_api_key::{KeyManager, NewKey, RedisRateLimiter, RedisStore};

use crate::common::proxy::Proxy;
use crate::common::servers::Redis;
use crate::common::{RawResponse, get_raw, in_time};
use crate::faults::{Cluster, LOOKUP_TIMEOUT, Node};
use crate::writers::Writers;

const HEARTBEAT: Duration = Duration::from_millis(200);

async fn node(address: SocketAddr) -> Node {
    let store = in_time(RedisStore::connect(&Redis::url_at(address))).await.unwrap();
    Node::start(store.clone(), store.invalidations(), HEARTBEAT, |layer| layer).await
}

/// A node that listens and sends heartbeats at another address than that of its look-ups.
async fn node_listening_at(listen: SocketAddr, address: SocketAddr) -> Node {
    let source = in_time(RedisStore::connect(&Redis::url_at(listen))).await.unwrap();
    let store = in_time(RedisStore::connect(&Redis::url_at(address))).await.unwrap();
    Node::start(store, source.invalidations(), HEARTBEAT, |layer| layer).await
}

fn managers(cluster: &Cluster) -> Vec<KeyManager> {
    cluster.nodes.iter().map(|node| node.keys.clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_is_killed_and_started_again_loses_and_confuses_nothing() {
    let mut server = Redis::start().await;
    let address = server.address();
    let cluster = Cluster::start([node(address).await, node(address).await]).await;
    let writers = Writers::start(&managers(&cluster));
    for downtime in [Duration::ZERO, LOOKUP_TIMEOUT] {
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
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn a_server_that_hangs_is_waited_for_in_vain_and_heard_again() {
    let server = Redis::start().await;
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
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn subscriptions_that_the_server_ends_cost_no_request() {
    let server = Redis::start().await;
    let address = server.address();
    let cluster = Cluster::start([node(address).await, node(address).await]).await;
    let client = Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for _ in 0..3 {
        let mut kill = cmd("CLIENT");
        kill.arg(&["KILL", "TYPE", "pubsub"]);
        let killed: usize = kill.query_async(&mut connection).await.unwrap();
        assert_eq!(killed, 2);
        cluster.revoke().await;
        cluster.goes_on().await;
        cluster.recovers().await;
    }
    cluster.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn a_node_that_hears_of_nothing_serves_nothing_from_memory() {
    let server = Redis::start().await;
    let address = server.address();
    let proxies = [Proxy::to(address).await, Proxy::to(address).await];
    let [first, second] =
        proxies.each_ref().map(|proxy| node_listening_at(proxy.address(), address));
    let cluster = Cluster::start([first.await, second.await]).await;
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
        cluster.revoke().await;
        cluster.goes_on().await;
        proxy.resume();
        cluster.recovers().await;
    }
    cluster.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn a_node_that_the_network_lost_accepts_no_revoked_key() {
    let server = Redis::start().await;
    let address = server.address();
    let proxy = Proxy::to(address).await;
    let cluster = Cluster::start([node(address).await, node(proxy.address()).await]).await;
    for fault in [Proxy::stall, Proxy::refuse] {
        cluster.outage_begins();
        fault(&proxy);
        cluster.revoke().await;
        cluster.goes_on().await;
        proxy.resume();
        cluster.recovers().await;
    }
    assert!(cluster.ends().await.count(503) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Redis: run tests/all"]
async fn a_limiter_that_is_away_is_missed_by_limited_keys_only() {
    let server = Redis::start().await;
    let mut counters = Redis::start().await;
    let limiter = in_time(RedisRateLimiter::connect(&counters.url())).await.unwrap();
    let store = in_time(RedisStore::connect(&server.url())).await.unwrap();
    let source = store.invalidations();
    let first = Node::start(store, source, HEARTBEAT, |layer| layer.rate_limiter(limiter)).await;
    let limited = NewKey::named("limited").limit("1000000 per second");
    let limited = first.keys.issue(limited).await.unwrap();
    let line = format!("x-api-key: {}", limited.secret.reveal());
    let cluster = Cluster::start([first, node(server.address()).await]).await;
    let ask = async || in_time(get_raw(cluster.nodes[0].address, "/", &[&line])).await;
    let status =
        |response: &RawResponse| (response.status, response.header("retry-after").is_some());
    assert_eq!(status(&ask().await), (200, false));
    counters.kill().await;
    cluster.revoke().await;
    for _ in 0..3 {
        assert_eq!(status(&ask().await), (503, true));
    }
    counters.start_again().await;
    let back = async { while ask().await.status != 200 {} };
    in_time(back).await;
    cluster.ends().await;
}
