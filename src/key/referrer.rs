//! [`ReferrerPattern`]: the pages that may use a key.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::origin::{Site, syntax};
use super::{OriginError, OriginPattern};
use crate::path::NormalPath;
use crate::text::is_text;

/// The pages that may use a key: `https://app.example/*`, `https://app.example/checkout/*` or
/// `https://app.example/checkout`.
///
/// It is an [`OriginPattern`], optionally with a path. A path that ends with `/*` matches everything
/// below: `/shop/*` matches `/shop/` and `/shop/x/y`, but neither `/shop` nor `/shopping`. (In an
/// [`EndpointPattern`](crate::key::EndpointPattern), `/*` requires a segment.) Another path matches
/// only itself. An origin alone, with or without `/` or `/*`, matches every path, and is stored with
/// `/*`.
///
/// Paths are compared as text, with their case and percent-encoding, and have to be in normal form; see
/// [`RequestHead::path_segment`](crate::RequestHead::path_segment). With the feature `url`, characters
/// are percent-encoded first, as in the URL standard.
///
/// Browsers send no path to another origin unless the page sets another policy: the default is
/// `strict-origin-when-cross-origin` (Referrer Policy, section 3.7). A pattern with a path then matches
/// nothing.
///
/// # Examples
///
/// ```
/// use tower_api_key::key::ReferrerPattern;
///
/// let checkout: ReferrerPattern = "https://app.example/checkout/*".parse()?;
/// assert!(checkout.matches("https://app.example/checkout/pay?step=2"));
/// assert!(!checkout.matches("https://app.example/checkouts"));
/// assert!(!checkout.matches("https://app.example.evil.example/checkout/"));
/// assert!(checkout.has_path());
/// assert_eq!(checkout.origin().to_string(), "https://app.example");
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "String", into = "String"))]
pub struct ReferrerPattern {
    origin: OriginPattern,
    path: PagePath,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PagePath {
    Any,
    Exact(Arc<str>),
    /// Ends with a slash.
    Below(Arc<str>),
}

impl ReferrerPattern {
    /// Tells whether `referrer`, the value of a `Referer` header, matches (RFC 9110, section 10.1.3).
    ///
    /// The query and the fragment are ignored, and the path if the pattern has none. A referrer with a
    /// user name or white space, or of more than 4096 bytes, does not match.
    #[must_use]
    pub fn matches(&self, referrer: &str) -> bool {
        Page::parse(referrer).is_some_and(|page| self.matches_page(&page))
    }

    /// Like [`matches`](Self::matches), with a referrer that is parsed already.
    pub(crate) fn matches_page(&self, page: &Page<'_>) -> bool {
        self.origin.matches_site(&page.site) && self.path.matches(page.path.as_deref())
    }

    /// Returns the pattern of the origin.
    #[must_use]
    pub const fn origin(&self) -> &OriginPattern {
        &self.origin
    }

    /// Tells whether the pattern has a path.
    ///
    /// If not, the origin suffices, and an `Origin` header is as good as a `Referer`.
    #[must_use]
    pub const fn has_path(&self) -> bool {
        !matches!(self.path, PagePath::Any)
    }
}

impl super::HeapSize for ReferrerPattern {
    fn heap_size(&self) -> usize {
        let path = match &self.path {
            PagePath::Any => 0,
            PagePath::Exact(path) | PagePath::Below(path) => path.heap_size(),
        };
        self.origin.heap_size() + path
    }
}

impl PagePath {
    fn parse(text: &str) -> Result<Self, OriginError> {
        if matches!(text, "" | "/" | "/*") {
            return Ok(Self::Any);
        }
        let below = text.strip_suffix('*').filter(|path| path.ends_with('/'));
        let path = below.unwrap_or(text);
        let path = canonical_path(path).filter(|path| !path.contains('*'));
        let path = path.ok_or(OriginError::Path)?;
        Ok(if below.is_some() { Self::Below(path.into()) } else { Self::Exact(path.into()) })
    }

