//! [`Cookie`]: a key in a cookie.

use std::borrow::Cow;

use super::items::{COOKIES, cookie_value, is_token};
use super::{Carrier, Credential, CredentialPlace, Extract};
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};

/// Finds the key as the value of one cookie (RFC 6265).
///
/// The layer removes this cookie and leaves the others. Two cookies of this name are ambiguous, also in
/// two lines of `Cookie`, as HTTP/2 sends them. The value is not decoded, and a quoted value is
/// malformed.
///
/// **Browsers send cookies by themselves, also for pages of other sites**: this allows cross-site
/// request forgery, and its equivalent for WebSockets, which CORS does not prevent. So use it only for
/// WebSockets, `EventSource` and pages of the same site:
///
/// * mount [`RefuseCrossOrigin`](crate::RefuseCrossOrigin), which refuses requests of other origins;
/// * set the cookie with `HttpOnly`, `Secure` and `SameSite=Strict`, and with the name prefix
///   `__Host-`, so that no other host of the site can set it;
/// * issue the key for no longer than a session.
///
/// # Examples
///
/// ```
/// use tower_api_key::extract::{Cookie, FirstOf};
/// use tower_api_key::{ApiKeyLayer, MemoryStore, RefuseCrossOrigin};
///
/// let layer = ApiKeyLayer::new(MemoryStore::new())
///     .extractor(FirstOf::default().or(Cookie::new("__Host-api-key")))
///     .guard(RefuseCrossOrigin::new());
/// ```
#[derive(Clone, Debug)]
pub struct Cookie {
    name: Cow<'static, str>,
    carrier: Carrier,
}

impl Cookie {
    /// Looks for the cookie `name`. The case of names matters.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a token (RFC 9110, section 5.6.2).
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::Cookie;
    /// use tower_api_key::{Extract, RequestHead};
    ///
    /// let request = Request::get("/").header("cookie", "theme=dark; __Host-api-key=ak_123").body(())?;
    /// assert!(Cookie::new("__Host-api-key").extract(&RequestHead::new(&request))?.is_some());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        assert!(
            is_token(name.as_bytes()),
            "the name of a cookie must be a token (RFC 9110, section 5.6.2), not {name:?}"
        );
        Self { carrier: CredentialPlace::Cookie(name.clone()).into(), name }
    }
}

impl Extract for Cookie {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        let key = COOKIES
            .only(head.headers(), |item| cookie_value(item, &self.name))
            .map_err(|_| RejectionKind::Ambiguous)?;
        Ok(key.map(|key| Credential { bytes: key.into(), carrier: self.carrier.clone() }))
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Cookie(self.name.clone())]
    }

    fn reads_path(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;

    fn found(lines: &[&str]) -> Result<Option<String>, RejectionKind> {
        let request =
            lines.iter().fold(Request::get("/"), |request, line| request.header("cookie", *line));
        let request = request.body(()).unwrap();
        let found = Cookie::new("k").extract(&RequestHead::new(&request));
        found
            .map(|found| found.map(|found| String::from_utf8(found.bytes.to_vec()).unwrap()))
            .map_err(|rejection| rejection.kind())
    }

    #[test]
    fn one_cookie_of_the_name_has_the_key() {
        for lines in
            [&["k=K=1"][..], &["a=b; k=K=1"], &["k=K=1;a=b"], &["a=b", "k=K=1"], &["k = K=1 ; a"]]
        {
            assert_eq!(found(lines), Ok(Some("K=1".to_owned())), "{lines:?}");
        }
        for lines in [&[][..], &[""], &["a=k"], &["K=K"], &["kk=K"], &["a=k=K"], &["k"], &["=k"]] {
            assert_eq!(found(lines), Ok(None), "{lines:?}");
        }
        // It is there, and the layer refuses it.
        assert_eq!(found(&["k="]), Ok(Some(String::new())));
        assert_eq!(found(&["k=\"K\""]), Ok(Some("\"K\"".to_owned())));
    }

    #[test]
    fn two_cookies_are_ambiguous_however_they_are_written() {
        for lines in [&["k=K; k=K"][..], &["k=K", "k=L"], &["k=K; k =L"], &["k=K; a=b; k="]] {
            assert_eq!(found(lines), Err(RejectionKind::Ambiguous), "{lines:?}");
        }
    }

    #[test]
    #[should_panic(expected = "the name of a cookie must be a token")]
    fn a_name_that_no_cookie_has_is_refused() {
        let _ = Cookie::new("a;b");
    }

    proptest! {
        #[test]
        fn no_header_value_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(value) = HeaderValue::from_bytes(&[b"k=", &*value].concat()) {
                let request = Request::get("/").header("cookie", value).body(()).unwrap();
                let _ = Cookie::new("k").extract(&RequestHead::new(&request));
            }
        }
    }
}
