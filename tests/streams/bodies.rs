//! What of a body the connection gets.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use tower_api_key::observe::{Detail, EndedStream, Observe};
use tower_api_key::testing::FakeClock;
use tower_api_key::{
    ApiKeyLayer, Clock as _, EndReason, KeyEnded, KeyId, MemoryStore, NewKey, StreamWatch,
};

use crate::common::MemoryKeys as _;
use crate::common::{in_time, logged, start_log};
use crate::{failed, failure, feed, get, goes_on, open, open_as, poll, text, until};

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn nothing_is_handed_on_after_a_revocation_and_no_runtime_is_needed() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("listener")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let opened = open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
    let (frames, mut body) = (opened.0, opened.1.into_body());
    for text in ["one", "two", "three"] {
        feed(&frames, text);
    }
    assert_eq!(text(&mut body), "one");
    assert_eq!(text(&mut body), "two");
    assert!(keys.revoke(issued.record.id()));
    // "three" was ready before the revocation, and is not handed on.
    assert_eq!(failed(&mut body), EndReason::Revoked);
    // What made the frames was dropped at once.
    assert!(frames.is_closed());
}

#[test]
fn a_body_that_waits_is_woken_by_the_change() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("listener")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    for frames_before in 0..3 {
        let (frames, body) = open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
        let mut body = body.into_body();
        let woken = [(); 2].map(|()| Arc::new(Woken::default()));
        let wakers = woken.clone().map(Waker::from);
        for _ in 0..frames_before {
            feed(&frames, "frame");
            assert_eq!(text(&mut body), "frame");
        }
        let mut poll_by = |waker| body.as_mut().poll_frame(&mut Context::from_waker(waker));
        // It moved from one task to another.
        for waker in [&wakers[0], &wakers[0], &wakers[1]] {
            assert!(poll_by(waker).is_pending());
        }
        let count = |woken: &Woken| woken.0.load(std::sync::atomic::Ordering::SeqCst);
        let before = count(&woken[1]);
        if frames_before < 2 {
            assert!(keys.set_disabled(issued.record.id(), true));
            assert!(count(&woken[1]) > before);
            assert_eq!(failed(&mut body), EndReason::Disabled);
            // What is opened after the key works again goes on.
            assert!(keys.set_disabled(issued.record.id(), false));
        } else {
            keys.remove(issued.record.id());
            assert!(count(&woken[1]) > before);
            assert_eq!(failed(&mut body), EndReason::Removed);
        }
    }
    assert_eq!(layer.open_streams(), 0);
}

#[test]
fn a_key_that_ended_and_works_again_opens_new_streams_beside_ended_ones() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("listener")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let open = || open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
    let (_old_frames, old) = open();
    let mut old = old.into_body();
    assert!(poll(&mut old).is_pending());
    assert!(keys.set_disabled(issued.record.id(), true));
    assert!(keys.set_disabled(issued.record.id(), false));
    // Nobody has polled the old one meanwhile.
    let (frames, new) = open();
    let mut new = new.into_body();
    assert!(poll(&mut new).is_pending());
    goes_on(&frames, &mut new);
    assert_eq!(failed(&mut old), EndReason::Disabled);
    goes_on(&frames, &mut new);
}

#[test]
fn a_key_that_ends_before_the_second_frame_ends_the_body() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("listener")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
    let mut body = body.into_body();
    assert!(keys.revoke(issued.record.id()));
    feed(&frames, "one");
    feed(&frames, "two");
    // The first frame belongs to the answer that was let through.
    assert_eq!(text(&mut body), "one");
    assert_eq!(layer.open_streams(), 0);
    assert_eq!(failed(&mut body), EndReason::Revoked);
}

