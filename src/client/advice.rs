//! [`Advice`]: how to react to a response.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};

use super::{KeyFault, wait};

/// The wait after a response with too many requests that does not say how long.
const BRIEFLY: Duration = Duration::from_secs(1);

/// How a program should react to a response, as far as its key is concerned.
///
/// It is read from the head of a response: the status, the challenge in `WWW-Authenticate`,
/// `Retry-After` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10). Servers of this crate send
/// them, and others that follow the same standards. Headers that cannot be read are ignored.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use http::Response;
/// use tower_api_key::client::{Advice, KeyFault};
///
/// let slower = Response::builder().status(429).header("retry-after", "20").body(())?;
/// assert_eq!(Advice::of(&slower), Advice::Wait(Duration::from_secs(20)));
///
/// let wrong = Response::builder()
///     .status(401)
///     .header("www-authenticate", r#"Bearer realm="api", error="invalid_token""#)
///     .body(())?;
/// assert_eq!(Advice::of(&wrong), Advice::FixKey(KeyFault::Invalid));
/// # Ok::<_, http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// The response is not an error: continue.
    Proceed,
    /// The request will fail again, unless it has another key or is made differently.
    FixKey(KeyFault),
    /// The same request may succeed after this time, which is at most a year.
    ///
    /// Whether it is safe to repeat it is another question: see [`RetryPolicy`](super::RetryPolicy).
    Wait(Duration),
    /// The response is an error for which neither another key nor waiting is known to help.
    GiveUp,
}

impl Advice {
    /// Reads the head of an HTTP or gRPC response.
    ///
    /// | status | advice |
    /// |---|---|
    /// | up to 399 | proceed |
    /// | 401 | fix the key |
    /// | 403 | fix the key |
    /// | 400 with the challenge `invalid_request` | fix the key |
    /// | 429 | wait, for a second if the server does not say how long |
    /// | 503 with `Retry-After` | wait |
    /// | any other | give up |
    ///
    /// A gRPC status in the head (a trailers-only response) is read like by [`of_grpc`](Self::of_grpc).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Response;
    /// use tower_api_key::client::{Advice, KeyFault};
    ///
    /// let answer = |status| Response::builder().status(status).body(());
    /// assert_eq!(Advice::of(&answer(200)?), Advice::Proceed);
    /// assert_eq!(Advice::of(&answer(403)?), Advice::FixKey(KeyFault::Forbidden));
    /// assert_eq!(Advice::of(&answer(500)?), Advice::GiveUp);
    /// # Ok::<_, http::Error>(())
    /// ```
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Self {
        let headers = response.headers();
        match response.status() {
            StatusCode::OK if headers.contains_key(GRPC_STATUS) => {
                Self::of_grpc(grpc_status(headers).unwrap_or(UNKNOWN), headers)
            }
            status if status.as_u16() < 400 => Self::Proceed,
            StatusCode::UNAUTHORIZED => Self::FixKey(KeyFault::of_unauthorized(headers)),
            StatusCode::FORBIDDEN => Self::FixKey(KeyFault::of_forbidden(headers)),
            StatusCode::BAD_REQUEST => {
                KeyFault::of_bad_request(headers).map_or(Self::GiveUp, Self::FixKey)
            }
            StatusCode::TOO_MANY_REQUESTS => {
                Self::Wait(wait::until_quota(headers).unwrap_or(BRIEFLY))
            }
            StatusCode::SERVICE_UNAVAILABLE => Self::wait_or_give_up(wait::retry_after(headers)),
            _ => Self::GiveUp,
        }
    }

    /// Reads a gRPC status and its metadata.
    ///
    /// | status | advice |
    /// |---|---|
    /// | `OK` (0) | proceed |
    /// | `UNAUTHENTICATED` (16), `PERMISSION_DENIED` (7) | fix the key |
    /// | `RESOURCE_EXHAUSTED` (8), `UNAVAILABLE` (14) | wait if the server says how long |
    /// | any other | give up |
    ///
    /// # Examples
    ///
    /// With tonic:
    ///
    #[cfg_attr(feature = "tonic", doc = "```")]
    #[cfg_attr(not(feature = "tonic"), doc = "```ignore")]
    /// use tower_api_key::client::Advice;
    ///
    /// fn advice(status: &tonic::Status) -> Advice {
    ///     Advice::of_grpc(status.code().into(), status.metadata().as_ref())
    /// }
    /// # assert_eq!(advice(&tonic::Status::internal("")), Advice::GiveUp);
    /// ```
    #[must_use]
    pub fn of_grpc(status: i32, metadata: &HeaderMap) -> Self {
        match status {
            0 => Self::Proceed,
            7 => Self::FixKey(KeyFault::Forbidden),
            // It may also mean that another resource is exhausted, such as the longest message. Waiting
            // does not help then.
            RESOURCE_EXHAUSTED => Self::wait_or_give_up(wait::until_quota(metadata)),
            14 => Self::wait_or_give_up(wait::retry_after(metadata)),
            16 => Self::FixKey(KeyFault::Invalid),
            _ => Self::GiveUp,
        }
    }

    fn wait_or_give_up(wait: Option<Duration>) -> Self {
        wait.map_or(Self::GiveUp, Self::Wait)
    }
}

const GRPC_STATUS: &str = "grpc-status";
const UNKNOWN: i32 = 2;
const RESOURCE_EXHAUSTED: i32 = 8;

