//! Observing requests: when they are let through, when they have ended, and when what they opened ends
//! with its key.

mod ended_stream;
mod finished;
mod lookup;
mod observation;
mod observers;
mod seen;

use std::sync::Arc;

pub use self::ended_stream::EndedStream;
pub use self::finished::{Finished, Outcome};
pub use self::lookup::Lookup;
pub(crate) use self::observation::{Arrival, Observation};
pub(crate) use self::observers::Observers;
pub(crate) use self::seen::Step;
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
///         let method = request.method().map_or("-", |method| method.as_str());
///         let path = request.path().unwrap_or("-");
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
    ///
    /// A request that a guard on a route refused was [admitted](Self::admitted) before, and ends once: as
    /// refused. Where no observer wants any [detail](Self::detail), it is not called.
    fn finished(&self, request: &Finished<'_>) {
        let _ = request;
    }

    /// Observes a stream that ended with its key: the body of a response that was still being sent, or a
    /// handler that waited for the [end of a key](VerifiedKey::ended). Streams that end by themselves are
    /// not observed.
    fn stream_ended(&self, stream: &EndedStream<'_>) {
        let _ = stream;
    }

    /// Returns what the observer is called for. The layer asks once, when the observer is added. The default is
    /// everything.
    ///
    /// An observer that returns less makes requests cheaper.
    fn interest(&self) -> Interest {
        Interest::Everything
    }

    /// Returns how much [`finished`](Self::finished) has to say of a request. The default is all.
    ///
    /// The layer asks at the beginning of each request, and keeps as much of it as the most curious observer
    /// wants. An observer that takes a sample of times asks for [`Detail::Times`] now and then.
    fn detail(&self) -> Detail {
        Detail::Request
    }
}

/// What an [observer](Observe::interest) is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interest {
    /// Everything.
    Everything,
    /// Requests that have ended and what became of them, and streams that ended with their key:
    /// [`admitted`](Observe::admitted) and [`detail`](Observe::detail) are not called, and
    /// [`finished`](Observe::finished) says as much as for [`Detail::Outcome`], or more if another observer of
    /// the layer wants that.
    Outcomes,
}

/// How much an [observer](Observe::detail) wants to know of a request that has ended. Each level includes
/// those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing: [`finished`](Observe::finished) need not be called.
    Nothing,
    /// The outcome, the key and how the look-up ended. Nothing is allocated for it, and no clock is read.
    Outcome,
    /// Also what the request took.
    Times,
    /// Also its method, its path, its route and the address of the client.
    Request,
}

impl<F: Fn(&VerifiedKey, &RequestHead<'_>) + Send + Sync> Observe for F {
    fn admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        self(key, head);
    }

    fn detail(&self) -> Detail {
        Detail::Nothing
    }
}

const _: Option<Arc<dyn Observe>> = None;
