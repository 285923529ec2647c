//! [`Finished`]: a request that has ended, and its outcome.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};

use super::Lookup;
use super::seen::Seen;
use crate::key::KeyId;
use crate::reject::Rejection;
use crate::store::KeyRecord;
use crate::verify::VerifiedKey;

/// How a request ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Outcome<'a> {
    /// The inner service answered with this status.
    Answered(StatusCode),
    /// The layer or a guard within it refused the request.
    Refused(&'a Rejection),
    /// The inner service failed.
    Failed,
    /// The future of the response was dropped: the client went away, or a timeout elapsed.
    Dropped,
}

/// A request that has ended, for [observers](super::Observe).
///
/// It always has the outcome, the result of the look-up and, if known, the key. The rest depends on the
/// [detail](super::Observe::detail) that the observers of the layer request.
///
/// # Examples
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use http::Request;
/// use tower_api_key::observe::{Finished, Lookup, Observe};
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// struct AccessLog(Arc<Mutex<Vec<String>>>);
///
/// impl Observe for AccessLog {
///     fn finished(&self, request: &Finished<'_>) {
///         assert_eq!(request.lookup(), Some(Lookup::Hit)); // the store is in memory
///         assert!(request.duration() >= request.decision_time());
///         assert!(request.lookup_time().is_none() && request.limiter_time().is_none());
///         assert!(request.address().is_none() && request.matched_path().is_none());
///         assert!(format!("{:?}", request.method()).contains("GET"));
///         let path = request.path().unwrap_or("-");
///         let name = request.record().map_or("-", |record| record.name());
///         let line = match request.rejection() {
///             Some(rejection) => format!("{name}: {path} {}", rejection.kind()),
///             None => format!("{name}: {path} {:?}", request.outcome()),
///         };
///         assert_eq!(request.is_accepted(), request.key().is_some());
///         assert!(request.key_id().is_some());
///         self.0.lock().unwrap().push(line);
///     }
/// }
/// let keys = KeyManager::new(MemoryStore::new());
/// let issued = keys.issue(NewKey::named("a device").endpoints(["GET /bots"])).await?;
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let layer = keys.layer().observer(AccessLog(Arc::clone(&lines)));
///
/// let request = |path: &str| {
///     Request::get(path).header("x-api-key", issued.secret.reveal()).body(()).unwrap()
/// };
/// let admitted = layer.verify(&mut request("/bots").into_parts().0).await?;
/// admitted.finish(http::Response::new("…")).await;
/// let _ = layer.verify(&mut request("/users").into_parts().0).await.unwrap_err();
/// assert_eq!(
///     *lines.lock().unwrap(),
///     ["a device: /bots Answered(200)", "a device: /users not_allowed"],
/// );
/// # Ok(())
/// # }
/// ```
pub struct Finished<'a> {
    outcome: Outcome<'a>,
    seen: Seen<'a>,
    duration: Option<Duration>,
}

impl<'a> Finished<'a> {
    pub(super) fn new(outcome: Outcome<'a>, seen: Seen<'a>) -> Self {
        let duration = seen.times().map(|times| times.started.elapsed());
        Self { outcome, seen, duration }
    }

    /// Returns how the request ended.
    #[must_use]
    pub fn outcome(&self) -> Outcome<'a> {
        self.outcome
    }

    /// Tells whether the request was accepted: the layer admitted it, and neither an inner guard nor
    /// the end of its key refused it afterwards. The response of the service does not matter.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        self.seen.is_admitted && self.rejection().is_none()
    }

    /// Returns why the request was refused, if it was.
    #[must_use]
    pub fn rejection(&self) -> Option<&'a Rejection> {
        match self.outcome {
            Outcome::Refused(rejection) => Some(rejection),
            _ => None,
        }
    }

    /// Returns the key of a request that was admitted with one.
    #[must_use]
    pub fn key(&self) -> Option<&'a VerifiedKey> {
        self.seen.key
    }

    /// Returns the record of the key, also for a refused request: with an expired key, without an
    /// ability, above a limit or from a wrong address.
    #[must_use]
    pub fn record(&self) -> Option<&'a Arc<KeyRecord>> {
        let refused = self.rejection().and_then(Rejection::record);
        refused.or_else(|| self.key().map(VerifiedKey::record))
    }

    /// Returns the public id of the key, also for a refused request.
    #[must_use]
    pub fn key_id(&self) -> Option<&'a KeyId> {
        self.record().map(|record| record.id())
    }

    /// Returns how the look-up of the key ended, if there was one. A request that was dropped while it
    /// waited for the store has none.
    #[must_use]
    pub fn lookup(&self) -> Option<Lookup> {
        self.seen.lookup
    }

    /// Returns the method of the request. It requires [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn method(&self) -> Option<&'a Method> {
        Some(&self.seen.place()?.method)
    }

    /// Returns the path of the request as the client sent it, or `*` if it is [not
    /// known](crate::RequestHead::original_uri). `None` if the layer [may read a
    /// key](crate::Extract::reads_path) from the path.
    ///
    /// The layer does not keep the query, because a key may be in it. The path requires
    /// [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn path(&self) -> Option<&'a str> {
        self.seen.place()?.path.as_deref()
    }

    /// Returns the pattern of the route, such as `/bots/{id}`, if an outer axum router matched one. It
    /// requires the feature `matched-path`, and [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn matched_path(&self) -> Option<&'a str> {
        self.seen.place()?.matched_path()
    }

    /// Returns the address of the client, if it is known. It requires
    /// [`Detail::Request`](super::Detail::Request).
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.seen.place()?.address
    }

    /// Returns how long the request waited for the store, if it did. It requires
    /// [`Detail::Times`](super::Detail::Times), like the other times.
    #[must_use]
    pub fn lookup_time(&self) -> Option<Duration> {
        self.seen.times()?.lookup
    }

    /// Returns how long the request waited for the limiter, if it did.
    #[must_use]
    pub fn limiter_time(&self) -> Option<Duration> {
        self.seen.times()?.limiter
    }

    /// Returns how long the layer took to admit or refuse the request, including waits.
    #[must_use]
    pub fn decision_time(&self) -> Option<Duration> {
        self.seen.times()?.decision
    }

    /// Returns how long the request took from its arrival at the layer to its end.
    #[must_use]
    pub fn duration(&self) -> Option<Duration> {
        self.duration
    }
}

impl fmt::Debug for Finished<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Finished")
            .field("outcome", &self.outcome)
            .field("key", &self.key_id())
            .field("method", &self.method())
            .field("path", &self.path())
            .field("matched_path", &self.matched_path())
            .field("address", &self.address())
            .field("lookup", &self.lookup())
            .field("lookup_time", &self.lookup_time())
            .field("limiter_time", &self.limiter_time())
            .field("decision_time", &self.decision_time())
            .field("duration", &self.duration)
            .finish()
    }
}