/// Tells whether a response says that there were too many requests, so that this one was not done.
pub(super) fn is_rate_limited<B>(response: &Response<B>) -> bool {
    match response.status() {
        StatusCode::OK => grpc_status(response.headers()) == Some(RESOURCE_EXHAUSTED),
        status => status == StatusCode::TOO_MANY_REQUESTS,
    }
}

/// Returns the gRPC status of a trailers-only response, if it has one that can be read.
fn grpc_status(headers: &HeaderMap) -> Option<i32> {
    let mut values = headers.get_all(GRPC_STATUS).iter();
    match (values.next(), values.next()) {
        (Some(status), None) => wait::digits(status.as_bytes())?.try_into().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn advice(status: u16, fields: &[(&'static str, &str)]) -> Advice {
        let fields = fields.iter().map(|(name, value)| (*name, value.parse().unwrap()));
        Advice::of(&response(status, fields))
    }

    fn response(
        status: u16,
        fields: impl IntoIterator<Item = (&'static str, HeaderValue)>,
    ) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in fields {
            response = response.header(name, value);
        }
        response.body(()).unwrap()
    }

    fn seconds(seconds: u64) -> Advice {
        Advice::Wait(Duration::from_secs(seconds))
    }

    #[test]
    fn the_status_decides() {
        for (status, expected) in [
            (100, Advice::Proceed),
            (200, Advice::Proceed),
            (304, Advice::Proceed),
            (400, Advice::GiveUp),
            (401, Advice::FixKey(KeyFault::Invalid)),
            (403, Advice::FixKey(KeyFault::Forbidden)),
            (404, Advice::GiveUp),
            (429, seconds(1)),
            (500, Advice::GiveUp),
            (503, Advice::GiveUp),
            (999, Advice::GiveUp),
        ] {
            assert_eq!(advice(status, &[]), expected, "{status}");
        }
    }

    #[test]
    fn only_who_says_that_waiting_helps_is_waited_for() {
        let retry = ("retry-after", "7");
        assert_eq!(advice(429, &[retry]), seconds(7));
        assert_eq!(advice(503, &[retry]), seconds(7));
        for status in [200, 301, 404, 500, 502, 504] {
            assert!(!matches!(advice(status, &[retry]), Advice::Wait(_)), "{status}");
        }
        let quota = ("ratelimit", r#""hourly";r=0;t=9"#);
        assert_eq!(advice(429, &[quota]), seconds(9));
        assert_eq!(advice(429, &[retry, quota]), seconds(7));
        assert_eq!(advice(503, &[quota]), Advice::GiveUp);
        assert_eq!(advice(200, &[quota]), Advice::Proceed);
    }

    #[test]
    fn a_grpc_status_in_the_head_decides() {
        let grpc = |status, field| advice(200, &[("grpc-status", status), field]);
        let (nothing, retry) = (("server", "x"), ("retry-after", "7"));
        let quota = ("ratelimit", r#""hourly";r=0;t=9"#);
        for (status, field, expected) in [
            ("0", retry, Advice::Proceed),
            ("16", retry, Advice::FixKey(KeyFault::Invalid)),
            ("7", retry, Advice::FixKey(KeyFault::Forbidden)),
            ("8", retry, seconds(7)),
            ("8", quota, seconds(9)),
            ("8", nothing, Advice::GiveUp),
            ("14", retry, seconds(7)),
            ("14", quota, Advice::GiveUp),
            ("14", nothing, Advice::GiveUp),
            ("13", retry, Advice::GiveUp),
            ("", retry, Advice::GiveUp),
            ("-0", retry, Advice::GiveUp),
            ("0x8", retry, Advice::GiveUp),
            ("99999999999999999999", retry, Advice::GiveUp),
        ] {
            assert_eq!(grpc(status, field), expected, "{status} {field:?}");
        }
        assert_eq!(grpc("0", ("grpc-status", "0")), Advice::GiveUp);
        assert_eq!(advice(429, &[("grpc-status", "0")]), seconds(1));
    }

    proptest! {
        #[test]
        fn whatever_a_server_sends_is_read_without_a_panic_and_within_bounds(
            status in prop::sample::select(&[200u16, 400, 401, 403, 429, 503][..]),
            fields in prop::collection::vec(
                (
                    prop::sample::select(
                        &["retry-after", "ratelimit", "www-authenticate", "date", "grpc-status"][..],
                    ),
                    prop_oneof![
                        prop::collection::vec(any::<u8>(), 0..60),
                        "(Bearer|ApiKey)? ?(error|scope)=\"?[a-z_ \\\\\"]{0,20}\"?,?".prop_map(String::into_bytes),
                        "\"[a-z]{0,5}\";r=-?[0-9]{0,20};t=-?[0-9.]{0,20},?".prop_map(String::into_bytes),
                        "-?[0-9]{0,30}".prop_map(String::into_bytes),
                        "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:00:00 GMT".prop_map(String::into_bytes),
                    ],
                ),
                0..6,
            ),
        ) {
            let fields = fields.iter().filter_map(|(name, value)| {
                Some((*name, HeaderValue::from_bytes(value).ok()?))
            });
            if let Advice::Wait(wait) = Advice::of(&response(status, fields)) {
                prop_assert!(wait <= Duration::from_secs(366 * 86_400));
            }
        }
    }
}
