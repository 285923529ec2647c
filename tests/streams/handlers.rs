//! Handlers that learn of the end of their key, and that are cancelled by it.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use tokio::sync::Notify;
use tower::util::BoxService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::testing::ActAs;
use tower_api_key::{
    ApiKeyLayer, EndReason, KeyManager, MemoryStore, NewKey, RejectionKind, RequireAbility,
    ResponseBody, StreamWatch, VerifiedKey,
};

use crate::common::MemoryKeys as _;
use crate::common::in_time;
use crate::{get, until};

/// Returns the key that a handler gets.
async fn handed(layer: &ApiKeyLayer, key: &str, request: http::request::Builder) -> VerifiedKey {
    let service = layer.layer(service_fn(async |request: Request<Empty<Bytes>>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        let key: &VerifiedKey = request.extensions().get().unwrap();
        response.extensions_mut().insert(key.clone());
        Ok::<_, Infallible>(response)
    }));
    let request = request.header("x-api-key", key).body(Empty::new()).unwrap();
    let response = service.oneshot(request).await.unwrap();
    response.extensions().get::<VerifiedKey>().unwrap().clone()
}

#[tokio::test]
async fn a_handler_is_told_why_its_key_has_ended() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let key = handed(&layer, issued.secret.reveal(), get()).await;
    assert!(key.ended().now_or_never().is_none());
    assert_eq!(key.while_valid(async { 7 }).await.unwrap(), 7);
    let waiting = tokio::spawn(key.ended());
    until(|| layer.open_streams_of(key.id()) == 1).await;
    assert!(keys.revoke(issued.record.id()));
    assert_eq!(in_time(waiting).await.unwrap().reason(), EndReason::Revoked);
    assert_eq!(key.ended().now_or_never().unwrap().reason(), EndReason::Revoked);
    let mut touched = false;
    let ended = key.while_valid(async { touched = true }).await.unwrap_err();
    assert_eq!((ended.reason(), touched), (EndReason::Revoked, false));
    assert_eq!(layer.open_streams(), 0);
}

