//! Refusals of gRPC calls.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, Version, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::RejectionKind;
use crate::grpc::GrpcType;
use crate::head::RequestHead;
use crate::protocol::Protocol;

/// All but space to `~`, and `%` itself (gRPC over HTTP/2, "Status-Message").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The longest pushback for a client, whose call continues meanwhile.
const LONGEST_PUSHBACK: Duration = Duration::from_secs(60);

/// The value that keeps clients from retrying.
const NO_RETRY: i32 = -1;

/// The form in which a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Trailers only, with HTTP status 200, as the protocol requires.
    TrailersOnly,
    /// The HTTP refusal, with the gRPC status beside the HTTP status and without a body.
    WithHttpStatus(GrpcType),
}

impl Form {
    /// Returns the form if the request is a call.
    ///
    /// Only a request with all properties of native gRPC gets a 200, because a proxy that uses the HTTP
    /// status accepts a request with that status.
    pub(super) fn of(
        head: &RequestHead<'_>,
        protocol: Protocol,
        kind: RejectionKind,
    ) -> Option<Self> {
        if head.method() != Method::POST || protocol == Protocol::Http {
            return None;
        }
        let of = GrpcType::read(head.only(&header::CONTENT_TYPE)?)?;
        let is_native = of == GrpcType::Native
            && head.version() >= Version::HTTP_2
            && head.only(&header::TE).is_some_and(|te| te == "trailers");
        // Without a layer, the protocol is not known.
        let known = kind != RejectionKind::MissingLayer;
        Some(if is_native && known { Self::TrailersOnly } else { Self::WithHttpStatus(of) })
    }
}

/// Makes a trailers-only response.
pub(super) fn trailers_only(kind: RejectionKind, message: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    write(response.headers_mut(), GrpcType::Native, kind, message);
    response
}

/// Makes an HTTP refusal a gRPC one, too.
pub(super) fn add_status(
    response: &mut Response<Bytes>,
    of: GrpcType,
    kind: RejectionKind,
    message: &str,
) {
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::CONTENT_ENCODING);
    write(headers, of, kind, message);
}

fn write(headers: &mut HeaderMap, of: GrpcType, kind: RejectionKind, message: &str) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(of.as_str()));
    write_status(headers, kind, message);
}

fn write_status(headers: &mut HeaderMap, kind: RejectionKind, message: &str) {
    headers.insert("grpc-status", HeaderValue::from_static(status(kind)));
    let message = utf8_percent_encode(message, ENCODED).to_string();
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
}

/// Makes the trailers of a call that ends with a refusal.
pub(super) fn trailers(kind: RejectionKind, message: &str) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    write_status(&mut trailers, kind, message);
    trailers
}

/// Tells clients with a retry policy how long to wait before the next attempt (gRFC A6). Without it
/// they use their own policy, and ignore `retry-after`.
pub(super) fn write_pushback(headers: &mut HeaderMap, wait: Duration) {
    let value = if wait > LONGEST_PUSHBACK {
        NO_RETRY
    } else {
        // One more, because clocks of clients may cut off a fraction of a millisecond.
        i32::try_from(wait.as_millis()).map_or(NO_RETRY, |millis| millis + 1)
    };
    headers.insert("grpc-retry-pushback-ms", value.into());
}

