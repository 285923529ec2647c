//! [`RetryPolicy`]: retries requests when the server says.

use std::time::Duration;

use http::{Method, Request, Response};
use tokio::time::Sleep;
use tower::retry::Policy;

use super::Advice;
use super::advice::is_rate_limited;

/// Retries requests after the time that the server says. For [`tower::retry::RetryLayer`].
///
/// | response | is retried |
/// |---|---|
/// | 429, or gRPC's `RESOURCE_EXHAUSTED` with `Retry-After` or `RateLimit` | always: the request was refused before it was handled |
/// | 503, or gRPC's `UNAVAILABLE`, with `Retry-After` | if the method is idempotent (RFC 9110, section 9.2.2), because it may have been handled in part |
/// | any other | never: 400, 401 and 403 stay the same until the key changes |
/// | none, because the connection failed | never: the request may have been handled |
///
/// If the server asks for more time than [`max_wait`](Self::max_wait), its response is returned at
/// once. So is the last response if no attempts are left. Up to a tenth is added to each wait, or a
/// tenth of a second if that is more, so that waiting clients do not come back together; the sum is
/// within `max_wait`, too. It requires tokio's timer.
///
/// A body is sent again, so it has to be `Clone`, like `Full<Bytes>`. Mount the policy outside of
/// [`AddApiKeyLayer`](super::AddApiKeyLayer).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use tower::ServiceBuilder;
/// use tower::retry::RetryLayer;
/// use tower_api_key::client::{AddApiKeyLayer, ApiKey, RetryPolicy};
///
/// let key: ApiKey = "sk_live_abc123def456".parse()?;
/// let client = ServiceBuilder::new()
///     .layer(RetryLayer::new(RetryPolicy::new().max_wait(Duration::from_secs(10))))
///     .layer(AddApiKeyLayer::bearer(&key, ["https://api.hapnd.example"])?)
///     .service(Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RetryPolicy {
    /// Including the current one.
    attempts: u32,
    max_wait: Duration,
}

impl RetryPolicy {
    /// Creates a policy of 3 attempts, with at most 30 seconds before each but the first.
    ///
    /// # Examples
    ///
    /// A server that is busy once:
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use std::time::Duration;
    ///
    /// use http::{Request, Response, StatusCode};
    /// use tower::retry::RetryLayer;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    /// use tower_api_key::client::RetryPolicy;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let calls = AtomicU32::new(0);
    /// let server = ServiceBuilder::new().layer(RetryLayer::new(RetryPolicy::new())).service(
    ///     service_fn(|_: Request<()>| {
    ///         let mut response = Response::new(());
    ///         if calls.fetch_add(1, Relaxed) == 0 {
    ///             *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    ///             response.headers_mut().insert("retry-after", "0".parse().unwrap());
    ///         }
    ///         std::future::ready(Ok::<_, std::convert::Infallible>(response))
    ///     }),
    /// );
    /// assert_eq!(server.oneshot(Request::new(())).await?.status(), StatusCode::OK);
    /// assert_eq!(calls.load(Relaxed), 2);
    /// # Ok(())
    /// # }
    /// ```
    pub const fn new() -> Self {
        Self { attempts: 3, max_wait: Duration::from_secs(30) }
    }

    /// Sets the number of attempts, including the first.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, Response};
    /// use tower::retry::Policy;
    /// use tower_api_key::client::RetryPolicy;
    ///
    /// let mut once = RetryPolicy::new().max_attempts(1);
    /// let request = Request::new(());
    /// // The request is not even cloned.
    /// let kept = Policy::<_, Response<()>, ()>::clone_request(&mut once, &request);
    /// assert!(kept.is_none());
    /// ```
    pub const fn max_attempts(self, attempts: u32) -> Self {
        Self { attempts, ..self }
    }

    /// Sets the longest wait before each attempt.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use http::{Request, Response};
    /// use tower::retry::Policy;
    /// use tower_api_key::client::RetryPolicy;
    ///
    /// let mut policy = RetryPolicy::new().max_wait(Duration::from_secs(10));
    /// let answer = Response::builder().status(429).header("retry-after", "3600").body(())?;
    /// // An hour is too long: the response is returned at once.
    /// let wait = policy.retry(&mut Request::new(()), &mut Ok::<_, ()>(answer));
    /// assert!(wait.is_none());
    /// # Ok::<_, http::Error>(())
    /// ```
    pub const fn max_wait(self, max_wait: Duration) -> Self {
        Self { max_wait, ..self }
    }

    /// Returns how long to wait before the next attempt, if there is one.
    fn wait<B>(&self, method: &Method, response: &Response<B>) -> Option<Duration> {
        let Advice::Wait(wait) = Advice::of(response) else { return None };
        let may_repeat = is_rate_limited(response) || method.is_idempotent();
        (may_repeat && wait <= self.max_wait).then(|| self.max_wait.min(wait + jitter(wait)))
    }
}

