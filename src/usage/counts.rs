//! [`Counts`]: usage that is to be added to a store, each batch once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::used_key::UsedKey;
use crate::contain;
use crate::store::{KeyUsage, StoreError, UsageBatch, UsageRetention, UsageStore};

/// How many rows are written at once.
pub(super) const BATCH: usize = 1000;

/// How many batches there are at most of which it is not known whether they were added. Beyond that, no others
/// are made: keys go on counting by themselves.
const BATCHES: usize = 8;

/// What is to be added.
pub(super) struct Counts {
    retention: UsageRetention,
    /// Keys an hour of which is to be added.
    keys: VecDeque<Arc<UsedKey>>,
    /// What is to be added without regard to its key.
    rows: VecDeque<KeyUsage>,
    /// Batches that were made. What they are is not changed: they may have been added already.
    batches: VecDeque<UsageBatch>,
    /// Writers none of whose batches is on the way, and the numbers of their next. Each batch on the way has a
    /// writer of its own, so that it does not matter which is added first.
    idle: Vec<(Arc<str>, u64)>,
    writers: u32,
    name: String,
    /// Keys of the last batch, and keys that may wait again.
    done: Vec<Arc<UsedKey>>,
}

impl Counts {
    pub(super) fn new(retention: UsageRetention) -> Self {
        Self {
            retention,
            keys: VecDeque::new(),
            rows: VecDeque::new(),
            batches: VecDeque::new(),
            idle: Vec::new(),
            writers: 0,
            name: String::new(),
            done: Vec::new(),
        }
    }

    /// Has an hour of a key added.
    pub(super) fn push(&mut self, key: Arc<UsedKey>) {
        self.keys.push_back(key);
    }

    /// Has all hours of a key added, which may be written otherwise meanwhile.
    pub(super) fn push_all_of(&mut self, key: &UsedKey) {
        self.rows.extend(key.take_hours());
    }

    /// Returns the keys an hour of which was to be added.
    pub(super) fn take_keys(&mut self) -> Vec<Arc<UsedKey>> {
        std::mem::take(&mut self.keys).into()
    }

    /// Returns how many rows are to be added.
    pub(super) fn len(&self) -> usize {
        let batches = self.batches.iter().map(|batch| batch.rows().len());
        self.keys.len() + self.rows.len() + batches.sum::<usize>()
    }

    /// Returns the keys whose turn it was.
    pub(super) fn take_done(&mut self) -> Vec<Arc<UsedKey>> {
        std::mem::take(&mut self.done)
    }

    /// Adds what is to be added. It may be dropped: what was not added stays.
    pub(super) async fn write(
        &mut self,
        store: &dyn UsageStore,
        timeout: Duration,
    ) -> Result<(), StoreError> {
        loop {
            // New ones first, so that a batch at which the store fails is in the way of no other.
            if self.batches.len() < BATCHES {
                self.make_batch()?;
            }
            let Some(batch) = self.batches.front() else { return Ok(()) };
            // Also if it panics before there is a future.
            let adding = async { store.add_usage(batch).await };
            let added = contain::wait_within(timeout, adding).await;
            if let Err(error) = added.unwrap_or_else(|failure| Err(StoreError::new(failure))) {
                self.batches.rotate_left(1);
                return Err(error);
            }
            if let Some(UsageBatch { writer, number, .. }) = self.batches.pop_front() {
                self.idle.push((writer, number + 1));
            }
        }
    }

    fn make_batch(&mut self) -> Result<(), StoreError> {
        let (writer, number) = self.writer()?;
        let mut rows = Vec::new();
        while rows.len() < BATCH {
            if let Some(row) = self.rows.pop_front() {
                rows.push(row);
            } else if let Some(key) = self.keys.pop_front() {
                rows.extend(key.take_hour());
                self.done.push(key);
            } else {
                break;
            }
        }
        match rows.is_empty() {
            true => self.idle.push((writer, number)),
            false => {
                self.batches.push_front(UsageBatch::new(&writer, number, self.retention, rows));
            }
        }
        Ok(())
    }

    /// Returns a writer none of whose batches is on the way.
    fn writer(&mut self) -> Result<(Arc<str>, u64), StoreError> {
        if let Some(idle) = self.idle.pop() {
            return Ok(idle);
        }
        if self.name.is_empty() {
            let mut bytes = [0; 16];
            getrandom::fill(&mut bytes).map_err(StoreError::new)?;
            self.name = format!("{:032x}", u128::from_be_bytes(bytes));
        }
        self.writers += 1;
        Ok((format!("{}.{}", self.name, self.writers).into(), 1))
    }
}
