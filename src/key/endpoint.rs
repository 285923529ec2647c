//! [`EndpointPattern`]: patterns of methods and paths.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use http::Method;
use thiserror::Error;

use crate::path::NormalPath;
use crate::text::is_text;

/// A pattern of methods and paths, such as `GET /v1/users/{id}` or `/v1/reports/*`.
///
/// It is compared, segment by segment, with the path that the client sent:
///
/// | pattern | matches | does not match |
/// |---|---|---|
/// | `/v1/users` | `/v1/users` | `/v1/users/`, `/V1/users`, `/v1/%75sers` |
/// | `/v1/users/{id}` | `/v1/users/7` | `/v1/users/`, `/v1/users/7/keys` |
/// | `/v1/reports/*` | `/v1/reports/daily`, `/v1/reports/2026/11` | `/v1/reports`, `/v1/reports/` |
///
/// A path that servers can read in different ways (`//`, `..`, `;`, a percent-encoded separator or
/// control character, invalid UTF-8; see
/// [`RequestHead::path_segment`](crate::RequestHead::path_segment)) matches no pattern. A `*` may be
/// written like in axum, `{*path}`. In nested axum routers, the whole path is known only with the
/// feature `axum`. `GET` includes `HEAD`. A pattern without a method matches the methods that HTTP
/// defines for resources, and never `TRACE`, `CONNECT` or an unknown method. A WebSocket over HTTP/2 is
/// [judged](crate::RequestHead::judged_method) as `GET`, as it is over HTTP/1.1.
///
/// # Examples
///
/// ```
/// use http::Method;
/// use tower_api_key::key::EndpointPattern;
///
/// let users: EndpointPattern = "GET /v1/users/{id}".parse()?;
/// assert!(users.matches(&Method::GET, "/v1/users/7"));
/// assert!(!users.matches(&Method::DELETE, "/v1/users/7"));
/// assert!(!users.matches(&Method::GET, "/v1/users/../admin"));
/// assert_eq!(users.method(), Some(&Method::GET));
/// assert_eq!(users.path().to_string(), "/v1/users/{id}");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct EndpointPattern {
    method: Option<Method>,
    path: PathPattern,
}

/// The path of an [`EndpointPattern`].
///
/// # Examples
///
/// ```
/// use tower_api_key::key::PathPattern;
///
/// let reports: PathPattern = "/v1/reports/*".parse()?;
/// assert!(reports.matches("/v1/reports/2026/11"));
/// assert!(!reports.matches("/v1/reports/"));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(Arc<[Segment]>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
    Rest,
}

/// The error of a text that is not an endpoint pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The path does not start with a slash, or has a query, a fragment, white space or non-ASCII
    /// characters.
    #[error("not an endpoint: write it like `GET /v1/users/{{id}}` or `/v1/reports/*`")]
    Form,
    /// The method is not one that a pattern can have.
    #[error("an endpoint cannot have this method: use GET, POST, PUT, PATCH, DELETE or OPTIONS")]
    Method,
    /// The method is `HEAD`.
    #[error("an endpoint cannot have the method HEAD: use GET, which includes it")]
    Head,
    /// No path in normal form matches it.
    #[error("no request has such a path: it has an empty, a dot or an encoded segment, or a `;`")]
    Unreachable,
    /// A parameter is not a whole segment, its name is empty or comes twice, or there are more
    /// than 16.
    #[error("a parameter is a whole segment like `{{id}}`, with a name of its own; at most 16")]
    Parameter,
    /// A wildcard is not the last segment.
    #[error("a wildcard `*` is the whole last segment")]
    Wildcard,
}

const MAX_PARAMETERS: usize = 16;

/// The methods of a pattern without a method; `HEAD` is a `GET`.
pub(crate) static METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Returns the method by which a request is judged, if it is a known one.
pub(crate) fn judged_method(method: &Method) -> Option<&'static Method> {
    let judged = if method == Method::HEAD { &Method::GET } else { method };
    METHODS.iter().find(|known| *known == judged)
}

