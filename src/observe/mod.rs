//! Observing requests: when they are let through, when they have ended, and when what they opened ends
//! with its key.

mod ended_stream;
mod finished;
mod observation;
mod observed;

use std::sync::Arc;

pub use self::ended_stream::EndedStream;
pub use self::finished::{Finished, Outcome};
pub(crate) use self::observation::{Observation, Step};
use crate::clock::Clock;
use crate::contain;
use crate::head::RequestHead;
use crate::verify::VerifiedKey;

/// Observes the requests of a layer at three moments: when a request with a key is let through, when a
/// request has ended, and when a stream that it opened ends with the key.
///
/// The request or the stream waits for all methods, so they must be quick and must not block. The layer logs a panic
/// of an observer, and the request goes on. Closures and functions implement `admitted`.
///
/// # Examples
///
/// Each use of a key:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RequestHead, VerifiedKey};
///
/// let served = Arc::new(AtomicU64::new(0));
/// let counter = Arc::clone(&served);
/// let layer = ApiKeyLayer::new(MemoryStore::new())
///     .observer(move |_: &VerifiedKey, _: &RequestHead<'_>| {
///         counter.fetch_add(1, Ordering::Relaxed);
///     });
/// ```
///
/// An access log:
///
/// ```
/// use tower_api_key::observe::{Finished, Observe, Outcome};
/// use tower_api_key::{ApiKeyLayer, MemoryStore};
///
/// struct AccessLog;
///
/// impl Observe for AccessLog {
///     fn finished(&self, request: &Finished<'_>) {
///         let (method, path) = (request.method(), request.path().unwrap_or("-"));
///         match request.outcome() {
///             Outcome::Answered(status) => println!("{method} {path} {status}"),
///             Outcome::Refused(rejection) => println!("{method} {path} {}", rejection.kind()),
///             other => println!("{method} {path} {other:?}"),
///         }
///     }
/// }
/// let layer = ApiKeyLayer::new(MemoryStore::new()).observer(AccessLog);
/// ```
pub trait Observe: Send + Sync {
    /// Observes a request that was let through with a key, just before the inner service is called.
    ///
    /// The key was verified, and all [guards](crate::ApiKeyLayer::guard) of the layer and the limits of the
    /// key let the request pass. A guard on a route may still refuse it. The credential is no longer in
    /// the head, unless the layer [keeps](crate::ApiKeyLayer::keep_credential) it.
    fn admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        let _ = (key, head);
    }

    /// Observes a request that has ended. The layer calls this exactly once for each request, when
    ///
    /// * the inner service has returned the head of its response, or an error;
    /// * the layer has refused the request;
    /// * the future of the response was dropped.
    fn finished(&self, request: &Finished<'_>) {
        let _ = request;
    }

    /// Observes a stream that ended with its key: the body of a response that was still being sent, or a
    /// handler that waited for the [end of a key](VerifiedKey::ended). Streams that end by themselves are
    /// not observed.
    fn stream_ended(&self, stream: &EndedStream<'_>) {
        let _ = stream;
    }

    /// Tells whether the layer calls [`finished`](Self::finished). If no observer wants it, the layer keeps
    /// nothing of a request.
    fn observes_finished(&self) -> bool {
        true
    }
}

impl<F: Fn(&VerifiedKey, &RequestHead<'_>) + Send + Sync> Observe for F {
    fn admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        self(key, head);
    }

    fn observes_finished(&self) -> bool {
        false
    }
}

/// What is called for a key that should be replaced.
pub(crate) type OnRotationDue = dyn Fn(&VerifiedKey) + Send + Sync;

/// The observers of a layer.
#[derive(Clone, Default)]
pub(crate) struct Observers {
    all: Vec<Arc<dyn Observe>>,
    /// Those that observe the end.
    of_end: Option<Arc<[Arc<dyn Observe>]>>,
    on_rotation_due: Vec<Arc<OnRotationDue>>,
}

impl Observers {
    pub(crate) fn add(&mut self, observer: Arc<dyn Observe>) {
        self.all.push(observer);
        let of_end: Arc<_> =
            self.all.iter().filter(|observer| observer.observes_finished()).cloned().collect();
        self.of_end = Some(of_end).filter(|observers| !observers.is_empty());
    }

    pub(crate) fn add_on_rotation_due(&mut self, observer: Arc<OnRotationDue>) {
        self.on_rotation_due.push(observer);
    }

    /// Returns those that observe the end of requests, if there are any.
    pub(crate) fn of_end(&self) -> Option<&Arc<[Arc<dyn Observe>]>> {
        self.of_end.as_ref()
    }

    pub(crate) fn stream_ended(&self, stream: &EndedStream<'_>) {
        for observer in &self.all {
            contain::notify("an observer", || observer.stream_ended(stream));
        }
    }

    pub(crate) fn admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>, clock: &dyn Clock) {
        for observer in &self.all {
            contain::notify("an observer", || observer.admitted(key, head));
        }
        if !self.on_rotation_due.is_empty()
            && key.rotation_due_at().is_some()
            && key.is_rotation_due(clock.now())
        {
            for observer in &self.on_rotation_due {
                contain::notify("an observer of rotations", || observer(key));
            }
        }
    }
}

const _: Option<Arc<dyn Observe>> = None;
