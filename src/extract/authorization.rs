//! [`AuthorizationScheme`] and [`Bearer`]: a key in `Authorization`.

use std::borrow::Cow;

use http::HeaderValue;

use super::header::value_of;
use super::items::{is_token, is_token_character};
use super::place::AUTHORIZATION;
use super::{Carrier, Credential, CredentialPlace, Extract};
use crate::head::RequestHead;
use crate::key::{KeyFormat, PresentedKey};
use crate::reject::{Rejection, RejectionKind};

/// Finds the key in `Authorization`, after the name of a scheme such as `ApiKey` or `Token`.
///
/// The case of the scheme does not matter. One token must follow (`token68` of RFC 9110, section 11.2).
/// `Authorization` with another scheme is ignored. A request with two `Authorization` lines is
/// ambiguous if one of them has the scheme.
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::extract::AuthorizationScheme;
/// use tower_api_key::{Extract, RequestHead};
///
/// let token = AuthorizationScheme::new("Token");
/// let request = Request::get("/").header("authorization", "Token ak_123").body(())?;
/// assert!(token.extract(&RequestHead::new(&request))?.is_some());
/// let request = Request::get("/").header("authorization", "Bearer ak_123").body(())?;
/// assert!(token.extract(&RequestHead::new(&request))?.is_none());
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AuthorizationScheme {
    name: Cow<'static, str>,
    tokens: Tokens,
    /// The start of keys; tokens with another start belong to another authenticator.
    prefix: Option<Cow<'static, str>>,
}

/// The texts that may follow the name of the scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tokens {
    /// The tokens that the RFCs allow.
    Token68,
    /// Everything that could be a key.
    AnyKey,
}

impl AuthorizationScheme {
    /// Looks for the scheme `name`.
    ///
    /// # Panics
    ///
    /// Panics if `name` is not a token (RFC 9110, section 5.6.2).
    #[must_use]
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        let name = name.into();
        assert!(
            is_token(name.as_bytes()),
            "the name of an authentication scheme must be a token (RFC 9110, section 5.6.2), not {name:?}"
        );
        Self { name, tokens: Tokens::Token68, prefix: None }
    }

    /// Also accepts keys with characters that RFC 9110 does not allow there, such as `1|abc` of Laravel
    /// Sanctum: all visible ASCII characters but `,`, `;`, `"` and `\`.
    ///
    /// By default such a key is malformed. Strict clients and proxies may refuse to send it.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::AuthorizationScheme;
    /// use tower_api_key::{Extract, RequestHead};
    ///
    /// let request = Request::get("/").header("authorization", "Token 1|abc").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(AuthorizationScheme::new("Token").extract(&head).is_err());
    /// let any = AuthorizationScheme::new("Token").with_any_key_characters();
    /// assert!(any.extract(&head)?.is_some());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_any_key_characters(mut self) -> Self {
        self.tokens = Tokens::AnyKey;
        self
    }

    /// Leaves tokens that do not start with `prefix` to another authenticator. See
    /// [`Bearer::starting_with`].
    ///
    /// # Panics
    ///
    /// Panics if `prefix` is empty, or has a character that no key can have.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::AuthorizationScheme;
    /// use tower_api_key::{Extract, RequestHead};
    ///
    /// let keys = AuthorizationScheme::new("Token").starting_with("sk_");
    /// let request = Request::get("/").header("authorization", "Token of-a-session").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(keys.extract(&head)?.is_none());
    /// assert_eq!(keys.left_to_others(&head).unwrap(), "Token of-a-session");
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn starting_with(mut self, prefix: impl Into<Cow<'static, str>>) -> Self {
        let prefix = prefix.into();
        assert!(
            PresentedKey::check(prefix.as_bytes()).is_ok(),
            "the start of keys must be visible ASCII and not empty, not {prefix:?}"
        );
        self.prefix = Some(prefix);
        self
    }

    /// Tells whether the token belongs to another authenticator.
    fn leaves(&self, rest: &[u8]) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        !rest.trim_ascii_start().starts_with(prefix.as_bytes())
    }
}

impl Extract for AuthorizationScheme {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        if self.prefix.is_some()
            && after_scheme(head, &self.name)?.is_some_and(|rest| self.leaves(rest))
        {
            return Ok(None);
        }
        extract(head, &self.name, self.tokens)
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Authorization(self.name.clone())]
    }

    fn left_to_others<'a>(&self, head: &RequestHead<'a>) -> Option<&'a HeaderValue> {
        // Several lines are ambiguous, or have another scheme.
        let value = head.only(&AUTHORIZATION)?;
        rest_after(value, &self.name).is_some_and(|rest| self.leaves(rest)).then_some(value)
    }

    fn can_carry(&self, format: &KeyFormat) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| format.prefix().starts_with(prefix))
    }

    fn reads_path(&self) -> bool {
        false
    }
}

/// Finds the key in `Authorization: Bearer <key>` (RFC 6750, section 2.1).
///
/// In all else, it is like an [`AuthorizationScheme`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Bearer;

