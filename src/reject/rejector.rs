//! [`Rejector`]: a responder, and the headers that the protocol requires.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header};

use super::log::Log;
use super::{Challenge, Rejection, RejectionKind, Respond, Responder, event, grpc};
use crate::drain::Drain;
use crate::head::RequestHead;
use crate::http_cache::add_vary;
use crate::limit::seconds;
use crate::protocol::Protocol;

/// How long a client waits if nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The length of a part of a path that may be a key. Keys of this crate are longer; imported ones may be short.
const SHORTEST_KEY: usize = 16;

/// Left in the extensions of a request whose path may hold a key, for the layers and guards inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathIsSecret;

/// Turns rejections into complete responses. One value serves a layer and the guards on the routes
/// inside it.
#[derive(Clone)]
pub(crate) struct Rejector {
    respond: Arc<dyn Respond>,
    challenge: Challenge,
    /// The protocol of the inner services.
    pub(crate) protocol: Protocol,
    /// What happens to the bodies of refused requests.
    pub(crate) drain: Drain,
    /// What events show of requests.
    pub(crate) log: Log,
    /// The headers in which a key may be, for caches.
    vary: Option<HeaderValue>,
    /// By kind, the responses to rejections without details, if the responder always gives the same
    /// ones.
    prepared: Option<[Response<Bytes>; RejectionKind::ALL.len()]>,
}

impl Rejector {
    pub(crate) fn new(respond: Arc<dyn Respond>, challenge: Challenge) -> Self {
        let rejector = Self {
            respond,
            challenge,
            protocol: Protocol::default(),
            drain: Drain::default(),
            log: Log::default(),
            vary: None,
            prepared: None,
        };
        rejector.prepare()
    }

    fn prepare(mut self) -> Self {
        self.prepared = None;
        if self.respond.depends_on_rejection_only() {
            let request = Request::new(());
            let head = RequestHead::new(&request);
            self.prepared =
                Some(RejectionKind::ALL.map(|kind| self.respond_to_http(&kind.into(), &head)));
        }
        self
    }

    /// Returns the rejector for guards without a layer.
    pub(crate) fn without_layer() -> &'static Self {
        // The place of the key is not known here.
        static DEFAULT: LazyLock<Rejector> = LazyLock::new(|| {
            let log = Log { hides_paths: true, hides_long_segments: true, ..Log::default() };
            Rejector { log, ..Rejector::default() }
        });
        &DEFAULT
    }

    /// Sets the challenge of responses.
    pub(crate) fn with_challenge(&self, challenge: Challenge) -> Self {
        Self { challenge, ..self.clone() }.prepare()
    }

    /// Sets the `Vary` of responses.
    pub(crate) fn with_vary(&self, vary: Option<HeaderValue>) -> Self {
        Self { vary, ..self.clone() }.prepare()
    }

    /// Sets the responder.
    pub(crate) fn with_respond(&self, respond: Arc<dyn Respond>) -> Self {
        Self { respond, ..self.clone() }.prepare()
    }

    /// Returns the path of `uri`, which is a URI of the request, unless it may hold a key.
    pub(crate) fn shown_path<'a>(&self, uri: &'a Uri, head: &RequestHead<'_>) -> Option<&'a str> {
        let hidden = self.log.hides_paths
            || head.extensions().get::<PathIsSecret>().is_some()
            || self.log.may_hold_key(uri.path());
        (!hidden).then(|| uri.path())
    }

    /// Returns the path of the request for the event of its refusal.
    fn logged_path<'a>(&self, head: &'a RequestHead<'_>) -> Option<Cow<'a, str>> {
        let uri = head.original_uri();
        if self.log.hides_long_segments && head.extensions().get::<PathIsSecret>().is_none() {
            return Some(Cow::Owned(without_long_segments(uri.path())));
        }
        self.shown_path(uri, head).map(Cow::Borrowed)
    }

    /// Returns the response to rejections without details, if it is always the same.
    #[cfg(feature = "openapi")]
    pub(crate) fn prepared(&self, kind: RejectionKind) -> Option<&Response<Bytes>> {
        self.prepared.as_ref().map(|prepared| &prepared[kind as usize])
    }

    pub(crate) fn reject(&self, rejection: Rejection, head: &RequestHead<'_>) -> Response<Bytes> {
        event::rejected(&rejection, head, &self.log, || self.logged_path(head));
        let mut response = match grpc::Form::of(head, self.protocol, rejection.kind()) {
            None => self.answer(&rejection, head),
            Some(grpc::Form::TrailersOnly) => {
                let message = self.respond.message(&rejection);
                let response = grpc::trailers_only(rejection.kind(), &message);
                with_pushback(self.complete(response, &rejection), &rejection)
            }
            Some(grpc::Form::WithHttpStatus(of)) => {
                let mut response = self.answer(&rejection, head);
                let message = self.respond.message(&rejection);
                grpc::add_status(&mut response, of, rejection.kind(), &message);
                with_pushback(response, &rejection)
            }
        };
        response.extensions_mut().insert(rejection);
        response
    }

    /// Makes the trailers of a gRPC call that ends because of `rejection`.
    pub(crate) fn grpc_trailers(&self, rejection: &Rejection) -> HeaderMap {
        grpc::trailers(rejection.kind(), &self.respond.message(rejection))
    }

    /// Answers an HTTP request.
    fn answer(&self, rejection: &Rejection, head: &RequestHead<'_>) -> Response<Bytes> {
        match &self.prepared {
            Some(prepared) if rejection.says_its_kind_only() && head.method() != Method::HEAD => {
                prepared[rejection.kind() as usize].clone()
            }
            _ => self.respond_to_http(rejection, head),
        }
    }

    fn respond_to_http(&self, rejection: &Rejection, head: &RequestHead<'_>) -> Response<Bytes> {
        let mut response = self.respond.respond(rejection, head);
        if let Some(challenge) = self.challenge.of(rejection, response.status()) {
            response.headers_mut().entry(header::WWW_AUTHENTICATE).or_insert(challenge);
        }
        if head.method() == Method::HEAD {
            // RFC 9110, section 9.3.2: the same headers as for GET, without the body.
            let length = std::mem::take(response.body_mut()).len();
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
        }
        self.complete(response, rejection)
    }

    /// Adds the headers of every refusal.
    fn complete(&self, mut response: Response<Bytes>, rejection: &Rejection) -> Response<Bytes> {
        let headers = response.headers_mut();
        if let Some(vary) = &self.vary {
            add_vary(headers, vary);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(usage) = rejection.usage() {
            usage.write(headers);
        }
        if let Some(wait) = wait_after(rejection) {
            headers.entry(header::RETRY_AFTER).or_insert_with(|| seconds(wait).into());
        }
        response
    }
}

