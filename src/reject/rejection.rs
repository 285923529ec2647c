//! [`Rejection`]: one refusal, with its details for the operator.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Response;

use super::RejectionKind;
use super::reason::Reason;
use crate::key::{Ability, FormatError, KeyId, TenantId};
use crate::limit::Usage;
use crate::store::KeyRecord;

/// The refusal of one request.
///
/// Guards return it, and responders turn it into a response. The response has it in its extensions, so
/// that outer layers can count and log reasons that clients do not see. It never holds the text of the
/// key.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use tower_api_key::{Rejection, RejectionKind, RequestHead, VerifiedKey};
///
/// fn office_hours(key: &VerifiedKey, _: &RequestHead<'_>) -> Result<(), Rejection> {
///     match key.metadata().get("office_hours_only") {
///         None => Ok(()),
///         Some(_) => Err(Rejection::new(RejectionKind::NotAllowed)
///             .with_message("This API key works from nine to five")),
///     }
/// }
/// let refusal = Rejection::new(RejectionKind::Unavailable)
///     .with_retry_after(Duration::from_secs(5))
///     .with_source("connection refused");
/// assert_eq!(refusal.kind(), RejectionKind::Unavailable);
/// assert_eq!(refusal.retry_after(), Some(Duration::from_secs(5)));
/// assert_eq!(refusal.message(), "API keys cannot be verified at the moment");
///
/// let refusal = Rejection::missing_ability("bots:write".parse()?);
/// assert_eq!(refusal.abilities()[0].as_str(), "bots:write");
/// assert_eq!(refusal.message(), "Missing ability: bots:write");
/// # let layer = tower_api_key::GuardLayer::new(office_hours);
/// # Ok::<_, tower_api_key::key::AbilityError>(())
/// ```
#[derive(Clone)]
pub struct Rejection {
    kind: RejectionKind,
    reason: Option<Reason>,
    format: Option<FormatError>,
    /// The record of the key, if it was looked up.
    key: Option<Arc<KeyRecord>>,
    // Boxed, because most have none, and every step moves a `Result`.
    details: Option<Box<Details>>,
}

#[derive(Clone, Default)]
struct Details {
    message: Option<Cow<'static, str>>,
    abilities: Option<Arc<[Ability]>>,
    retry_after: Option<Duration>,
    usage: Option<Usage>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Rejection {
    /// Creates a rejection of `kind`, with the message of the kind.
    #[must_use]
    pub const fn new(kind: RejectionKind) -> Self {
        Self { kind, reason: None, format: None, key: None, details: None }
    }

    /// Creates a rejection because the key does not allow the request.
    pub(crate) const fn not_allowed(reason: Reason) -> Self {
        let kind = RejectionKind::NotAllowed;
        Self { kind, reason: Some(reason), format: None, key: None, details: None }
    }

    /// Creates a rejection because the key lacks `ability`.
    #[must_use]
    pub fn missing_ability(ability: Ability) -> Self {
        Self::missing_one_of(Arc::new([ability]))
    }

    /// Creates a rejection because the key lacks all of `abilities`.
    pub(crate) fn missing_one_of(abilities: Arc<[Ability]>) -> Self {
        Self::new(RejectionKind::MissingAbility).with(|details| details.abilities = Some(abilities))
    }

    /// Creates a rejection of a public key where only secret ones are accepted.
    pub(crate) fn public_key() -> Self {
        Self::not_allowed(Reason::KeyKind).with_message("Public API keys do not work here")
    }

    /// Creates a rejection of another method than `POST` where only gRPC is spoken.
    pub(crate) fn not_post() -> Self {
        Self::not_allowed(Reason::Method).with_message("gRPC methods are called by POST only")
    }

    /// Creates a rejection of a text that is not a key.
    pub(crate) const fn malformed(error: FormatError) -> Self {
        let kind = RejectionKind::Malformed;
        Self { kind, reason: None, format: Some(error), key: None, details: None }
    }

    /// Creates a rejection of an address that presented too many wrong keys.
    pub(crate) fn throttled(wait: Duration) -> Self {
        Self::new(RejectionKind::RateLimited)
            .with_message("Too many requests with keys that are not valid")
            .with_retry_after(wait)
    }

    /// Sets the message for the client.
    ///
    /// A responder with a message of its own for the kind ignores it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tower_api_key::{Rejection, RejectionKind};
    ///
    /// let refusal = Rejection::new(RejectionKind::NotAllowed).with_message("Upgrade first");
    /// assert_eq!(refusal.message(), "Upgrade first");
    /// ```
    #[must_use]
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Self {
        self.with(|details| details.message = Some(message.into()))
    }

    /// Sets how long the client should wait, in whole seconds rounded up.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        self.with(|details| details.retry_after = Some(wait))
    }