impl Bearer {
    /// Also accepts keys with characters that the RFC does not allow, such as `1|abc`. See
    /// [`AuthorizationScheme::with_any_key_characters`].
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::Bearer;
    /// use tower_api_key::{Extract, RequestHead};
    ///
    /// let request = Request::get("/").header("authorization", "Bearer 1|abc").body(())?;
    /// let head = RequestHead::new(&request);
    /// assert!(Bearer.extract(&head).is_err());
    /// assert!(Bearer.with_any_key_characters().extract(&head)?.is_some());
    /// # Ok::<_, Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_any_key_characters(self) -> AuthorizationScheme {
        AuthorizationScheme::new("Bearer").with_any_key_characters()
    }

    /// Finds keys that start with `prefix`, and leaves other bearer tokens to another authenticator:
    /// for routes that accept a session or a key as `Authorization: Bearer`.
    ///
    /// * Mount the other authenticator outside of the layer. It [claims](super::Claimed) the tokens
    ///   that it has verified. The layer refuses an unclaimed token with 401, even if keys are
    ///   [optional](crate::ApiKeyLayer::optional): a mistyped key does not become anonymous.
    /// * [`ApiKeyLayer::unless`](crate::ApiKeyLayer::unless) and [`Guard::unless`](crate::Guard::unless) say
    ///   which requests without a key pass.
    /// * A key in another place, beside a token of the other authenticator, is ambiguous.
    /// * The challenge, the `Vary` and OpenAPI documents are the same as those of `Bearer`.
    ///
    /// # Panics
    ///
    /// Panics if `prefix` is empty, or has a character that no key can have.
    ///
    /// # Examples
    ///
    /// ```
    /// use axum::{Router, body::Body, routing::get};
    /// use http::{Request, StatusCode};
    /// use tower::ServiceExt;
    /// use tower_api_key::extract::{Bearer, Claimed};
    /// use tower_api_key::{ApiKeyLayer, Guard, MemoryStore, RequestHead, RequireAbility};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// fn is_user(head: &RequestHead<'_>) -> bool {
    ///     head.extensions().get::<User>().is_some()
    /// }
    /// let app = Router::new()
    ///     .route("/bots", get(|| async { "…" }).layer(RequireAbility::new("bots:read").unless(is_user)))
    ///     .layer(
    ///         ApiKeyLayer::new(MemoryStore::new())
    ///             .extractor(Bearer.starting_with("sk_"))
    ///             .unless(is_user),
    ///     );
    ///
    /// let request = || Request::get("/bots").header("authorization", "Bearer of-a-session");
    /// let unclaimed = app.clone().oneshot(request().body(Body::empty())?).await?;
    /// assert_eq!(unclaimed.status(), StatusCode::UNAUTHORIZED);
    /// // An outer layer verifies the session: see `Claimed`.
    /// let mut request = request().body(Body::empty())?;
    /// let token = request.headers()["authorization"].clone();
    /// request.extensions_mut().insert(User("alice".to_owned()));
    /// request.extensions_mut().insert(Claimed::new(token));
    /// assert_eq!(app.oneshot(request).await?.status(), StatusCode::OK);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn starting_with(self, prefix: impl Into<Cow<'static, str>>) -> AuthorizationScheme {
        AuthorizationScheme::new("Bearer").starting_with(prefix)
    }
}

impl Extract for Bearer {
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        extract(head, "Bearer", Tokens::Token68)
    }

    fn places(&self) -> Vec<CredentialPlace> {
        vec![CredentialPlace::Authorization("Bearer".into())]
    }

    fn reads_path(&self) -> bool {
        false
    }
}

fn extract<'a>(
    head: &RequestHead<'a>,
    scheme: &str,
    tokens: Tokens,
) -> Result<Option<Credential<'a>>, Rejection> {
    let Some(rest) = after_scheme(head, scheme)? else {
        return Ok(None);
    };
    let token = rest.trim_ascii_start();
    // Only spaces may separate them, and there must be at least one.
    let spaces = &rest[..rest.len() - token.len()];
    let is_token = match tokens {
        Tokens::Token68 => is_token68(token),
        Tokens::AnyKey => PresentedKey::check(token).is_ok(),
    };
    if spaces.is_empty() || spaces.iter().any(|byte| *byte != b' ') || !is_token {
        return Err(RejectionKind::Malformed.into());
    }
    Ok(Some(in_authorization(token)))
}

pub(super) fn in_authorization<'a>(bytes: impl Into<Cow<'a, [u8]>>) -> Credential<'a> {
    Credential { bytes: bytes.into(), carrier: Carrier::Header(&AUTHORIZATION) }
}

/// Returns the text after the name of the scheme, if `Authorization` has that scheme.
pub(super) fn after_scheme<'a>(
    head: &RequestHead<'a>,
    scheme: &str,
) -> Result<Option<&'a [u8]>, Rejection> {
    let headers = head.headers();
    if headers.len() == headers.keys_len() {
        return Ok(value_of(headers, &AUTHORIZATION).and_then(|value| rest_after(value, scheme)));
    }
    let mut found = None;
    let mut lines = 0;
    for value in headers.get_all(&AUTHORIZATION) {
        lines += 1;
        found = rest_after(value, scheme).or(found);
    }
    match found {
        Some(_) if lines > 1 => Err(RejectionKind::Ambiguous.into()),
        found => Ok(found),
    }
}

