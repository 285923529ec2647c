//! [`Bodies`]: reading the bodies of requests, with limits.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use http::StatusCode;
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use tokio::time::timeout;

use super::ApiError;

/// Reads bodies, with limits of size, time and number.
#[derive(Clone)]
pub(in crate::manage) struct Bodies {
    /// The longest body that is read, in bytes.
    pub(super) max_length: usize,
    /// How long a body may take.
    pub(super) timeout: Duration,
    /// How many are read at once.
    pub(super) max_in_flight: usize,
    in_flight: Arc<InFlight>,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            max_length: 64 * 1024,
            timeout: Duration::from_secs(10),
            max_in_flight: 256,
            in_flight: Arc::default(),
        }
    }
}

impl Bodies {
    /// Limits the length of a body, in bytes.
    #[cfg(feature = "leaks")]
    pub(in crate::manage) fn at_most(max_length: usize) -> Self {
        Self { max_length, ..Self::default() }
    }

    #[cfg(feature = "pages")]
    pub(in crate::manage) const fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Reads a body.
    ///
    /// If there are too many bodies, the oldest is ended: slow clients, even malicious ones, do not delay others. A
    /// body that has arrived already does not count.
    pub(in crate::manage) async fn read(&self, body: Body) -> Result<Bytes, ApiError> {
        let mut reading = pin!(Limited::new(body, self.max_length).collect());
        if let Some(read) = reading.as_mut().now_or_never() {
            return finish(read);
        }
        let (_place, ends) = self.in_flight.enter(self.max_in_flight.max(1));
        match timeout(self.timeout, Abortable::new(reading, ends)).await {
            Ok(Ok(read)) => finish(read),
            Ok(Err(_ended)) => {
                let message = "Too many requests at the same time: try again";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, message))
            }
            Err(_elapsed) => {
                let message = "The body did not arrive in time: try again";
                Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, message))
            }
        }
    }
}

fn finish(read: Result<Collected<Bytes>, Box<dyn Error + Send + Sync>>) -> Result<Bytes, ApiError> {
    match read {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(unread(&*error)),
    }
}

fn unread(error: &(dyn Error + 'static)) -> ApiError {
    // The limit of another layer is an error within another.
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    if causes.any(|error| error.is::<LengthLimitError>()) {
        return ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The body is too long: send a shorter one",
        );
    }
    ApiError::new(StatusCode::BAD_REQUEST, "The body cannot be read")
}

impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bodies")
            .field("max_length", &self.max_length)
            .field("timeout", &self.timeout)
            .field("max_in_flight", &self.max_in_flight)
            .finish_non_exhaustive()
    }
}

/// The bodies that are being read, by their number.
#[derive(Default)]
struct InFlight(Mutex<Line>);

#[derive(Default)]
struct Line {
    /// The number of the next.
    next: u64,
    ends: BTreeMap<u64, AbortHandle>,
}

/// The place of a body that is being read, until it is dropped.
struct Place<'a>(&'a InFlight, u64);

impl InFlight {
    fn enter(&self, at_most: usize) -> (Place<'_>, AbortRegistration) {
        let (end, ends) = AbortHandle::new_pair();
        let mut line = self.line();
        let number = line.next;
        line.next += 1;
        line.ends.insert(number, end);
        while line.ends.len() > at_most
            && let Some((_, oldest)) = line.ends.pop_first()
        {
            oldest.abort();
        }
        (Place(self, number), ends)
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.line().ends.remove(&self.1);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream::{self, StreamExt as _};

    use super::*;

    /// A body that comes in part, and then not at all.
    fn slow() -> Body {
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        Body::from_stream(first.chain(stream::pending()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_given_up() {
        let bodies = Bodies { timeout: Duration::from_secs(3), ..Bodies::default() };
        let started = tokio::time::Instant::now();
        let error = bodies.read(slow()).await.unwrap_err();
        assert_eq!(error.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(started.elapsed().as_secs(), 3);
        assert!(bodies.in_flight.line().ends.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_the_oldest_is_given_up() {
        let bodies = Bodies { max_in_flight: 2, ..Bodies::default() };
        let mut reading: Vec<_> = (0..3).map(|_| Box::pin(bodies.read(slow()))).collect();
        for reading in &mut reading[..2] {
            assert!(reading.as_mut().now_or_never().is_none());
        }
        // A body that has arrived already ends no other.
        assert_eq!(bodies.read(Body::from("{}")).await.unwrap(), "{}");
        assert!(reading[0].as_mut().now_or_never().is_none());
        assert!(reading[2].as_mut().now_or_never().is_none());
        let given_up = reading[0].as_mut().now_or_never();
        let error = given_up.expect("the oldest is given up").unwrap_err();
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(reading[1].as_mut().now_or_never().is_none());
        // A dropped body makes room.
        drop(reading.remove(1));
        let mut next = Box::pin(bodies.read(slow()));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(reading[1].as_mut().now_or_never().is_none());
        drop((reading, next));
        assert!(bodies.in_flight.line().ends.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn none_at_once_is_one_at_once() {
        let bodies = Bodies { max_in_flight: 0, ..Bodies::default() };
        let mut reading = Box::pin(bodies.read(slow()));
        assert!(reading.as_mut().now_or_never().is_none());
        assert!(reading.as_mut().now_or_never().is_none());
    }
}