const fn status(kind: RejectionKind) -> &'static str {
    const RESOURCE_EXHAUSTED: &str = "8";
    const NOT_FOUND: &str = "5";
    const PERMISSION_DENIED: &str = "7";
    const INTERNAL: &str = "13";
    const UNAVAILABLE: &str = "14";
    const UNAUTHENTICATED: &str = "16";
    match kind {
        RejectionKind::Missing
        | RejectionKind::Ambiguous
        | RejectionKind::Malformed
        | RejectionKind::Unknown
        | RejectionKind::Disabled
        | RejectionKind::Revoked
        | RejectionKind::Expired
        | RejectionKind::Suspended => UNAUTHENTICATED,
        RejectionKind::WrongStage
        | RejectionKind::WrongTenant
        | RejectionKind::MissingAbility
        | RejectionKind::NotAllowed => PERMISSION_DENIED,
        RejectionKind::UnknownSession => NOT_FOUND,
        RejectionKind::RateLimited => RESOURCE_EXHAUSTED,
        RejectionKind::Unavailable => UNAVAILABLE,
        RejectionKind::MissingLayer => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");
    const TE: (&str, &str) = ("te", "trailers");

    fn form(
        protocol: Protocol,
        method: &str,
        version: Version,
        lines: &[(&str, &str)],
    ) -> Option<Form> {
        let request = Request::builder().method(method).version(version);
        let request =
            lines.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(()).unwrap();
        Form::of(&RequestHead::new(&request), protocol, RejectionKind::Missing)
    }

    #[test]
    fn only_what_can_be_native_grpc_gets_trailers_only() {
        for protocol in [Protocol::Any, Protocol::Grpc] {
            for version in [Version::HTTP_2, Version::HTTP_3] {
                assert_eq!(form(protocol, "POST", version, &[GRPC, TE]), Some(Form::TrailersOnly));
            }
            let native = Some(Form::WithHttpStatus(GrpcType::Native));
            for version in [Version::HTTP_09, Version::HTTP_10, Version::HTTP_11] {
                assert_eq!(form(protocol, "POST", version, &[GRPC, TE]), native);
            }
            for te in [&[][..], &[("te", "gzip")], &[TE, TE], &[("te", "trailers, gzip")]] {
                let lines = [&[GRPC], te].concat();
                assert_eq!(form(protocol, "POST", Version::HTTP_2, &lines), native, "{te:?}");
            }
        }
    }

    #[test]
    fn grpc_web_keeps_the_http_status() {
        for (content_type, of) in [
            ("application/grpc-web+proto", GrpcType::Web),
            ("application/grpc-web-text", GrpcType::WebText),
        ] {
            let lines = [("content-type", content_type), TE];
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let form = form(Protocol::Any, "POST", version, &lines);
                assert_eq!(form, Some(Form::WithHttpStatus(of)));
            }
        }
    }

    #[test]
    fn all_else_is_http() {
        let form = |method: &str, lines: &[(&str, &str)]| {
            form(Protocol::Any, method, Version::HTTP_2, lines)
        };
        for method in ["GET", "HEAD", "PUT", "OPTIONS", "post"] {
            assert_eq!(form(method, &[GRPC, TE]), None, "{method}");
        }
        assert_eq!(form("POST", &[TE]), None);
        assert_eq!(form("POST", &[("content-type", "application/json"), TE]), None);
        assert_eq!(form("POST", &[GRPC, GRPC, TE]), None);
        assert_eq!(form("POST", &[GRPC, ("content-type", "text/plain"), TE]), None);
    }

    #[test]
    fn where_no_grpc_is_spoken_every_refusal_is_http() {
        for lines in [&[GRPC, TE], &[("content-type", "application/grpc-web"), TE]] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                assert_eq!(form(Protocol::Http, "POST", version, lines), None);
            }
        }
    }

    #[test]
    fn a_pushback_is_never_too_short_and_has_a_bound() {
        let pushback = |wait| {
            let mut headers = HeaderMap::new();
            write_pushback(&mut headers, wait);
            headers["grpc-retry-pushback-ms"].to_str().unwrap().parse::<i64>().unwrap()
        };
        for nanos in [0, 1, 999_999, 1_000_000, 1_000_001, 59_999_999_999, 60_000_000_000] {
            let wait = Duration::from_nanos(nanos);
            let millis = u64::try_from(pushback(wait)).unwrap();
            assert!(Duration::from_millis(millis) > wait, "{nanos} ns: {millis} ms");
            assert!(Duration::from_millis(millis) <= wait + Duration::from_millis(1));
        }
        for wait in [Duration::from_nanos(60_000_000_001), Duration::MAX] {
            assert_eq!(pushback(wait), -1);
        }
    }

    #[test]
    fn messages_are_percent_encoded() {
        let response = trailers_only(RejectionKind::NotAllowed, "50 % für\nheute");
        assert_eq!(response.headers()["grpc-message"], "50 %25 f%C3%BCr%0Aheute");
        assert_eq!(response.headers()["grpc-status"], "7");
        assert_eq!(response.status(), 200);
    }

    #[test]
    fn a_refusal_of_http_keeps_its_status_and_loses_its_body() {
        let mut response = Response::new(Bytes::from_static(b"no"));
        *response.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        response.headers_mut().insert(header::CONTENT_LENGTH, 2.into());
        response.headers_mut().insert(header::RETRY_AFTER, 7.into());
        add_status(&mut response, GrpcType::Web, RejectionKind::RateLimited, "later");
        assert_eq!(response.status(), 429);
        assert!(response.body().is_empty());
        let fields = ["content-type", "grpc-status", "grpc-message", "retry-after"];
        let values = fields.map(|name| response.headers()[name].to_str().unwrap());
        assert_eq!(values, ["application/grpc-web", "8", "later", "7"]);
        assert!(!response.headers().contains_key(header::CONTENT_LENGTH));
    }
}
