//! [`NormalPath`]: a path that all components split into the same segments.

use std::borrow::Cow;
use std::str::Split;

use percent_encoding::percent_decode_str;

/// The longest normal path, in bytes. Longer ones would be wasted work.
const MAX_LENGTH: usize = 8192;

/// The path of a request or a page that every component splits into the same segments.
///
/// All decisions by a path use this type, and so one rule: at most 8192 bytes; no empty and no dot
/// segments, but one slash may end it; no backslash and no `;`; no percent-encoded separator or control
/// character, and only UTF-8. An encoded letter is normal: a comparison with a literal has to consider
/// that other components read `%61` as `a`.
#[derive(Clone, Debug)]
pub(crate) struct NormalPath<'a> {
    path: &'a str,
    #[cfg_attr(not(feature = "policy"), expect(dead_code, reason = "only policies look it up"))]
    decoded: Cow<'a, str>,
}

impl<'a> NormalPath<'a> {
    pub(crate) fn parse(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix('/')?;
        if path.len() > MAX_LENGTH {
            return None;
        }
        if is_plain(path.as_bytes()) {
            return Some(Self { path, decoded: Cow::Borrowed(path) });
        }
        if !has_normal_segments(rest) {
            return None;
        }
        Some(Self { path, decoded: decode(path)? })
    }

    /// Returns its segments as they were sent. Only the last one may be empty.
    pub(crate) fn segments(&self) -> Split<'a, char> {
        self.path[1..].split('/')
    }

    /// Returns the path as it was sent, without its first slash.
    pub(crate) fn after_slash(&self) -> &'a str {
        &self.path[1..]
    }

    /// Returns the whole path as handlers may see it.
    #[cfg(feature = "policy")]
    pub(crate) fn decoded(&self) -> &str {
        &self.decoded
    }
}

/// Tells whether a path needs no closer check, like most: only its last segment may be empty, none
/// starts with a dot, and no byte separates or is encoded.
fn is_plain(path: &[u8]) -> bool {
    let odd = |byte: u8| (byte == b'%') | (byte == b';') | (byte == b'\\');
    let starts_odd = |byte: u8| (byte == b'/') | (byte == b'.');
    // Checks all bytes without an early exit, which is faster for a normal path.
    let pairs = path.iter().zip(path.iter().skip(1));
    !pairs.fold(false, |all, (byte, next)| all | odd(*next) | ((*byte == b'/') & starts_odd(*next)))
}

fn has_normal_segments(rest: &str) -> bool {
    // Two slashes alone have an empty segment between them.
    if rest.starts_with('/') || rest.bytes().any(|byte| matches!(byte, b';' | b'\\')) {
        return false;
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    rest.is_empty() || rest.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Decodes percent-encoded bytes, if they are allowed.
fn decode(path: &str) -> Option<Cow<'_, str>> {
    let Some((_, codes)) = path.split_once('%') else { return Some(Cow::Borrowed(path)) };
    if !codes.split('%').all(is_harmless_code) {
        return None;
    }
    percent_decode_str(path).decode_utf8().ok()
}

/// Tells whether a text after a `%` starts with the code of a byte that is neither a separator nor a
/// control character.
fn is_harmless_code(text: &str) -> bool {
    let Some((code, _)) = text.as_bytes().split_at_checked(2) else { return false };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (Some(high), Some(low)) = (digit(code[0]), digit(code[1])) else { return false };
    let separates = b"./\\;%?#".iter().any(|byte| u32::from(*byte) == 16 * high + low);
    let is_control = high < 2 || (high, low) == (7, 15);
    !separates && !is_control
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_normal(path: &str) -> bool {
        NormalPath::parse(path).is_some()
    }

    #[test]
    fn a_path_that_others_may_read_differently_is_not_normal() {
        for path in [
            "",
            "*",
            "prod",
            "//prod",
            "/prod//x",
            "/./prod",
            "/prod/../dev",
            "/prod/..",
            "/%2e%2e/prod",
            "/prod/%2E/x",
            "/prod%2Fx",
            "/prod/x%5c..",
            "/prod;x=1",
            "/prod%3bx",
            "/prod%3Fx",
            "/prod%23",
            "/prod%00",
            "/prod%0a",
            "/prod%7F",
            "/prod%",
            "/prod%4",
            "/prod%zz",
            "/prod%252e",
            "/prod//",
            "//",
            "///",
        ] {
            assert!(!is_normal(path), "{path}");
        }
        for path in
            ["/", "/prod", "/prod/", "/pr%6Fd", "/a%20b", "/caf%C3%A9", "/caf\u{e9}", "/..."]
        {
            assert!(is_normal(path), "{path}");
        }
    }

    #[test]
    fn what_is_encoded_is_utf_8() {
        for path in [
            "/%ff",
            "/caf%E9",
            "/%c0%ae",
            "/%c0%ae%c0%ae/%c0%af",
            "/%e0%80%ae",
            "/%f0%80%80%af",
            "/%ed%a0%80",
            "/%f4%90%80%80",
            "/%C3",
            "/%C3x%A9",
            "/%C3/%A9",
            "/%A9%C3",
        ] {
            assert!(!is_normal(path), "{path}");
        }
        // An encoded byte after one that is not is still one character.
        assert!(is_normal("/%C3%A9%e2%82%ac%F0%9F%98%80"));
    }

    #[test]
    fn a_path_has_at_most_8192_bytes() {
        assert!(is_normal(&format!("/{}", "x".repeat(8191))));
        assert!(!is_normal(&format!("/{}", "x".repeat(8192))));
    }

    #[test]
    fn segments_are_as_they_were_sent() {
        let segments = |path| NormalPath::parse(path).unwrap().segments().collect::<Vec<_>>();
        assert_eq!(segments("/"), [""]);
        assert_eq!(segments("/a%20b/c/"), ["a%20b", "c", ""]);
    }

    proptest! {
        #[test]
        fn no_segment_but_the_last_is_empty_and_none_is_dots(path in "/?[/a.%;\\\\26]{0,10}") {
            let codes = path.split('%').skip(1).all(is_harmless_code)
                && percent_decode_str(&path).decode_utf8().is_ok();
            let normal = path.strip_prefix('/').is_some_and(|rest| {
                let segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
                let normal = segments.clone().all(|segment| !matches!(segment, "" | "." | ".."));
                (normal || rest.is_empty()) && !rest.contains([';', '\\'])
            });
            prop_assert_eq!(is_normal(&path), normal && codes);
        }
    }
}
