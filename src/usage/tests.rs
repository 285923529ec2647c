use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::time::{Instant, advance, sleep, timeout};

use super::*;
use crate::clock::Clock;
use crate::key::{KeyDigest, KeyId};
use crate::store::{
    Hour, KeyRecord, KeyUse, RecordUses, UsageBatch, UsageBucket, UsageByKeyQuery, UsageCounts,
    UsageQuery, UsageRetention,
};

const MINUTE: Duration = Duration::from_secs(60);
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest delay of a write after the interval of its key.
const SLACK: Duration = Duration::from_secs(7);

/// The most that the time of a use may be too early, where ticks are slow.
const TICK: Duration = Duration::from_secs(1);

/// Follows the clock of Tokio.
struct Tokio(Instant);

fn time_of(instant: Instant, start: Instant) -> SystemTime {
    SystemTime::UNIX_EPOCH + MINUTE + (instant - start)
}

impl Clock for Tokio {
    fn now(&self) -> SystemTime {
        time_of(Instant::now(), self.0)
    }
}

/// The behaviour of a repository.
#[derive(Clone)]
enum Does {
    Record,
    Fail,
    Hang,
    Panic,
    FailFor(KeyId),
    /// Takes this long for each of two batches, and no time for the next.
    TakeTime(Duration),
}

/// Records what it should write, and when.
#[derive(Default)]
struct Rows {
    does: Mutex<Option<Does>>,
    attempts: Mutex<Vec<Instant>>,
    written: Mutex<Vec<(Instant, Vec<KeyUse>)>>,
    added: Mutex<Vec<(Instant, UsageBatch)>>,
    pruned: Mutex<Vec<Instant>>,
    too_old: Mutex<u64>,
}

impl Rows {
    fn sizes(&self) -> Vec<usize> {
        self.written.lock().unwrap().iter().map(|(_, uses)| uses.len()).collect()
    }

    /// Returns the last written use of each key.
    fn last(&self) -> BTreeMap<KeyId, SystemTime> {
        let written = self.written.lock().unwrap();
        written.iter().flat_map(|(_, uses)| uses).map(|used| (used.id.clone(), used.at)).collect()
    }

    /// Returns when rows of each key were written.
    fn by_key(&self) -> BTreeMap<KeyId, Vec<Instant>> {
        let mut keys = BTreeMap::<_, Vec<_>>::new();
        for (instant, uses) in &*self.written.lock().unwrap() {
            for used in uses {
                keys.entry(used.id.clone()).or_default().push(*instant);
            }
        }
        for (instant, batch) in &*self.added.lock().unwrap() {
            for row in batch.rows() {
                keys.entry(row.id.clone()).or_default().push(*instant);
            }
        }
        keys.values_mut().for_each(|instants| instants.sort());
        keys
    }

    /// Returns the added requests of each key, each batch once.
    fn counts(&self) -> BTreeMap<KeyId, UsageCounts> {
        let mut counts = BTreeMap::<_, UsageCounts>::new();
        let mut writers = BTreeMap::new();
        for (_, batch) in &*self.added.lock().unwrap() {
            let last = writers.insert(batch.writer().to_owned(), batch.number());
            if last.is_some_and(|last| last >= batch.number()) {
                writers.insert(batch.writer().to_owned(), last.unwrap());
                continue;
            }
            for row in batch.rows() {
                counts.entry(row.id.clone()).or_default().add_all(&row.counts);
            }
        }
        counts
    }

    /// Returns the accepted requests by key and hour, in the order in which they were added.
    fn added(&self) -> Vec<(KeyId, u32, u64)> {
        let added = self.added.lock().unwrap();
        let rows = added.iter().flat_map(|(_, batch)| batch.rows());
        rows.map(|row| (row.id.clone(), row.hour.0, row.counts.accepted())).collect()
    }

    fn attempts(&self) -> usize {
        self.attempts.lock().unwrap().len()
    }

