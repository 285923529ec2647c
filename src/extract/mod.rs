//! Extractors: where a request has its API key, such as a header, a cookie or the query.
//!
//! An [`Extract`] finds the credential and its place, so that the layer can remove it before the
//! request is forwarded. It does not decide whether the credential is valid.

mod authorization;
mod basic;
mod claimed;
mod cookie;
mod credential;
mod first_of;
mod header;
mod items;
mod place;
mod query;
mod subprotocol;
mod uri;

use std::sync::Arc;

use http::HeaderValue;

pub use self::authorization::{AuthorizationScheme, Bearer};
pub use self::basic::Basic;
pub use self::claimed::Claimed;
pub use self::cookie::Cookie;
pub use self::credential::Credential;
pub use self::first_of::FirstOf;
pub use self::header::Header;
pub use self::place::CredentialPlace;
pub use self::query::Query;
pub use self::subprotocol::Subprotocol;

#[cfg(feature = "client")]
pub(crate) use self::authorization::is_token68;
pub(crate) use self::credential::Carrier;
#[cfg(feature = "client")]
pub(crate) use self::header::X_API_KEY;

use crate::head::RequestHead;
use crate::key::KeyFormat;
use crate::reject::Rejection;

/// Finds the credential of a request.
///
/// Functions implement it; for closures, use [`extract_fn`].
///
/// # Examples
///
/// ```
/// use http::{Request, header::HeaderName};
/// use tower_api_key::extract::Credential;
/// use tower_api_key::{ApiKeyLayer, Extract, MemoryStore, Rejection, RequestHead};
///
/// const TICKET: HeaderName = HeaderName::from_static("ticket");
///
/// /// `ticket: v1/<key>`
/// fn ticket<'a>(head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
///     let value = head.headers().get(TICKET).map(|value| value.as_bytes());
///     let key = value.and_then(|value| value.strip_prefix(b"v1/"));
///     Ok(key.map(|key| Credential::in_header(TICKET, key)))
/// }
/// let request = Request::get("/").header(TICKET, "v1/ak_123").body(())?;
/// let head = RequestHead::new(&request);
/// assert!(ticket.extract(&head)?.is_some());
/// // The places of a function are not known.
/// assert!(ticket.places().is_empty() && ticket.reads_path());
/// assert!(ticket.left_to_others(&head).is_none());
/// let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(ticket);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub trait Extract: Send + Sync {
    /// Finds the credential: `None` if the request has none in the places of this extractor.
    ///
    /// # Errors
    ///
    /// Returns [`Ambiguous`](crate::RejectionKind::Ambiguous) for several credentials, and
    /// [`Malformed`](crate::RejectionKind::Malformed) for one that cannot be read.
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection>;

    /// Returns the places in which it looks for a key.
    ///
    /// The layer's `WWW-Authenticate` uses the first scheme among them, or `ApiKey` if there is none.
    /// The `Vary` of every response has all the headers among them.
    ///
    /// By default, and for functions, no place is known. If keys are optional and a cache is in use,
    /// the application has to set `Vary` itself. OpenAPI documents then describe no keys.
    fn places(&self) -> Vec<CredentialPlace> {
        Vec::new()
    }

    /// Returns the header that this extractor could read, but leaves to another authenticator, such as
    /// the `Authorization` of a session if keys [start with `sk_`](Bearer::starting_with).
    ///
    /// The layer refuses a request without a key that has such a header with 401, unless the other
    /// authenticator [claimed](Claimed) it. Otherwise a mistyped key would become anonymous if keys are
    /// optional. The default is none.
    fn left_to_others<'a>(&self, head: &RequestHead<'a>) -> Option<&'a HeaderValue> {
        let _ = head;
        None
    }

    /// Makes an extractor that also looks in the places of `other`. A request with two credentials is
    /// ambiguous.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::extract::{Bearer, Extract, Header};
    /// use tower_api_key::{ApiKeyLayer, MemoryStore};
    ///
    /// // The default of a layer.
    /// let extractor = Header::x_api_key().or(Bearer);
    /// assert_eq!(extractor.places().len(), 2);
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(extractor);
    /// ```
    fn or<E: Extract>(self, other: E) -> FirstOf<Self, E>
    where
        Self: Sized,
    {
        FirstOf::new(self, other)
    }

    /// Tells whether this extractor can carry keys of `format`.
    ///
    /// A layer panics if its scheme has a format that the extractor cannot carry, because it would
    /// refuse all of these keys. By default, and for functions, every format can be carried.
    ///
    /// # Examples
    ///
    /// Host names are case-insensitive, so keys in them must be, too:
    ///
    /// ```should_panic
    /// use tower_api_key::extract::{Credential, Extract};
    /// use tower_api_key::{ApiKeyLayer, KeyFormat, KeyScheme, MemoryStore, Rejection, RequestHead};
    ///
    /// struct FirstLabel;
    ///
    /// impl Extract for FirstLabel {
    ///     fn extract<'a>(
    ///         &self,
    ///         head: &RequestHead<'a>,
    ///     ) -> Result<Option<Credential<'a>>, Rejection> {
    ///         let label = head.uri().host().and_then(|host| host.split('.').next());
    ///         Ok(label.map(|label| Credential::elsewhere(label.as_bytes())))
    ///     }
    ///
    ///     fn can_carry(&self, format: &KeyFormat) -> bool {
    ///         format.characters().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-'))
    ///     }
    /// }
    /// let hex = KeyFormat::new("key-").body(tower_api_key::Alphabet::Hex, 40);
    /// let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(FirstLabel);
    /// let layer = layer.scheme(KeyScheme::new(hex)); // passes
    ///
    /// let layer = layer.scheme(KeyScheme::new(KeyFormat::default())); // panics
    /// ```
    fn can_carry(&self, format: &KeyFormat) -> bool {
        let _ = format;
        true
    }

    /// Tells whether the key may be in the path of a request.
    ///
    /// If so, no event and no report of the layer, or of the guards inside it, shows a path.
    ///
    /// The default, also for functions, is yes. A type of your own that only reads headers returns
    /// `false`, so that its events show the path.
    fn reads_path(&self) -> bool {
        true
    }
}

impl<F> Extract for F
where
    F: for<'a> Fn(&RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> + Send + Sync,
{
    fn extract<'a>(&self, head: &RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> {
        self(head)
    }
}

/// Helps the compiler to infer that a closure is an [`Extract`].
///
/// # Examples
///
/// ```
/// use http::Request;
/// use tower_api_key::extract::{Credential, extract_fn};
/// use tower_api_key::{ApiKeyLayer, Extract, MemoryStore, RequestHead};
///
/// let in_authority = extract_fn(|head| {
///     let user = head.uri().authority().and_then(|host| host.as_str().split_once('@'));
///     Ok(user.map(|(user, _)| Credential::elsewhere(user.as_bytes())))
/// });
/// let request = Request::get("https://ak_123@api.example/").body(())?;
/// assert!(in_authority.extract(&RequestHead::new(&request))?.is_some());
/// let layer = ApiKeyLayer::new(MemoryStore::new()).extractor(in_authority);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub const fn extract_fn<F>(extract: F) -> F
where
    F: for<'a> Fn(&RequestHead<'a>) -> Result<Option<Credential<'a>>, Rejection> + Send + Sync,
{
    extract
}

const _: Option<Arc<dyn Extract>> = None;
