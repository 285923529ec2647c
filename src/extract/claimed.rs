//! [`Claimed`]: a credential that another authenticator verified.

use std::fmt;

use http::HeaderValue;

use crate::head::RequestHead;

/// Marks a header of the request, such as the `Authorization` of a session, as verified by another
/// authenticator. Insert it into the extensions of the request.
///
/// Use it with layers whose extractor [leaves tokens to others](super::Extract::left_to_others). They
/// refuse a token that is not a key with 401, unless an outer layer has verified and claimed exactly
/// this value. If the session is in a cookie, do not claim `Authorization`.
///
/// # Examples
///
/// ```
/// use axum::extract::Request;
/// use axum::middleware::Next;
/// use axum::response::Response;
/// use http::header::AUTHORIZATION;
/// use tower_api_key::extract::Claimed;
///
/// #[derive(Clone)]
/// struct User(String);
///
/// # fn verify_session(token: &str) -> Option<User> { Some(User(token.to_owned())) }
/// /// Mounted outside of the `ApiKeyLayer`.
/// async fn session(mut request: Request, next: Next) -> Response {
///     if let Some(value) = request.headers().get(AUTHORIZATION).cloned()
///         && let Some(token) = value.to_str().ok().and_then(|text| text.strip_prefix("Bearer "))
///         && let Some(user) = verify_session(token)
///     {
///         request.extensions_mut().insert(user);
///         request.extensions_mut().insert(Claimed::new(value));
///     }
///     next.run(request).await
/// }
/// # let app: axum::Router = axum::Router::new().layer(axum::middleware::from_fn(session));
/// ```
#[derive(Clone)]
pub struct Claimed(HeaderValue);

impl Claimed {
    /// Claims the header with the value that was verified.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::{Request, header::AUTHORIZATION};
    /// use tower_api_key::extract::{Bearer, Claimed};
    /// use tower_api_key::{KeyManager, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let layer = keys.layer().extractor(Bearer.starting_with("sk_")).optional();
    ///
    /// let mut request = Request::get("/").header(AUTHORIZATION, "Bearer of-a-session").body(())?;
    /// assert!(layer.verify(&mut request.clone().into_parts().0).await.is_err());
    /// let verified = request.headers()[AUTHORIZATION].clone();
    /// request.extensions_mut().insert(Claimed::new(verified));
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn new(mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self(value)
    }

    /// Tells whether an authenticator has claimed `value`.
    pub(crate) fn covers(head: &RequestHead<'_>, value: &HeaderValue) -> bool {
        head.extensions().get::<Self>().is_some_and(|Self(claimed)| claimed == value)
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claimed").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn only_the_value_that_was_claimed_is_covered() {
        let mut request = Request::new(());
        let value = HeaderValue::from_static("Bearer of-a-session");
        assert!(!Claimed::covers(&RequestHead::new(&request), &value));
        request.extensions_mut().insert(Claimed::new(value.clone()));
        assert!(Claimed::covers(&RequestHead::new(&request), &value));
        let other = HeaderValue::from_static("Bearer of-another");
        assert!(!Claimed::covers(&RequestHead::new(&request), &other));
        assert_eq!(format!("{:?}", Claimed::new(value)), "Claimed { .. }");
    }
}
