//! [`KeyUpdate`]: a change of a key.

use std::fmt;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::address::Network;
use crate::clock::to_microsecond;
use crate::key::{
    Ability, AbilitySet, EndpointPattern, InvalidFields, OriginPattern, RateLimit, RateLimits,
    ReferrerPattern, Restrictions,
};
use crate::store::KeyRecord;

/// Describes a change of a key. Fields that are not set stay as they are.
///
/// The setters have the same names as those of [`NewKey`](crate::NewKey), and take texts or values. The first call of
/// a list setter replaces the list of the key; further calls add to it. An empty list allows nothing. The methods
/// `without_…` remove a restriction. [`KeyManager::update`](crate::KeyManager::update) returns all
/// [invalid](InvalidFields) texts at once.
///
/// # Examples
///
/// ```
/// use tower_api_key::{KeyManager, KeyUpdate, MemoryStore, NewKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyManager::new(MemoryStore::new());
/// let key = NewKey::named("reporting").abilities(["reports:*"]).addresses(["192.0.2.0/24"]);
/// let issued = keys.issue(key).await?;
///
/// let update = KeyUpdate::new()
///     .name("monthly reporting")
///     .abilities(["reports:read"])
///     .limit("1000 per hour")
///     .without_addresses()
///     .expires_at(None);
/// let changed = keys.update(issued.record.id(), &update).await?;
/// assert!(!changed.record.abilities().can("reports:write"));
/// assert_eq!(changed.record.limits().len(), 1);
/// assert!(changed.record.restrictions().addresses.is_none());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq)]
#[must_use]
pub struct KeyUpdate {
    pub(super) name: Option<String>,
    pub(super) abilities: Option<AbilitySet>,
    pub(super) expires_at: Option<Option<SystemTime>>,
    rotation_due_at: Option<Option<SystemTime>>,
    limits: Option<RateLimits>,
    restrictions: Restrictions,
    /// The restrictions that are changed.
    restricts: Mentioned,
    metadata: Vec<(String, Option<Value>)>,
    without_metadata: bool,
    disabled: Option<bool>,
    pub(super) invalid: InvalidFields,
}

/// The lists of [`Restrictions`] that are changed.
#[derive(Clone, Copy, Default, PartialEq)]
struct Mentioned {
    addresses: bool,
    origins: bool,
    referrers: bool,
    endpoints: bool,
}

impl KeyUpdate {
    /// Creates an update that changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the name of the key: what it is for, in the words of its owner.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the abilities of the key: what it may do.
    pub fn abilities<A>(mut self, abilities: impl IntoIterator<Item = A>) -> Self
    where
        A: TryInto<Ability, Error: fmt::Display>,
    {
        let all = self.abilities.take().unwrap_or_default();
        let more = self.invalid.convert_all("abilities", abilities);
        self.abilities = Some(all.into_iter().chain(more).collect());
        self
    }

    /// Removes all abilities.
    pub fn without_abilities(mut self) -> Self {
        self.abilities = Some(AbilitySet::default());
        self
    }

