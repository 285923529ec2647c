//! [`Recorder`]: connects the requests, which it counts, with the task that writes the counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout_at};

use super::UsageRecorderBuilder;
use super::threads::Threads;
use super::used_key::Moment;
use super::used_keys::{Noted, UsedKeys};
use super::writer::Writer;
use crate::clock::Clock;
use crate::contain;
use crate::store::{KeyRecord, StoreError, UsageKind, UsageRetention, UsageStore};
use crate::trace;

/// How many rows one call deletes, and the pause until the next call, for other users of the database.
const PRUNED: (u32, Duration) = (1000, Duration::from_millis(250));

/// The time from the first request to the first deletion of old rows, and the interval after it.
const PRUNES: (Duration, Duration) = (Duration::from_secs(300), Duration::from_secs(3600));

pub(super) struct Recorder {
    clock: Box<dyn Clock>,
    threads: Threads,
    keys: UsedKeys,
    /// Locked while it writes. A request never waits for it.
    writer: Mutex<Writer>,
    prune: Option<Prune>,
    /// Wakes the task: there is a new key, the recorder was closed, or a write failed.
    wake: Notify,
    closed: AtomicBool,
    told_of_too_many: AtomicBool,
    /// The number of unwritten rows at the last look: the writer is locked while it writes.
    unwritten: AtomicUsize,
}

/// Deletes old rows.
struct Prune {
    store: Arc<dyn UsageStore>,
    retention: UsageRetention,
    timeout: Duration,
    next: Mutex<Option<Instant>>,
}

/// What the recorder needs after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Nothing,
    /// The caller has to start the task.
    ATask,
}

impl Recorder {
    pub(super) fn new(settings: UsageRecorderBuilder) -> Self {
        let UsageRecorderBuilder {
            store,
            clock,
            interval,
            write_timeout,
            max_keys,
            retention,
            prunes,
            ..
        } = settings;
        let prune = Prune {
            store: Arc::clone(&store),
            retention,
            timeout: write_timeout,
            next: Mutex::default(),
        };
        Self {
            clock,
            threads: Threads::default(),
            keys: UsedKeys::at_most(max_keys),
            writer: Mutex::new(Writer::new(store, interval, write_timeout, retention)),
            prune: prunes.then_some(prune),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            told_of_too_many: AtomicBool::new(false),
            unwritten: AtomicUsize::new(0),
        }
    }

    /// Counts an accepted request.
    #[inline]
    pub(super) fn accept(&self, key: &KeyRecord) -> Wants {
        if self.is_closed() {
            return Wants::Nothing;
        }
        let now = Moment::at(self.clock.now());
        if self.threads.accept(&key.id, &key.digest, now) {
            return Wants::Nothing;
        }
        self.accept_by_key(key, now)
    }

    /// Counts an accepted request of a key without a cell in this thread.
    #[inline(never)]
    fn accept_by_key(&self, key: &KeyRecord, now: Moment) -> Wants {
        let noted = self.keys.note(&key.id, key.tenant.as_ref(), |key| key.accept(now));
        if let Noted::Again(used) = &noted {
            self.threads.missed(&key.digest, used);
        }
        self.noted(&noted)
    }

    /// Counts a refused request.
    #[inline(never)]
    pub(super) fn refuse(&self, key: &KeyRecord, kind: UsageKind) -> Wants {
        if self.is_closed() {
            return Wants::Nothing;
        }
        let now = Moment::at(self.clock.now());
        self.noted(&self.keys.note(&key.id, key.tenant.as_ref(), |key| key.refuse(kind, now)))
    }

    fn noted(&self, noted: &Noted) -> Wants {
        match noted {
            Noted::Again(_) => Wants::Nothing,
            Noted::First => {
                self.wake.notify_one();
                Wants::ATask
            }
            Noted::TooMany => {
                if !self.told_of_too_many.swap(true, Ordering::Relaxed) {
                    trace::uses_not_noted();
                }
                Wants::Nothing
            }
        }
    }

    /// Writes and prunes when it is due, until the recorder is closed.
    pub(super) async fn run(self: Arc<Self>) {
        while !self.is_closed() {
            let next = match join(self.write_due(), self.prune_due()).await {
                (Some(write), Some(prune)) => Some(write.min(prune)),
                (write, prune) => write.or(prune),
            };
            match next {
                // The result does not matter: after each wait there may be something to do.
                Some(next) => {
                    let _ = timeout_at(next, self.wake.notified()).await;
                }
                None => self.wake.notified().await,
            }
        }
        if let Err(error) = self.write_all().await {
            trace::uses_not_written(&error);
        }
    }

    /// Writes first uses, and the due rows of other keys. Returns when to call it again.
    async fn write_due(&self) -> Option<Instant> {
        let mut writer = self.writer.lock().await;
        if let Some(retry_at) = writer.retry_at()
            && Instant::now() < retry_at
        {
            return Some(retry_at);
        }
        writer.take_due(&self.keys);
        self.look_at(&writer);
        if let Err(error) = writer.write().await {
            trace::uses_not_written(&error);
        }
        self.look_at(&writer);
        writer.next_write()
    }

    /// Deletes some old rows, if that is due. Returns when to call it again.
    async fn prune_due(&self) -> Option<Instant> {
        let Prune { store, retention, timeout, next } = self.prune.as_ref()?;
        let mut next = next.lock().await;
        let now = Instant::now();
        match *next {
            None => *next = Some(now + PRUNES.0),
            Some(due) if now < due => {}
            Some(_) => {
                let (rows, pause) = PRUNED;
                let pruning = async { store.prune_usage(*retention, self.clock.now(), rows).await };
                let pruned = contain::wait_within(*timeout, pruning).await;
                let pruned = pruned.unwrap_or_else(|failure| Err(StoreError::new(failure)));
                let pause = match pruned {
                    Ok(deleted) if deleted >= rows.into() => pause,
                    Ok(_) => PRUNES.1,
                    Err(error) => {
                        trace::usage_not_pruned(&error);
                        PRUNES.1
                    }
                };
                *next = Some(Instant::now() + pause);
            }
        }
        *next
    }

    pub(super) async fn write_all(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        writer.take_all(&self.keys);
        self.look_at(&writer);
        let written = writer.write().await;
        self.look_at(&writer);
        if written.is_err() {
            // The task has to retry earlier than planned.
            self.wake.notify_one();
        }
        written
    }

    fn look_at(&self, writer: &Writer) {
        self.unwritten.store(writer.unwritten(), Ordering::Relaxed);
    }

    /// Returns how many rows are overdue.
    #[cfg(feature = "metrics")]
    pub(super) fn backlog(&self) -> usize {
        self.keys.new_keys() + self.unwritten.load(Ordering::Relaxed)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    #[cfg(test)]
    pub(super) fn keys(&self) -> &UsedKeys {
        &self.keys
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