impl EndpointPattern {
    /// Tells whether the pattern matches a request with this method and original path.
    #[must_use]
    pub fn matches(&self, method: &Method, path: &str) -> bool {
        NormalPath::parse(path)
            .is_some_and(|path| Self::any_matches(std::slice::from_ref(self), method, &path))
    }

    /// Tells whether one of `patterns` matches a request with this method and path.
    pub(crate) fn any_matches(patterns: &[Self], method: &Method, path: &NormalPath<'_>) -> bool {
        let Some(judged) = judged_method(method) else { return false };
        patterns.iter().any(|pattern| {
            pattern.method.as_ref().is_none_or(|own| own == judged)
                && pattern.path.matches_normal(path)
        })
    }

    /// Returns the method, if the pattern has one.
    #[must_use]
    pub fn method(&self) -> Option<&Method> {
        self.method.as_ref()
    }

    /// Returns the path.
    #[must_use]
    pub fn path(&self) -> &PathPattern {
        &self.path
    }
}

impl super::HeapSize for EndpointPattern {
    fn heap_size(&self) -> usize {
        self.path.0.heap_size()
    }
}

impl super::HeapSize for Segment {
    fn heap_size(&self) -> usize {
        match self {
            Self::Literal(text) | Self::Parameter(text) => text.heap_size(),
            Self::Rest => 0,
        }
    }
}

impl PathPattern {
    /// Tells whether the pattern matches an original path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        NormalPath::parse(path).is_some_and(|path| self.matches_normal(&path))
    }

    /// Like [`matches`](Self::matches), with a path in normal form.
    pub(crate) fn matches_normal(&self, path: &NormalPath<'_>) -> bool {
        let mut rest = Some(path.after_slash());
        for own in &*self.0 {
            let Some(left) = rest else { return false };
            let length = match own {
                Segment::Rest => return !left.is_empty() && !left.ends_with('/'),
                Segment::Literal(own) if left.starts_with(&**own) => own.len(),
                Segment::Literal(_) => return false,
                // Not byte by byte: a hundred patterns may be compared with a path of 8 kB.
                Segment::Parameter(_) => match left.find('/').unwrap_or(left.len()) {
                    0 => return false,
                    length => length,
                },
            };
            rest = match &left[length..] {
                "" => None,
                left => match left.strip_prefix('/') {
                    None => return false,
                    rest => rest,
                },
            };
        }
        rest.is_none()
    }

    #[cfg(feature = "policy")]
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    #[cfg(all(feature = "policy", any(feature = "testing", feature = "openapi")))]
    pub(crate) fn ends_with_wildcard(&self) -> bool {
        self.0.last() == Some(&Segment::Rest)
    }
}

impl FromStr for EndpointPattern {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let (method, path) = match text.split_once(' ') {
            None => (None, text),
            Some(("HEAD", _)) => return Err(EndpointError::Head),
            Some((method, path)) => {
                let known = METHODS.iter().find(|known| known.as_str() == method);
                (Some(known.cloned().ok_or(EndpointError::Method)?), path)
            }
        };
        Ok(Self { method, path: path.parse()? })
    }
}

impl FromStr for PathPattern {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#');
        if !text.starts_with('/') || !text.bytes().all(visible) {
            return Err(EndpointError::Form);
        }
        let path = NormalPath::parse(text).ok_or(EndpointError::Unreachable)?;
        let segments: Vec<_> = path.segments().map(segment).collect::<Result<_, _>>()?;
        let before = &segments[..segments.len() - 1];
        if before.contains(&Segment::Rest) {
            return Err(EndpointError::Wildcard);
        }
        let twice = |(index, segment): (usize, &Segment)| {
            matches!(segment, Segment::Parameter(_)) && segments[..index].contains(segment)
        };
        let parameters = segments.iter().filter(|segment| matches!(segment, Segment::Parameter(_)));
        if parameters.count() > MAX_PARAMETERS || segments.iter().enumerate().any(twice) {
            return Err(EndpointError::Parameter);
        }
        Ok(Self(segments.into()))
    }
}

