//! The service that was made ready is the one that is called; one that is not called is given
//! back at once, and is never called before the decision.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::sync::Semaphore;
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use tower_api_key::{
    ApiKeyLayer, GuardLayer, KeyDigest, KeyRecord, KeyStore, MemoryStore, NewKey, Rejection,
    RejectionKind, RequireStage, StoreError,
};

use crate::common::MemoryKeys as _;
use crate::common::{in_time, issue};

/// Must be made ready, which no clone inherits, and counts its calls.
#[derive(Default)]
struct Picky {
    is_ready: bool,
    calls: Arc<AtomicUsize>,
}

impl Picky {
    fn counted() -> (Self, Arc<AtomicUsize>) {
        let picky = Self::default();
        let calls = Arc::clone(&picky.calls);
        (picky, calls)
    }
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self { is_ready: false, calls: Arc::clone(&self.calls) }
    }
}

impl Service<Request<Empty<Bytes>>> for Picky {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Empty<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "it was not made ready");
        self.calls.fetch_add(1, Ordering::SeqCst);
        ready(Ok(Response::new(())))
    }
}

/// Answers late, like a store over a network; without a store, with an error.
struct Late(Option<MemoryStore>);

#[async_trait]
impl KeyStore for Late {
    async fn find(&self, digest: &KeyDigest) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        tokio::task::yield_now().await;
        let keys = self.0.as_ref();
        keys.ok_or(StoreError::new("on purpose"))?.find(digest).await
    }
}

/// The layer over each kind of store, and a key that is right for it.
fn layers() -> (MemoryStore, [ApiKeyLayer; 2], [String; 1]) {
    let keys = MemoryStore::new();
    let good = issue(&keys, NewKey::named("good").stage("prod"));
    let layers = [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(Late(Some(keys.clone())))];
    (keys, layers, [good])
}

fn request(keys: &[String]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder();
    for key in keys {
        request = request.header("x-api-key", key);
    }
    request.body(Empty::new()).unwrap()
}

/// Every way in which the layer refuses a request, over each kind of store.
fn refusals() -> Vec<(ApiKeyLayer, Vec<String>, RejectionKind)> {
    let (keys, layers, good) = layers();
    let dead = NewKey::named("dead").stage("prod");
    let (revoked, disabled) =
        (keys.issue(dead.clone()).unwrap(), keys.issue(dead.clone()).unwrap());
    assert!(keys.revoke(revoked.record.id()));
    assert!(keys.set_disabled(disabled.record.id(), true));
    let expired = issue(&keys, dead.expires_at(SystemTime::now() - Duration::from_secs(1)));
    let dev = issue(&keys, NewKey::named("other stage").stage("dev"));
    let text = |key: tower_api_key::IssuedKey| vec![key.secret.reveal().to_owned()];
    let cases = [
        (vec![], RejectionKind::Missing),
        ([good.clone(), good.clone()].concat(), RejectionKind::Ambiguous),
        (vec!["not a key".to_owned()], RejectionKind::Malformed),
        (vec!["nobody".to_owned()], RejectionKind::Unknown),
        (text(revoked), RejectionKind::Revoked),
        (text(disabled), RejectionKind::Disabled),
        (vec![expired], RejectionKind::Expired),
        (vec![dev], RejectionKind::WrongStage),
    ];
    let mut refusals = Vec::new();
    for layer in layers {
        let layer = layer.guard(RequireStage::fixed("prod"));
        refusals.extend(cases.clone().map(|(keys, kind)| (layer.clone(), keys, kind)));
    }
    let broken = ApiKeyLayer::new(Late(None));
    refusals.push((broken, good.to_vec(), RejectionKind::Unavailable));
    refusals
}

/// Makes the service ready, calls it, and waits for the answer.
async fn ask<S, B>(service: &mut S, keys: &[String]) -> Result<StatusCode, RejectionKind>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error: Debug>,
{
    let ready = in_time(service.ready()).await.unwrap();
    let response = in_time(ready.call(request(keys))).await.unwrap();
    match response.extensions().get::<Rejection>() {
        Some(rejection) => Err(rejection.kind()),
        None => Ok(response.status()),
    }
}

#[tokio::test]
async fn a_rejected_request_never_reaches_the_service() {
    let refusals = refusals();
    assert_eq!(refusals.len(), 17);
    for (layer, keys, kind) in refusals {
        let (inner, calls) = Picky::counted();
        let mut service = layer.layer(inner);
        assert_eq!(ask(&mut service, &keys).await, Err(kind));
        assert_eq!(calls.load(Ordering::SeqCst), 0, "{kind}");
    }
}

#[tokio::test]
async fn the_service_that_was_made_ready_is_the_one_that_is_called() {
    let (_, layers, good) = layers();
    for layer in layers {
        let (inner, calls) = Picky::counted();
        let mut service = layer.layer(inner);
        let mut buffered = layer.layer(Buffer::new(Picky::default(), 1));
        for _ in 0..2 {
            assert_eq!(ask(&mut buffered, &good).await, Ok(StatusCode::OK));
            assert_eq!(ask(&mut service, &good).await, Ok(StatusCode::OK));
            let refused = ask(&mut service, &[]).await;
            assert_eq!(refused, Err(RejectionKind::Missing));
            assert_eq!(ask(&mut service.clone(), &good).await, Ok(StatusCode::OK));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 4);
    }
}

