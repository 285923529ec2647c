//! How long the other node accepts a revoked key, under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http::StatusCode;
use tokio::task::JoinSet;
use tower_api_key::NewKey;

use crate::node::{Client, Killer, MAX_STALENESS, Node};
use crate::support;
use crate::times::Times;

/// The number of clients that send requests.
const CLIENTS: usize = 4;

/// The number of keys that they use.
const BUSY_KEYS: usize = 100;

/// Revokes keys on one node and returns how long each was accepted by the other.
async fn revoke(
    nodes: &Arc<[Node; 2]>,
    client: &Client,
    revocations: usize,
) -> support::Result<Times> {
    let [first, second] = &**nodes;
    let mut times = Times::default();
    for number in 0..revocations {
        let issued = first.keys.issue(NewKey::named(format!("key {number}"))).await?;
        let secret = issued.secret.reveal();
        for node in [first, second, second] {
            let status = client.get(node, secret).await?;
            if status != StatusCode::OK {
                return Err(format!("a valid key was answered with {status}").into());
            }
        }
        first.keys.revoke(issued.record.id()).await?;
        let revoked = Instant::now();
        while client.get(second, secret).await? == StatusCode::OK {
            if revoked.elapsed() > MAX_STALENESS {
                return Err("a key was accepted for longer than promised".into());
            }
        }
        times.push(revoked.elapsed());
        if client.get(first, secret).await? != StatusCode::UNAUTHORIZED {
            return Err("the node that revoked a key accepted it".into());
        }
    }
    Ok(times)
}

/// Sends requests to both nodes all the time, and counts them.
fn load(
    nodes: &Arc<[Node; 2]>,
    client: &Client,
    secrets: &Arc<[String]>,
    requests: &Arc<AtomicU64>,
) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (nodes, client, secrets) = (Arc::clone(nodes), client.clone(), Arc::clone(secrets));
        let requests = Arc::clone(requests);
        clients.spawn(async move {
            for secret in secrets.iter().cycle().skip(number * BUSY_KEYS / CLIENTS) {
                let status = client.get(&nodes[number % 2], secret).await;
                assert_eq!(status.ok(), Some(StatusCode::OK), "a valid key is accepted");
                requests.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    clients
}

fn print(what: &str, times: &Times) {
    println!("{what}: {} revocations; the other node refused after {times}", times.len());
}

pub(crate) async fn measure(
    nodes: Arc<[Node; 2]>,
    killer: &Killer,
    revocations: usize,
) -> support::Result<()> {
    let client = Client::new();
    let mut secrets = Vec::new();
    for number in 0..BUSY_KEYS {
        let issued = nodes[0].keys.issue(NewKey::named(format!("busy {number}"))).await?;
        secrets.push(issued.secret.reveal().to_owned());
    }
    let requests = Arc::<AtomicU64>::default();
    let mut clients = load(&nodes, &client, &secrets.into(), &requests);
    for node in &*nodes {
        node.is_live().await;
    }

    let started = Instant::now();
    let times = revoke(&nodes, &client, revocations).await?;
    print("subscribed", &times);
    let rate = requests.swap(0, Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    println!("under a load of {rate:.0} requests a second");

    let (times, killed) = killer.during(revoke(&nodes, &client, revocations)).await?;
    print("connections killed", &times);
    println!("killed {killed} connections in the meantime");

    match clients.try_join_next() {
        Some(ended) => ended.map_err(|_| "a valid key was refused".into()),
        None => Ok(()),
    }
}
