//! Every interleaving of requests, changes, loads, notifications, losses and the passing of time that a
//! generator finds: no stream of a key that has ended stays open, and none of one that works ends.
//!
//! The code under test is the real one: a layer over a cache. Only who goes on next, and when, is the
//! test's.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use proptest::prelude::*;
use tokio::task::JoinHandle;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tower_api_key::store::{Invalidation, KeyChange};
use tower_api_key::{
    ApiKeyLayer, CachedStore, EndReason, Immediate, IssuedKey, KeyEnded, KeyRecord,
    KeyRepository as _, KeyStore as _, NewKey,
};

use crate::common::MemoryKeys as _;
use crate::common::caching::{
    Answered, GatedStore, RuntimeClock, ScriptedSource, advance, next, settle,
};
use crate::get;

const HEARTBEAT: Duration = Duration::from_millis(500);
/// The longest period after which a layer asks again, with what a question takes that is not answered.
const BOUND: Duration = Duration::from_secs(12);
/// The same after questions that were not answered: it asks less often then, as the documentation says,
/// and for no longer than a minute.
const BOUND_AFTER_FAILURES: Duration = Duration::from_secs(60);

/// What happens next. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    /// A client asks for a stream.
    Open,
    /// A client goes away.
    Leave(usize),
    /// A lookup reads the database, or a commit writes it.
    Act(usize),
    /// A lookup or a commit ends.
    Answer(usize, Answered),
    /// This node changes whether the key works.
    ToggleHere,
    /// Another node does.
    ToggleElsewhere,
    /// Another node changes something else.
    RenameElsewhere,
    /// The subscriber hears what was sent first.
    Deliver,
    /// The subscription fails.
    Lose,
    /// The subscription hears nothing any more.
    Mute,
    /// Nobody can subscribe, or everybody can.
    Away(bool),
    /// Time passes.
    Pass(Duration),
    /// Somebody says that all may have changed.
    ForgetAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let any = 0usize..4;
    let answered = prop_oneof![
        8 => Just(Answered::Honestly),
        1 => Just(Answered::WithAnError),
        1 => Just(Answered::WithAPanic),
    ];
    let step = prop_oneof![
        6 => Just(Step::Open),
        1 => any.clone().prop_map(Step::Leave),
        6 => any.clone().prop_map(Step::Act),
        8 => (any, answered).prop_map(|(call, answered)| Step::Answer(call, answered)),
        2 => Just(Step::ToggleHere),
        3 => Just(Step::ToggleElsewhere),
        1 => Just(Step::RenameElsewhere),
        4 => Just(Step::Deliver),
        1 => Just(Step::Lose),
        1 => Just(Step::Mute),
        1 => prop::bool::ANY.prop_map(Step::Away),
        4 => prop_oneof![0u64..400, 0u64..1600, 0u64..7000]
            .prop_map(|time| Step::Pass(Duration::from_millis(time))),
        1 => Just(Step::ForgetAll),
    ];
    prop::collection::vec(step, 1..60)
}

/// How a stream ended; none if the request was refused.
type Opened = JoinHandle<Option<EndReason>>;

struct Model {
    store: GatedStore,
    key: IssuedKey,
    cached: CachedStore<GatedStore>,
    source: Option<ScriptedSource>,
    layer: ApiKeyLayer,
    streams: Vec<Opened>,
}

/// How many streams were ended by their key, in all runs.
static ENDED: AtomicUsize = AtomicUsize::new(0);

impl Model {
    fn new(notified: bool) -> Self {
        let store = GatedStore::default();
        let key = store.keys.issue(NewKey::named("the key")).unwrap();
        store.hold(&key.record.digest());
        let source = notified.then(ScriptedSource::default);
        let mut builder = CachedStore::builder(store.clone())
            .clock(RuntimeClock::start())
            .ttl(Duration::from_secs(1))
            .negative_ttl(Duration::from_secs(1))
            .max_staleness(Duration::from_secs(3))
            .heartbeat(HEARTBEAT);
        if let Some(source) = &source {
            source.set_slow(true);
            builder = builder.invalidated_by(source.clone());
        }
        let cached = builder.build();
        let layer = ApiKeyLayer::new(cached.clone());
        Self { store, key, cached, source, layer, streams: Vec::new() }
    }

    fn record(&self) -> Arc<KeyRecord> {
        match self.store.keys.find_now(&self.key.record.digest()) {
            Immediate::Answer(Some(record)) => record,
            _ => unreachable!("it is never removed"),
        }
    }

