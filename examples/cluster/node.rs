//! A node, its clients, and a task that kills the connections with its notifications.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use sqlx::PgPool;
use tokio::sync::watch;
use tower_api_key::store::{CachedStore, PostgresStore};
use tower_api_key::{ApiKeyLayer, KeyManager, VerifiedKey};

use crate::counted::{Counted, Counts};
use crate::support;

/// How long a revoked key may be accepted, and its streams may stay open.
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(60);

pub(crate) struct Node {
    pub(crate) url: String,
    pub(crate) cache: CachedStore<PostgresStore>,
    pub(crate) keys: KeyManager,
    pub(crate) layer: ApiKeyLayer,
    /// How often the layer read keys with open streams.
    pub(crate) counts: Arc<Counts>,
}

impl Node {
    pub(crate) async fn start(database: &str, schema: &str) -> support::Result<Self> {
        let store = PostgresStore::connect(database).schema(schema).await?;
        let invalidations = store.invalidations();
        let cache = CachedStore::builder(store)
            .max_staleness(MAX_STALENESS)
            .invalidated_by(invalidations)
            .build();
        let counts = Arc::<Counts>::default();
        let layer = ApiKeyLayer::new(Counted::new(cache.clone(), Arc::clone(&counts)));
        let app = Router::new()
            .route("/", get(|key: VerifiedKey| async move { key.name().to_owned() }))
            .route("/events", get(events))
            .layer(layer.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        // Without it, the last bytes of a stream wait for the acknowledgement of the client, which
        // clients delay by 40 ms.
        let listener = listener.tap_io(|connection| {
            let _ = connection.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        let keys = KeyManager::new(cache.clone());
        Ok(Self { url, cache, keys, layer, counts })
    }

    /// Waits until the node receives notifications.
    pub(crate) async fn is_live(&self) {
        while !self.cache.is_live() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// One event, and a comment every fifteen seconds, like most event streams.
async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let first = stream::iter([Ok(Event::default().data("open"))]);
    Sse::new(first.chain(stream::pending())).keep_alive(KeepAlive::default())
}

#[derive(Clone)]
pub(crate) struct Client(reqwest::Client);

impl Client {
    pub(crate) fn new() -> Self {
        Self(reqwest::Client::new())
    }

    /// Creates a client that sends all requests to a node over one connection.
    pub(crate) fn http2() -> support::Result<Self> {
        Ok(Self(reqwest::Client::builder().http2_prior_knowledge().build()?))
    }

    pub(crate) async fn get(&self, node: &Node, secret: &str) -> support::Result<StatusCode> {
        let response = self.0.get(&node.url).header("x-api-key", secret).send().await?;
        let status = response.status();
        response.bytes().await?;
        Ok(status)
    }

    /// Opens an event stream, and returns it after its first event.
    pub(crate) async fn events(
        &self,
        node: &Node,
        secret: &str,
    ) -> support::Result<reqwest::Response> {
        let url = format!("{}events", node.url);
        let response = self.0.get(url).header("x-api-key", secret).send().await?;
        let mut response = response.error_for_status()?;
        match response.chunk().await? {
            Some(_) => Ok(response),
            None => Err("a stream ended whose key is valid".into()),
        }
    }
}

/// Kills the connections on which the nodes receive notifications.
pub(crate) struct Killer {
    pool: PgPool,
    schema: String,
}

impl Killer {
    pub(crate) fn new(pool: &PgPool, schema: &str) -> Self {
        Self { pool: pool.clone(), schema: schema.to_owned() }
    }

    /// Kills them during `work`, and returns their number.
    pub(crate) async fn during<T>(
        &self,
        work: impl Future<Output = support::Result<T>>,
    ) -> support::Result<(T, u64)> {
        let (done, is_done) = watch::channel(());
        let killer = tokio::spawn(kill(self.pool.clone(), self.schema.clone(), is_done));
        let worked = work.await;
        drop(done);
        let killed = killer.await??;
        Ok((worked?, killed))
    }
}

async fn kill(
    pool: PgPool,
    schema: String,
    is_done: watch::Receiver<()>,
) -> Result<u64, sqlx::Error> {
    let mut killed = 0;
    while is_done.has_changed().is_ok() {
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