#[tokio::test]
async fn the_service_can_be_made_ready_again_while_the_store_is_asked() {
    let (_, layers, good) = layers();
    for layer in layers {
        let mut service = layer.layer(Picky::default());
        let mut answers = Vec::new();
        for _ in 0..3 {
            answers.push(in_time(service.ready()).await.unwrap().call(request(&good)));
        }
        for answer in answers {
            assert_eq!(in_time(answer).await.unwrap().status(), StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn a_rejected_request_gives_its_permit_back_while_the_service_lives() {
    for (layer, keys, kind) in refusals() {
        let mut service = layer.layer(ConcurrencyLimit::new(Picky::default(), 1));
        let mut other = service.clone();
        assert_eq!(ask(&mut service, &keys).await, Err(kind));
        in_time(other.ready()).await.unwrap();
        drop(service);
    }
}

#[tokio::test]
async fn a_permit_is_held_from_ready_to_the_answer_and_no_longer() {
    let (_, layers, good) = layers();
    for layer in layers {
        let gate = Arc::new(Semaphore::new(0));
        let opened = Arc::clone(&gate);
        let inner = service_fn(move |_: Request<Empty<Bytes>>| {
            let gate = Arc::clone(&opened);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(Response::new(()))
            }
        });
        let mut service = layer.layer(ConcurrencyLimit::new(inner, 1));
        let mut other = service.clone();
        let ready = in_time(service.ready()).await.unwrap();
        let mut first = Box::pin(ready.call(request(&good)));
        for _ in 0..5 {
            assert!(first.as_mut().now_or_never().is_none());
            assert!(other.ready().now_or_never().is_none(), "the limit is one");
        }
        gate.add_permits(1);
        assert_eq!(in_time(first).await.unwrap().status(), StatusCode::OK);
        gate.add_permits(1);
        assert_eq!(ask(&mut other, &good).await, Ok(StatusCode::OK));

        // A client that goes away takes its permit along.
        drop(in_time(service.ready()).await.unwrap().call(request(&good)));
        in_time(other.ready()).await.unwrap();
    }
}

#[tokio::test]
async fn clones_share_one_permit_without_losing_it() {
    let (_, layers, good) = layers();
    for layer in layers {
        let (busy, calls) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let counted = Arc::clone(&calls);
        let inner = service_fn(move |_: Request<Empty<Bytes>>| {
            let (busy, calls) = (Arc::clone(&busy), Arc::clone(&counted));
            async move {
                assert_eq!(busy.fetch_add(1, Ordering::SeqCst), 0, "the limit is one");
                tokio::task::yield_now().await;
                busy.fetch_sub(1, Ordering::SeqCst);
                calls.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Infallible>(Response::new(()))
            }
        });
        let service = layer.layer(ConcurrencyLimit::new(inner, 1));
        let tasks: Vec<_> = (0..60)
            .map(|number| {
                let keys = [good.clone(), ["nobody".to_owned()]];
                let mut service = service.clone();
                tokio::spawn(async move { ask(&mut service, &keys[number % 2]).await })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            let expected = [Ok(StatusCode::OK), Err(RejectionKind::Unknown)];
            assert_eq!(in_time(task).await.unwrap(), expected[number % 2]);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 30);
    }
}

#[tokio::test]
async fn a_rejected_request_gives_its_slot_in_a_buffer_back() {
    for (layer, keys, kind) in refusals() {
        let (inner, calls) = Picky::counted();
        let mut service = layer.layer(Buffer::new(inner, 1));
        let mut other = service.clone();
        assert_eq!(ask(&mut service, &keys).await, Err(kind));
        in_time(other.ready()).await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), 0, "{kind}");
        drop(service);
    }
}

#[tokio::test]
async fn a_guard_gives_back_what_it_does_not_call() {
    let (_, layers, good) = layers();
    for layer in layers {
        let (inner, calls) = Picky::counted();
        let inner = ConcurrencyLimit::new(inner, 1);
        let guard = |stage| GuardLayer::new(RequireStage::fixed(stage)).layer(inner.clone());

        let mut alone = guard("prod");
        let refused = ask(&mut alone, &good).await;
        assert_eq!(refused, Err(RejectionKind::MissingLayer));
        let mut service = layer.clone().optional().layer(guard("dev"));
        let refused = ask(&mut service, &good).await;
        assert_eq!(refused, Err(RejectionKind::WrongStage));
        let refused = ask(&mut service, &[]).await;
        assert_eq!(refused, Err(RejectionKind::Missing));
        assert_eq!(calls.load(Ordering::SeqCst), 0);

        // The services above live on, and hold nothing.
        let mut right = layer.layer(guard("prod"));
        for _ in 0..2 {
            assert_eq!(ask(&mut right, &good).await, Ok(StatusCode::OK));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        drop((alone, service));
    }
}
