//! Referrers: patterns, and what matches them.
//!
//! The input is a pattern and the value of a `Referer`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_api_key::key::ReferrerPattern;
use tower_api_key_fuzz::lines;
use url::Url;

fuzz_target!(|input: &[u8]| {
    let Some(lines) = lines(input) else { return };
    let [pattern, referrer] = lines[..] else { return };
    let Ok(own) = pattern.parse::<ReferrerPattern>() else { return };
    let text = own.to_string();
    assert_eq!(text.parse::<ReferrerPattern>().as_ref(), Ok(&own), "{text}");
    let origin = own.origin().to_string();
    let path = text.strip_prefix(&origin).expect("a pattern is an origin and a path");
    assert_eq!(own.has_path(), path != "/*");

    if !own.matches(referrer) {
        // The page that a pattern names is one of its pages.
        assert!(origin.contains('*') || referrer != text.trim_end_matches('*'));
        return;
    }
    let url = Url::parse(referrer).expect("what matches is a URL");
    assert!(own.origin().matches(&url.origin().ascii_serialization()));
    assert_eq!((url.username(), url.password()), ("", None));
    assert!(referrer.len() <= 4096);
    match path.strip_suffix('*') {
        Some("/") => {}
        Some(start) => assert!(url.path().starts_with(start), "{} {path}", url.path()),
        None => assert_eq!(url.path(), path),
    }
});