    /// Adds the cause, which only the operator sees.
    #[must_use]
    pub fn with_source(self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.with(|details| details.source = Some(source.into().into()))
    }

    /// Creates a rejection because a limit of the key refuses the request.
    pub(crate) fn rate_limited(usage: Usage) -> Self {
        let rejection = match usage.decision.retry_after() {
            Some(wait) => Self::new(RejectionKind::RateLimited).with_retry_after(wait),
            // 429 would suggest that another attempt helps.
            None => Self::not_allowed(Reason::Cost)
                .with_message("The request costs more than the API key's rate limit ever allows"),
        };
        rejection.with_usage(usage)
    }

    /// Adds the state of the key's limits for the client.
    pub(crate) fn with_usage(self, usage: Usage) -> Self {
        self.with(|details| details.usage = Some(usage))
    }

    fn with(mut self, set: impl FnOnce(&mut Details)) -> Self {
        set(self.details.get_or_insert_default());
        self
    }

    /// Returns the rejection of an inner guard or layer for the key with `id`, or for a request without
    /// a key, if it refused the request.
    ///
    /// Another rejection, such as that of a service that a handler called, is an ordinary response of
    /// the application.
    pub(crate) fn of_response<'a, B>(
        response: &'a Response<B>,
        id: Option<&KeyId>,
    ) -> Option<&'a Self> {
        let rejection: &Self = response.extensions().get()?;
        (rejection.key_id() == id).then_some(rejection)
    }

    /// Adds the refused key.
    pub(crate) fn of_key(mut self, key: &Arc<KeyRecord>) -> Self {
        self.key = Some(Arc::clone(key));
        self
    }

    /// Returns the reason.
    #[must_use]
    pub const fn kind(&self) -> RejectionKind {
        self.kind
    }

    /// Returns what the [kind](Self::kind) leaves open, for the operator.
    ///
    /// For [`NotAllowed`](RejectionKind::NotAllowed) it is the restriction of the key that the request does not
    /// match: `address`, `unknown_address` (the server does not know the address), `site` or `endpoint`; or what
    /// the server refuses: `key_kind`, `method`, `cross_origin` or `cost`. For
    /// [`RateLimited`](RejectionKind::RateLimited) it is the names of the limits. Otherwise it is the
    /// [message](Self::message) of the guard, if it has one.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey, PeerAddress};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("the office").addresses(["192.0.2.0/24"])).await?.secret;
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal());
    /// let request = request.extension(PeerAddress("198.51.100.7:443".parse()?)).body(())?;
    /// let refusal = keys.layer().verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().reason().as_deref(), Some("address"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn reason(&self) -> Option<Cow<'_, str>> {
        if let Some(reason) = self.reason {
            return Some(Cow::Borrowed(reason.as_str()));
        }
        let mut limits = self.violated_policies();
        match limits.next() {
            Some(first) => Some(limits.fold(Cow::Borrowed(first), |all, name| all + ", " + name)),
            None => (!self.is_plain()).then(|| self.message()),
        }
    }

    /// Returns the public id of the key, if its record was looked up.
    ///
    /// # Examples
    ///
    /// Who was refused:
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let issued = keys.issue(NewKey::named("a device").tenant("acme")).await?;
    /// let layer = keys.layer();
    /// keys.revoke(issued.record.id()).await?;
    ///
    /// let request = Request::get("/").header("x-api-key", issued.secret.reveal()).body(())?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().key_id(), Some(issued.record.id()));
    /// assert_eq!(refusal.rejection().tenant().unwrap(), "acme");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        self.key.as_deref().map(KeyRecord::id)
    }

    pub(crate) fn record(&self) -> Option<&Arc<KeyRecord>> {
        self.key.as_ref()
    }

    /// Returns the tenant of the key, if its record was looked up.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = NewKey::named("the office").tenant("acme").addresses(["192.0.2.0/24"]);
    /// let key = keys.issue(key).await?.secret;
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let refusal = keys.layer().verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert_eq!(refusal.rejection().tenant().unwrap(), "acme"); // no address is known
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tenant(&self) -> Option<&TenantId> {
        self.key.as_deref()?.tenant()
    }

    /// Returns the abilities of which the key needs one.
    #[must_use]
    pub fn abilities(&self) -> &[Ability] {
        let abilities = self.details.as_ref().and_then(|details| details.abilities.as_deref());
        abilities.unwrap_or_default()
    }

    /// Returns how long the client should wait.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.details.as_ref()?.retry_after
    }

    /// Returns the names of the limits that refuse the request.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::Request;
    /// use tower_api_key::{KeyManager, MemoryStore, NewKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let keys = KeyManager::new(MemoryStore::new());
    /// let key = keys.issue(NewKey::named("a device").limit("1 per hour")).await?.secret;
    /// let layer = keys.layer();
    ///
    /// let request = Request::get("/").header("x-api-key", key.reveal()).body(())?;
    /// let _admitted = layer.verify(&mut request.clone().into_parts().0).await?;
    /// let refusal = layer.verify(&mut request.into_parts().0).await.unwrap_err();
    /// assert!(refusal.rejection().violated_policies().eq(["hourly"]));
    /// # Ok(())
    /// # }
    /// ```
    pub fn violated_policies(&self) -> impl Iterator<Item = &str> {
        self.usage().into_iter().flat_map(Usage::exceeded)
    }

    pub(crate) fn usage(&self) -> Option<&Usage> {
        self.details.as_ref()?.usage.as_ref()
    }

    /// Returns the message for the client, unless the responder has another.
    #[must_use]
    pub fn message(&self) -> Cow<'_, str> {
        let own = self.details.as_ref().and_then(|details| details.message.as_deref());
        match (own, self.abilities()) {
            (Some(message), _) => Cow::Borrowed(message),
            (None, []) => Cow::Borrowed(self.kind.message()),
            (None, [ability]) => Cow::Owned(format!("Missing ability: {ability}")),
            (None, several) => {
                let several: Vec<_> = several.iter().map(Ability::as_str).collect();
                Cow::Owned(format!("Missing ability: one of {}", several.join(", ")))
            }
        }
    }

    /// Tells whether the client sees nothing but the message of the kind.
    pub(crate) fn says_its_kind_only(&self) -> bool {
        self.details.is_none()
    }

    /// Tells whether the message is the kind's own.
    pub(crate) fn is_plain(&self) -> bool {
        let details = self.details.as_ref();
        details.is_none_or(|details| details.message.is_none() && details.abilities.is_none())
    }
}