#[test]
fn each_kind_of_body_ends_as_its_clients_understand_it() {
    let keys = MemoryStore::new();
    let last = StreamWatch::new()
        .last_event(|ended| Some(format!("event: end\ndata: {ended}\n\n").into()));
    let silent = ApiKeyLayer::new(keys.clone());
    let layer = silent.clone().streams(last);
    let end = |layer: &ApiKeyLayer, content_type| {
        let issued = keys.issue(NewKey::named("listener")).unwrap();
        let opened = open_as(layer, issued.secret.reveal(), get(), content_type);
        let (frames, body) = opened.now_or_never().unwrap();
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        assert!(keys.revoke(issued.record.id()));
        // What makes the frames has noticed, too, which does not make them whole.
        drop(frames);
        body
    };
    let mut grpc = end(&layer, "application/grpc");
    let trailers = grpc.frame().now_or_never().unwrap().unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "16");
    assert_eq!(trailers["grpc-message"], "The API key is not valid");
    assert!(grpc.is_end_stream());

    let mut web = end(&layer, "application/grpc-web+proto");
    let frame = web.frame().now_or_never().unwrap().unwrap().unwrap().into_data().unwrap();
    let lines = "grpc-status:16\r\ngrpc-message:The API key is not valid\r\n";
    assert_eq!(frame[..5], [0x80, 0, 0, 0, u8::try_from(lines.len()).unwrap()]);
    assert_eq!(frame[5..], *lines.as_bytes());
    let mut text_web = end(&layer, "application/grpc-web-text");
    assert!(text(&mut text_web).starts_with("gAAA"));

    let mut events = end(&layer, "text/event-stream");
    assert_eq!(text(&mut events), "event: end\ndata: the API key is not valid any more\n\n");
    for mut ended in [grpc, web, text_web, events, end(&silent, "text/event-stream")] {
        assert!(ended.frame().now_or_never().unwrap().is_none());
    }
    let mut other = end(&layer, "application/json");
    assert_eq!(failed(&mut other), EndReason::Revoked);
}

#[test]
fn the_error_of_a_body_has_no_source_and_says_nothing_of_the_reason() {
    let changes: [fn(&MemoryStore, &KeyId) -> bool; 2] =
        [|keys, id| keys.revoke(id), |keys, id| keys.remove(id).is_some()];
    for change in changes {
        let keys = MemoryStore::new();
        let issued = keys.issue(NewKey::named("listener")).unwrap();
        let layer = ApiKeyLayer::new(keys.clone());
        let (_frames, body) = open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        assert!(change(&keys, issued.record.id()));
        let error = body.frame().now_or_never().unwrap().unwrap().unwrap_err();
        assert!(error.source().is_none());
        assert_eq!(error.to_string(), "the API key is not valid any more");
        let ended = error.downcast_ref::<KeyEnded>().unwrap();
        assert_eq!(ended.key_id(), Some(issued.record.id()));
        assert!(format!("{ended:?}").contains(issued.record.id().as_str()));
    }
}

#[test]
fn each_frame_is_compared_with_the_clock() {
    let (keys, clock) = (MemoryStore::new(), FakeClock::new());
    let end = clock.now() + Duration::from_secs(60);
    let issued = keys.issue(NewKey::named("short").expires_at(end)).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).clock(clock.clone());
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
    let mut body = body.into_body();
    goes_on(&frames, &mut body);
    clock.set(end - Duration::from_nanos(1));
    goes_on(&frames, &mut body);
    clock.set(end);
    feed(&frames, "more");
    assert_eq!(failed(&mut body), EndReason::Expired);
}

#[tokio::test]
async fn what_waits_ends_when_its_time_is_over_by_the_clock_of_the_layer() {
    let (keys, clock) = (MemoryStore::new(), FakeClock::new());
    let end = clock.now() + Duration::from_secs(3600);
    let issued = keys.issue(NewKey::named("short").expires_at(end)).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).clock(clock.clone());
    let (_frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let mut body = body.into_body();
    assert!(poll(&mut body).is_pending());
    clock.advance(Duration::from_secs(3600));
    assert_eq!(failure(&mut body).await, EndReason::Expired);
}

#[tokio::test]
async fn a_key_that_is_rotated_ends_what_it_opened_after_its_grace_only() {
    let (keys, clock) = (MemoryStore::new(), FakeClock::new());
    let issued = keys.issue(NewKey::named("rotated")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).clock(clock.clone());
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let mut body = body.into_body();
    assert!(poll(&mut body).is_pending());
    let end = clock.now() + Duration::from_secs(60);
    keys.update(issued.record.id(), |record| {
        record.set_successor(Some("key_2".parse().unwrap()));
        record.set_expires_at(Some(end));
    })
    .unwrap();
    goes_on(&frames, &mut body);
    clock.set(end);
    assert_eq!(failure(&mut body).await, EndReason::Expired);
}

