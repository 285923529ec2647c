//! Stores in which something happens between the judgement of a change and the change.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _};
use tower_api_key::store::{
    AuditEvent, CommitError, EndedPage, EndedQuery, KeyChange, KeyPage, KeyQuery, Propagation,
    StoredKey,
};
use tower_api_key::{
    ApiKeyLayer, KeyDigest, KeyId, KeyRecord, KeyRepository, KeyStore, PeerAddress, Secret,
    StoreError, VerifiedKey,
};

type Happening = dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync;

/// A repository before whose commits something else happens.
#[derive(Clone)]
pub struct Meanwhile {
    store: Arc<dyn KeyRepository>,
    happens: Arc<Happening>,
    commits: Arc<AtomicUsize>,
}

impl Meanwhile {
    /// Makes `happens` happen before each commit, with how many there were before.
    pub fn new(
        store: Arc<dyn KeyRepository>,
        happens: impl Fn(usize) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { store, happens: Arc::new(happens), commits: Arc::default() }
    }

    /// Returns how often a commit was tried.
    pub fn commits(&self) -> usize {
        self.commits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl KeyStore for Meanwhile {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        self.store.find(digest).await
    }
}

#[async_trait]
impl KeyRepository for Meanwhile {
    async fn get(&self, id: &KeyId) -> Result<Option<StoredKey>, StoreError> {
        self.store.get(id).await
    }

    async fn list(&self, query: &KeyQuery) -> Result<KeyPage, StoreError> {
        self.store.list(query).await
    }

    async fn ended(&self, query: &EndedQuery) -> Result<EndedPage, StoreError> {
        self.store.ended(query).await
    }

    async fn commit(
        &self,
        changes: &[KeyChange],
        events: &[AuditEvent],
    ) -> Result<(), CommitError> {
        (self.happens)(self.commits.fetch_add(1, Ordering::SeqCst)).await;
        self.store.commit(changes, events).await
    }

    fn propagation(&self) -> Propagation {
        self.store.propagation()
    }
}

/// Sends a request with a key through a layer, and returns what it says of the key.
pub async fn verified(
    store: &Arc<impl KeyStore + ?Sized + 'static>,
    secret: &Secret,
) -> VerifiedKey {
    try_verified(store, secret).await.expect("a key that works")
}

/// Like [`verified`], of a key that may not work.
pub async fn try_verified(
    store: &Arc<impl KeyStore + ?Sized + 'static>,
    secret: &Secret,
) -> Option<VerifiedKey> {
    let handler = tower::service_fn(async |request: Request<Full<Bytes>>| {
        let mut response = Response::new(Full::<Bytes>::default());
        let key = request.extensions().get::<VerifiedKey>().unwrap().clone();
        response.extensions_mut().insert(key);
        Ok::<_, std::convert::Infallible>(response)
    });
    let request = Request::get("/v1/bots")
        .header("x-api-key", secret.reveal())
        .header("origin", "https://shop.example")
        .extension(PeerAddress("127.0.0.1:50000".parse().unwrap()))
        .body(Full::default());
    let layer = ApiKeyLayer::new(Arc::clone(store));
    let response = layer.layer(handler).oneshot(request.unwrap()).await.unwrap();
    response.extensions().get::<VerifiedKey>().cloned()
}
