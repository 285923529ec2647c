//! [`Writer`]: which uses are to be written, and when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::used_keys::{UsedKey, UsedKeys};
use crate::contain;
use crate::store::{KeyUse, RecordUses, StoreError};

/// How many uses are written at once.
const BATCH: usize = 1000;

/// In how many parts an interval is written, lest each key has a batch of its own.
const BATCHES_PER_INTERVAL: u32 = 10;

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);

/// Knows each key that was used, either as unwritten or as written.
pub(super) struct Writer {
    repository: Arc<dyn RecordUses>,
    interval: Duration,
    timeout: Duration,
    /// Keys with a use that is to be written now.
    unwritten: VecDeque<Arc<UsedKey>>,
    /// Keys that are not to be written before their interval is over, by its end.
    written: VecDeque<Written>,
    retry: Option<Retry>,
}

struct Written {
    key: Arc<UsedKey>,
    last: u64,
    due: Instant,
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    after: Duration,
}

impl Writer {
    pub(super) fn new(
        repository: Arc<dyn RecordUses>,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        let (unwritten, written) = (VecDeque::new(), VecDeque::new());
        Self { repository, interval, timeout, unwritten, written, retry: None }
    }

    /// Returns how many keys have a use that is to be written now.
    pub(super) fn unwritten(&self) -> usize {
        self.unwritten.len()
    }

    /// Returns when to try again, if the last attempt failed.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry.map(|retry| retry.at)
    }

    /// Returns when there will be something to write, unless a new key comes before.
    pub(super) fn next_write(&self) -> Option<Instant> {
        let due = || self.written.front().map(|first| first.due);
        self.retry_at().or_else(|| Some(due()? + self.interval / BATCHES_PER_INTERVAL))
    }

    /// Takes up new keys and those that were used again and whose interval is over, and forgets
    /// those that were not used again.
    pub(super) fn take_due(&mut self, keys: &UsedKeys) {
        self.unwritten.extend(keys.take_new());
        let now = Instant::now();
        while self.written.front().is_some_and(|first| first.due <= now)
            && let Some(first) = self.written.pop_front()
        {
            if !keys.forget(&first.key, first.last) {
                self.unwritten.push_back(first.key);
            }
        }
    }

    /// Takes up all keys with a use that is not written.
    pub(super) fn take_all(&mut self, keys: &UsedKeys) {
        self.unwritten.extend(keys.take_new());
        let unwritten = &mut self.unwritten;
        self.written.retain(|Written { key, last, .. }| {
            let is_written = key.last_use() == *last;
            if !is_written {
                unwritten.push_back(Arc::clone(key));
            }
            is_written
        });
    }

    /// Writes what was taken up. It may be dropped: what was not written stays.
    pub(super) async fn write(&mut self) -> Result<(), StoreError> {
        while !self.unwritten.is_empty() {
            let batch = self.unwritten.iter().take(BATCH);
            let lasts: Vec<_> = batch.map(|key| key.last_use()).collect();
            let batch = self.unwritten.iter().zip(&lasts);
            let uses: Vec<_> = batch.map(|(key, last)| key.used_at(*last)).collect();
            if let Err(error) = record(&*self.repository, &uses, self.timeout).await {
                self.put_off(uses.len());
                return Err(error);
            }
            let due = Instant::now() + self.interval;
            let keys = self.unwritten.drain(..uses.len()).zip(lasts);
            self.written.extend(keys.map(|(key, last)| Written { key, last, due }));
        }
        self.retry = None;
        Ok(())
    }

    fn put_off(&mut self, failed: usize) {
        // To the end, so that a batch at which the repository fails is in the way of no other.
        self.unwritten.rotate_left(failed);
        let after = self.retry.map_or(FIRST_RETRY, |retry| (retry.after * 2).min(LAST_RETRY));
        self.retry = Some(Retry { at: Instant::now() + after, after });
    }
}

async fn record(
    repository: &dyn RecordUses,
    uses: &[KeyUse],
    timeout: Duration,
) -> Result<(), StoreError> {
    // Also if it panics before there is a future.
    let recording = async { repository.record_uses(uses).await };
    let recorded = contain::wait_within(timeout, recording).await;
    recorded.unwrap_or_else(|failure| Err(StoreError::new(failure)))
}