#[tokio::test]
async fn what_runs_while_a_key_is_valid_is_dropped_when_it_ends() {
    struct Guard(Arc<AtomicBool>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let key = handed(&layer, issued.secret.reveal(), get()).await;
    let dropped = Arc::new(AtomicBool::new(false));
    let guard = Guard(Arc::clone(&dropped));
    let serving = tokio::spawn(async move {
        let served = async {
            let _guard = guard;
            pending::<()>().await;
        };
        key.while_valid(served).await.unwrap_err().reason()
    });
    until(|| layer.open_streams() == 1).await;
    assert!(!dropped.load(Ordering::SeqCst));
    assert!(keys.set_disabled(issued.record.id(), true));
    assert_eq!(in_time(serving).await.unwrap(), EndReason::Disabled);
    assert!(dropped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_layer_that_does_not_watch_tells_no_handler() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).streams(StreamWatch::off());
    let key = handed(&layer, issued.secret.reveal(), get()).await;
    assert!(keys.revoke(issued.record.id()));
    assert!(key.ended().now_or_never().is_none());
    assert_eq!(key.while_valid(async { 7 }).await.unwrap(), 7);
}

#[tokio::test]
async fn a_key_of_a_test_ends_only_if_the_test_says_so() {
    let keys = KeyManager::new(MemoryStore::new());
    let layer = keys.layer();
    let reader = ActAs::new(&keys, NewKey::named("a test")).await.unwrap();
    let service = reader.layer(layer.layer(service_fn(async |request: Request<Empty<Bytes>>| {
        let key: &VerifiedKey = request.extensions().get().unwrap();
        let ended = tokio::time::timeout(Duration::from_millis(50), key.ended()).await;
        assert!(ended.is_err());
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    })));
    let response = service.oneshot(get().body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn a_socket_ends_when_its_key_may_not_open_it_any_more() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller").abilities(["events:read"])).unwrap();
    let by_path =
        |key: &VerifiedKey, head: &tower_api_key::RequestHead<'_>| match head.original_uri().path()
            == "/events"
            && key.can("events:read")
        {
            true => Ok(()),
            false => Err(RejectionKind::NotAllowed.into()),
        };
    let layer = ApiKeyLayer::new(keys.clone()).guard(by_path);
    let upgrade = get().header("connection", "upgrade").header("upgrade", "websocket");
    let key = handed(&layer, issued.secret.reveal(), upgrade).await;
    let other = handed(&layer, issued.secret.reveal(), get()).await;
    let (ended, other) = (tokio::spawn(key.ended()), tokio::spawn(other.ended()));
    until(|| layer.open_streams() == 2).await;
    keys.update(issued.record.id(), |record| record.set_abilities(Default::default())).unwrap();
    let ended = in_time(ended).await.unwrap();
    assert_eq!(ended.reason(), EndReason::Reduced);
    assert_eq!(ended.to_string(), "the API key does not allow this any more");
    assert_eq!(in_time(other).await.unwrap().reason(), EndReason::Reduced);
}

/// Serves by a handler that answers when it is told to.
fn slow(layer: &ApiKeyLayer, answers: Arc<Notify>) -> Slow {
    BoxService::new(layer.layer(service_fn(move |_| {
        let answers = Arc::clone(&answers);
        async move {
            answers.notified().await;
            Ok(Response::new(Empty::<Bytes>::new()))
        }
    })))
}

type Slow = BoxService<Request<Empty<Bytes>>, Response<ResponseBody<Empty<Bytes>>>, Infallible>;

#[tokio::test]
async fn a_handler_goes_on_unless_it_is_to_be_cancelled() {
    let keys = MemoryStore::new();
    for cancels in [false, true] {
        let issued = keys.issue(NewKey::named("caller")).unwrap();
        let watch = StreamWatch::new();
        let watch = if cancels { watch.cancel_handlers() } else { watch };
        let layer = ApiKeyLayer::new(keys.clone()).streams(watch);
        let answers = Arc::new(Notify::new());
        let ask = || {
            let request = get().header("x-api-key", issued.secret.reveal());
            slow(&layer, Arc::clone(&answers)).oneshot(request.body(Empty::new()).unwrap())
        };
        let mut asked = Box::pin(ask());
        assert!((&mut asked).now_or_never().is_none());
        assert_eq!(layer.open_streams(), usize::from(cancels));
        assert!(keys.revoke(issued.record.id()));
        if cancels {
            let cancelled = in_time(asked).await.unwrap();
            let refused = in_time(ask()).await.unwrap();
            assert_eq!(cancelled.status(), StatusCode::UNAUTHORIZED);
            assert_eq!(cancelled.headers(), refused.headers());
            let bodies = [cancelled, refused].map(|response| response.into_body().collect());
            let [cancelled, refused] = bodies.map(|body| body.now_or_never().unwrap().unwrap());
            assert_eq!(cancelled.to_bytes(), refused.to_bytes());
        } else {
            assert!((&mut asked).now_or_never().is_none());
            answers.notify_one();
            assert_eq!(in_time(asked).await.unwrap().status(), StatusCode::OK);
        }
        assert_eq!(layer.open_streams(), 0);
    }
}

#[tokio::test]
async fn a_cancelled_call_is_refused_as_grpc_has_it() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller").abilities(["a:b"])).unwrap();
    let layer = ApiKeyLayer::new(keys.clone())
        .guard(RequireAbility::new("a:b"))
        .streams(StreamWatch::new().cancel_handlers());
    let request = Request::post("/a.B/C")
        .version(http::Version::HTTP_2)
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("x-api-key", issued.secret.reveal());
    let request = request.body(Empty::new()).unwrap();
    let mut asked = Box::pin(slow(&layer, Arc::default()).oneshot(request));
    assert!((&mut asked).now_or_never().is_none());
    keys.update(issued.record.id(), |record| record.set_abilities(Default::default())).unwrap();
    let cancelled = in_time(asked).await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::OK);
    assert_eq!(cancelled.headers()["grpc-status"], "7");
    assert_eq!(cancelled.headers()["grpc-message"], "Missing ability: a:b");
}
