//! [`RequestHead`]: the method, URI, headers and extensions of a request.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body;

use crate::grpc::GrpcType;

#[cfg(feature = "axum")]
use crate::nested;
use crate::path::NormalPath;

/// Borrows the head of a request: everything but its body.
///
/// Extractors, guards and responders get it, so that none of them has to know the body's type.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::RequestHead;
///
/// let request = Request::get("/prod/1/questions").body(()).unwrap();
/// let head = RequestHead::new(&request);
/// assert_eq!(head.path_segment(0), Some("prod"));
/// ```
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    uri: &'a Uri,
    version: Version,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
    body: KnownBody,
    noted: Option<&'a Noted>,
}

/// What was computed for a head once, for several readers.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    may_act_as_post: AtomicU8,
}

/// What is known of the body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KnownBody {
    /// Nothing: the head came without its body.
    Unknown,
    Empty,
    Present,
}

/// Headers that no browser sends with a preflight: they announce a body or another protocol or, for
/// some frameworks, another method.
static NEVER_OF_PREFLIGHTS: [HeaderName; 5] = [
    header::CONTENT_TYPE,
    header::UPGRADE,
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

impl<'a> RequestHead<'a> {
    /// Borrows the head of `request`.
    #[must_use]
    pub fn new<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
            body: KnownBody::Unknown,
            noted: None,
        }
    }

    /// Borrows the head of `request`, and notes whether it has a body.
    pub(crate) fn with_known_body<B: Body>(request: &'a Request<B>) -> Self {
        let empty = request.body().is_end_stream();
        let body = if empty { KnownBody::Empty } else { KnownBody::Present };
        Self { body, ..Self::new(request) }
    }

    /// Stores in `noted` what is computed, for other heads of the same request.
    pub(crate) fn noting(self, noted: &'a Noted) -> Self {
        Self { noted: Some(noted), ..self }
    }

    /// Borrows the head of a request that was split into its parts.
    #[must_use]
    pub fn from_parts(parts: &'a Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
            body: KnownBody::Unknown,
            noted: None,
        }
    }

    /// Returns the request's method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns the method by which policies, endpoints of keys and guards judge the request.
    ///
    /// It is the request's own, except for a WebSocket over HTTP/2, which is judged as `GET`: a
    /// `CONNECT` for the protocol `websocket` (RFC 8441) is a `GET` over HTTP/1.1. hyper provides the
    /// protocol of a `CONNECT`, and the features `axum` and `tonic` read it. Without them, and for
    /// other protocols and servers, a `CONNECT` stays a `CONNECT`, which no rule, endpoint or method
    /// covers.
    #[inline]
    #[must_use]
    pub fn judged_method(&self) -> &'a Method {
        static GET: Method = Method::GET;
        if self.opens_web_socket_by_connect() { &GET } else { self.method }
    }

    #[cfg(any(feature = "axum", feature = "tonic"))]
    fn opens_web_socket_by_connect(&self) -> bool {
        // The comparison comes first, because a `CONNECT` is rare.
        *self.method == Method::CONNECT
            && self.extensions.get::<hyper::ext::Protocol>().is_some_and(|protocol| {
                // As axum reads it. Another case is another protocol.
                protocol.as_str() == "websocket"
            })
    }

    #[cfg(not(any(feature = "axum", feature = "tonic")))]
    fn opens_web_socket_by_connect(&self) -> bool {
        false
    }

    /// Returns the URI as this service sees it.
    ///
    /// A router that nests services may have removed a prefix; see
    /// [`original_uri`](Self::original_uri).
    #[must_use]
    pub fn uri(&self) -> &'a Uri {
        self.uri
    }

    /// Returns the URI as the client sent it, by which this crate judges requests.
    ///
    /// axum's `nest` strips prefixes and keeps the whole URI as the extension `OriginalUri`; with the
    /// feature `axum` this returns it. Otherwise this is [`uri`](Self::uri).
    ///
    /// `OriginalUri` is used only if its path is that of `uri`, or that with the prefix that `nest`
    /// stripped. Otherwise it is from another request, or middleware changed the path. The client's URI
    /// is then not known, and this is `*`: it has no segments and no pattern matches it, so decisions
    /// by the path refuse. A handler that calls a router must therefore pass a request of its own, with
    /// only the extensions that it intends to pass. Mount middleware that changes paths around the
    /// outermost router.
    #[must_use]
    pub fn original_uri(&self) -> &'a Uri {
        #[cfg(feature = "axum")]
        return nested::original_uri(self.uri, self.extensions);
        #[cfg(not(feature = "axum"))]
        self.uri
    }

    /// Returns the pattern of the route, such as `/bots/{id}`, if an outer axum router matched one.
    #[cfg(feature = "tracing")]
    pub(crate) fn matched_path(&self) -> Option<&'a str> {
        #[cfg(feature = "matched-path")]
        return self.extensions.get().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "matched-path"))]
        None
    }

    /// Returns the request's HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns the request's headers.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// Returns the request's extensions.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }

    /// Returns the segment number `index`, from 0, of the original path.
    ///
    /// The segment is returned as sent, without percent-decoding. A path that is not in normal form has
    /// no segments, because other components could read it as another path: one with an empty or dot
    /// segment, a backslash, a `;` parameter, a percent-encoded dot, slash, backslash, semicolon,
    /// question mark, hash, percent sign or control character, or invalid UTF-8 after decoding. A path
    /// of more than 8192 bytes has none either.
    #[must_use]
    pub fn path_segment(&self, index: usize) -> Option<&'a str> {
        self.normal_path()?.segments().nth(index).filter(|segment| !segment.is_empty())
    }

    /// Returns the original path if it is in normal form; requests are judged by it.
    pub(crate) fn normal_path(&self) -> Option<NormalPath<'a>> {
        NormalPath::parse(self.original_uri().path())
    }

    /// Returns the method that a browser asks for, if this is a CORS preflight (Fetch standard, 3.2.2
    /// and 4.8).
    ///
    /// A preflight has no body and no headers that announce one. It neither switches protocols nor
    /// overrides the method, because it passes without a key.
    pub(crate) fn preflight(&self) -> Option<Method> {
        if self.method != Method::OPTIONS || self.body != KnownBody::Empty {
            return None;
        }
        let never = NEVER_OF_PREFLIGHTS.iter().any(|name| self.headers.contains_key(name));
        if never || self.announces_body() {
            return None;
        }
        self.only(&header::ORIGIN)?;
        Method::from_bytes(self.only(&header::ACCESS_CONTROL_REQUEST_METHOD)?.as_bytes()).ok()
    }

    /// Tells whether a service that looks only at the path and the body may read the request as a
    /// `POST`. gRPC servers do so: tonic checks neither the method nor the content type.
    #[inline]
    pub(crate) fn may_act_as_post(&self) -> bool {
        const NO: u8 = 1;
        const YES: u8 = 2;
        let Some(Noted { may_act_as_post }) = self.noted else { return self.acts_as_post() };
        match may_act_as_post.load(Ordering::Relaxed) {
            NO => false,
            YES => true,
            _ => {
                let found = self.acts_as_post();
                may_act_as_post.store(if found { YES } else { NO }, Ordering::Relaxed);
                found
            }
        }
    }

    fn acts_as_post(&self) -> bool {
        match *self.method {
            Method::POST => false,
            // hyper passes no body of a `CONNECT` on, but other servers may.
            Method::GET | Method::HEAD | Method::OPTIONS | Method::CONNECT => {
                self.may_have_body() || GrpcType::is_in(self.headers)
            }
            _ => GrpcType::is_in(self.headers),
        }
    }

    fn may_have_body(&self) -> bool {
        match self.body {
            KnownBody::Unknown => self.announces_body(),
            KnownBody::Empty => false,
            KnownBody::Present => true,
        }
    }

    /// Tells whether the headers announce a body (RFC 9112, section 6).
    fn announces_body(&self) -> bool {
        let lengths = self.headers.get_all(header::CONTENT_LENGTH);
        self.headers.contains_key(header::TRANSFER_ENCODING)
            || lengths.into_iter().any(|length| length != "0")
    }

    /// Returns the value of a header that occurs once.
    pub(crate) fn only(&self, name: &HeaderName) -> Option<&'a HeaderValue> {
        let mut values = self.headers.get_all(name).into_iter();
        values.next().filter(|_| values.next().is_none())
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Shows the method and the names of the headers: their values, the path and the query may
    /// hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("version", &self.version)
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(path: &str, index: usize) -> Option<String> {
        let request = Request::get(path).body(()).unwrap();
        RequestHead::new(&request).path_segment(index).map(str::to_owned)
    }

    #[test]
    fn segments_are_counted_from_zero_and_kept_as_sent() {
        assert_eq!(segment("/prod/1/questions?stage=dev", 0).as_deref(), Some("prod"));
        assert_eq!(segment("/prod/1/questions", 2).as_deref(), Some("questions"));
        assert_eq!(segment("/prod/", 0).as_deref(), Some("prod"));
        assert_eq!(segment("/PROD", 0).as_deref(), Some("PROD"));
        assert_eq!(segment("/pr%6Fd", 0).as_deref(), Some("pr%6Fd"));
        assert_eq!(segment("/prod", 1), None);
        assert_eq!(segment("/prod/", 1), None);
        assert_eq!(segment("/", 0), None);
    }

    #[test]
    fn a_path_that_others_may_read_differently_has_no_segments() {
        let long = format!("/prod/{}", "x".repeat(8192));
        for path in ["//prod", "/prod/../dev", "/prod%2Fx", "/prod;x", "/prod/%ff", "*", &long] {
            assert_eq!(segment(path, 0), None, "{path}");
        }
    }

    fn options(lines: &[&str]) -> Request<String> {
        request("OPTIONS", lines, "")
    }

    fn request(method: &str, lines: &[&str], body: &str) -> Request<String> {
        let request = lines.iter().fold(Request::builder().method(method), |request, line| {
            let (name, value) = line.split_once(": ").unwrap();
            request.header(name, value)
        });
        request.body(body.to_owned()).unwrap()
    }

    const ORIGIN: &str = "origin: https://shop.example";
    const ASKS: &str = "access-control-request-method: POST";

    #[test]
    fn only_options_with_origin_and_requested_method_is_a_preflight() {
        let asked = |request: &Request<String>| RequestHead::with_known_body(request).preflight();
        assert_eq!(asked(&options(&[ORIGIN, ASKS])), Some(Method::POST));
        assert_eq!(asked(&options(&[ORIGIN, ASKS, "content-length: 0"])), Some(Method::POST));
        for lines in [
            &[ORIGIN][..],
            &[ASKS],
            &[ORIGIN, ORIGIN, ASKS],
            &[ORIGIN, ASKS, ASKS],
            &[ORIGIN, "access-control-request-method: "],
            &[ORIGIN, "access-control-request-method: GET, POST"],
        ] {
            assert_eq!(asked(&options(lines)), None, "{lines:?}");
        }
        assert_eq!(asked(&request("GET", &[ORIGIN, ASKS], "")), None);
    }

    #[test]
    fn what_has_a_body_or_speaks_of_one_is_no_preflight() {
        let with_body = request("OPTIONS", &[ORIGIN, ASKS], "x");
        assert_eq!(RequestHead::with_known_body(&with_body).preflight(), None);
        let real = options(&[ORIGIN, ASKS]);
        assert_eq!(RequestHead::new(&real).preflight(), None, "nothing is known of its body");
        for line in [
            "content-type: application/grpc",
            "content-type: text/plain",
            "content-length: 5",
            "content-length: 00",
            "transfer-encoding: chunked",
            "upgrade: websocket",
            "x-http-method-override: DELETE",
            "x-http-method: DELETE",
            "x-method-override: DELETE",
        ] {
            let request = options(&[ORIGIN, ASKS, line]);
            assert_eq!(RequestHead::with_known_body(&request).preflight(), None, "{line}");
        }
    }

    #[test]
    fn a_body_or_a_grpc_type_may_make_a_post_of_another_method() {
        let known = |method: &str, lines: &[&str], body: &str| {
            RequestHead::with_known_body(&request(method, lines, body)).may_act_as_post()
        };
        let unknown = |method: &str, lines: &[&str]| {
            RequestHead::new(&request(method, lines, "x")).may_act_as_post()
        };
        let grpc = ["content-type: application/grpc+proto"];
        for method in ["GET", "HEAD", "OPTIONS", "CONNECT"] {
            assert!(!known(method, &[], ""));
            assert!(known(method, &[], "x"));
            assert!(!unknown(method, &["content-length: 0"]));
            assert!(unknown(method, &["content-length: 1"]));
            assert!(unknown(method, &["transfer-encoding: chunked"]));
        }
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"] {
            assert!(known(method, &grpc, "") && unknown(method, &grpc), "{method}");
            let second = ["content-type: text/plain", "content-type: application/grpc-web"];
            assert!(known(method, &second, ""), "{method}");
        }
        for method in ["PUT", "PATCH", "DELETE"] {
            assert!(!known(method, &["content-type: application/json"], "{}"), "{method}");
        }
        assert!(!known("POST", &grpc, "x"));
    }

    #[cfg(any(feature = "axum", feature = "tonic"))]
    #[test]
    fn only_a_connect_for_a_web_socket_is_judged_as_a_get() {
        use hyper::ext::Protocol;

        let judged = |method: &str, protocol: Option<&'static str>| {
            let mut request = request(method, &[], "");
            if let Some(protocol) = protocol {
                request.extensions_mut().insert(Protocol::from_static(protocol));
            }
            RequestHead::new(&request).judged_method().clone()
        };
        assert_eq!(judged("CONNECT", Some("websocket")), Method::GET);
        for other in ["WebSocket", "websockets", "webtransport", "connect-udp", ""] {
            assert_eq!(judged("CONNECT", Some(other)), Method::CONNECT, "{other}");
        }
        assert_eq!(judged("CONNECT", None), Method::CONNECT);
        for method in ["GET", "HEAD", "POST", "DELETE", "connect"] {
            assert_eq!(judged(method, Some("websocket")).as_str(), method);
        }
    }

    #[test]
    fn debug_shows_no_header_value_no_path_and_no_query() {
        let request =
            Request::get("http://hush@a/hush?b=hush").header("x-api-key", "hush").body(()).unwrap();
        let shown = format!("{:?}", RequestHead::new(&request));
        assert!(shown.contains("x-api-key") && !shown.contains("hush"), "{shown}");
    }
}
