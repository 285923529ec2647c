use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::clock::Clock;
use crate::store::KeyUse;

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long after its interval a key is written at the latest.
const SLACK: Duration = Duration::from_secs(7);

/// Goes with tokio's time.
struct Tokio(Instant);

fn time_of(instant: Instant, start: Instant) -> SystemTime {
    SystemTime::UNIX_EPOCH + MINUTE + (instant - start)
}

impl Clock for Tokio {
    fn now(&self) -> SystemTime {
        time_of(Instant::now(), self.0)
    }
}

/// What a repository does with uses.
#[derive(Clone)]
enum Does {
    Record,
    Fail,
    Hang,
    Panic,
    FailFor(KeyId),
    /// This long for each of two batches, and none for the next.
    TakeTime(Duration),
}

/// Remembers what it was to write, and when.
struct Rows {
    does: Mutex<Does>,
    attempts: Mutex<Vec<Instant>>,
    written: Mutex<Vec<(Instant, Vec<KeyUse>)>>,
}

impl Rows {
    fn sizes(&self) -> Vec<usize> {
        self.written.lock().unwrap().iter().map(|(_, uses)| uses.len()).collect()
    }

    /// The use of each key that was written last.
    fn last(&self) -> BTreeMap<KeyId, SystemTime> {
        let written = self.written.lock().unwrap();
        written.iter().flat_map(|(_, uses)| uses).map(|used| (used.id.clone(), used.at)).collect()
    }

    /// When each key was written.
    fn by_key(&self) -> BTreeMap<KeyId, Vec<Instant>> {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for (instant, uses) in &*self.written.lock().unwrap() {
            for used in uses {
                keys.entry(used.id.clone()).or_default().push(*instant);
            }
        }
        keys
    }

    fn attempts(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }

    fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }
}

#[async_trait]
impl RecordUses for Rows {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let attempt = self.attempts() as u32;
        self.attempts.lock().unwrap().push(Instant::now());
        let does = self.does.lock().unwrap().clone();
        match does {
            Does::Record => {}
            Does::Fail => return Err(StoreError::new("no rows today")),
            Does::FailFor(id) if uses.iter().any(|used| used.id == id) => {
                return Err(StoreError::new("this row is bad"));
            }
            Does::FailFor(_) => {}
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("the repository's own fault"),
            Does::TakeTime(time) => sleep(time * (attempt % 3)).await,
        }
        self.written.lock().unwrap().push((Instant::now(), uses.to_vec()));
        Ok(())
    }
}

fn rows() -> Arc<Rows> {
    let does = Mutex::new(Does::Record);
    Arc::new(Rows { does, attempts: Mutex::default(), written: Mutex::default() })
}

fn builder(rows: &Arc<Rows>) -> LastUsedBuilder {
    LastUsedBuilder::new(Arc::<Rows>::clone(rows))
}

fn start() -> (LastUsed, Arc<Rows>) {
    let rows = rows();
    (builder(&rows).clock(Tokio(Instant::now())).build(), rows)
}

fn id(number: usize) -> KeyId {
    format!("key_{number}").parse().unwrap()
}

/// Lets the task do what it can do at this moment.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

/// Lets time pass, bit by bit, so that timers fire when they are due.
async fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep(Duration::from_millis(250).min(end - Instant::now())).await;
        settle().await;
    }
}