/// Returns a random time, or zero without randomness: that spreads less, but is correct.
fn jitter(wait: Duration) -> Duration {
    const LEAST: Duration = Duration::from_millis(100);
    let random = getrandom::u32().unwrap_or(0);
    (wait / 10).max(LEAST).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl<B: Clone, R, E> Policy<Request<B>, Response<R>, E> for RetryPolicy {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request<B>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Sleep> {
        let response = result.as_ref().ok()?;
        let wait = self.wait(request.method(), response)?;
        self.attempts = self.attempts.checked_sub(1)?;
        Some(tokio::time::sleep(wait))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        // The last one is not needed again.
        (self.attempts > 1).then(|| request.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use tokio::time::Instant;
    use tower::retry::Retry;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    type Answer = (u16, &'static [(&'static str, &'static str)]);

    fn response((status, fields): Answer) -> Response<()> {
        let response = Response::builder().status(status);
        let response =
            fields.iter().fold(response, |response, (name, value)| response.header(*name, *value));
        response.body(()).unwrap()
    }

    /// Returns the last status, how often the service was asked, and for how long.
    async fn run(
        policy: RetryPolicy,
        method: Method,
        answers: &[Answer],
    ) -> (u16, usize, Duration) {
        let asked = Mutex::new(0);
        let service = service_fn(async |_: Request<&'static str>| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            Ok::<_, Infallible>(response(answers[(*asked - 1).min(answers.len() - 1)]))
        });
        let service = Retry::new(policy, service);
        let request = Request::builder().method(method).body("body").unwrap();
        let start = Instant::now();
        let response = service.oneshot(request).await.unwrap();
        let asked = *asked.lock().unwrap();
        (response.status().as_u16(), asked, start.elapsed())
    }

    const OK: Answer = (200, &[]);
    const SLOWER: Answer = (429, &[("retry-after", "20")]);
    const DOWN: Answer = (503, &[("retry-after", "20")]);

    #[tokio::test(start_paused = true)]
    async fn it_waits_as_long_as_the_server_says_and_hardly_longer() {
        for answer in [SLOWER, (200, &[("grpc-status", "8"), ("retry-after", "20")])] {
            for _ in 0..50 {
                let (status, asked, time) =
                    run(RetryPolicy::new(), Method::POST, &[answer, OK]).await;
                assert_eq!((status, asked), (200, 2));
                assert!((20_000..=22_001).contains(&time.as_millis()), "{time:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_does_not_come_back_with_all_others() {
        let mut times = Vec::new();
        for _ in 0..20 {
            times.push(run(RetryPolicy::new(), Method::GET, &[SLOWER, OK]).await.2);
        }
        times.sort();
        times.dedup();
        assert!(times.len() > 5, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn it_never_waits_longer_than_the_cap() {
        let cap = |seconds| RetryPolicy::new().max_wait(Duration::from_secs(seconds));
        let (status, asked, time) = run(cap(19), Method::GET, &[SLOWER, OK]).await;
        assert_eq!((status, asked, time), (429, 1, Duration::ZERO));
        for _ in 0..50 {
            let (status, asked, time) = run(cap(20), Method::GET, &[SLOWER, OK]).await;
            assert_eq!((status, asked), (200, 2));
            assert!((20_000..=20_001).contains(&time.as_millis()), "{time:?}");
        }
        let absurd = (429, &[("retry-after", "99999999999999999999")][..]);
        let forever = RetryPolicy::new().max_wait(Duration::MAX).max_attempts(2);
        let (status, asked, time) = run(forever, Method::GET, &[absurd, OK]).await;
        assert_eq!((status, asked), (200, 2));
        assert!(time.as_secs() < 2 * 366 * 86_400);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_with_the_first() {
        for (attempts, expected) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
            let policy = RetryPolicy::new().max_attempts(attempts);
            let (status, asked, _) = run(policy, Method::GET, &[SLOWER]).await;
            assert_eq!((status, asked), (429, expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_request_has_all_attempts() {
        let asked = Mutex::new(0);
        let service = service_fn(async |_: Request<()>| {
            *asked.lock().unwrap() += 1;
            Ok::<_, Infallible>(response(SLOWER))
        });
        let mut service = Retry::new(RetryPolicy::new(), service);
        for expected in [3, 6, 9] {
            service.ready().await.unwrap().oneshot(Request::new(())).await.unwrap();
            assert_eq!(*asked.lock().unwrap(), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_done_is_not_done_twice() {
        for (method, expected) in [
            (Method::GET, 2),
            (Method::HEAD, 2),
            (Method::OPTIONS, 2),
            (Method::PUT, 2),
            (Method::DELETE, 2),
            (Method::POST, 1),
            (Method::PATCH, 1),
            (Method::CONNECT, 1),
            (Method::from_bytes(b"PURGE").unwrap(), 1),
        ] {
            let unavailable = (200, &[("grpc-status", "14"), ("retry-after", "1")][..]);
            let at_a_gateway = (503, &[("grpc-status", "8"), ("retry-after", "1")][..]);
            for answer in [DOWN, unavailable, at_a_gateway] {
                let (_, asked, _) = run(RetryPolicy::new(), method.clone(), &[answer, OK]).await;
                assert_eq!(asked, expected, "{method}");
            }
            assert_eq!(run(RetryPolicy::new(), method, &[SLOWER, OK]).await.1, 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn errors_that_stay_are_not_tried_again() {
        const RETRY: &[(&str, &str)] = &[("retry-after", "1"), ("ratelimit", r#""a";r=0;t=1"#)];
        for status in [200, 301, 400, 401, 403, 404, 500, 502] {
            let (told, asked, _) =
                run(RetryPolicy::new(), Method::GET, &[(status, RETRY), OK]).await;
            assert_eq!((told, asked), (status, 1));
        }
        assert_eq!(run(RetryPolicy::new(), Method::GET, &[(503, &[]), OK]).await.1, 1);
    }

    #[tokio::test]
    async fn a_failed_connection_is_not_tried_again() {
        let asked = Mutex::new(0);
        let service = service_fn(async |_: Request<()>| {
            *asked.lock().unwrap() += 1;
            Err::<Response<()>, _>("connection reset")
        });
        let answer = Retry::new(RetryPolicy::new(), service).oneshot(Request::new(())).await;
        assert_eq!(answer.unwrap_err(), "connection reset");
        assert_eq!(*asked.lock().unwrap(), 1);
    }
}
