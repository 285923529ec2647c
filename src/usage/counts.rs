//! [`Counts`]: the usage to add to a store, each batch once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::used_key::UsedKey;
use crate::contain;
use crate::store::{KeyUsage, StoreError, UsageBatch, UsageRetention, UsageStore};

/// How many rows are written at once.
pub(super) const BATCH: usize = 1000;

/// The most batches that may or may not have been added. Beyond that, no new ones are built, and the counts stay
/// with their keys.
const BATCHES: usize = 8;

/// The rows to add to the store.
pub(super) struct Counts {
    retention: UsageRetention,
    /// The keys with an hour to add.
    keys: VecDeque<Arc<UsedKey>>,
    /// The rows to add that were taken from their keys already.
    rows: VecDeque<KeyUsage>,
    /// The batches that were built. They do not change, because the store may have added them already.
    batches: VecDeque<UsageBatch>,
    /// The writers without a pending batch, and the numbers of their next batch. Each pending batch has its own
    /// writer, so that batches may be added in any order.
    idle: Vec<(Arc<str>, u64)>,
    writers: u32,
    name: String,
    /// The keys whose rows are in batches, and which may wait again.
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

    /// Schedules an hour of a key.
    pub(super) fn push(&mut self, key: Arc<UsedKey>) {
        self.keys.push_back(key);
    }

    /// Schedules all hours of a key. The key may be written in other ways meanwhile.
    pub(super) fn push_all_of(&mut self, key: &UsedKey) {
        self.rows.extend(key.take_hours());
    }

    /// Takes the keys with an hour to add.
    pub(super) fn take_keys(&mut self) -> Vec<Arc<UsedKey>> {
        std::mem::take(&mut self.keys).into()
    }

    /// Returns the number of rows to add.
    pub(super) fn len(&self) -> usize {
        let batches = self.batches.iter().map(|batch| batch.rows().len());
        self.keys.len() + self.rows.len() + batches.sum::<usize>()
    }

    /// Takes the keys whose turn is over.
    pub(super) fn take_done(&mut self) -> Vec<Arc<UsedKey>> {
        std::mem::take(&mut self.done)
    }

    /// Adds the rows to the store. The future may be dropped: the rest stays.
    pub(super) async fn write(
        &mut self,
        store: &dyn UsageStore,
        timeout: Duration,
    ) -> Result<(), StoreError> {
        loop {
            // New batches first, so that a batch that the store refuses does not block the others.
            if self.batches.len() < BATCHES {
                self.make_batch()?;
            }
            let Some(batch) = self.batches.front() else { return Ok(()) };
            // Inside the future, because the store may panic before it returns one.
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

    /// Returns a writer without a pending batch.
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
