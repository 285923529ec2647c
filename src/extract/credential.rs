//! [`Credential`]: the credential of a request, and where it was found.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::header::{Entry, HeaderName};
use http::{HeaderValue, Request, Uri};

use super::items::{COOKIES, List, SUBPROTOCOLS, after_prefix, cookie_value};
use super::{CredentialPlace, uri};
use crate::head::RequestHead;
use crate::reject::{Rejection, RejectionKind};

/// The bytes of a credential, and the place from which the layer removes them.
pub struct Credential<'a> {
    pub(crate) bytes: Cow<'a, [u8]>,
    pub(crate) carrier: Carrier,
}

/// The place of a credential: small, because every step hands it to the next.
#[derive(Clone, Debug)]
pub(crate) enum Carrier {
    Header(&'static HeaderName),
    Shared(Arc<CredentialPlace>),
    Elsewhere,
}

impl<'a> Credential<'a> {
    /// Creates a credential from the header `name`. The layer removes this header before it forwards
    /// the request, or marks it as sensitive if it keeps credentials.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::header::HeaderName;
    /// use tower_api_key::extract::Credential;
    ///
    /// let credential = Credential::in_header(HeaderName::from_static("ticket"), b"ak_123");
    /// assert!(!format!("{credential:?}").contains("ak_123"));
    /// ```
    pub fn in_header(name: HeaderName, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), carrier: CredentialPlace::Header(name).into() }
    }

    /// Creates a credential from the query parameter `name`. The layer removes this parameter before it
    /// forwards the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::{Credential, extract_fn};
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// // `?v1=<key>` as the first parameter.
    /// let layer = keys.layer().extractor(extract_fn(|head| {
    ///     let value = head.uri().query().and_then(|query| query.strip_prefix("v1="));
    ///     let key = value.map(|value| value.split('&').next().unwrap_or_default());
    ///     Ok(key.map(|key| Credential::in_query("v1", key.as_bytes())))
    /// }));
    ///
    /// let request = Request::get(format!("/bots?v1={}&page=2", key.reveal())).body(())?;
    /// let (mut parts, ()) = request.into_parts();
    /// layer.verify(&mut parts).await?;
    /// assert_eq!(parts.uri, "/bots?page=2"); // without the key
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_query(name: impl Into<Cow<'static, str>>, bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), carrier: CredentialPlace::Query(name.into()).into() }
    }

    /// Creates a credential from a place that the layer cannot clean.
    ///
    /// Responses are marked as private for caches, unless the handler sets `Cache-Control`. The `Vary`
    /// does not name the place, because the layer does not know it.
    ///
    /// A key in the path is forwarded with the request. The events of this crate do not show such a
    /// path (see [`Extract::reads_path`](super::Extract::reads_path)); other layers may log it.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::extract::{Credential, extract_fn};
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device")).await?.secret;
    /// // `/hooks/<key>`
    /// let layer = keys.layer().extractor(extract_fn(|head| {
    ///     let key = head.uri().path().strip_prefix("/hooks/");
    ///     Ok(key.map(|key| Credential::elsewhere(key.as_bytes())))
    /// }));
    ///
    /// let request = Request::post(format!("/hooks/{}", key.reveal())).body(())?;
    /// assert!(layer.verify(&mut request.into_parts().0).await.is_ok());
    /// # Ok(())
    /// # }
    /// ```
    pub fn elsewhere(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { bytes: bytes.into(), carrier: Carrier::Elsewhere }
    }

    /// Tells whether it was found in the header with this value.
    pub(super) fn is_in(&self, value: &HeaderValue, head: &RequestHead<'a>) -> bool {
        let own = self.carrier.header().and_then(|name| head.only(name));
        own.is_some_and(|own| std::ptr::eq(own, value))
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("carrier", &self.carrier).finish_non_exhaustive()
    }
}

impl Carrier {
    /// Removes the credential from the request that is to be forwarded.
    pub(crate) fn remove_from<B>(&self, request: &mut Request<B>) -> Result<(), Rejection> {
        if let Self::Shared(place) = self {
            match &**place {
                CredentialPlace::Query(name) => return remove_parameter(name, request),
                CredentialPlace::Cookie(name) => {
                    let ours = |item: &[u8]| cookie_value(item, name).is_some();
                    return remove_item(&COOKIES, request, ours);
                }
                CredentialPlace::Subprotocol(prefix) => {
                    let ours = |item: &[u8]| after_prefix(item, prefix).is_some();
                    return remove_item(&SUBPROTOCOLS, request, ours);
                }
                CredentialPlace::Header(_) | CredentialPlace::Authorization(_) => {}
            }
        }
        if let Some(name) = self.header() {
            request.headers_mut().remove(name);
        }
        Ok(())
    }

    /// Marks the credential as sensitive, so that `Debug` of the request does not show it.
    pub(crate) fn mark_sensitive<B>(&self, request: &mut Request<B>) {
        if let Some(name) = self.header()
            && let Entry::Occupied(mut entry) = request.headers_mut().entry(name)
        {
            entry.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }

    pub(crate) fn header(&self) -> Option<&HeaderName> {
        match self {
            Self::Header(name) => Some(name),
            Self::Shared(place) => place.header(),
            Self::Elsewhere => None,
        }
    }
}

impl From<CredentialPlace> for Carrier {
    fn from(place: CredentialPlace) -> Self {
        Self::Shared(Arc::new(place))
    }
}

fn remove_item<B>(
    list: &List,
    request: &mut Request<B>,
    ours: impl Fn(&[u8]) -> bool,
) -> Result<(), Rejection> {
    // The rest is a valid header value. If it were not, the request must not go on.
    list.remove(request.headers_mut(), ours).map_err(|_| RejectionKind::Malformed.into())
}

fn remove_parameter<B>(name: &str, request: &mut Request<B>) -> Result<(), Rejection> {
    // A URI without one parameter is a valid URI. If it were not, the request must not go on with the
    // credential in it.
    let without = |uri: &Uri| uri::without(uri, name).ok_or(RejectionKind::Malformed);
    *request.uri_mut() = without(request.uri())?;
    #[cfg(feature = "axum")]
    if let Some(axum::extract::OriginalUri(uri)) = request.extensions_mut().get_mut() {
        *uri = without(uri)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_bytes() {
        let credential = Credential::elsewhere(&b"hush"[..]);
        assert!(!format!("{credential:?}").contains("hush"));
    }

    #[test]
    fn a_kept_header_is_marked_sensitive() {
        let mut request = Request::get("/").header("x-api-key", "hush").body(()).unwrap();
        Carrier::from(CredentialPlace::Header(HeaderName::from_static("x-api-key")))
            .mark_sensitive(&mut request);
        assert!(request.headers()["x-api-key"].is_sensitive());
        assert!(!format!("{request:?}").contains("hush"));
    }
}
