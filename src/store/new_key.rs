//! [`NewKey`] and [`IssuedKey`]: a key before and after it is issued.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::Value;

use super::KeyHint;
use super::KeyRecord;
use super::public_text::{PUBLIC_TEXT, keep_public_text};
use crate::address::Network;
use crate::key::{
    Ability, EndpointPattern, InvalidFields, IssueError, KeyFormat, KeyId, KeyKind, KeyScheme,
    OriginPattern, RateLimit, RateLimits, ReferrerPattern, Restrictions, Secret, Stage, TenantId,
};

/// Describes an API key before it is issued: its name, tenant, abilities, expiry, limits and restrictions.
///
/// Each setter takes a text or the parsed value; setters of lists take any number of either. An invalid text does
/// not panic: [`KeyManager::issue`](crate::KeyManager::issue) and [`generate`](Self::generate) return
/// all of them [at once](InvalidFields). The manager's own rules, such as for names and expiries, apply after that.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyManager, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = NewKey::named("nightly import").tenant("acme").abilities(["imports:write"]);
/// let issued = keys.issue(key).await?;
/// println!("shown once: {}", issued.secret.reveal());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewKey {
    name: String,
    format: Choice,
    tenant: Option<TenantId>,
    stage: Option<Stage>,
    kind: Option<KeyKind>,
    abilities: Vec<Ability>,
    expires_at: Option<SystemTime>,
    rotation_due_at: Option<SystemTime>,
    limits: RateLimits,
    restrictions: Restrictions,
    metadata: serde_json::Map<String, Value>,
    invalid: InvalidFields,
}

/// How the key's format was chosen.
#[derive(Clone, Debug)]
enum Choice {
    Any,
    Prefix(String),
    Format(KeyFormat),
}

/// A new key's record, and its secret, which is returned only here.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedKey {
    /// What the store keeps.
    pub record: Arc<KeyRecord>,
    /// What the owner keeps.
    pub secret: Secret,
}

