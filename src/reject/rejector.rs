//! [`Rejector`]: a responder, and what the protocol adds to its answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};

use super::{Challenge, Rejection, RejectionKind, Respond, Responder, grpc};
use crate::head::RequestHead;
use crate::trace;

/// How long a client waits when nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Turns rejections into complete responses. One value serves a layer and the guards on the
/// routes within it.
#[derive(Clone)]
pub(crate) struct Rejector {
    pub(crate) respond: Arc<dyn Respond>,
    pub(crate) challenge: Challenge,
}

impl Rejector {
    pub(crate) fn reject(&self, rejection: Rejection, head: &RequestHead<'_>) -> Response<Bytes> {
        trace::rejected(&rejection, head);
        let mut response = match grpc::content_type(head.headers()) {
            Some(content_type) => {
                let message = self.respond.message(&rejection);
                grpc::respond(rejection.kind(), &message, content_type)
            }
            None => self.respond_to_http(&rejection, head),
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = retry_after(&rejection) {
            headers.entry(header::RETRY_AFTER).or_insert(wait);
        }
        response.extensions_mut().insert(rejection);
        response
    }

    fn respond_to_http(&self, rejection: &Rejection, head: &RequestHead<'_>) -> Response<Bytes> {
        let mut response = self.respond.respond(rejection, head);
        if let Some(challenge) = self.challenge.of(rejection, response.status()) {
            response.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(challenge);
        }
        if head.method() == Method::HEAD {
            // RFC 9110, section 9.3.2: the same header fields as for GET, without the body.
            let length = std::mem::take(response.body_mut()).len();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        response
    }
}

fn retry_after(rejection: &Rejection) -> Option<HeaderValue> {
    let wait = match rejection.kind() {
        RejectionKind::RateLimited | RejectionKind::Unavailable => {
            rejection.retry_after().unwrap_or(RETRY_AFTER)
        }
        _ => rejection.retry_after()?,
    };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Some(seconds.into())
}

impl Default for Rejector {
    fn default() -> Self {
        Self {
            respond: Arc::new(Responder::default()),
            challenge: Challenge::new(None, "api", false),
        }
    }
}

impl fmt::Debug for Rejector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejector").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn reject(method: Method, rejection: Rejection) -> Response<Bytes> {
        let request = Request::builder().method(method).body(()).unwrap();
        Rejector::default().reject(rejection, &RequestHead::new(&request))
    }

    #[test]
    fn every_rejection_is_kept_out_of_caches_and_can_be_logged() {
        for kind in RejectionKind::ALL {
            let response = reject(Method::GET, Rejection::new(kind));
            assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
            assert_eq!(response.extensions().get::<Rejection>().unwrap().kind(), kind);
            assert_eq!(response.status(), kind.status());
        }
    }

    #[test]
    fn waiting_times_are_rounded_up() {
        let limited = Rejection::new(RejectionKind::RateLimited);
        let wait = |millis| {
            let rejection = limited.clone().with_retry_after(Duration::from_millis(millis));
            reject(Method::GET, rejection).headers()[header::RETRY_AFTER].clone()
        };
        assert_eq!(wait(2000), "2");
        assert_eq!(wait(2001), "3");
        let unavailable = reject(Method::GET, Rejection::new(RejectionKind::Unavailable));
        assert_eq!(unavailable.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn head_has_the_length_of_the_body_it_does_not_have() {
        let get = reject(Method::GET, Rejection::new(RejectionKind::Unknown));
        let head = reject(Method::HEAD, Rejection::new(RejectionKind::Unknown));
        assert!(head.body().is_empty());
        assert!(!get.body().is_empty());
        assert_eq!(head.headers()[header::CONTENT_LENGTH], get.body().len().to_string());
    }
}