    fn now_does(&self, does: Does) {
        *self.does.lock().unwrap() = Some(does);
    }
}

impl Rows {
    async fn do_it(&self, attempt: u32, ids: &[KeyId]) -> Result<(), StoreError> {
        let does = self.does.lock().unwrap().clone();
        match does.unwrap_or(Does::Record) {
            Does::Record => {}
            Does::Fail => return Err(StoreError::new("no rows today")),
            Does::FailFor(id) if ids.contains(&id) => {
                return Err(StoreError::new("this row is bad"));
            }
            Does::FailFor(_) => {}
            Does::Hang => std::future::pending().await,
            Does::Panic => panic!("the repository's own fault"),
            Does::TakeTime(time) => sleep(time * (attempt % 3)).await,
        }
        Ok(())
    }
}

#[async_trait]
impl RecordUses for Rows {
    async fn record_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let attempt = self.attempts() as u32;
        self.attempts.lock().unwrap().push(Instant::now());
        self.do_it(attempt, &uses.iter().map(|used| used.id.clone()).collect::<Vec<_>>()).await?;
        self.written.lock().unwrap().push((Instant::now(), uses.to_vec()));
        Ok(())
    }
}

#[async_trait]
impl UsageStore for Rows {
    async fn add_usage(&self, batch: &UsageBatch) -> Result<(), StoreError> {
        let attempt = self.added.lock().unwrap().len() as u32;
        self.do_it(attempt, &batch.rows().iter().map(|row| row.id.clone()).collect::<Vec<_>>())
            .await?;
        self.added.lock().unwrap().push((Instant::now(), batch.clone()));
        Ok(())
    }

    async fn usage(&self, _: &UsageQuery) -> Result<Vec<UsageBucket>, StoreError> {
        panic!("a recorder reads nothing")
    }

    async fn usage_by_key(
        &self,
        _: &UsageByKeyQuery,
    ) -> Result<BTreeMap<KeyId, Vec<UsageBucket>>, StoreError> {
        panic!("a recorder reads nothing")
    }

    async fn prune_usage(
        &self,
        _: UsageRetention,
        _: SystemTime,
        at_most: u32,
    ) -> Result<u64, StoreError> {
        self.pruned.lock().unwrap().push(Instant::now());
        self.do_it(0, &[]).await?;
        let mut too_old = self.too_old.lock().unwrap();
        let deleted = (*too_old).min(at_most.into());
        *too_old -= deleted;
        Ok(deleted)
    }
}

fn rows() -> Arc<Rows> {
    Arc::default()
}

fn builder(rows: &Arc<Rows>) -> UsageRecorderBuilder {
    UsageRecorderBuilder::new(Arc::<Rows>::clone(rows))
}

fn start() -> (UsageRecorder, Arc<Rows>) {
    let rows = rows();
    (builder(&rows).clock(Tokio(Instant::now())).build(), rows)
}

fn record(number: usize) -> KeyRecord {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&number.to_le_bytes());
    // Threads place cells by these bytes.
    digest[24..32].copy_from_slice(&number.to_be_bytes());
    let digest = KeyDigest::from_bytes(digest);
    KeyRecord::new(id(number), digest, "test", SystemTime::UNIX_EPOCH)
}

fn note(usage: &UsageRecorder, number: usize) {
    note_record(usage, &record(number));
}

fn note_record(usage: &UsageRecorder, record: &KeyRecord) {
    if usage.shared.recorder.accept(record) == Wants::ATask {
        usage.shared.start();
    }
}

fn refuse(usage: &UsageRecorder, number: usize, kind: UsageKind) {
    if usage.shared.recorder.refuse(&record(number), kind) == Wants::ATask {
        usage.shared.start();
    }
}

