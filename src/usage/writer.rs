//! [`Writer`]: decides which rows to write, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join;
use tokio::time::Instant;

use super::counts::{BATCH, Counts};
use super::used_key::{Unwritten, UsedKey};
use super::used_keys::UsedKeys;
use crate::contain;
use crate::store::{KeyUse, RecordUses, StoreError, UsageRetention, UsageStore};

/// The number of batches per interval, so that keys share batches.
const BATCHES_PER_INTERVAL: u32 = 10;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// The keys that were used. Each waits for its turn, or has a row to write now.
pub(super) struct Writer {
    store: Arc<dyn UsageStore>,
    interval: Duration,
    timeout: Duration,
    last_uses: LastUses,
    counts: Counts,
    /// In the order in which they are due.
    waiting: VecDeque<Waiting>,
    retry: Option<Retry>,
}

struct Waiting {
    key: Arc<UsedKey>,
    due: Instant,
    next: Turn,
}

/// The part of a key to write next, if it has both. Each is a row, and an interval writes one row per key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    LastUse,
    Count,
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    after: Duration,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn UsageStore>,
        interval: Duration,
        timeout: Duration,
        retention: UsageRetention,
    ) -> Self {
        Self {
            store,
            interval,
            timeout,
            last_uses: LastUses::default(),
            counts: Counts::new(retention),
            waiting: VecDeque::new(),
            retry: None,
        }
    }

    /// Returns the number of rows to write now.
    pub(super) fn unwritten(&self) -> usize {
        self.last_uses.keys.len() + self.counts.len()
    }

    /// Returns when to retry, if the last attempt failed.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Returns the time of the next write, if no new key comes before it.
    pub(super) fn next_write(&self) -> Option<Instant> {
        let due = || self.waiting.front().map(|first| first.due);
        self.retry_at().or_else(|| Some(due()? + self.interval / BATCHES_PER_INTERVAL))
    }

    /// Schedules new keys and keys whose interval is over, and forgets keys without unwritten usage.
    pub(super) fn take_due(&mut self, keys: &UsedKeys) {
        self.take_new(keys);
        let now = Instant::now();
        while self.waiting.front().is_some_and(|first| first.due <= now)
            && let Some(Waiting { key, next, .. }) = self.waiting.pop_front()
        {
            if key.unwritten() == Unwritten::NOTHING {
                keys.forget(&key);
            }
            // Uses that came just before the key was closed are written in turn. No more can come.
            match key.unwritten() {
                Unwritten { last_use: false, hours: 0 } if key.is_closed() => {}
                Unwritten { last_use: true, hours: 0 } => self.last_uses.keys.push_back(key),
                Unwritten { last_use: true, .. } if next == Turn::LastUse => {
                    self.last_uses.keys.push_back(key);
                }
                _ => self.counts.push(key),
            }
        }
    }

    fn take_new(&mut self, keys: &UsedKeys) {
        for key in keys.take_new() {
            match key.unwritten().last_use {
                true => self.last_uses.keys.push_back(key),
                false => self.wait(vec![key], Turn::Count),
            }
        }
    }

    /// Schedules everything that is not written.
    pub(super) fn take_all(&mut self, keys: &UsedKeys) {
        self.take_new(keys);
        for key in &self.last_uses.keys {
            self.counts.push_all_of(key);
        }
        let turned = self.counts.take_keys();
        self.wait(turned, Turn::LastUse);
        for waiting in std::mem::take(&mut self.waiting) {
            self.counts.push_all_of(&waiting.key);
            match waiting.key.unwritten().last_use {
                true => self.last_uses.keys.push_back(waiting.key),
                false => self.waiting.push_back(waiting),
            }
        }
    }

    /// Writes the scheduled rows. The future may be dropped: the rest stays.
    pub(super) async fn write(&mut self) -> Result<(), StoreError> {
        // For a previous call that was dropped.
        self.wait_again();
        let Self { store, timeout, last_uses, counts, .. } = self;
        let last_uses = last_uses.write(&**store, *timeout);
        let (last_uses, counts) = join(last_uses, counts.write(&**store, *timeout)).await;
        self.wait_again();
        let written = last_uses.and(counts);
        self.retry = written.is_err().then(|| {
            let after = self.retry.map_or(FIRST_RETRY, |retry| (retry.after * 2).min(LAST_RETRY));
            Retry { at: Instant::now() + after, after }
        });
        written
    }

    /// Lets the keys wait whose row was written.
    fn wait_again(&mut self) {
        let written = std::mem::take(&mut self.last_uses.done);
        self.wait(written, Turn::Count);
        let written = self.counts.take_done();
        self.wait(written, Turn::LastUse);
    }

    fn wait(&mut self, keys: Vec<Arc<UsedKey>>, next: Turn) {
        let due = Instant::now() + self.interval;
        self.waiting.extend(keys.into_iter().map(|key| Waiting { key, due, next }));
    }
}

/// The last uses to write.
#[derive(Default)]
struct LastUses {
    keys: VecDeque<Arc<UsedKey>>,
    done: Vec<Arc<UsedKey>>,
}

impl LastUses {
    async fn write(&mut self, store: &dyn UsageStore, timeout: Duration) -> Result<(), StoreError> {
        while !self.keys.is_empty() {
            let batch = self.keys.iter().take(BATCH);
            let lasts: Vec<_> = batch.map(|key| key.last_use()).collect();
            let batch = self.keys.iter().zip(&lasts);
            let uses: Vec<_> = batch.map(|(key, last)| key.used_at(*last)).collect();
            if let Err(error) = record(store, &uses, timeout).await {
                // To the end, so that a batch that the store refuses does not block the others.
                self.keys.rotate_left(uses.len());
                return Err(error);
            }
            for (key, last) in self.keys.drain(..uses.len()).zip(lasts) {
                key.written(last);
                self.done.push(key);
            }
        }
        Ok(())
    }
}

async fn record(
    store: &(impl RecordUses + ?Sized),
    uses: &[KeyUse],
    timeout: Duration,
) -> Result<(), StoreError> {
    // Inside the future, because the store may panic before it returns one.
    let recording = async { store.record_uses(uses).await };
    let recorded = contain::wait_within(timeout, recording).await;
    recorded.unwrap_or_else(|failure| Err(StoreError::new(failure)))
}
