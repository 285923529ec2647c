//! [`Recorder`]: between the requests, which note uses, and the task that has them written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout_at};

use super::LastUsedBuilder;
use super::used_keys::{Noted, UsedKeys};
use super::writer::Writer;
use crate::clock::{Clock, microseconds};
use crate::key::KeyId;
use crate::store::StoreError;
use crate::trace;

pub(super) struct Recorder {
    clock: Box<dyn Clock>,
    keys: UsedKeys,
    /// One writes at a time. A request never waits for it.
    writer: Mutex<Writer>,
    /// There is a first use, or nobody is left to note any.
    wake: Notify,
    closed: AtomicBool,
    told_of_too_many: AtomicBool,
    /// How many uses the writer had to write when it was last looked at: while it writes, it is not there.
    unwritten: AtomicUsize,
}

impl Recorder {
    pub(super) fn new(settings: LastUsedBuilder) -> Self {
        let LastUsedBuilder { repository, clock, interval, write_timeout, max_keys } = settings;
        Self {
            clock,
            keys: UsedKeys::at_most(max_keys),
            writer: Mutex::new(Writer::new(repository, interval, write_timeout)),
            wake: Notify::new(),
            closed: AtomicBool::new(false),
            told_of_too_many: AtomicBool::new(false),
            unwritten: AtomicUsize::new(0),
        }
    }

    /// Notes a use. Somebody has to run the task if it is a first one.
    pub(super) fn note(&self, id: &KeyId) -> Noted {
        if self.is_closed() {
            return Noted::TooLate;
        }
        let noted = self.keys.note(id, microseconds(self.clock.now()));
        match noted {
            Noted::Again | Noted::TooLate => {}
            Noted::First => self.wake.notify_one(),
            Noted::TooMany => {
                if !self.told_of_too_many.swap(true, Ordering::Relaxed) {
                    trace::uses_not_noted();
                }
            }
        }
        noted
    }

    /// Writes what is to be written, in time, until it is closed.
    pub(super) async fn run(self: Arc<Self>) {
        while !self.is_closed() {
            match self.write_due().await {
                // Whatever it was that ended the waiting, there may be something to do.
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

    /// Writes first uses, and those of keys whose interval is over. Returns when to do so again.
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

    pub(super) async fn write_all(&self) -> Result<(), StoreError> {
        let mut writer = self.writer.lock().await;
        writer.take_all(&self.keys);
        self.look_at(&writer);
        let written = writer.write().await;
        self.look_at(&writer);
        if written.is_err() {
            // The task has to try again sooner than it was going to.
            self.wake.notify_one();
        }
        written
    }

    fn look_at(&self, writer: &Writer) {
        self.unwritten.store(writer.unwritten(), Ordering::Relaxed);
    }

    /// Returns how many keys have a use that is not written, and would be by now.
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

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
