//! Origins: patterns, what matches them, and where a client sends its key to.
//!
//! The input is a pattern and an origin.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_api_key::client::Origin;
use tower_api_key::key::OriginPattern;
use tower_api_key_fuzz::lines;
use url::Url;

fuzz_target!(|input: &[u8]| {
    let Some(lines) = lines(input) else { return };
    let [pattern, origin] = lines[..] else { return };
    // Whether a label in punycode can be decoded is not looked at, but by the URL parser.
    if [pattern, origin].iter().any(|text| text.to_ascii_lowercase().contains("xn--")) {
        return;
    }

    // What a client sends a key to is one origin, which the pattern of the same text matches.
    if let Ok(server) = Origin::in_plain_text(origin) {
        let url = as_url(origin).expect("an origin is a URL");
        let shown = server.to_string();
        assert_eq!(as_url(&shown).unwrap().origin(), url.origin());
        match shown.parse::<OriginPattern>() {
            Ok(own) => {
                assert!(own.matches(origin) && own.matches(&url.origin().ascii_serialization()));
            }
            // The URL parser does not ask how long a host is, or a label of it.
            Err(_) => assert!(shown.len() > 63, "{shown}"),
        }
    }

    let Ok(own) = pattern.parse::<OriginPattern>() else { return };
    let text = own.to_string();
    assert_eq!(text.parse::<OriginPattern>().as_ref(), Ok(&own), "{text}");
    if !own.matches(origin) {
        // What browsers send for the same origin matches.
        let same = as_url(origin).is_some_and(|url| {
            url.origin().ascii_serialization() == text && url.as_str().trim_end_matches('/') == text
        });
        assert!(!same || origin != text);
        return;
    }
    let url = as_url(origin).expect("what matches is a URL");
    let rest = (url.path(), url.query(), url.fragment(), url.username(), url.password());
    assert_eq!(rest, ("/", None, None, "", None));
    assert!(!origin.ends_with('/'));
    let serialized = url.origin().ascii_serialization();
    match text.split_once("*.") {
        None => assert_eq!(serialized, text),
        Some((scheme, base)) => {
            let labels = serialized.strip_prefix(scheme).and_then(|rest| rest.strip_suffix(base));
            let labels = labels.expect("scheme, host and port are those of the pattern");
            assert!(labels.ends_with('.') && labels.len() > 1 && !labels.contains(['/', ':', '@']));
        }
    }
});

fn as_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| url.origin().is_tuple())
}