#[tokio::test]
async fn a_layer_that_does_not_watch_lets_streams_go_on() {
    let keys = MemoryStore::new();
    let past = SystemTime::now() + Duration::from_millis(50);
    let issued = keys.issue(NewKey::named("listener").expires_at(past)).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).streams(StreamWatch::off());
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let mut body = body.into_body();
    goes_on(&frames, &mut body);
    assert!(keys.revoke(issued.record.id()));
    tokio::time::sleep(Duration::from_millis(60)).await;
    goes_on(&frames, &mut body);
    assert_eq!(layer.open_streams(), 0);
}

#[tokio::test]
async fn a_body_of_one_frame_is_never_on_the_list() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let mut body = body.into_body();
    feed(&frames, "all");
    drop(frames);
    assert_eq!(text(&mut body), "all");
    assert!(matches!(poll(&mut body), Poll::Ready(None)));
    assert_eq!(layer.open_streams(), 0);
}

#[tokio::test]
async fn trailers_and_errors_of_the_service_pass() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("caller")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let (frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let mut body = body.into_body();
    goes_on(&frames, &mut body);
    let trailers = http::HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
    frames.send(Ok(Frame::trailers(trailers))).unwrap();
    frames.send(Err("out of luck".into())).unwrap();
    let frame = in_time(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["x-sum"], "1");
    assert_eq!(in_time(body.frame()).await.unwrap().unwrap_err().to_string(), "out of luck");
}

#[tokio::test]
async fn open_streams_are_counted_and_taken_off_the_list() {
    let keys = MemoryStore::new();
    let [one, other] = ["one", "other"].map(|name| keys.issue(NewKey::named(name)).unwrap());
    let layer = ApiKeyLayer::new(keys.clone());
    let mut streams = Vec::new();
    for key in [&one, &one, &other] {
        let (frames, body) = open(&layer, key.secret.reveal(), get()).await;
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        streams.push((frames, body));
    }
    let of = |key: &tower_api_key::IssuedKey| layer.open_streams_of(key.record.id());
    assert_eq!((layer.open_streams(), of(&one), of(&other)), (3, 2, 1));
    // Another layer counts for itself.
    assert_eq!(layer.clone().realm("other").open_streams(), 0);
    assert_eq!(layer.clone().open_streams(), 3);
    streams.remove(0);
    assert_eq!((layer.open_streams(), of(&one)), (2, 1));
    // One that ends by itself.
    let (frames, mut body) = streams.remove(0);
    drop(frames);
    assert!(in_time(body.frame()).await.is_none());
    assert_eq!((layer.open_streams(), of(&one), of(&other)), (1, 0, 1));
    keys.remove(other.record.id());
    assert_eq!(of(&other), 0);
    let (_frames, mut body) = streams.remove(0);
    assert_eq!(failure(&mut body).await, EndReason::Removed);
    assert_eq!(layer.open_streams(), 0);
}

#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<(EndReason, String, Duration)>>>);

impl Observe for Told {
    fn stream_ended(&self, stream: &EndedStream<'_>) {
        let key = stream.key_id().unwrap().to_string();
        self.0.lock().unwrap().push((stream.reason(), key, stream.open_for()));
    }

    fn detail(&self) -> Detail {
        Detail::Nothing
    }
}

#[tokio::test]
async fn each_end_is_told_of_once_with_the_reason_the_key_and_the_time() {
    start_log();
    let (keys, told) = (MemoryStore::new(), Told::default());
    let issued = keys.issue(NewKey::named("listener")).unwrap();
    let id = issued.record.id().to_string();
    let layer = ApiKeyLayer::new(keys.clone()).observer(told.clone());
    let (_frames, body) = open(&layer, issued.secret.reveal(), get()).await;
    let (_, left) = open(&layer, issued.secret.reveal(), get()).await;
    let (mut body, mut left) = (body.into_body(), left.into_body());
    assert!(poll(&mut body).is_pending() && !poll(&mut left).is_pending());
    drop(left);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(keys.revoke(issued.record.id()));
    assert_eq!(failure(&mut body).await, EndReason::Revoked);
    drop(body);
    let told = told.0.lock().unwrap().clone();
    let [(EndReason::Revoked, key, open_for)] = &*told else { panic!("{told:?}") };
    assert_eq!(*key, id);
    assert!(*open_for >= Duration::from_millis(20));
    let events = logged("stream ended with its API key");
    let [event] = &*events else { panic!("{events:?}") };
    assert!(event.contains("INFO") && event.contains(&id), "{event}");
    assert!(event.contains("reason=\"revoked\"") && event.contains("open_seconds=0.0"), "{event}");
}