fn segment(text: &str) -> Result<Segment, EndpointError> {
    if text == "*" {
        return Ok(Segment::Rest);
    }
    if let Some(name) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let named = |name: &str| !name.is_empty() && !name.contains(['{', '}', '*']);
        return match name.strip_prefix('*') {
            // As in axum.
            Some(rest) if named(rest) => Ok(Segment::Rest),
            None if named(name) => Ok(Segment::Parameter(name.into())),
            _ => Err(EndpointError::Parameter),
        };
    }
    if text.contains(['{', '}']) {
        return Err(EndpointError::Parameter);
    }
    if text.contains('*') {
        return Err(EndpointError::Wildcard);
    }
    Ok(Segment::Literal(text.into()))
}

impl fmt::Display for EndpointPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        self.path.fmt(f)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
            Segment::Rest => f.write_str("/*"),
        })
    }
}

is_text!(EndpointPattern);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, method: &str, path: &str) -> bool {
        let pattern: EndpointPattern = pattern.parse().unwrap();
        pattern.matches(&method.parse().unwrap(), path)
    }

    #[test]
    fn paths_are_compared_segment_by_segment() {
        for (pattern, path) in [
            ("/", "/"),
            ("/v1/users", "/v1/users"),
            ("/v1/users/", "/v1/users/"),
            ("/v1/users/{id}", "/v1/users/7"),
            ("/v1/users/{id}", "/v1/users/a%20b"),
            ("/v1/{a}/x/{b}", "/v1/1/x/2"),
            ("/v1/reports/*", "/v1/reports/daily"),
            ("/v1/reports/*", "/v1/reports/2026/11"),
            ("/v1/reports/{*rest}", "/v1/reports/2026/11"),
            ("/*", "/x"),
        ] {
            assert!(matches(pattern, "GET", path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("/v1/users", "/v1/users/"),
            ("/v1/users/", "/v1/users"),
            ("/v1/users", "/V1/users"),
            ("/v1/users", "/v1/%75sers"),
            ("/v1/users", "/v1/users-admin"),
            ("/v1/users", "v1/users"),
            ("/v1/users", "/v1"),
            ("/v1/users", ""),
            ("/v1/users", "*"),
            ("/v1/users/{id}", "/v1/users/"),
            ("/v1/users/{id}", "/v1/users"),
            ("/v1/users/{id}", "/v1/users/7/"),
            ("/v1/users/{id}", "/v1/users/7/keys"),
            ("/v1/users/{id}", "/v1/users/.."),
            ("/v1/users/{id}", "/v1/users/%2e%2e"),
            ("/v1/users/{id}", "/v1/users/7%2fkeys"),
            ("/v1/users/{id}", "/v1/users/%ff"),
            ("/v1/users/{id}", "/v1/users/%c0%ae%c0%ae%c0%afadmin"),
            ("/v1/reports/*", "/v1/reports/%c0%af/daily"),
            ("/*", "/caf%e9"),
            ("/v1/users/{id}", "/v1/users/7;x=1"),
            ("/v1/users/{id}", "//v1/users/7"),
            ("/v1/users/{id}", "/v1//users/7"),
            ("/v1/reports/*", "/v1/reports"),
            ("/v1/reports/*", "/v1/reports/"),
            ("/v1/reports/*", "/v1/reports/daily/"),
            ("/v1/reports/*", "/v1/reports/../admin"),
            ("/*", "/"),
        ] {
            assert!(!matches(pattern, "GET", path), "{pattern} {path}");
        }
    }

    #[test]
    fn get_covers_head_and_no_method_covers_those_that_are_known() {
        for (pattern, methods) in [
            ("GET /", &["GET", "HEAD"][..]),
            ("POST /", &["POST"]),
            ("/", &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        ] {
            let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
            for method in known.into_iter().chain(["TRACE", "CONNECT", "get", "PURGE"]) {
                assert_eq!(matches(pattern, method, "/"), methods.contains(&method), "{method}");
            }
        }
    }

    #[test]
    fn what_can_never_match_is_refused() {
        for (text, error) in [
            ("", EndpointError::Form),
            ("v1", EndpointError::Form),
            ("GET v1", EndpointError::Form),
            ("GET  /v1", EndpointError::Form),
            ("GET /v1 ", EndpointError::Form),
            ("/v1?x", EndpointError::Form),
            ("/v1#x", EndpointError::Form),
            ("/\u{e4}", EndpointError::Form),
            ("get /v1", EndpointError::Method),
            ("TRACE /v1", EndpointError::Method),
            ("HEAD /v1", EndpointError::Head),
            ("//v1", EndpointError::Unreachable),
            ("/v1/../x", EndpointError::Unreachable),
            ("/v1;x", EndpointError::Unreachable),
            ("/v1%2fx", EndpointError::Unreachable),
            ("/caf%e9", EndpointError::Unreachable),
            ("/{}", EndpointError::Parameter),
            ("/{id", EndpointError::Parameter),
            ("/{id}.json", EndpointError::Parameter),
            ("/a{id}", EndpointError::Parameter),
            ("/{a}/{a}", EndpointError::Parameter),
            ("/{*}", EndpointError::Parameter),
            ("/*/x", EndpointError::Wildcard),
            ("/x*", EndpointError::Wildcard),
            ("/**", EndpointError::Wildcard),
        ] {
            assert_eq!(text.parse::<EndpointPattern>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_path_has_at_most_16_parameters() {
        let path = |count| (0..count).map(|number| format!("/{{p{number}}}")).collect::<String>();
        assert!(path(16).parse::<EndpointPattern>().is_ok());
        assert_eq!(path(17).parse::<EndpointPattern>(), Err(EndpointError::Parameter));
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in ["/", "GET /v1/users/{id}", "/v1/*", "POST /a.b.C/D", "/v1/"] {
            assert_eq!(text.parse::<EndpointPattern>().unwrap().to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in "(GET |POST )?[/a{}*.%;]{0,12}", path in "[/a{}*.%;2e]{0,12}") {
            if let Ok(pattern) = pattern.parse::<EndpointPattern>() {
                let _ = pattern.matches(&Method::GET, &path);
            }
        }

        #[test]
        fn a_pattern_matches_what_has_its_segments(
            pattern in "(/(a|ab|\\{x\\}|)){1,3}(/\\*)?",
            path in "(/(a|ab|abc|)){1,4}",
        ) {
            let Ok(pattern) = pattern.parse::<PathPattern>() else { return Ok(()) };
            let mut segments = path[1..].split('/');
            let each = pattern.0.iter().all(|own| match (own, segments.next()) {
                (Segment::Literal(own), Some(other)) => **own == *other,
                (Segment::Parameter(_), Some(other)) => !other.is_empty(),
                (Segment::Rest, Some(first)) => {
                    !first.is_empty() && segments.by_ref().last() != Some("")
                }
                (_, None) => false,
            });
            let is_normal = NormalPath::parse(&path).is_some();
            prop_assert_eq!(pattern.matches(&path), is_normal && each && segments.next().is_none());
        }

        #[test]
        fn a_path_matches_the_pattern_that_it_was_made_of(
            segments in prop::collection::vec(("[a-c]{1,3}", any::<bool>()), 1..6),
            rest in prop::option::of("[a-c]{1,2}(/[a-c]{1,2}){0,2}"),
        ) {
            let (mut pattern, mut path) = (String::new(), String::new());
            for (index, (text, parameter)) in segments.iter().enumerate() {
                pattern += &if *parameter { format!("/{{p{index}}}") } else { format!("/{text}") };
                path += &format!("/{text}");
            }
            if let Some(rest) = rest {
                pattern += "/*";
                path += &format!("/{rest}");
            }
            prop_assert!(matches(&pattern, "GET", &path));
            for other in [format!("{path}/"), format!("/{path}"), format!("{path};")] {
                prop_assert!(!matches(&pattern, "GET", &other));
            }
        }
    }
}