impl NewKey {
    /// Describes a key without abilities that does not expire.
    ///
    /// The name says what the key is for, in 3 to 100 characters on one line. Give each service a key of its own.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            format: Choice::Any,
            tenant: None,
            stage: None,
            kind: None,
            abilities: Vec::new(),
            expires_at: None,
            rotation_due_at: None,
            limits: RateLimits::default(),
            restrictions: Restrictions::default(),
            metadata: serde_json::Map::new(),
            invalid: InvalidFields::NONE,
        }
    }

    /// Sets the prefix, by which the [scheme](KeyScheme) finds the format. It is needed if
    /// several formats fit the stage and the kind.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.format = Choice::Prefix(prefix.into());
        self
    }

    /// Sets the format; its stage and its kind become the key's. If the [scheme](KeyScheme) has
    /// formats, it must be one of them.
    pub fn format(mut self, format: &KeyFormat) -> Self {
        self.format = Choice::Format(format.clone());
        self
    }

    /// Sets the tenant on whose behalf the key acts.
    pub fn tenant<T>(mut self, tenant: T) -> Self
    where
        T: TryInto<TenantId, Error: fmt::Display>,
    {
        self.tenant = self.invalid.convert("tenant", tenant);
        self
    }

    /// Sets the only stage in which the key works.
    pub fn stage<S>(mut self, stage: S) -> Self
    where
        S: TryInto<Stage, Error: fmt::Display>,
    {
        self.stage = self.invalid.convert("stage", stage);
        self
    }

    /// Sets whether the key is a secret.
    pub fn kind(mut self, kind: KeyKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Adds abilities.
    pub fn abilities<A>(mut self, abilities: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        self.abilities.extend(self.invalid.convert_all("abilities", abilities));
        self
    }

    /// Sets the expiry, from which on the key is refused. `None` means never. A time after the year 9999 is invalid.
    pub fn expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = self.invalid.time("expires_at", time.into());
        self
    }

    /// Sets when the key should be replaced. `None` means never. The key continues to work. A time before the year
    /// 1970 or after 9999 is invalid.
    pub fn rotation_due_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.rotation_due_at = self.invalid.time("rotation_due_at", time.into());
        self
    }

    /// Adds a rate limit of the key, such as `1000 per hour`, or `1000 per hour, burst 50` so that not all
    /// requests come at once.
    ///
    /// A key has at most 8 limits, each with a different name.
    pub fn limit<L>(self, limit: L) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        self.limits([limit])
    }

    /// Adds [rate limits](Self::limit) of the key.
    pub fn limits<L>(mut self, limits: impl IntoIterator<Item = L>) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        self.limits.add(limits, &mut self.invalid);
        self
    }

    /// Adds networks, such as `192.0.2.0/24`, and IP addresses from which the key works.
    /// By default it works from everywhere. An empty list allows nothing.
    ///
    /// The server must know the addresses of clients: with axum, serve with
    /// `app.into_make_service_with_connect_info::<SocketAddr>()`. Otherwise, the key works from nowhere.
    pub fn addresses<N>(mut self, networks: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<Network, Error: fmt::Display>,
    {
        self.restrictions.add_addresses(networks, &mut self.invalid);
        self
    }

    /// Adds origins, such as `https://shop.example` and `https://*.shop.example`, whose pages may use
    /// the key. An empty list allows nothing.
    ///
    /// A public key needs these or [`referrers`](Self::referrers); without either it works nowhere.
    pub fn origins<O>(mut self, origins: impl IntoIterator<Item = O>) -> Self
    where
        O: TryInto<OriginPattern, Error: fmt::Display>,
    {
        self.restrictions.add_origins(origins, &mut self.invalid);
        self
    }

    /// Adds pages, such as `https://app.example/*`, that may use the key. An empty list allows nothing.
    pub fn referrers<R>(mut self, referrers: impl IntoIterator<Item = R>) -> Self
    where
        R: TryInto<ReferrerPattern, Error: fmt::Display>,
    {
        self.restrictions.add_referrers(referrers, &mut self.invalid);
        self
    }

    /// Adds endpoints, such as `GET /v1/users/{id}` and `/v1/reports/*`, on which the key works.
    /// By default it works on all. An empty list allows nothing.
    pub fn endpoints<E>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self
    where
        E: TryInto<EndpointPattern, Error: fmt::Display>,
    {
        self.restrictions.add_endpoints(endpoints, &mut self.invalid);
        self
    }

    /// Replaces all restrictions: from where the key works, and on which endpoints.
    pub fn restrictions(mut self, restrictions: Restrictions) -> Self {
        self.restrictions = restrictions;
        self
    }

    /// Adds metadata of the application to the key.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Stores the text of a public key in its metadata, as `public_key`: everybody can read it anyway, and
    /// its owner may want to look it up. The successors of the key do the same.
    ///
    /// The text of a secret key is never stored.
    pub fn keep_public_text(self) -> Self {
        self.metadata(PUBLIC_TEXT, Value::Null)
    }

    /// Generates the key and its record, without a store.
    ///
    /// # Errors
    ///
    /// Returns an error if a field is not valid, if the scheme has no format or several for the key, if the
    /// scheme would refuse the key, or if no key can be [generated](KeyFormat::generate).
    pub fn generate(self, scheme: &KeyScheme) -> Result<IssuedKey, IssueError> {
        self.invalid.check().map_err(IssueError::Invalid)?;
        let choose = |prefix| scheme.choose(prefix, self.stage.as_ref(), self.kind);
        let format = match &self.format {
            Choice::Any => choose(None)?,
            Choice::Prefix(prefix) => choose(Some(prefix))?,
            Choice::Format(format) => format.clone(),
        };
        let stage = self.stage.or_else(|| format.stage_of_prefix().cloned());
        let kind = self.kind.or(format.kind_of_prefix()).unwrap_or_default();
        let secret = scheme.generate(&format, stage.as_ref(), kind)?;
        let digest = scheme.digest(secret.reveal());
        let mut record = KeyRecord::new(KeyId::generate()?, digest, self.name, SystemTime::now());
        record.hint = KeyHint::of(&format, &secret);
        record.tenant = self.tenant;
        record.set_stage(stage);
        record.kind = kind;
        record.abilities = self.abilities.into();
        record.set_expires_at(self.expires_at);
        record.set_rotation_due_at(self.rotation_due_at);
        record.set_limits(self.limits);
        record.set_restrictions(self.restrictions);
        record.set_metadata(self.metadata);
        keep_public_text(&mut record, &secret);
        Ok(IssuedKey { record: Arc::new(record), secret })
    }
}

impl IssuedKey {
    /// Makes a key like that of `record`, but with another id and secret.
    pub(crate) fn with_new_secret(
        mut record: KeyRecord,
        format: &KeyFormat,
        scheme: &KeyScheme,
    ) -> Result<Self, IssueError> {
        let secret = scheme.generate(format, record.stage(), record.kind)?;
        record.id = KeyId::generate()?;
        record.digest = scheme.digest(secret.reveal());
        record.hint = KeyHint::of(format, &secret);
        keep_public_text(&mut record, &secret);
        Ok(Self { record: Arc::new(record), secret })
    }
}