    /// Tells whether a path matches; one that is not in normal form does not.
    fn matches(&self, path: Option<&str>) -> bool {
        match (self, path) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exact(exact), Some(path)) => *path == **exact,
            (Self::Below(start), Some(path)) => path.starts_with(&**start),
        }
    }
}

/// The page of a `Referer`: parsed once, and compared as text with any number of patterns.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    site: Site<'a>,
    /// As browsers send it, if it is in normal form.
    path: Option<Cow<'a, str>>,
}

impl<'a> Page<'a> {
    /// The longest `Referer` that is read, in bytes: browsers cut longer ones to the origin (Referrer
    /// Policy, section 8.3).
    pub(crate) const MAX_LENGTH: usize = 4096;

    pub(crate) fn parse(referrer: &'a str) -> Option<Self> {
        if referrer.len() > Self::MAX_LENGTH {
            return None;
        }
        let url = syntax::split(referrer).ok()?;
        let end = url.rest.find(['?', '#']).unwrap_or(url.rest.len());
        let (path, _) = url.rest.split_at(end);
        if path.contains('\\') {
            return None;
        }
        let path = canonical_path(if path.is_empty() { "/" } else { path });
        Some(Self { site: Site::parse(url.origin)?, path })
    }

    /// Returns the origin of the page.
    pub(crate) fn site(&self) -> &Site<'a> {
        &self.site
    }
}

/// Returns a path as browsers send it, if it is in normal form.
fn canonical_path(path: &str) -> Option<Cow<'_, str>> {
    NormalPath::parse(path)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@%/[]|".contains(&byte);
    if path.bytes().all(plain) { Some(Cow::Borrowed(path)) } else { encode(path).map(Cow::Owned) }
}

#[cfg(feature = "url")]
fn encode(path: &str) -> Option<String> {
    Some(url::Url::parse("http://localhost").ok()?.join(path).ok()?.path().to_owned())
}

/// Without the feature `url`, there is no other form.
#[cfg(not(feature = "url"))]
const fn encode(_: &str) -> Option<String> {
    None
}

impl FromStr for ReferrerPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let url = syntax::split(text)?;
        if url.rest.contains(['?', '#']) {
            return Err(OriginError::Query);
        }
        Ok(Self { origin: url.origin.parse()?, path: PagePath::parse(url.rest)? })
    }
}

is_text!(ReferrerPattern);

