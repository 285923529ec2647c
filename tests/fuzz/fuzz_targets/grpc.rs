//! Refusals of requests that may be gRPC.
//!
//! The input is a method, the HTTP version (`1` or `2`), the message of the refusal, and header lines.

#![no_main]

use http::{HeaderMap, Method, StatusCode, Version};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use tower_api_key::client::Advice;
use tower_api_key::{ApiKeyLayer, MemoryStore, Rejection, RejectionKind, RequestHead, VerifiedKey};
use tower_api_key_fuzz::{answer, insert, request};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut line = || str::from_utf8(lines.next()?).ok();
    let (Some(method), Some(version), Some(message)) = (line(), line(), line()) else { return };
    let Ok(method) = method.parse::<Method>() else { return };
    let version = if version == "2" { Version::HTTP_2 } else { Version::HTTP_11 };
    let message = message.to_owned();
    let Some(mut request) = request(b"/acme.Bots/List", lines) else { return };
    (*request.method_mut(), *request.version_mut()) = (method.clone(), version);
    let types = request.headers().get_all("content-type").iter();
    let types: Vec<_> = types.map(|value| value.as_bytes().to_ascii_lowercase()).collect();

    let keys = MemoryStore::new();
    insert(&keys, "key", |_| {});
    let refuse = {
        let message = message.clone();
        move |_: &VerifiedKey, _: &RequestHead<'_>| {
            let rejection = Rejection::new(RejectionKind::NotAllowed);
            Err(rejection.with_message(message.clone()))
        }
    };
    let (outcome, _, response) = answer(&ApiKeyLayer::new(keys).guard(refuse), request);
    let tower_api_key_fuzz::Outcome::Refused(kind) = outcome else {
        panic!("{outcome:?}");
    };

    let headers = response.headers();
    assert!(headers.contains_key("cache-control"));
    // Whatever is not like gRPC has its own status.
    if response.status() == StatusCode::OK {
        assert!(types.iter().any(|own| own.starts_with(b"application/grpc")));
        assert!(headers.contains_key("grpc-status"));
    } else {
        let expected = kind.status();
        assert_eq!(response.status(), expected);
    }
    if let Some(status) = headers.get("grpc-status") {
        let expected = match kind {
            RejectionKind::NotAllowed => "7",
            RejectionKind::Missing | RejectionKind::Ambiguous | RejectionKind::Malformed => "16",
            RejectionKind::Unknown => "16",
            kind => panic!("{kind}"),
        };
        assert_eq!(status, expected);
        let told = headers.get("grpc-message").map(|told| told.to_str().unwrap());
        if kind == RejectionKind::NotAllowed {
            // Every text arrives.
            let told = percent_decode_str(told.unwrap_or_default()).decode_utf8().unwrap();
            assert_eq!(told, message);
        }
    }
    let _: &HeaderMap = headers;
    assert_ne!(Advice::of(&response), Advice::Proceed);
});