/// Returns the most rows that were updated within any `window`.
fn most_within(rows: &Rows, window: Duration) -> usize {
    let written = rows.written.lock().unwrap();
    let since = |start: Instant| {
        let within = written.iter().filter(|(at, _)| (start..start + window).contains(at));
        within.map(|(_, uses)| uses.len()).sum()
    };
    written.iter().map(|(start, _)| since(*start)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_a_second_on_a_thousand_keys_update_a_thousand_rows_a_minute() {
    let (last_used, rows) = start();
    let begin = Instant::now();
    rows.now_does(Does::TakeTime(Duration::from_millis(300)));
    let ids: Vec<_> = (0..1000).map(id).collect();
    for step in 0..2000 {
        // New keys come: 900 during the first 18 seconds, and the others every two seconds.
        let known = 900.min(5 * (step + 1)) + step / 20;
        (0..1000).for_each(|request| last_used.note(&ids[(step + request) % known]));
        advance(Duration::from_millis(100)).await;
        settle().await;
    }
    let most = most_within(&rows, MINUTE);
    assert!((900..=1000).contains(&most), "{most} rows in a minute");
    let instants = rows.by_key();
    assert_eq!(instants.len(), 999);
    for instants in instants.values() {
        let mut times = instants.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(times.all(|time| (MINUTE..MINUTE + SLACK).contains(&time)), "{instants:?}");
        assert!(Instant::now() - *instants.last().unwrap() < MINUTE + SLACK);
    }
    assert!(rows.sizes().len() < 300, "{} batches", rows.sizes().len());
    let recent = time_of(Instant::now(), begin) - Duration::from_millis(150);
    last_used.flush().await.unwrap();
    assert!(rows.last().values().all(|last| *last > recent), "the last use counts");
}

#[tokio::test(start_paused = true)]
async fn an_interval_begins_when_the_write_ends() {
    let (last_used, rows) = start();
    rows.now_does(Does::TakeTime(Duration::from_secs(4)));
    // The first batch takes no time, and the second one 4 seconds.
    last_used.note(&id(0));
    settle().await;
    last_used.note(&id(1));
    pass(Duration::from_secs(61)).await;
    last_used.note(&id(1));
    last_used.note(&id(2));
    rows.now_does(Does::Record);
    pass(MINUTE).await;
    let instants = &rows.by_key()[&id(1)];
    assert!(instants[1] - instants[0] >= MINUTE, "{instants:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_due_one_after_the_other_are_written_together() {
    let (last_used, rows) = start();
    for step in 0..240 {
        (0..=step.min(99)).for_each(|number| last_used.note(&id(number)));
        pass(Duration::from_millis(500)).await;
    }
    let sizes = rows.sizes();
    assert_eq!(sizes[..100], [1; 100], "first uses");
    assert!((5..=11).contains(&sizes[100..].len()), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn first_uses_are_written_at_once_and_together() {
    let (last_used, rows) = start();
    let begin = Instant::now();
    (0..3).for_each(|number| last_used.note(&id(number)));
    settle().await;
    assert_eq!(rows.sizes(), [3]);
    advance(Duration::from_secs(1)).await;
    (0..9).for_each(|number| last_used.note(&id(number % 4)));
    settle().await;
    assert_eq!(rows.sizes(), [3, 1]);
    assert_eq!(rows.last()[&id(0)], time_of(begin, begin));
    assert_eq!(rows.last()[&id(3)], time_of(begin + Duration::from_secs(1), begin));
    assert_eq!(Instant::now() - begin, Duration::from_secs(1), "nobody waited for a timer");
}

#[tokio::test(start_paused = true)]
async fn first_uses_that_come_during_a_write_make_one_batch() {
    let (last_used, rows) = start();
    rows.now_does(Does::TakeTime(Duration::from_secs(1)));
    last_used.note(&id(0));
    settle().await;
    (1..50).for_each(|number| last_used.note(&id(number)));
    pass(Duration::from_secs(3)).await;
    assert_eq!(rows.sizes(), [1, 49]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_thousand_keys_at_most() {
    let (last_used, rows) = start();
    (0..2500).for_each(|number| last_used.note(&id(number)));
    settle().await;
    assert_eq!(rows.sizes(), [1000, 1000, 500]);
    assert_eq!(rows.last().len(), 2500);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_fails_is_tried_less_and_less_often_and_no_use_is_lost() {
    let (last_used, rows) = start();
    let begin = Instant::now();
    for does in [Does::Fail, Does::Panic] {
        rows.now_does(does);
        let before = rows.attempts();
        for number in 0..240 {
            // New keys do not make it try sooner.
            last_used.note(&id(number));
            last_used.note(&id(0));
            pass(Duration::from_secs(1)).await;
        }
        let attempts = rows.attempts.lock().unwrap()[before..].to_vec();
        let waits: Vec<_> = attempts.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
        let last = *waits.last().unwrap();
        assert_eq!(last, 60, "{waits:?}");
        if before == 0 {
            assert_eq!(waits[..7], [1, 2, 4, 8, 16, 32, 60]);
        }
    }
    let last_use = time_of(Instant::now() - Duration::from_secs(1), begin);
    rows.now_does(Does::Record);
    pass(Duration::from_secs(61)).await;
    assert_eq!(rows.sizes(), [240], "one row for each key");
    assert_eq!(rows.last()[&id(0)], last_use);
    // It is well again.
    last_used.note(&id(999));
    settle().await;
    assert_eq!(rows.sizes(), [240, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_hangs_is_given_up_and_no_use_is_lost() {
    let (last_used, rows) = start();
    rows.now_does(Does::Hang);
    last_used.note(&id(0));
    pass(Duration::from_secs(3)).await;
    last_used.note(&id(1));
    assert_eq!(rows.attempts(), 1);
    rows.now_does(Does::Record);
    pass(TIMEOUT).await;
    assert_eq!(rows.sizes(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_at_which_the_repository_fails_is_in_the_way_of_no_other() {
    let (last_used, rows) = start();
    rows.now_does(Does::FailFor(id(7)));
    (0..3500).for_each(|number| last_used.note(&id(number)));
    pass(Duration::from_secs(4)).await;
    assert_eq!(rows.sizes(), [1000, 1000, 1000]);
    rows.now_does(Does::Record);
    pass(Duration::from_secs(4)).await;
    assert_eq!(rows.last().len(), 3500);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_not_used_for_an_interval_is_forgotten() {
    let (last_used, rows) = start();
    let kept = || last_used.shared.recorder.keys().len();
    (0..5).for_each(|number| last_used.note(&id(number)));
    for _ in 0..70 {
        pass(Duration::from_secs(1)).await;
        last_used.note(&id(0));
    }
    assert_eq!((kept(), rows.sizes()), (1, vec![5, 1]));
    last_used.note(&id(1));
    settle().await;
    assert_eq!((kept(), rows.sizes()), (2, vec![5, 1, 1]));
    pass(3 * MINUTE).await;
    assert_eq!((kept(), rows.sizes()), (0, vec![5, 1, 1, 1]));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_uses_are_not_noted_until_there_is_room() {
    let rows = rows();
    let last_used = builder(&rows).max_keys(3).build();
    (0..5).for_each(|number| last_used.note(&id(number)));
    settle().await;
    let written: BTreeSet<_> = rows.last().into_keys().collect();
    assert_eq!(written, BTreeSet::from([id(0), id(1), id(2)]));
    pass(2 * MINUTE).await;
    last_used.note(&id(4));
    settle().await;
    assert!(rows.last().contains_key(&id(4)));
}

#[tokio::test(start_paused = true)]
async fn a_flush_writes_what_was_to_wait() {
    let (last_used, rows) = start();
    last_used.note(&id(0));
    last_used.flush().await.unwrap();
    last_used.note(&id(1));
    pass(Duration::from_secs(1)).await;
    last_used.note(&id(1));
    last_used.flush().await.unwrap();
    assert_eq!(rows.sizes(), [1, 1, 1]);
    last_used.flush().await.unwrap();
    assert_eq!(rows.sizes(), [1, 1, 1], "there was nothing to write");
    pass(MINUTE).await;
    assert_eq!(rows.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_what_went_wrong_and_its_uses_are_tried_again() {
    let (last_used, rows) = start();
    for (does, reason) in [
        (Does::Fail, "the key store failed: no rows today"),
        (Does::Panic, "the key store failed: it panicked: the repository's own fault"),
        (Does::Hang, "the key store failed: no answer within 5s"),
    ] {
        rows.now_does(Does::Record);
        last_used.note(&id(0));
        last_used.flush().await.unwrap();
        advance(Duration::from_secs(1)).await;
        last_used.note(&id(0));
        rows.now_does(does);
        let before = rows.sizes().len();
        assert_eq!(last_used.flush().await.unwrap_err().to_string(), reason);
        rows.now_does(Does::Record);
        pass(Duration::from_secs(3)).await;
        assert_eq!(rows.sizes()[before..], [1], "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_loses_nothing() {
    let (last_used, rows) = start();
    rows.now_does(Does::Hang);
    last_used.note(&id(0));
    timeout(Duration::from_secs(1), last_used.flush()).await.unwrap_err();
    rows.now_does(Does::Record);
    last_used.flush().await.unwrap();
    assert_eq!(rows.sizes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_writes_what_is_left_and_ends_the_task() {
    let (last_used, rows) = start();
    last_used.note(&id(0));
    settle().await;
    advance(Duration::from_secs(1)).await;
    last_used.note(&id(0));
    last_used.note(&id(1));
    last_used.clone().shutdown().await.unwrap();
    assert_eq!(rows.sizes(), [1, 2]);
    assert_eq!(Arc::strong_count(&last_used.shared.recorder), 1, "the task has ended");
    last_used.note(&id(0));
    last_used.note(&id(2));
    pass(3 * MINUTE).await;
    last_used.shutdown().await.unwrap();
    assert_eq!(rows.sizes(), [1, 2], "later uses are not noted");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_the_repository_fails_says_so_in_time_and_can_be_tried_again() {
    for does in [Does::Fail, Does::Hang, Does::Panic] {
        let (last_used, rows) = start();
        rows.now_does(does);
        (0..3000).for_each(|number| last_used.note(&id(number)));
        settle().await;
        let begin = Instant::now();
        last_used.shutdown().await.unwrap_err();
        assert!(Instant::now() - begin <= TIMEOUT);
        assert_eq!(Arc::strong_count(&last_used.shared.recorder), 1, "the task has ended");
        rows.now_does(Does::Record);
        last_used.flush().await.unwrap();
        assert_eq!(rows.last().len(), 3000);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_last_clone_the_task_writes_what_is_left_and_ends() {
    for does in [Does::Record, Does::Fail, Does::Hang, Does::Panic] {
        let (last_used, rows) = start();
        last_used.note(&id(0));
        settle().await;
        rows.now_does(does);
        last_used.note(&id(1));
        let clone = last_used.clone();
        drop(last_used);
        pass(Duration::from_secs(1)).await;
        assert!(Arc::strong_count(&rows) > 1, "there is a clone left");
        clone.note(&id(0));
        drop(clone);
        pass(2 * TIMEOUT).await;
        assert_eq!(Arc::strong_count(&rows), 1, "nobody has the repository any more");
        if matches!(*rows.does.lock().unwrap(), Does::Record) {
            assert_eq!(rows.sizes(), [1, 1, 1]);
        }
    }
}

#[test]
fn without_a_runtime_uses_are_kept_until_there_is_one() {
    let rows = rows();
    let last_used = builder(&rows).build();
    last_used.note(&id(0));
    assert!(last_used.flush().now_or_never().unwrap().is_err());
    let run = |number| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            last_used.note(&id(number));
            let written = async {
                while !rows.last().contains_key(&id(number)) {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(20 * TIMEOUT, written).await.unwrap();
        });
    };
    run(1);
    assert!(rows.last().contains_key(&id(0)));
    // The task ended with the runtime, and there is another in the next one.
    run(2);
}

#[test]
fn threads_that_use_keys_while_they_are_written_lose_no_use() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let rows = rows();
    // With an interval this short, keys are forgotten and come again all the time.
    let last_used = builder(&rows).interval(Duration::from_micros(50)).build();
    let done = AtomicBool::new(false);
    let begin = SystemTime::now();
    thread::scope(|scope| {
        let users: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let _runtime = runtime.enter();
                    (0..20_000).for_each(|number| last_used.note(&id(number % 10)));
                })
            })
            .collect();
        let flusher = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                runtime.block_on(last_used.flush()).unwrap();
            }
        });
        users.into_iter().for_each(|user| user.join().unwrap());
        done.store(true, Ordering::SeqCst);
        flusher.join().unwrap();
    });
    let end = SystemTime::now();
    last_used.note(&id(10));
    runtime.block_on(last_used.shutdown()).unwrap();
    let last = rows.last();
    assert_eq!(last.len(), 11);
    assert!(last.values().all(|at| *at + Duration::from_micros(1) > begin));
    assert!(last[&id(10)] + Duration::from_micros(1) > end);
}
