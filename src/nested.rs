//! [`original_uri`]: the client's URI in nested axum routers, if it is of this request.

use std::borrow::Cow;
use std::sync::{LazyLock, Once};

use axum::extract::{FromRequestParts as _, NestedPath, OriginalUri, RawPathParams};
use futures_util::FutureExt as _;
use http::{Extensions, Request, Uri};
use percent_encoding::percent_decode_str;

/// Returns the URI that the client sent or, if it is not known, `*`, which has no path.
///
/// The outermost router stores the URI, and an inner router finds it. So a handler that calls a router
/// with the extensions of its own request passes a URI that has nothing to do with the new request.
pub(crate) fn original_uri<'a>(uri: &'a Uri, extensions: &'a Extensions) -> &'a Uri {
    static UNKNOWN: LazyLock<Uri> = LazyLock::new(|| Uri::from_static("*"));
    static NOTED: Once = Once::new();

    let Some(OriginalUri(original)) = extensions.get() else { return uri };
    if is_original(original.path(), uri.path(), extensions) {
        return original;
    }
    NOTED.call_once(crate::trace::no_original_uri);
    &UNKNOWN
}

/// Tells whether a request whose path is now `current` came as `original`: nothing was stripped, or the
/// rest is `current`. Middleware may also have restored what was stripped.
fn is_original(original: &str, current: &str, extensions: &Extensions) -> bool {
    let Some(nested) = extensions.get::<NestedPath>() else { return original == current };
    let Some(Stripped { left, captures }) = strip(original, nested.as_str()) else { return false };
    (current == left || current == original)
        && (captures.is_empty() || are_of_original(&captures, original, current, extensions))
}

/// The result of `nest` for a path.
struct Stripped<'a> {
    left: &'a str,
    /// The names of the parameters in front of that, and their values.
    captures: Vec<(&'a str, &'a str)>,
}

/// Strips the prefix that matches the pattern of a nested router, like axum.
fn strip<'a>(path: &'a str, pattern: &'a str) -> Option<Stripped<'a>> {
    let (mut left, mut captures) = (path, Vec::new());
    // After a slash at its end, the path of the router starts with that slash.
    for expected in pattern.strip_suffix('/').unwrap_or(pattern).split('/').skip(1) {
        let rest = left.strip_prefix('/')?;
        let (segment, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => captures.push((name, segment)),
            None if segment == expected => {}
            None => return None,
        }
        left = after;
    }
    if left.is_empty() && !pattern.ends_with('/') {
        left = "/";
    }
    left.starts_with('/').then_some(Stripped { left, captures })
}

/// Tells whether the parameters that axum captured are of the original path, because any segment
/// matches a parameter. Those of the nesting have their values there, and those after them are of the
/// current path. In front of them there may be parameters of an outer router with the same path.
fn are_of_original(
    captures: &[(&str, &str)],
    original: &str,
    current: &str,
    extensions: &Extensions,
) -> bool {
    let decode = |text| percent_decode_str(text).decode_utf8().ok();
    let (Some(original), Some(current)) = (decode(original), decode(current)) else { return false };
    let Some(parameters) = parameters(extensions) else { return false };
    let mut captures = captures.iter();
    let mut next = captures.next();
    for (name, value) in &parameters {
        match next {
            Some((own, text)) if *own == name && decode(text) == Some(Cow::Borrowed(value)) => {
                next = captures.next();
            }
            Some(_) if !original.contains(value) => return false,
            None if !current.contains(value) => return false,
            _ => {}
        }
    }
    next.is_none()
}

/// Returns all parameters that axum captured.
fn parameters(extensions: &Extensions) -> Option<RawPathParams> {
    let (mut parts, ()) = Request::new(()).into_parts();
    // axum does not publish where they are stored.
    parts.extensions = extensions.clone();
    RawPathParams::from_request_parts(&mut parts, &()).now_or_never()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left<'a>(path: &'a str, pattern: &'a str) -> Option<&'a str> {
        strip(path, pattern).map(|stripped| stripped.left)
    }

    #[test]
    fn prefixes_are_stripped_as_axum_does() {
        for (path, pattern, rest) in [
            ("/api/users", "/api", "/users"),
            ("/api/users/", "/api", "/users/"),
            ("/api", "/api", "/"),
            ("/api/", "/api", "/"),
            ("/api/", "/api/", "/"),
            ("/api/users", "/api/", "/users"),
            ("/v7/users", "/{version}", "/users"),
            ("/api/v7/users", "/api/{version}", "/users"),
            ("/api/v7", "/api/{version}", "/"),
            ("/a/b/c", "/a/b", "/c"),
        ] {
            assert_eq!(left(path, pattern), Some(rest), "{path} {pattern}");
        }
        for (path, pattern) in [
            ("/apis", "/api"),
            ("/ap", "/api"),
            ("/", "/api"),
            ("/api", "/api/"),
            ("/API/users", "/api"),
            ("/%61pi/users", "/api"),
            ("/users/api", "/api"),
            ("/api", "/api/{version}"),
            ("*", "/api"),
            ("", "/api"),
        ] {
            assert_eq!(left(path, pattern), None, "{path} {pattern}");
        }
        let stripped = strip("/a/1/b/2/c", "/a/{x}/b/{y}").unwrap();
        assert_eq!(stripped.captures, [("x", "1"), ("y", "2")]);
    }
}
