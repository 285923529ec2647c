//! Paths and patterns of endpoints, compared once more in a plain way.

use http::Method;

/// The methods that a pattern without one covers, but for `HEAD`, which is a `GET`.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Returns the segments of a path that everybody reads alike, as they were sent.
pub fn segments(path: &str) -> Option<Vec<&str>> {
    let rest = path.strip_prefix('/')?;
    if path.len() > 8192 || path.contains(';') || path.contains('\\') || !codes_are_harmless(path) {
        return None;
    }
    let segments: Vec<_> = rest.split('/').collect();
    let (last, others) = segments.split_last()?;
    let is_dots = |segment: &&str| *segment == "." || *segment == "..";
    (!others.contains(&"") && !others.iter().chain([last]).any(is_dots)).then_some(segments)
}

fn codes_are_harmless(path: &str) -> bool {
    let (mut decoded, bytes) = (Vec::new(), path.as_bytes());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'%' {
            decoded.push(bytes[at]);
            at += 1;
            continue;
        }
        let code = bytes.get(at + 1..at + 3).filter(|code| code.iter().all(u8::is_ascii_hexdigit));
        let Some(Ok(code)) = code.map(|code| u8::from_str_radix(str::from_utf8(code).unwrap(), 16))
        else {
            return false;
        };
        if code < 0x20 || code == 0x7f || b"./\\;%?#".contains(&code) {
            return false;
        }
        decoded.push(code);
        at += 3;
    }
    String::from_utf8(decoded).is_ok()
}

/// Tells whether a method is one that a pattern with (or without) a method means.
pub fn means_method(pattern: Option<&str>, method: &Method) -> bool {
    let judged = if method == Method::HEAD { "GET" } else { method.as_str() };
    METHODS.contains(&judged) && pattern.is_none_or(|own| own == judged)
}

/// Tells whether a path is one that a pattern means. The pattern is one that parses.
pub fn means_path(pattern: &str, path: &str) -> bool {
    let Some(mut path) = segments(path) else { return false };
    let mut pattern: Vec<_> = pattern[1..].split('/').collect();
    if is_rest(pattern[pattern.len() - 1]) {
        pattern.pop();
        if path.len() <= pattern.len() || path.last() == Some(&"") {
            return false;
        }
        path.truncate(pattern.len());
    }
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(own, segment)| match is_parameter(own) {
            true => !segment.is_empty(),
            false => *own == segment,
        })
}

pub fn is_rest(segment: &str) -> bool {
    segment == "*" || (segment.starts_with("{*") && segment.ends_with('}'))
}

pub fn is_parameter(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}') && !is_rest(segment)
}

/// Decodes a segment of a normal path.
pub fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8().unwrap().into_owned()
}
