//! Answers to gRPC requests.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::RejectionKind;

/// All but space to `~`, and `%` itself (gRPC over HTTP/2, "Status-Message").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// Returns the content type of the answer, if the request is one of gRPC or gRPC-Web.
pub(super) fn content_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let is = |name: &[u8]| {
        let (start, rest) = asked.split_at_checked(name.len()).unwrap_or((asked, b"?"));
        start.eq_ignore_ascii_case(name) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
    };
    ["application/grpc", "application/grpc-web", "application/grpc-web-text"]
        .into_iter()
        .find(|name| is(name.as_bytes()))
        .map(HeaderValue::from_static)
}

/// Makes a trailers-only answer: a bare HTTP 429 would reach a gRPC client as `UNAVAILABLE`
/// and be tried again.
pub(super) fn respond(
    kind: RejectionKind,
    message: &str,
    content_type: HeaderValue,
) -> Response<Bytes> {
    let message = utf8_percent_encode(message, ENCODED).to_string();
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert("grpc-status", HeaderValue::from_static(status(kind)));
    if let Ok(message) = HeaderValue::try_from(message) {
        headers.insert("grpc-message", message);
    }
    response
}

const fn status(kind: RejectionKind) -> &'static str {
    const RESOURCE_EXHAUSTED: &str = "8";
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
        | RejectionKind::Expired => UNAUTHENTICATED,
        RejectionKind::WrongStage
        | RejectionKind::WrongTenant
        | RejectionKind::MissingAbility
        | RejectionKind::NotAllowed => PERMISSION_DENIED,
        RejectionKind::RateLimited => RESOURCE_EXHAUSTED,
        RejectionKind::Unavailable => UNAVAILABLE,
        RejectionKind::MissingLayer => INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let answer = |content_type: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            super::content_type(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(answer("application/grpc").unwrap(), "application/grpc");
        assert_eq!(answer("Application/GRPC+proto").unwrap(), "application/grpc");
        assert_eq!(answer("application/grpc; x=y").unwrap(), "application/grpc");
        assert_eq!(answer("application/grpc-web+proto").unwrap(), "application/grpc-web");
        assert_eq!(answer("application/grpc-web-text").unwrap(), "application/grpc-web-text");
        assert_eq!(answer("application/grpcx"), None);
        assert_eq!(answer("application/json"), None);
        assert_eq!(super::content_type(&HeaderMap::new()), None);
    }

    #[test]
    fn messages_are_percent_encoded() {
        let response = respond(
            RejectionKind::NotAllowed,
            "50 % für\nheute",
            HeaderValue::from_static("application/grpc"),
        );
        assert_eq!(response.headers()["grpc-message"], "50 %25 f%C3%BCr%0Aheute");
        assert_eq!(response.headers()["grpc-status"], "7");
        assert_eq!(response.status(), 200);
    }
}