#[test]
fn a_layer_outlives_the_runtime_that_watched_for_it() {
    let (keys, clock) = (MemoryStore::new(), FakeClock::new());
    let end = clock.now() + Duration::from_secs(60);
    let issued = keys.issue(NewKey::named("short").expires_at(end)).unwrap();
    let layer = ApiKeyLayer::new(keys.clone()).clock(clock.clone());
    let run = |test: &mut dyn FnMut()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async { test() });
    };
    let mut opened = None;
    run(&mut || {
        let (frames, body) = open(&layer, issued.secret.reveal(), get()).now_or_never().unwrap();
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        opened = Some((frames, body));
    });
    let (_frames, mut body) = opened.unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let ended = tokio::spawn(async move { failure(&mut body).await });
        until(|| layer.open_streams() == 1).await;
        clock.set(end);
        assert_eq!(in_time(ended).await.unwrap(), EndReason::Expired);
    });
    // Without a timer, nobody waits for it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    clock.set(end - Duration::from_secs(1));
    runtime.block_on(async {
        let (frames, body) = open(&layer, issued.secret.reveal(), get()).await;
        let mut body = body.into_body();
        assert!(poll(&mut body).is_pending());
        tokio::task::yield_now().await;
        goes_on(&frames, &mut body);
        clock.set(end);
        feed(&frames, "more");
        assert_eq!(failed(&mut body), EndReason::Expired);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_end_is_missed_while_others_open_and_change() {
    let keys = MemoryStore::new();
    let layer = ApiKeyLayer::new(keys.clone());
    for round in 0..200 {
        let issued = keys.issue(NewKey::named("listener")).unwrap();
        let streams: Vec<_> = (0..8)
            .map(|_| {
                let (layer, key) = (layer.clone(), issued.secret.reveal().to_owned());
                tokio::spawn(async move {
                    let (frames, body) = open(&layer, &key, get()).await;
                    let mut body = body.into_body();
                    for _ in 0..round % 4 {
                        feed(&frames, "frame");
                    }
                    loop {
                        match in_time(body.frame()).await.unwrap() {
                            Ok(_) => {}
                            Err(error) => return error.downcast::<KeyEnded>().unwrap().reason(),
                        }
                    }
                })
            })
            .collect();
        if round % 2 == 0 {
            until(|| layer.open_streams() > 0).await;
        }
        // Admitted before, or refused; opened before, or after.
        let _ = keys
            .update(issued.record.id(), |record| record.set_name(format!("{}x", record.name())));
        until(|| layer.open_streams() == 8).await;
        assert!(keys.revoke(issued.record.id()));
        for stream in streams {
            assert_eq!(stream.await.unwrap(), EndReason::Revoked);
        }
        assert_eq!(layer.open_streams(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_of_a_key_all_end() {
    let keys = MemoryStore::new();
    let issued = keys.issue(NewKey::named("listener")).unwrap();
    let layer = ApiKeyLayer::new(keys.clone());
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        let (layer, key) = (layer.clone(), issued.secret.reveal().to_owned());
        streams.spawn(async move {
            let (_frames, body) = open(&layer, &key, get()).await;
            failure(&mut body.into_body()).await
        });
    }
    until(|| layer.open_streams() == 10_000).await;
    let began = std::time::Instant::now();
    assert!(keys.revoke(issued.record.id()));
    println!("told after {:?}", began.elapsed());
    while let Some(ended) = in_time(streams.join_next()).await {
        assert_eq!(ended.unwrap(), EndReason::Revoked);
    }
    println!("ended after {:?}", began.elapsed());
    assert_eq!(layer.open_streams(), 0);
}