/// Replaces the parts of a path that are long enough for a key, which may be encoded there.
fn without_long_segments(path: &str) -> String {
    let shown = |segment| if str::len(segment) < SHORTEST_KEY { segment } else { "*" };
    path.split('/').map(shown).collect::<Vec<_>>().join("/")
}

/// Returns how long the client should wait, if another attempt helps.
fn wait_after(rejection: &Rejection) -> Option<Duration> {
    match rejection.kind() {
        RejectionKind::RateLimited | RejectionKind::Unavailable => {
            Some(rejection.retry_after().unwrap_or(RETRY_AFTER))
        }
        _ => rejection.retry_after(),
    }
}

fn with_pushback(mut response: Response<Bytes>, rejection: &Rejection) -> Response<Bytes> {
    if let Some(wait) = wait_after(rejection) {
        grpc::write_pushback(response.headers_mut(), wait);
    }
    response
}

impl Default for Rejector {
    fn default() -> Self {
        Self::new(Arc::new(Responder::default()), Challenge::new(None, "api", false))
    }
}

impl fmt::Debug for Rejector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejector").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_prepared_response_is_the_one_that_would_have_been_made() {
        let challenge = Challenge::new(Some("Bearer"), "api", false);
        for responder in [Responder::problem_json(), Responder::json(), Responder::text()] {
            let prepared = Rejector::new(Arc::new(responder.clone()), challenge.clone());
            assert!(prepared.prepared.is_some());
            let made = move |rejection: &Rejection, head: &RequestHead<'_>| {
                responder.respond(rejection, head)
            };
            let made = Rejector::new(Arc::new(made), challenge.clone());
            assert!(made.prepared.is_none());
            for kind in RejectionKind::ALL {
                let request = Request::new(());
                let answer = |rejector: &Rejector| {
                    let response = rejector.reject(kind.into(), &RequestHead::new(&request));
                    let (parts, body) = response.into_parts();
                    (parts.status, parts.headers, body)
                };
                assert_eq!(answer(&prepared), answer(&made), "{kind}");
            }
        }
    }

    #[test]
    fn a_rejection_with_a_message_or_a_waiting_time_is_not_answered_by_a_prepared_response() {
        let rejection = Rejection::new(RejectionKind::RateLimited)
            .with_message("Slow down")
            .with_retry_after(Duration::from_secs(7));
        let response = reject(Method::GET, rejection);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        assert!(String::from_utf8_lossy(response.body()).contains("Slow down"));
    }
}
