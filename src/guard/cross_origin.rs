//! [`RefuseCrossOrigin`]: refuses secret keys in calls of other sites' pages.

use http::HeaderValue;
use http::header::{HOST, HeaderName, ORIGIN};

use super::Guard;
use super::layer::guard_is_a_layer;
use crate::head::RequestHead;
use crate::key::{KeyKind, origin_syntax};
use crate::reject::{Reason, Rejection};
use crate::verify::VerifiedKey;

/// Refuses secret keys in cross-origin calls of browsers. Public keys pass.
///
/// It keeps front-end code from working with a secret key, which everyone could read there. It also
/// keeps other sites from using a key that their visitors' browsers send. It does not stop scripts and
/// programs, which can send any header.
///
/// A request passes if
///
/// 1. the key is public; or
/// 2. `Sec-Fetch-Site` is `same-origin` or `none`, as when the user opened the page (Fetch
///    Metadata, section 2.3); or
/// 3. there is no `Sec-Fetch-Site`, and the host and port of `Origin` are those of the request's
///    own host; or
/// 4. there is neither of the two: no browser sent it.
///
/// A request is also refused if the header that decides has any other value, such as `same-site` or
/// `null`, or comes more than once. The answer is a 403, "Secret API keys do not work in cross-origin
/// calls".
///
/// # Deployment caveats
///
/// * Browsers send `Sec-Fetch-Site` only to `https` and to localhost. Over plain `http`, a cross-origin
///   `GET` that a page makes without CORS, such as for an image, has neither header and passes.
/// * The request's own host is the authority of its target, as in HTTP/2, or else `Host`. A proxy has
///   to forward it unchanged. Otherwise browsers without `Sec-Fetch-Site` are refused on their own
///   origin, too. The scheme is not compared, because the server does not know its own.
///
/// # Examples
///
/// ```
/// use http::{Request, StatusCode};
/// use tower::{Layer, ServiceExt};
/// use tower_api_key::{KeyManager, MemoryStore, NewKey, RefuseCrossOrigin};
/// # use std::convert::Infallible;
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let keys = KeyManager::new(MemoryStore::new());
/// let secret = keys.issue(NewKey::named("server")).await?.secret;
/// let layer = keys.layer().guard(RefuseCrossOrigin::new());
/// let service = layer.layer(tower::service_fn(async |_: Request<String>| {
///     Ok::<_, Infallible>(http::Response::new(String::new()))
/// }));
///
/// let request = Request::get("https://api.example/")
///     .header("x-api-key", secret.reveal())
///     .header("sec-fetch-site", "cross-site")
///     .body(String::new())?;
/// assert_eq!(service.oneshot(request).await?.status(), StatusCode::FORBIDDEN);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct RefuseCrossOrigin(());

impl RefuseCrossOrigin {
    /// Refuses cross-origin calls with a secret key.
    pub const fn new() -> Self {
        Self(())
    }
}

impl Guard for RefuseCrossOrigin {
    fn check(&self, key: &VerifiedKey, head: &RequestHead<'_>) -> Result<(), Rejection> {
        if key.kind() == KeyKind::Public || !is_cross_origin(head) {
            return Ok(());
        }
        Err(Rejection::not_allowed(Reason::CrossOrigin)
            .with_message("Secret API keys do not work in cross-origin calls"))
    }
}

guard_is_a_layer!(RefuseCrossOrigin);

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// How often a header occurs.
enum Found<'a> {
    Never,
    Once(&'a HeaderValue),
    Often,
}

fn find<'a>(head: &RequestHead<'a>, name: HeaderName) -> Found<'a> {
    let mut values = head.headers().get_all(name).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Found::Never,
        (Some(value), None) => Found::Once(value),
        (Some(_), Some(_)) => Found::Often,
    }
}

fn is_cross_origin(head: &RequestHead<'_>) -> bool {
    match find(head, SEC_FETCH_SITE) {
        Found::Once(site) => !matches!(site.as_bytes(), b"same-origin" | b"none"),
        Found::Often => true,
        Found::Never => match find(head, ORIGIN) {
            Found::Once(origin) => is_of_another_host(origin, head),
            Found::Often => true,
            Found::Never => false,
        },
    }
}

fn is_of_another_host(origin: &HeaderValue, head: &RequestHead<'_>) -> bool {
    let Some(Ok(origin)) = origin.to_str().ok().map(origin_syntax::split) else {
        return true;
    };
    let Some(own) = own_authority(head) else {
        return true;
    };
    let host_and_port = |authority| match origin_syntax::split_port(authority) {
        (host, Some(port)) if port == origin.scheme.default_port() => (host, None),
        other => other,
    };
    let (host, port) = host_and_port(origin.authority);
    let (own_host, own_port) = host_and_port(own);
    !origin.rest.is_empty() || !host.eq_ignore_ascii_case(own_host) || port != own_port
}