fn rest_after<'a>(value: &'a HeaderValue, scheme: &str) -> Option<&'a [u8]> {
    let (name, rest) = value.as_bytes().split_at_checked(scheme.len())?;
    let is_scheme = name.eq_ignore_ascii_case(scheme.as_bytes())
        && !rest.first().copied().is_some_and(is_token_character);
    is_scheme.then_some(rest)
}

/// `token68` of RFC 9110, section 11.2, which is the `b64token` of RFC 6750, section 2.1.
pub(crate) fn is_token68(text: &[u8]) -> bool {
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    let token = &text[..text.len() - padding];
    // Checks all bytes without an early exit, which is faster for a valid token.
    let allowed = token.iter().fold(true, |all, byte| all & is_token68_character(*byte));
    !token.is_empty() && allowed
}

const fn is_token68_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        | (byte == b'-')
        | (byte == b'.')
        | (byte == b'_')
        | (byte == b'~')
        | (byte == b'+')
        | (byte == b'/')
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;

    fn bearer(values: &[&str]) -> Result<Option<String>, RejectionKind> {
        let mut request = Request::builder();
        for value in values {
            request = request.header(&AUTHORIZATION, *value);
        }
        let request = request.body(()).unwrap();
        let found = Bearer.extract(&RequestHead::new(&request));
        found
            .map(|found| found.map(|found| String::from_utf8(found.bytes.to_vec()).unwrap()))
            .map_err(|rejection| rejection.kind())
    }

    #[test]
    fn the_schemes_case_does_not_matter() {
        for value in ["Bearer K", "bearer K", "BEARER K", "Bearer   K"] {
            assert_eq!(bearer(&[value]), Ok(Some("K".to_owned())), "{value}");
        }
    }

    #[test]
    fn exactly_one_token_must_follow() {
        for value in [
            "Bearer",
            "Bearer ",
            "Bearer K extra",
            "Bearer K ",
            "Bearer\tK",
            "Bearer \tK",
            "Bearer,K",
            "Bearer K,K",
            "Bearer K, Bearer K",
            "Bearer =",
            "Bearer K=K",
            "Bearer \"K\"",
        ] {
            assert_eq!(bearer(&[value]), Err(RejectionKind::Malformed), "{value:?}");
        }
    }

    #[test]
    fn any_characters_of_keys_are_accepted_where_that_is_set() {
        let extractor = Bearer.with_any_key_characters();
        let found = |value: &str| {
            let request = Request::get("/").header(&AUTHORIZATION, value).body(()).unwrap();
            let found = extractor.extract(&RequestHead::new(&request));
            found
                .map(|found| found.map(|found| found.bytes.to_vec()))
                .map_err(|rejection| rejection.kind())
        };
        for key in ["1|abc", "K=K", "a!b@c#d$e%f^g&h*", "{x}", "K"] {
            assert_eq!(found(&format!("Bearer {key}")), Ok(Some(key.into())), "{key}");
            assert_eq!(found(&format!("Basic {key}")), Ok(None), "{key}");
        }
        let long = "x".repeat(257);
        for wrong in ["", " ", " 1|a b", " a,b", " \"K\"", " a;b", " a\\b", &format!(" {long}")] {
            assert_eq!(found(&format!("Bearer{wrong}")), Err(RejectionKind::Malformed), "{wrong}");
        }
        assert_eq!(bearer(&["Bearer 1|abc"]), Err(RejectionKind::Malformed));
    }

    #[test]
    fn another_scheme_is_left_alone() {
        for value in ["Basic dTpw", "BearerK", "Bearer-K", "Bear", "", " Bearer K"] {
            assert_eq!(bearer(&[value]), Ok(None), "{value:?}");
        }
        assert_eq!(bearer(&["Basic dTpw", "Digest x"]), Ok(None));
    }

    #[test]
    fn two_lines_are_ambiguous_if_one_has_the_scheme() {
        for values in [["Bearer K", "Bearer K"], ["Basic dTpw", "Bearer K"], ["Bearer K", "x"]] {
            assert_eq!(bearer(&values), Err(RejectionKind::Ambiguous), "{values:?}");
        }
    }

    #[test]
    #[should_panic(expected = "the name of an authentication scheme must be a token")]
    fn a_scheme_with_a_space_is_refused() {
        let _ = AuthorizationScheme::new("Api Key");
    }

    proptest! {
        #[test]
        fn no_header_value_makes_it_panic(
            scheme in "(Bearer|bearer)? ?",
            rest in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let value = [scheme.as_bytes(), &rest].concat();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let request = Request::get("/").header("authorization", value).body(()).unwrap();
                let _ = Bearer.extract(&RequestHead::new(&request));
            }
        }
    }
}
