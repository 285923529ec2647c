//! Observers: metrics, logs and usage of requests, when they are admitted, when they end, and when
//! their streams end with the key.

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

/// Observes the requests of a layer at three moments: when a request with a key is admitted, when a
/// request has ended, and when one of its streams ends with the key.
///
/// The request or the stream waits for every method, so they must be quick and must not block. If an
/// observer panics, the layer logs it and the request continues. Closures and functions implement
/// `admitted`.
///
/// # Examples
///
/// Counting the uses of keys, and an access log:
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use http::Request;
/// use tower_api_key::observe::{Detail, EndedStream, Finished, Observe, Outcome};
/// use tower_api_key::{KeyManager, MemoryStore, NewKey, RequestHead, VerifiedKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// #[derive(Clone, Default)]
/// struct AccessLog(Arc<Mutex<Vec<String>>>);
///
/// impl Observe for AccessLog {
///     fn admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
///         self.0.lock().unwrap().push(format!("{} uses {}", key.name(), head.method()));
///     }
///
///     fn finished(&self, request: &Finished<'_>) {
///         let path = request.path().unwrap_or("-");
///         self.0.lock().unwrap().push(match request.outcome() {
///             Outcome::Answered(status) => format!("{path} {status}"),
///             Outcome::Refused(rejection) => format!("{path} {}", rejection.kind()),
///             other => format!("{path} {other:?}"),
///         });
///     }
///
///     fn stream_ended(&self, stream: &EndedStream<'_>) {
///         self.0.lock().unwrap().push(format!("a stream ended: {}", stream.reason()));
///     }
///
///     fn detail(&self) -> Detail {
///         Detail::Request // the default
///     }
/// }
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = keys.issue(NewKey::named("a device")).await?.secret;
/// let log = AccessLog::default();
/// let layer = keys.layer().observer(log.clone());
///
/// let request = Request::get("/bots").header("x-api-key", key.reveal()).body(())?;
/// let admitted = layer.verify(&mut request.into_parts().0).await?;
/// admitted.finish(http::Response::new("…")).await;
/// let request = Request::get("/bots").body(())?;
/// let _ = layer.verify(&mut request.into_parts().0).await.unwrap_err();
/// assert_eq!(*log.0.lock().unwrap(), ["a device uses GET", "/bots 200 OK", "/bots missing"]);
/// # Ok(())
/// # }
/// ```
pub trait Observe: Send + Sync {
    /// Observes a request that was admitted with a key, just before the inner service is called.
    ///
    /// The key was verified, and all [guards](crate::ApiKeyLayer::guard) of the layer and the limits of
    /// the key accepted the request. A guard on a route may still refuse it. The head no longer has the
    /// credential, unless the layer [keeps](crate::ApiKeyLayer::keep_credential) it.
    fn admitted(&self, key: &VerifiedKey, head: &RequestHead<'_>) {
        let _ = (key, head);
    }

    /// Observes a request that has ended. The layer calls this exactly once for each request, when
    ///
    /// * the inner service has returned the head of its response, or an error;
    /// * the layer has refused the request;
    /// * the future of the response was dropped.
    ///
    /// A request that a guard on a route refused was [admitted](Self::admitted) before, and ends once,
    /// as refused. The method is not called if no observer requests any [detail](Self::detail).
    fn finished(&self, request: &Finished<'_>) {
        let _ = request;
    }

    /// Observes a stream that ended with its key: the body of a response that was still being sent, or
    /// a handler that waited for the [end of a key](VerifiedKey::ended). Streams that end by themselves
    /// are not observed.
    fn stream_ended(&self, stream: &EndedStream<'_>) {
        let _ = stream;
    }

    /// Returns what the observer is called for. The layer calls this once, when the observer is added. The default
    /// is everything.
    ///
    /// An observer that returns less makes requests cheaper.
    fn interest(&self) -> Interest {
        Interest::Everything
    }

    /// Returns how much detail [`finished`](Self::finished) receives. The default is all.
    ///
    /// The layer calls this at the start of each request, and records the highest level of all observers.
    /// An observer that samples times returns [`Detail::Times`] for some of the requests.
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
    /// Requests that have ended, with their outcome, and streams that ended with their key.
    /// [`admitted`](Observe::admitted) and [`detail`](Observe::detail) are not called.
    /// [`finished`](Observe::finished) receives [`Detail::Outcome`], or more if another observer of the layer
    /// requests more.
    Outcomes,
}

/// The detail that an [observer](Observe::detail) requests for finished requests. Each level includes the levels
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// Nothing: [`finished`](Observe::finished) need not be called.
    Nothing,
    /// The outcome, the key and the result of the look-up. It costs no allocation and no reading of the clock.
    Outcome,
    /// Also the times of the request.
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