impl fmt::Display for ReferrerPattern {
    /// Writes it in the form that browsers send.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, path } = self;
        match path {
            PagePath::Any => write!(f, "{origin}/*"),
            PagePath::Exact(path) => write!(f, "{origin}{path}"),
            PagePath::Below(path) => write!(f, "{origin}{path}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> ReferrerPattern {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn an_origin_alone_stands_for_every_path() {
        for text in ["https://app.example", "https://app.example/", "https://app.example/*"] {
            let app = pattern(text);
            assert!(!app.has_path());
            assert_eq!(app.to_string(), "https://app.example/*");
            assert_eq!(app.origin().to_string(), "https://app.example");
            for page in ["", "/", "/shop", "/a/b?q=https://evil.com#x", "?q", "/a;b", "/a//b/../c"]
            {
                assert!(app.matches(&format!("https://app.example{page}")), "{page}");
            }
        }
    }

    #[test]
    fn the_path_in_front_is_compared_by_whole_segments() {
        let shop = pattern("https://app.example/shop/*");
        assert!(shop.has_path());
        assert_eq!(shop.to_string(), "https://app.example/shop/*");
        for page in ["/shop/", "/shop/x", "/shop/x/y?q", "/shop/x/y#f", "/shop/?../../admin"] {
            assert!(shop.matches(&format!("https://app.example{page}")), "{page}");
        }
        for page in [
            "",
            "/",
            "/shop",
            "/shopping",
            "/shop?/",
            "/shop#/",
            "/Shop/",
            "/sh%6Fp/",
            "/a/shop/",
            "//shop/",
            "/shop//",
            "/shop//x",
            "/shop/../admin",
            "/shop/./x",
            "/shop/..",
            "/shop/%2e%2e/admin",
            "/shop/%2E%2E%2Fadmin",
            "/shop/..%2fadmin",
            "/shop/x%5c..",
            "/shop/x;y",
            "/shop/\\..\\admin",
            "\\shop/",
            "/?/shop/",
        ] {
            assert!(!shop.matches(&format!("https://app.example{page}")), "{page}");
        }
    }

    #[test]
    fn an_exact_path_stands_for_itself() {
        let shop = pattern("https://app.example/shop");
        assert!(shop.has_path());
        assert_eq!(shop.to_string(), "https://app.example/shop");
        for page in ["/shop", "/shop?q", "/shop#f"] {
            assert!(shop.matches(&format!("https://app.example{page}")), "{page}");
        }
        for page in ["", "/", "/shop/", "/shop/x", "/shops", "/SHOP", "/x/../shop", "//shop"] {
            assert!(!shop.matches(&format!("https://app.example{page}")), "{page}");
        }
        let directory = pattern("https://app.example/shop/");
        assert!(directory.matches("https://app.example/shop/"));
        assert!(!directory.matches("https://app.example/shop"));
        assert!(!directory.matches("https://app.example/shop/x"));
    }

    #[test]
    fn the_origin_is_that_of_the_url() {
        let app = pattern("https://app.example/*");
        for other in [
            "",
            "null",
            "about:blank",
            "/shop",
            "app.example/",
            "//app.example/",
            "http://app.example/",
            "https://app.example:8443/",
            "https://app.example.evil.com/",
            "https://app.example./",
            "https://evilapp.example/",
            "https://a.app.example/",
            "https://app.example@evil.com/",
            "https://user@app.example/",
            "https://user:hush@app.example/",
            "https://app.example%2eevil.com/",
            "https://evil.com/https://app.example/",
            "https://evil.com/?https://app.example/",
            "https://evil.com#https://app.example/",
            "https://evil.com\\@app.example/",
            "https://app.example\\@evil.com/",
            "https://app.example\\.evil.com/",
            "https:/app.example/",
            "https:///app.example/",
            "https://app.example\t/",
            "https://app.ex\nample/",
            " https://app.example/",
            "https://app.example/ ",
            "https://app.example/, https://app.example/",
        ] {
            assert!(!app.matches(other), "{other:?}");
        }
        assert!(app.matches("https://app.example/@user"));

        let apps = pattern("https://*.app.example/shop/*");
        assert_eq!(apps.origin().to_string(), "https://*.app.example");
        assert!(apps.matches("https://a.b.app.example/shop/x"));
        assert!(!apps.matches("https://app.example/shop/x"));
        assert!(!apps.matches("https://evil.com/a.app.example/shop/x"));
    }

    #[test]
    fn what_is_no_origin_with_a_path_is_no_pattern() {
        use OriginError::*;

        for (wrong, why) in [
            ("", Scheme),
            ("*", Scheme),
            ("null", Scheme),
            ("/shop/*", Scheme),
            ("app.example/shop", Scheme),
            ("ftp://app.example/", Scheme),
            ("https://*", Wildcard),
            ("https://*/shop/*", Wildcard),
            ("https:///shop", Host),
            ("https://me:hush@app.example/*", UserInfo),
            ("https://app.example/a b", Character),
            ("https://app.example/*?", Query),
            ("https://app.example/shop?q", Query),
            ("https://app.example/#shop", Query),
            ("https://app.example?q", Query),
            ("https://app.example//", Path),
            ("https://app.example//*", Path),
            ("https://app.example/shop*", Path),
            ("https://app.example/*/shop", Path),
            ("https://app.example/*/*", Path),
            ("https://app.example/**", Path),
            ("https://app.example/a//b", Path),
            ("https://app.example/a/../b", Path),
            ("https://app.example/./*", Path),
            ("https://app.example/%2e%2e/*", Path),
            ("https://app.example/a%2Fb", Path),
            ("https://app.example/a;b", Path),
            ("https://app.example/a\\b", Path),
            ("https://app.example\\shop", Path),
        ] {
            assert_eq!(wrong.parse::<ReferrerPattern>(), Err(why), "{wrong}");
        }
    }

    #[cfg(feature = "url")]
    #[test]
    fn every_form_of_the_url_standard_is_understood() {
        let cafe = pattern("HTTPS://App.Example:443/caf\u{e9}/*");
        assert_eq!(cafe.to_string(), "https://app.example/caf%C3%A9/*");
        for form in [
            "https://app.example/caf%C3%A9/x",
            "https://app.example/caf\u{e9}/x",
            "https://APP.example:443/caf\u{e9}/<x>",
        ] {
            assert!(cafe.matches(form), "{form}");
        }
        assert!(!cafe.matches("https://app.example/caf\u{e9}/../x"));
        assert!(!cafe.matches("https://app.example/cafe/x"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_pattern_is_a_text_in_serde() {
        let shop = pattern("https://app.example/shop/*");
        let text = serde_json::to_string(&shop).unwrap();
        assert_eq!(text, r#""https://app.example/shop/*""#);
        assert_eq!(serde_json::from_str::<ReferrerPattern>(&text).unwrap(), shop);
        assert!(serde_json::from_str::<ReferrerPattern>(r#""https://*""#).is_err());
        assert_eq!(ReferrerPattern::try_from(String::from(shop.clone())), Ok(shop));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[cfg(feature = "url")]
        #[test]
        fn what_matches_is_there_to_the_url_parser(
            text in prop_oneof![
                any::<String>(),
                "(?i)https?://(app\\.example|a@app\\.example|[a.]app\\.example)[.:\\\\]?(/|/shop|/\\.\\.|/%2e|/[a-c;\\\\ ?#\u{e9}<]{0,2}){0,4}",
            ],
        ) {
            let url = url::Url::parse(&text).ok().filter(|url| {
                url.origin().ascii_serialization() == "https://app.example" && url.username().is_empty()
            });
            let path = url.as_ref().map(url::Url::path);
            if pattern("https://app.example/*").matches(&text) {
                prop_assert!(path.is_some());
            }
            if pattern("https://app.example/shop/*").matches(&text) {
                prop_assert!(path.is_some_and(|path| path.starts_with("/shop/")));
            }
            if pattern("https://app.example/shop").matches(&text) {
                prop_assert_eq!(path, Some("/shop"));
            }
        }

        #[cfg(feature = "url")]
        #[test]
        fn a_path_that_is_kept_is_one_that_browsers_send(path in "(/[!-~\u{e9}]{0,4}){1,3}") {
            let text = format!("https://app.example{path}");
            if let Ok(pattern) = text.parse::<ReferrerPattern>() && !path.ends_with('*') {
                let url = url::Url::parse(&text).unwrap();
                prop_assert!(pattern.matches(&text) && pattern.matches(url.as_str()));
                let shown = pattern.to_string();
                prop_assert_eq!(shown.trim_end_matches('*'), url.as_str());
            }
        }

        #[test]
        fn a_page_below_matches_and_a_page_beside_does_not(
            path in "(/[a-z]{1,4}){1,2}",
            page in "[a-z]{1,4}(/[a-z]{1,4}){0,2}",
        ) {
            let below = pattern(&format!("https://app.example{path}/*"));
            let below_path = format!("https://app.example{path}/{page}");
            let beside = format!("https://app.example{path}{page}");
            prop_assert!(below.matches(&below_path));
            prop_assert!(!below.matches(&beside));
        }
    }
}