/// Returns the host and port of the request. The authority of its target takes precedence over `Host`
/// (RFC 9112, section 3.2.2, and RFC 9113, section 8.3.1).
fn own_authority<'a>(head: &RequestHead<'a>) -> Option<&'a str> {
    if let Some(authority) = head.uri().authority() {
        return Some(authority.as_str());
    }
    match find(head, HOST) {
        Found::Once(host) => host.to_str().ok(),
        Found::Never | Found::Often => None,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    /// Asks about a request to `target` with these header lines.
    fn refused(target: &str, lines: &[&str]) -> bool {
        let request = lines.iter().fold(Request::get(target), |request, line| {
            let (name, value) = line.split_once(": ").unwrap();
            request.header(name, value)
        });
        is_cross_origin(&RequestHead::new(&request.body(()).unwrap()))
    }

    fn refused_at(host: &str, origin: &str) -> bool {
        refused("/", &[&format!("host: {host}"), &format!("origin: {origin}")])
    }

    #[test]
    fn what_the_browser_says_of_the_site_decides() {
        let origins = ["origin: https://api.example", "origin: https://evil.example"];
        for origin in origins {
            for site in ["same-origin", "none"] {
                let site = format!("sec-fetch-site: {site}");
                assert!(!refused("/", &["host: api.example", origin, &site]), "{site}, {origin}");
            }
            for site in ["same-site", "cross-site", "Same-Origin", "", "none, none", "new-word"] {
                let site = format!("sec-fetch-site: {site}");
                assert!(refused("/", &["host: api.example", origin, &site]), "{site}, {origin}");
            }
        }
        let twice = ["sec-fetch-site: same-origin", "sec-fetch-site: same-origin"];
        assert!(refused("/", &twice));
    }

    #[test]
    fn a_request_without_either_header_is_not_a_browsers() {
        assert!(!refused("/", &["host: api.example"]));
        assert!(!refused("/", &["host: api.example", "referer: https://evil.example/"]));
        assert!(!refused("/", &[]));
    }

    #[test]
    fn the_origin_is_compared_with_the_requests_own_host() {
        for (host, origin) in [
            ("api.example", "https://api.example"),
            ("API.Example", "https://api.example"),
            ("api.example:443", "https://api.example"),
            ("api.example", "https://api.example:443"),
            ("api.example:80", "http://api.example"),
            ("api.example:8443", "https://api.example:8443"),
            ("localhost:3000", "http://localhost:3000"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("[::1]", "http://[::1]"),
        ] {
            assert!(!refused_at(host, origin), "{origin} at {host}");
        }
        for (host, origin) in [
            ("api.example", "https://evil.example"),
            ("api.example", "https://api.example:8443"),
            ("api.example:8443", "https://api.example"),
            ("api.example:80", "https://api.example"),
            ("api.example:443", "http://api.example"),
            ("api.example", "https://www.api.example"),
            ("api.example", "https://api.example.evil.example"),
            ("api.example", "https://evilapi.example"),
            ("api.example", "https://api.example."),
            ("api.example", "https://api.example@evil.example"),
            ("api.example", "https://user@api.example"),
            ("api.example", "https://api.example/"),
            ("api.example", "https://api.example\\"),
            ("api.example", "https://api.example?"),
            ("api.example", "https://api.example:"),
            ("api.example", "https://api.example https://evil.example"),
            ("api.example", "https://api.example, https://api.example"),
            ("api.example", "chrome-extension://api.example"),
            ("api.example", "ftp://api.example"),
            ("api.example", "https:api.example"),
            ("api.example", "//api.example"),
            ("api.example", "api.example"),
            ("api.example", "null"),
            ("null", "null"),
            ("api.example", ""),
            ("", ""),
            ("", "https://"),
            (":443", "https://"),
            (":8443", "https://:8443"),
        ] {
            assert!(refused_at(host, origin), "{origin} at {host}");
        }
    }

    #[test]
    fn the_authority_of_the_target_goes_before_host() {
        let lines = ["host: evil.example", "origin: https://api.example"];
        assert!(!refused("https://api.example/", &lines));
        let lines = ["host: api.example", "origin: https://api.example"];
        assert!(refused("https://evil.example/", &lines));
        assert!(refused("https://user@api.example/", &lines));
    }

    #[test]
    fn several_origins_or_hosts_and_unreadable_ones_are_refused() {
        let origin = "origin: https://api.example";
        assert!(refused("/", &["host: api.example", origin, origin]));
        assert!(refused("/", &["host: api.example", "host: api.example", origin]));
        assert!(refused("/", &[origin]));
        assert!(refused(
            "/",
            &["host: b\u{fc}cher.example", "origin: https://b\u{fc}cher.example"]
        ));
    }

    proptest! {
        #[test]
        fn an_origin_passes_only_at_its_own_host(
            host in "[a-c]{1,2}(:[0-9]{1,2})?",
            origin in "(https?://)?[a-c]{1,2}(:[0-9]{1,2})?[/.@]?",
        ) {
            let (http, https) = (format!("http://{host}"), format!("https://{host}"));
            let own = [http.clone(), https.clone(), format!("{http}:80"), format!("{https}:443")];
            let same = own.contains(&origin) || http.strip_suffix(":80") == Some(origin.as_str());
            prop_assert_eq!(refused_at(&host, &origin), !same);
        }
    }
}