fn accepted(rows: &Rows, number: usize) -> u64 {
    rows.counts().get(&id(number)).map_or(0, UsageCounts::accepted)
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

/// Lets time pass in small steps, so that timers fire when they are due.
async fn pass(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep(Duration::from_millis(250).min(end - Instant::now())).await;
        settle().await;
    }
}

/// Returns when rows were updated, and how many.
fn updates(rows: &Rows) -> Vec<(Instant, usize)> {
    let written = rows.written.lock().unwrap();
    let added = rows.added.lock().unwrap();
    let uses = written.iter().map(|(at, uses)| (*at, uses.len()));
    let counts = added.iter().map(|(at, batch)| (*at, batch.rows().len()));
    uses.chain(counts).collect()
}

/// Returns the most rows that were updated within any `window`.
fn most_within(rows: &Rows, window: Duration) -> usize {
    let updates = updates(rows);
    let since = |start: Instant| {
        let within = updates.iter().filter(|(at, _)| (start..start + window).contains(at));
        within.map(|(_, rows)| rows).sum()
    };
    updates.iter().map(|(start, _)| since(*start)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_requests_a_second_on_a_thousand_keys_update_a_thousand_rows_a_minute() {
    let (usage, rows) = start();
    let begin = Instant::now();
    rows.now_does(Does::TakeTime(Duration::from_millis(300)));
    let records: Vec<_> = (0..1000).map(record).collect();
    let mut requests = 0;
    for step in 0..3000 {
        // New keys come: 900 during the first 18 seconds, and the others every three seconds.
        let known = 900.min(5 * (step + 1)) + step / 30;
        (0..1000).for_each(|request| note_record(&usage, &records[(step + request) % known]));
        requests += 1000;
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
    let batches = updates(&rows).len();
    assert!(batches < 450, "{batches} batches");
    let recent = time_of(Instant::now(), begin) - Duration::from_millis(150);
    usage.flush().await.unwrap();
    assert!(rows.last().values().all(|last| *last > recent), "the last use counts");
    let counted: u64 = rows.counts().values().map(UsageCounts::accepted).sum();
    assert_eq!(counted, requests, "each request is counted once");
}

#[tokio::test(start_paused = true)]
async fn an_interval_begins_when_the_write_ends() {
    let (usage, rows) = start();
    rows.now_does(Does::TakeTime(Duration::from_secs(4)));
    // The first batch takes no time, and the second one 4 seconds.
    note(&usage, 0);
    settle().await;
    note(&usage, 1);
    pass(Duration::from_secs(61)).await;
    note(&usage, 1);
    note(&usage, 2);
    rows.now_does(Does::Record);
    pass(MINUTE).await;
    let instants = &rows.by_key()[&id(1)];
    assert!(instants[1] - instants[0] >= MINUTE, "{instants:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_that_are_due_one_after_the_other_are_written_together() {
    let (usage, rows) = start();
    for step in 0..240 {
        (0..=step.min(99)).for_each(|number| note(&usage, number));
        pass(Duration::from_millis(500)).await;
    }
    let sizes: Vec<_> = updates(&rows).iter().map(|(_, rows)| *rows).collect();
    assert_eq!(sizes[..100], [1; 100], "first uses");
    assert!((5..=11).contains(&sizes[100..].len()), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn first_uses_are_written_at_once_and_together() {
    let (usage, rows) = start();
    let begin = Instant::now();
    (0..3).for_each(|number| note(&usage, number));
    settle().await;
    assert_eq!(rows.sizes(), [3]);
    advance(Duration::from_secs(1)).await;
    (0..9).for_each(|number| note(&usage, number % 4));
    settle().await;
    assert_eq!(rows.sizes(), [3, 1]);
    assert_eq!(rows.last()[&id(0)], time_of(begin, begin));
    assert_eq!(rows.last()[&id(3)], time_of(begin + Duration::from_secs(1), begin));
    assert_eq!(Instant::now() - begin, Duration::from_secs(1), "nobody waited for a timer");
}

#[tokio::test(start_paused = true)]
async fn first_uses_that_come_during_a_write_make_one_batch() {
    let (usage, rows) = start();
    rows.now_does(Does::TakeTime(Duration::from_secs(1)));
    note(&usage, 0);
    settle().await;
    (1..50).for_each(|number| note(&usage, number));
    pass(Duration::from_secs(3)).await;
    assert_eq!(rows.sizes(), [1, 49]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_thousand_keys_at_most() {
    let (usage, rows) = start();
    (0..2500).for_each(|number| note(&usage, number));
    settle().await;
    assert_eq!(rows.sizes(), [1000, 1000, 500]);
    assert_eq!(rows.last().len(), 2500);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_fails_is_tried_less_and_less_often_and_no_use_is_lost() {
    let (usage, rows) = start();
    let begin = Instant::now();
    for does in [Does::Fail, Does::Panic] {
        rows.now_does(does);
        let before = rows.attempts();
        for number in 0..240 {
            // New keys do not cause an earlier retry.
            note(&usage, number);
            note(&usage, 0);
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
    // The store works again.
    note(&usage, 999);
    settle().await;
    assert_eq!(rows.sizes(), [240, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_hangs_is_given_up_and_no_use_is_lost() {
    let (usage, rows) = start();
    rows.now_does(Does::Hang);
    note(&usage, 0);
    pass(Duration::from_secs(3)).await;
    note(&usage, 1);
    assert_eq!(rows.attempts(), 1);
    rows.now_does(Does::Record);
    pass(TIMEOUT).await;
    assert_eq!(rows.sizes(), [2]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_at_which_the_repository_fails_is_in_the_way_of_no_other() {
    let (usage, rows) = start();
    rows.now_does(Does::FailFor(id(7)));
    (0..3500).for_each(|number| note(&usage, number));
    pass(Duration::from_secs(4)).await;
    assert_eq!(rows.sizes(), [1000, 1000, 1000]);
    rows.now_does(Does::Record);
    pass(Duration::from_secs(4)).await;
    assert_eq!(rows.last().len(), 3500);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_which_everything_is_written_is_forgotten_after_an_interval() {
    let (usage, rows) = start();
    let kept = || usage.shared.recorder.keys().len();
    (0..5).for_each(|number| note(&usage, number));
    pass(MINUTE + SLACK).await;
    assert_eq!((kept(), rows.sizes(), rows.added().len()), (5, vec![5], 5));
    for _ in 0..60 {
        pass(Duration::from_secs(1)).await;
        note(&usage, 0);
    }
    pass(SLACK).await;
    assert_eq!((kept(), rows.sizes()), (1, vec![5, 1]));
    note(&usage, 1);
    settle().await;
    assert_eq!((kept(), rows.sizes()), (2, vec![5, 1, 1]));
    pass(4 * MINUTE).await;
    assert_eq!((kept(), rows.sizes()), (0, vec![5, 1, 1]));
    assert_eq!((accepted(&rows, 0), accepted(&rows, 1), accepted(&rows, 2)), (61, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_bound_uses_are_not_noted_until_there_is_room() {
    let rows = rows();
    let usage = builder(&rows).max_keys(3).build();
    (0..5).for_each(|number| note(&usage, number));
    settle().await;
    let written: BTreeSet<_> = rows.last().into_keys().collect();
    assert_eq!(written, BTreeSet::from([id(0), id(1), id(2)]));
    pass(3 * MINUTE).await;
    note(&usage, 4);
    settle().await;
    assert!(rows.last().contains_key(&id(4)));
}

#[tokio::test(start_paused = true)]
async fn a_flush_writes_what_was_to_wait() {
    let (usage, rows) = start();
    note(&usage, 0);
    usage.flush().await.unwrap();
    note(&usage, 1);
    pass(Duration::from_secs(1)).await;
    note(&usage, 1);
    usage.flush().await.unwrap();
    assert_eq!(rows.sizes(), [1, 1, 1]);
    usage.flush().await.unwrap();
    assert_eq!(rows.sizes(), [1, 1, 1], "there was nothing to write");
    pass(MINUTE).await;
    assert_eq!(rows.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_what_went_wrong_and_its_uses_are_tried_again() {
    let (usage, rows) = start();
    for (does, reason) in [
        (Does::Fail, "the key store failed: no rows today"),
        (Does::Panic, "the key store failed: it panicked: the repository's own fault"),
        (Does::Hang, "the key store failed: no answer within 5s"),
    ] {
        rows.now_does(Does::Record);
        note(&usage, 0);
        usage.flush().await.unwrap();
        advance(Duration::from_secs(1)).await;
        note(&usage, 0);
        rows.now_does(does);
        let before = rows.sizes().len();
        assert_eq!(usage.flush().await.unwrap_err().to_string(), reason);
        rows.now_does(Does::Record);
        pass(Duration::from_secs(3)).await;
        assert_eq!(rows.sizes()[before..], [1], "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_is_dropped_loses_nothing() {
    let (usage, rows) = start();
    rows.now_does(Does::Hang);
    note(&usage, 0);
    timeout(Duration::from_secs(1), usage.flush()).await.unwrap_err();
    rows.now_does(Does::Record);
    usage.flush().await.unwrap();
    assert_eq!(rows.sizes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_writes_what_is_left_and_ends_the_task() {
    let (usage, rows) = start();
    note(&usage, 0);
    settle().await;
    advance(Duration::from_secs(1)).await;
    note(&usage, 0);
    note(&usage, 1);
    usage.clone().shutdown().await.unwrap();
    assert_eq!(rows.sizes(), [1, 2]);
    assert_eq!(Arc::strong_count(&usage.shared.recorder), 1, "the task has ended");
    note(&usage, 0);
    note(&usage, 2);
    pass(3 * MINUTE).await;
    usage.shutdown().await.unwrap();
    assert_eq!(rows.sizes(), [1, 2], "later uses are not noted");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_while_the_repository_fails_says_so_in_time_and_can_be_tried_again() {
    for does in [Does::Fail, Does::Hang, Does::Panic] {
        let (usage, rows) = start();
        rows.now_does(does);
        (0..3000).for_each(|number| note(&usage, number));
        settle().await;
        let begin = Instant::now();
        usage.shutdown().await.unwrap_err();
        assert!(Instant::now() - begin <= TIMEOUT);
        assert_eq!(Arc::strong_count(&usage.shared.recorder), 1, "the task has ended");
        rows.now_does(Does::Record);
        usage.flush().await.unwrap();
        assert_eq!(rows.last().len(), 3000);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_last_clone_the_task_writes_what_is_left_and_ends() {
    for does in [Does::Record, Does::Fail, Does::Hang, Does::Panic] {
        let (usage, rows) = start();
        note(&usage, 0);
        settle().await;
        rows.now_does(does);
        note(&usage, 1);
        let clone = usage.clone();
        drop(usage);
        pass(Duration::from_secs(1)).await;
        assert!(Arc::strong_count(&rows) > 1, "there is a clone left");
        note(&clone, 0);
        drop(clone);
        pass(2 * TIMEOUT).await;
        assert_eq!(Arc::strong_count(&rows), 1, "nobody has the repository any more");
        if matches!(*rows.does.lock().unwrap(), Some(Does::Record)) {
            assert_eq!((rows.sizes(), accepted(&rows, 0)), (vec![1, 1, 1], 2));
        }
    }
}

#[test]
fn without_a_runtime_uses_are_kept_until_there_is_one() {
    let rows = rows();
    let usage = builder(&rows).build();
    note(&usage, 0);
    assert!(usage.flush().now_or_never().unwrap().is_err());
    let run = |number| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            note(&usage, number);
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
    // The task ended with its runtime. The next runtime has a new task.
    run(2);
}

#[test]
fn threads_that_use_keys_while_they_are_written_lose_no_use() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
    let rows = rows();
    // With an interval this short, keys are forgotten and come again all the time.
    let usage = builder(&rows).interval(Duration::from_micros(50)).build();
    let done = AtomicBool::new(false);
    let begin = SystemTime::now();
    thread::scope(|scope| {
        let users: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let _runtime = runtime.enter();
                    (0..20_000).for_each(|number| note(&usage, number % 10));
                })
            })
            .collect();
        let flusher = scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                runtime.block_on(usage.flush()).unwrap();
            }
        });
        users.into_iter().for_each(|user| user.join().unwrap());
        done.store(true, Ordering::SeqCst);
        flusher.join().unwrap();
    });
    let end = SystemTime::now();
    note(&usage, 10);
    runtime.block_on(usage.shutdown()).unwrap();
    let last = rows.last();
    assert_eq!(last.len(), 11);
    let counts = rows.counts();
    let counted: Vec<_> = counts.values().map(UsageCounts::accepted).collect();
    assert_eq!((counted.len(), counted.iter().sum()), (11, 80_001_u64), "each request counts once");
    // The clock is read as of its last tick.
    assert!(last.values().all(|at| *at + TICK > begin));
    assert!(last[&id(10)] + TICK > end);
}

#[tokio::test(start_paused = true)]
async fn requests_are_added_by_their_hour_and_reason() {
    let (usage, rows) = start();
    for hour in 0..3 {
        note(&usage, 0);
        refuse(&usage, 0, UsageKind::RateLimited);
        refuse(&usage, 1, UsageKind::Revoked);
        if hour == 1 {
            refuse(&usage, 0, UsageKind::RateLimited);
        }
        advance(60 * MINUTE).await;
    }
    pass(8 * MINUTE).await;
    assert!(!rows.last().contains_key(&id(1)), "a refused request is no use");
    let mut found = BTreeMap::new();
    for (_, batch) in &*rows.added.lock().unwrap() {
        for row in batch.rows() {
            let counts: Vec<_> = row.counts.iter().collect();
            assert!(found.insert((row.id.clone(), row.hour), counts).is_none());
        }
    }
    let (accepted, limited, revoked) =
        (UsageKind::Accepted, UsageKind::RateLimited, UsageKind::Revoked);
    let zero = [(accepted, 1), (limited, 1)].to_vec();
    let expected = BTreeMap::from([
        ((id(0), Hour(0)), zero.clone()),
        ((id(0), Hour(1)), [(accepted, 1), (limited, 2)].to_vec()),
        ((id(0), Hour(2)), zero),
        ((id(1), Hour(0)), [(revoked, 1)].to_vec()),
        ((id(1), Hour(1)), [(revoked, 1)].to_vec()),
        ((id(1), Hour(2)), [(revoked, 1)].to_vec()),
    ]);
    assert_eq!(found, expected);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_only_refused_is_written_once_an_interval() {
    let (usage, rows) = start();
    for _ in 0..300 {
        refuse(&usage, 0, UsageKind::Expired);
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(rows.attempts(), 0);
    assert!((4..=5).contains(&updates(&rows).len()), "{:?}", updates(&rows));
    usage.shutdown().await.unwrap();
    assert_eq!(rows.counts()[&id(0)].of(UsageKind::Expired), 300);
}

#[tokio::test(start_paused = true)]
async fn a_batch_whose_answer_was_lost_comes_again_as_it_was() {
    let (usage, rows) = start();
    note(&usage, 0);
    pass(Duration::from_secs(1)).await;
    for does in [Does::Fail, Does::Hang, Does::Panic] {
        rows.now_does(does);
        for _ in 0..20 {
            note(&usage, 0);
            note(&usage, 1);
            let _ = usage.flush().await;
        }
    }
    rows.now_does(Does::Record);
    usage.shutdown().await.unwrap();
    assert_eq!((accepted(&rows, 0), accepted(&rows, 1)), (61, 60));
    let added = rows.added.lock().unwrap();
    let names: BTreeSet<_> = added.iter().map(|(_, batch)| batch.writer()).collect();
    assert!(names.len() <= 8, "{} writers", names.len());
    let numbers: BTreeSet<_> =
        added.iter().map(|(_, batch)| (batch.writer(), batch.number())).collect();
    assert_eq!(numbers.len(), added.len(), "each batch has a number of its own");
}

#[tokio::test(start_paused = true)]
async fn counts_at_which_the_repository_fails_are_in_the_way_of_no_others() {
    let (usage, rows) = start();
    (0..3500).for_each(|number| note(&usage, number));
    settle().await;
    rows.now_does(Does::FailFor(id(7)));
    pass(MINUTE + 4 * SLACK).await;
    assert_eq!(rows.counts().len(), 2500);
    rows.now_does(Does::Record);
    pass(2 * MINUTE).await;
    assert_eq!(rows.counts().values().map(UsageCounts::accepted).sum::<u64>(), 3500);
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_keeps_all_counts_in_bounded_memory() {
    let (usage, rows) = start();
    rows.now_does(Does::Fail);
    for _ in 0..100 {
        (0..3).for_each(|number| note(&usage, number));
        advance(60 * MINUTE).await;
        settle().await;
    }
    rows.now_does(Does::Record);
    usage.flush().await.unwrap();
    let added = rows.added();
    assert!(added.len() <= 3 * (24 + 8), "{} rows", added.len());
    assert_eq!(added.iter().map(|(_, _, count)| count).sum::<u64>(), 300);
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_is_deleted_once_an_hour_and_bit_by_bit() {
    let (usage, rows) = start();
    *rows.too_old.lock().unwrap() = 3500;
    note(&usage, 0);
    pass(4 * MINUTE).await;
    assert_eq!(rows.pruned.lock().unwrap().len(), 0);
    pass(2 * MINUTE).await;
    assert_eq!((rows.pruned.lock().unwrap().len(), *rows.too_old.lock().unwrap()), (4, 0));
    rows.now_does(Does::Panic);
    pass(Duration::from_secs(3600)).await;
    rows.now_does(Does::Record);
    assert_eq!(rows.pruned.lock().unwrap().len(), 5);
    pass(Duration::from_secs(3600)).await;
    assert_eq!(rows.pruned.lock().unwrap().len(), 6, "once an hour, also after a failure");
    let not_here = rows_of_one_without_pruning().await;
    assert_eq!(not_here.pruned.lock().unwrap().len(), 0);
}

async fn rows_of_one_without_pruning() -> Arc<Rows> {
    let rows = rows();
    let usage = builder(&rows).without_pruning().build();
    note(&usage, 0);
    pass(Duration::from_secs(3 * 3600)).await;
    rows
}

#[tokio::test(start_paused = true)]
async fn a_store_may_keep_last_uses_only() {
    let key = crate::NewKey::named("a key").generate(&crate::KeyScheme::default()).unwrap();
    let record = key.record;
    let store = crate::MemoryStore::from_records([Arc::clone(&record)]).unwrap();
    let usage = UsageRecorder::last_uses_only(store.clone()).build();
    usage.shared.recorder.accept(&record);
    usage.shutdown().await.unwrap();
    let found = crate::KeyRepository::get(&store, record.id()).await.unwrap().unwrap();
    assert!(found.last_used_at.is_some());
    let range = SystemTime::UNIX_EPOCH..SystemTime::now() + MINUTE;
    let of = crate::store::UsageOf::Key(record.id().clone());
    let query = UsageQuery::new(of, &range, crate::store::UsageStep::Day);
    assert_eq!(store.usage(&query).await.unwrap(), []);
}