impl From<RejectionKind> for Rejection {
    fn from(kind: RejectionKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rejection")
            .field("kind", &self.kind)
            .field("reason", &self.reason)
            .field("message", &self.message())
            .field("key", &self.key_id())
            .field("retry_after", &self.retry_after())
            .field("source", &self.source())
            .finish()
    }
}

impl fmt::Display for Rejection {
    /// Writes the text for the operator: the kind and, if known, the key's id.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key_id() {
            Some(id) => write!(f, "request refused: {} ({id})", self.kind),
            None => write!(f, "request refused: {}", self.kind),
        }
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match (&self.format, &self.details) {
            (Some(error), _) => Some(error),
            (None, Some(details)) => details.source.as_deref().map(|error| error as _),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_the_missing_ability() {
        let one = Rejection::missing_ability("bots:write".parse().unwrap());
        assert_eq!(one.message(), "Missing ability: bots:write");
        let several = ["a:b", "c:d"].map(|text| text.parse().unwrap());
        let any = Rejection::missing_one_of(Arc::new(several));
        assert_eq!(any.message(), "Missing ability: one of a:b, c:d");
    }

    #[test]
    fn the_operator_sees_the_key_and_the_source() {
        let digest = crate::key::KeyHasher::sha256().digest("k");
        let now = std::time::SystemTime::now();
        let record = KeyRecord::new("key_1".parse().unwrap(), digest, "test", now);
        let rejection = Rejection::new(RejectionKind::Unavailable)
            .of_key(&Arc::new(record))
            .with_source("connection reset");
        assert_eq!(rejection.to_string(), "request refused: unavailable (key_1)");
        assert_eq!(rejection.source().unwrap().to_string(), "connection reset");
        assert_eq!(rejection.message(), "API keys cannot be verified at the moment");
    }
}