    fn open(&mut self) {
        let is_quiet = self.streams.len().is_multiple_of(2);
        let service = self.layer.layer(service_fn(move |_| {
            let frames = stream::unfold((), move |()| async move {
                let pause = Duration::from_millis(if is_quiet { 1_000_000_000 } else { 70 });
                tokio::time::sleep(pause).await;
                Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"frame"))), ()))
            });
            std::future::ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames))))
        }));
        let request = get().header("x-api-key", self.key.secret.reveal());
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        self.streams.push(tokio::spawn(async move {
            let response = service.oneshot(request).await.unwrap();
            let mut body = (response.status() == 200).then(|| Box::pin(response.into_body()))?;
            loop {
                if let Err(error) = body.frame().await.expect("it never ends by itself") {
                    ENDED.fetch_add(1, Ordering::Relaxed);
                    return Some(error.downcast::<KeyEnded>().unwrap().reason());
                }
            }
        }));
    }

    fn toggled(&self) -> KeyChange {
        KeyChange::Replace(next(&self.record(), |record| {
            record.set_disabled(!record.is_disabled())
        }))
    }

    async fn change_elsewhere(&self, change: KeyChange) {
        self.store.keys.commit(&[change], &[]).await.unwrap();
        if let Some(source) = &self.source {
            source.send(Invalidation::Key(self.key.record.digest()));
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Open => self.open(),
            Step::Leave(stream) => {
                if let Some(stream) = stream.checked_rem(self.streams.len()) {
                    self.streams.swap_remove(stream).abort();
                }
            }
            Step::Act(call) => {
                if let Some(call) = call.checked_rem(self.store.waiting().len()) {
                    self.store.act(call);
                }
            }
            Step::Answer(call, answered) => {
                if let Some(call) = call.checked_rem(self.store.waiting().len()) {
                    self.store.answer(call, answered);
                }
            }
            Step::ToggleHere => {
                let (cached, change) = (self.cached.clone(), self.toggled());
                tokio::spawn(async move { cached.commit(&[change], &[]).await });
            }
            Step::ToggleElsewhere => self.change_elsewhere(self.toggled()).await,
            Step::RenameElsewhere => {
                let renamed =
                    next(&self.record(), |record| record.set_name(format!("{}x", record.name())));
                self.change_elsewhere(KeyChange::Replace(renamed)).await;
            }
            Step::Deliver => drop(self.source.as_ref().and_then(ScriptedSource::deliver)),
            Step::Lose => self.source.iter().for_each(ScriptedSource::lose),
            Step::Mute => self.source.iter().for_each(ScriptedSource::mute),
            Step::Away(is_away) => self.source.iter().for_each(|source| source.set_away(is_away)),
            Step::Pass(time) => advance(time).await,
            Step::ForgetAll => self.cached.invalidate_all(),
        }
        settle().await;
    }

    /// Lets everything that is under way go on, for so long.
    async fn quiesce(&self, mut time: Duration) {
        const STEP: Duration = Duration::from_millis(100);
        loop {
            while !self.store.waiting().is_empty() {
                self.store.answer(0, Answered::Honestly);
                settle().await;
            }
            if let Some(source) = &self.source {
                while source.deliver().is_some() {
                    settle().await;
                }
            }
            if self.store.waiting().is_empty() {
                let Some(left) = time.checked_sub(STEP) else { return };
                time = left;
                advance(STEP).await;
            }
        }
    }

    async fn finish(mut self, bound: Duration) {
        self.quiesce(bound).await;
        let works = !self.record().is_disabled();
        let finished = self.streams.iter().filter(|stream| stream.is_finished()).count();
        if !works {
            assert_eq!(finished, self.streams.len(), "streams are open whose key has ended");
            assert_eq!(self.layer.open_streams(), 0);
            // Nor does the thread that keeps the key let a request pass.
            self.open();
            settle().await;
            self.quiesce(Duration::from_millis(100)).await;
            let refused = self.streams.last_mut().unwrap().now_or_never();
            assert!(matches!(refused, Some(Ok(None))), "{refused:?}");
            self.streams.pop();
        }
        for stream in &mut self.streams {
            let ended = stream.now_or_never().map(Result::unwrap);
            assert!(matches!(ended, None | Some(None | Some(EndReason::Disabled))), "{ended:?}");
        }
        // What is opened from now on goes on for as long as its key works, and no longer.
        if !works {
            self.change_elsewhere(self.toggled()).await;
            self.quiesce(BOUND).await;
        }
        self.streams.clear();
        self.open();
        self.open();
        self.quiesce(BOUND).await;
        assert!(self.streams.iter().all(|stream| !stream.is_finished()));
        self.change_elsewhere(self.toggled()).await;
        self.quiesce(BOUND).await;
        for stream in self.streams {
            assert_eq!(stream.now_or_never().unwrap().unwrap(), Some(EndReason::Disabled));
        }
    }
}

fn run(notified: bool, steps: Vec<Step>) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut model = Model::new(notified);
        let fails =
            |step: &Step| matches!(step, Step::Answer(_, how) if !matches!(how, Answered::Honestly));
        let bound = if steps.iter().any(fails) { BOUND_AFTER_FAILURES } else { BOUND };
        settle().await;
        for step in steps {
            model.step(step).await;
        }
        model.source.iter().for_each(|source| source.set_away(false));
        model.finish(bound).await;
    });
}

#[test]
fn questions_that_fail_have_the_next_ones_come_later() {
    use Answered::{Honestly, WithAnError};
    use Step::{Act, Answer, Open, ToggleElsewhere, ToggleHere};

    run(
        false,
        vec![
            ToggleElsewhere,
            ToggleHere,
            Answer(0, Honestly),
            Open,
            ToggleHere,
            Act(2),
            Answer(1, Honestly),
            Answer(0, Honestly),
            Open,
            ToggleHere,
            Answer(1, Honestly),
            ToggleHere,
            ToggleElsewhere,
            ToggleHere,
            Answer(0, Honestly),
            Answer(0, WithAnError),
            Open,
            Answer(2, Honestly),
            Answer(1, Honestly),
            Answer(1, WithAnError),
            ToggleElsewhere,
            Open,
            Answer(1, Honestly),
            Answer(0, Honestly),
            Answer(0, WithAnError),
        ],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_outlives_its_key_where_changes_are_notified(steps in steps()) {
        run(true, steps);
    }

    #[test]
    fn no_stream_outlives_its_key_where_nobody_is_notified(steps in steps()) {
        run(false, steps);
    }
}
