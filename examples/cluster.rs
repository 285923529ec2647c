//! Two nodes that cache the same keys: how long the other one accepts a key that was revoked.
//!
//! ```sh
//! DATABASE_URL=postgres://user:password@localhost/database cargo run --release --example cluster
//! ```
//!
//! It needs a PostgreSQL server, in which it works in a schema of its own that it drops at the
//! end. Both nodes serve HTTP under load. Key after key is issued, used on both nodes so that they
//! cache it, and revoked on the first; measured is the time from the answer to the revocation until
//! the first response of the second node that refuses the key. Then the same again, while the
//! connections on which the nodes hear of changes are killed over and over. `REVOCATIONS` sets how
//! many there are of each kind (default: 1000).

#[path = "support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tower_api_key::store::{CachedStore, PostgresStore};
use tower_api_key::{ApiKeyLayer, KeyManager, NewKey, VerifiedKey};

/// How many clients send requests all the time.
const CLIENTS: usize = 4;

/// How many keys they use.
const BUSY_KEYS: usize = 100;

const MAX_STALENESS: Duration = Duration::from_secs(60);

struct Node {
    url: String,
    cache: CachedStore<PostgresStore>,
    keys: KeyManager,
}

impl Node {
    async fn start(database: &str, schema: &str) -> support::Result<Self> {
        let store = PostgresStore::connect(database).schema(schema).await?;
        let invalidations = store.invalidations();
        let cache = CachedStore::builder(store)
            .max_staleness(MAX_STALENESS)
            .invalidated_by(invalidations)
            .build();
        let app = Router::new()
            .route("/", get(|key: VerifiedKey| async move { key.name().to_owned() }))
            .layer(ApiKeyLayer::new(cache.clone()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let keys = KeyManager::new(cache.clone());
        Ok(Self { url, cache, keys })
    }
}

#[derive(Clone)]
struct Client(reqwest::Client);

impl Client {
    async fn get(&self, node: &Node, secret: &str) -> support::Result<StatusCode> {
        let response = self.0.get(&node.url).header("x-api-key", secret).send().await?;
        let status = response.status();
        response.bytes().await?;
        Ok(status)
    }
}

/// Revokes keys on one node and returns how long each was accepted by the other.
async fn revoke(
    nodes: &Arc<[Node; 2]>,
    client: &Client,
    revocations: usize,
) -> support::Result<Vec<Duration>> {
    let [first, second] = &**nodes;
    let mut times = Vec::with_capacity(revocations);
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
    times.sort_unstable();
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

/// Kills the connections on which the nodes hear of changes, until `done`.
async fn kill_subscriptions(
    pool: PgPool,
    schema: String,
    done: Arc<AtomicBool>,
) -> Result<u64, sqlx::Error> {
    let mut killed = 0;
    while !done.load(Ordering::Relaxed) {
        let pids: Vec<(bool,)> = sqlx::query_as(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE 'LISTEN \"' || $1 || '.%'",
        )
        .bind(&schema)
        .fetch_all(&pool)
        .await?;
        killed += pids.len() as u64;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(killed)
}

fn print(what: &str, times: &[Duration]) {
    let quantile = |part: f64| times[((times.len() - 1) as f64 * part).round() as usize];
    println!(
        "{what}: {} revocations; the other node refused after p50 {:.1?}, p99 {:.1?}, max {:.1?}",
        times.len(),
        quantile(0.5),
        quantile(0.99),
        quantile(1.0),
    );
}

#[tokio::main]
async fn main() -> support::Result<()> {
    let Ok(database) = std::env::var("DATABASE_URL") else {
        return Err("set DATABASE_URL to a PostgreSQL database, such as \
                    postgres://user:password@localhost/database"
            .into());
    };
    let revocations = std::env::var("REVOCATIONS").map_or(Ok(1000), |number| number.parse())?;
    let schema = format!("tower_api_key_cluster_{}", std::process::id());
    let pool = PgPool::connect(&database).await?;
    let nodes = [Node::start(&database, &schema).await?, Node::start(&database, &schema).await?];
    let measured = measure(Arc::new(nodes), &pool, schema.clone(), revocations.max(1)).await;
    sqlx::query(sqlx::AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE")))
        .execute(&pool)
        .await?;
    measured
}

async fn measure(
    nodes: Arc<[Node; 2]>,
    pool: &PgPool,
    schema: String,
    revocations: usize,
) -> support::Result<()> {
    println!("nodes on {} and {}", nodes[0].url, nodes[1].url);
    let client = Client(reqwest::Client::new());
    let mut secrets = Vec::new();
    for number in 0..BUSY_KEYS {
        let issued = nodes[0].keys.issue(NewKey::named(format!("busy {number}"))).await?;
        secrets.push(issued.secret.reveal().to_owned());
    }
    let requests = Arc::<AtomicU64>::default();
    let mut clients = load(&nodes, &client, &secrets.into(), &requests);
    while !nodes.iter().all(|node| node.cache.is_live()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let started = Instant::now();
    let times = revoke(&nodes, &client, revocations).await?;
    print("subscribed", &times);
    let rate = requests.swap(0, Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    println!("under a load of {rate:.0} requests a second");

    let done = Arc::<AtomicBool>::default();
    let killer = tokio::spawn(kill_subscriptions(pool.clone(), schema, Arc::clone(&done)));
    let times = revoke(&nodes, &client, revocations).await;
    done.store(true, Ordering::Relaxed);
    let killed = killer.await??;
    print("connections killed", &times?);
    println!("killed {killed} connections meanwhile");

    match clients.try_join_next() {
        Some(ended) => ended.map_err(|_| "a valid key was refused".into()),
        None => Ok(()),
    }
}
