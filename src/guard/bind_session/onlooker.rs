//! [`Onlooker`]: calls a function when a key ends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::key::KeyId;
use crate::verify::VerifiedKey;
use crate::watch::{EndReason, KeyEnded, Stream};

/// Waits for the end of a key without a task: the event of the end wakes it, and it calls a function at
/// once.
pub(super) struct Onlooker {
    key: KeyId,
    ended: Box<Ended>,
    /// None once the key has ended, or if the layer does not watch.
    stream: Mutex<Option<Stream>>,
    is_woken: AtomicBool,
    waker: Waker,
}

/// Called when the key has ended, with whether the key has ended permanently.
type Ended = dyn Fn(&Arc<Onlooker>, bool) + Send + Sync;

/// Weak: the sessions own it.
struct Alarm(Weak<Onlooker>);

impl Onlooker {
    pub(super) fn of<F>(key: &VerifiedKey, ended: F) -> Arc<Self>
    where
        F: Fn(&Arc<Self>, bool) + Send + Sync + 'static,
    {
        Arc::new_cyclic(|onlooker| Self {
            key: key.record().id.clone(),
            ended: Box::new(ended),
            stream: Mutex::new(key.clone().admission().map(Stream::look_on)),
            is_woken: AtomicBool::new(false),
            waker: Arc::new(Alarm(onlooker.clone())).into(),
        })
    }

    /// Tells whether it waits for the end of this key.
    pub(super) fn is_for(&self, key: &VerifiedKey) -> bool {
        self.key == key.record().id
    }

    /// Checks whether the key has ended, and waits if it has not.
    pub(super) fn look(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        while self.is_woken.load(Ordering::SeqCst) {
            let mut stream = match self.stream.try_lock() {
                Ok(stream) => stream,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                // Another thread is checking, and will check again.
                Err(TryLockError::WouldBlock) => return,
            };
            let mut over = None;
            while over.is_none() && self.is_woken.swap(false, Ordering::SeqCst) {
                over = stream.as_mut().and_then(|stream| self.poll(stream));
            }
            let Some(is_forever) = over else { continue };
            let ended = stream.take();
            drop(stream);
            // Called without a lock, because this may drop the layer.
            drop(ended);
            (self.ended)(self, is_forever);
        }
    }

    /// Returns whether the key has ended permanently, without a successor, if it has ended.
    fn poll(&self, stream: &mut Stream) -> Option<bool> {
        match stream.poll_ended(&mut Context::from_waker(&self.waker)) {
            Poll::Pending => None,
            Poll::Ready(ended) => Some(is_forever(&ended) && !stream.has_successor()),
        }
    }
}

/// Tells whether requests with the key will be refused from now on, as far as is known.
fn is_forever(ended: &KeyEnded) -> bool {
    match ended.reason() {
        EndReason::Revoked | EndReason::Expired | EndReason::Removed => true,
        EndReason::Disabled
        | EndReason::Suspended
        | EndReason::Reduced
        | EndReason::Unavailable => false,
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(onlooker) = self.0.upgrade() {
            onlooker.look();
        }
    }
}