    /// Sets the time from which the key is refused; `None` is never. A time after the year 9999 is invalid.
    pub fn expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = Some(self.invalid.time("expires_at", time.into()).map(to_microsecond));
        self
    }

    /// Sets the time from which the key should be replaced; `None` is never. A time before the year 1970 or after
    /// 9999 is invalid.
    pub fn rotation_due_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        let time = self.invalid.time("rotation_due_at", time.into());
        self.rotation_due_at = Some(time.map(to_microsecond));
        self
    }

    /// Sets a rate limit: how often the key may be used. A second call adds a limit, like
    /// [`NewKey::limit`](crate::NewKey::limit).
    pub fn limit<L>(self, limit: L) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        self.limits([limit])
    }

    /// Sets several rate [limits](Self::limit).
    pub fn limits<L>(mut self, limits: impl IntoIterator<Item = L>) -> Self
    where
        L: TryInto<RateLimit, Error: fmt::Display>,
    {
        self.limits.get_or_insert_default().add(limits, &mut self.invalid);
        self
    }

    /// Removes all rate limits: the key may be used without limit.
    pub fn without_limits(mut self) -> Self {
        self.limits = Some(RateLimits::default());
        self
    }

    /// Sets all restrictions at once: from where the key works, and on which endpoints.
    pub fn restrictions(mut self, restrictions: Restrictions) -> Self {
        self.restrictions = restrictions;
        self.restricts =
            Mentioned { addresses: true, origins: true, referrers: true, endpoints: true };
        self
    }

    /// Sets the networks and addresses from which clients may use the key. Other restrictions stay.
    ///
    /// The server has to know the addresses of clients: see [`NewKey::addresses`](crate::NewKey::addresses).
    pub fn addresses<N>(mut self, networks: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<Network, Error: fmt::Display>,
    {
        self.restricts.addresses = true;
        self.restrictions.add_addresses(networks, &mut self.invalid);
        self
    }

    /// Lets the key work from every address. Other restrictions stay.
    pub fn without_addresses(mut self) -> Self {
        (self.restricts.addresses, self.restrictions.addresses) = (true, None);
        self
    }

    /// Sets the sites whose pages may use the key. Other restrictions stay.
    pub fn origins<O>(mut self, origins: impl IntoIterator<Item = O>) -> Self
    where
        O: TryInto<OriginPattern, Error: fmt::Display>,
    {
        self.restricts.origins = true;
        self.restrictions.add_origins(origins, &mut self.invalid);
        self
    }

    /// Lets the pages of all sites use the key. Other restrictions stay.
    pub fn without_origins(mut self) -> Self {
        (self.restricts.origins, self.restrictions.origins) = (true, None);
        self
    }

    /// Sets the pages that may use the key. Other restrictions stay.
    pub fn referrers<R>(mut self, referrers: impl IntoIterator<Item = R>) -> Self
    where
        R: TryInto<ReferrerPattern, Error: fmt::Display>,
    {
        self.restricts.referrers = true;
        self.restrictions.add_referrers(referrers, &mut self.invalid);
        self
    }

    /// Lets all pages use the key. Other restrictions stay.
    pub fn without_referrers(mut self) -> Self {
        (self.restricts.referrers, self.restrictions.referrers) = (true, None);
        self
    }

    /// Sets the methods and paths on which the key works. Other restrictions stay.
    pub fn endpoints<E>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self
    where
        E: TryInto<EndpointPattern, Error: fmt::Display>,
    {
        self.restricts.endpoints = true;
        self.restrictions.add_endpoints(endpoints, &mut self.invalid);
        self
    }

    /// Lets the key work on all endpoints. Other restrictions stay.
    pub fn without_endpoints(mut self) -> Self {
        (self.restricts.endpoints, self.restrictions.endpoints) = (true, None);
        self
    }

    /// Sets a metadata value of the key, for the application. Values with other names stay.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.push((name.into(), Some(value.into())));
        self
    }

    /// Removes the metadata value with this name.
    pub fn remove_metadata(mut self, name: impl Into<String>) -> Self {
        self.metadata.push((name.into(), None));
        self
    }

    /// Removes all metadata of the key, except values that are [set](Self::metadata) after this call.
    pub fn without_metadata(mut self) -> Self {
        self.without_metadata = true;
        self.metadata.clear();
        self
    }

    /// Disables or enables the key.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Tells whether the update only disables the key.
    pub(super) fn only_disables(&self) -> bool {
        *self == Self::new().disabled(true)
    }

    pub(super) fn apply(&self, record: &mut KeyRecord) {
        fn set<T: Clone>(value: &Option<T>, set: impl FnOnce(T)) {
            if let Some(value) = value {
                set(value.clone());
            }
        }
        set(&self.name, |name| record.set_name(name));
        set(&self.abilities, |abilities| record.set_abilities(abilities));
        set(&self.expires_at, |time| record.set_expires_at(time));
        set(&self.rotation_due_at, |time| record.set_rotation_due_at(time));
        set(&self.limits, |limits| record.set_limits(limits));
        record.change_restrictions(|own| {
            let (new, mentioned) = (self.restrictions.clone(), self.restricts);
            own.addresses = if mentioned.addresses { new.addresses } else { own.addresses.take() };
            own.origins = if mentioned.origins { new.origins } else { own.origins.take() };
            own.referrers = if mentioned.referrers { new.referrers } else { own.referrers.take() };
            own.endpoints = if mentioned.endpoints { new.endpoints } else { own.endpoints.take() };
        });
        set(&self.disabled, |disabled| record.set_disabled(disabled));
        if self.without_metadata || !self.metadata.is_empty() {
            record.change_metadata(|own| self.apply_metadata(own));
        }
    }
}

impl KeyUpdate {
    fn apply_metadata(&self, own: &mut Map<String, Value>) {
        if self.without_metadata {
            own.clear();
        }
        for (name, value) in &self.metadata {
            match value {
                Some(value) => drop(own.insert(name.clone(), value.clone())),
                None => drop(own.remove(name)),
            }
        }
    }
}

impl fmt::Debug for KeyUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the fields that may be long.
        f.debug_struct("KeyUpdate")
            .field("name", &self.name)
            .field("abilities", &self.abilities)
            .field("expires_at", &self.expires_at)
            .field("disabled", &self.disabled)
            .field("invalid", &self.invalid)
            .finish_non_exhaustive()
    }
}
