//! Patterns of endpoints, paths and their segments.
//!
//! The input is the pattern of an endpoint, a method, and a path.

#![no_main]

use http::{Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use tower_api_key::RequestHead;
use tower_api_key::key::EndpointPattern;
use tower_api_key::policy::{AccessPolicy, Requirement};
use tower_api_key_fuzz::lines;
use tower_api_key_fuzz::paths::{means_method, means_path, segments};

fuzz_target!(|input: &[u8]| {
    let Some(lines) = lines(input) else { return };
    let [text, method, path] = lines[..] else { return };
    let Ok(method) = method.parse::<Method>() else { return };

    let mut request = Request::new(());
    if let Ok(uri) = path.parse::<Uri>() {
        *request.uri_mut() = uri;
        let head = RequestHead::new(&request);
        let expected = segments(head.uri().path()).unwrap_or_default();
        for index in 0..expected.len() + 2 {
            let segment = expected.get(index).copied().filter(|segment| !segment.is_empty());
            assert_eq!(head.path_segment(index), segment);
        }
    }

    let Ok(pattern) = text.parse::<EndpointPattern>() else { return };
    let shown = pattern.to_string();
    assert_eq!(shown.parse::<EndpointPattern>().as_ref(), Ok(&pattern), "{shown}");
    let (own_method, own_path) = match text.split_once(' ') {
        Some((method, path)) => (Some(method), path),
        None => (None, text),
    };
    let expected = means_method(own_method, &method) && means_path(own_path, path);
    assert_eq!(pattern.matches(&method, path), expected);
    assert_eq!(pattern.path().matches(path), means_path(own_path, path));

    // A policy with this one rule means the same requests.
    let policy = AccessPolicy::builder().allow(text, Requirement::key()).build().unwrap();
    let explanation = policy.explain(None, &method, path);
    assert_eq!(explanation.rule().is_some(), expected);
});
