//! [`KeyUpdate`]: what is to be changed of a key.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;
use serde_json::{Map, Value};

use crate::clock::to_microsecond;
use crate::key::{
    AbilitySet, EndpointPattern, OriginPattern, RateLimits, ReferrerPattern, Restrictions,
};
use crate::store::KeyRecord;

/// Says what is to be changed of a key. What is not mentioned stays.
///
/// # Examples
///
/// ```
/// use tower_api_key::KeyUpdate;
/// use tower_api_key::key::{RateLimit, RateLimits};
///
/// let update = KeyUpdate::new()
///     .name("monthly reporting")
///     .abilities(["reports:read"].try_into()?)
///     .limits(RateLimits::new([RateLimit::per_hour(1000)])?)
///     .expires_at(None);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq)]
#[must_use]
pub struct KeyUpdate {
    pub(super) name: Option<String>,
    pub(super) abilities: Option<AbilitySet>,
    pub(super) expires_at: Option<Option<SystemTime>>,
    rotation_due_at: Option<Option<SystemTime>>,
    limits: Option<RateLimits>,
    restrictions: Option<Restrictions>,
    addresses: Option<List<IpNet>>,
    origins: Option<List<OriginPattern>>,
    referrers: Option<List<ReferrerPattern>>,
    endpoints: Option<List<EndpointPattern>>,
    metadata: Option<Map<String, Value>>,
    disabled: Option<bool>,
}

/// One of the [`Restrictions`].
type List<T> = Option<Arc<[T]>>;

impl KeyUpdate {
    /// Changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what the key is for, in the words of its owner.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what the key may do.
    pub fn abilities(mut self, abilities: AbilitySet) -> Self {
        self.abilities = Some(abilities);
        self
    }

    /// Sets from when on the key is refused; `None` is never.
    pub fn expires_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = Some(time.into().map(to_microsecond));
        self
    }

    /// Sets from when on the key should be replaced; `None` is never.
    pub fn rotation_due_at(mut self, time: impl Into<Option<SystemTime>>) -> Self {
        self.rotation_due_at = Some(time.into().map(to_microsecond));
        self
    }

    /// Sets how often the key may be used.
    pub fn limits(mut self, limits: RateLimits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Sets from where the key works, and on which endpoints, all at once.
    pub fn restrictions(mut self, restrictions: Restrictions) -> Self {
        self.restrictions = Some(restrictions);
        self
    }

    /// Sets the networks from which clients may use the key; `None` is all. Other restrictions stay.
    pub fn addresses(mut self, networks: Option<Arc<[IpNet]>>) -> Self {
        self.addresses = Some(networks);
        self
    }

    /// Sets the sites whose pages may use the key; `None` is all. Other restrictions stay.
    pub fn origins(mut self, origins: Option<Arc<[OriginPattern]>>) -> Self {
        self.origins = Some(origins);
        self
    }

    /// Sets the pages that may use the key; `None` is all. Other restrictions stay.
    pub fn referrers(mut self, referrers: Option<Arc<[ReferrerPattern]>>) -> Self {
        self.referrers = Some(referrers);
        self
    }

    /// Sets the methods and paths on which the key works; `None` is all. Other restrictions stay.
    pub fn endpoints(mut self, endpoints: Option<Arc<[EndpointPattern]>>) -> Self {
        self.endpoints = Some(endpoints);
        self
    }

    /// Sets what else the application wants to know of the key.
    pub fn metadata(mut self, metadata: Map<String, Value>) -> Self {
        self.metadata = Some(metadata);
        self
    }

    /// Takes the key out of use, or puts it into use again.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Tells whether it does nothing but take the key out of use.
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
        set(&self.restrictions, |restrictions| record.set_restrictions(restrictions));
        record.change_restrictions(|restrictions| {
            set(&self.addresses, |addresses| restrictions.addresses = addresses);
            set(&self.origins, |origins| restrictions.origins = origins);
            set(&self.referrers, |referrers| restrictions.referrers = referrers);
            set(&self.endpoints, |endpoints| restrictions.endpoints = endpoints);
        });
        set(&self.metadata, |metadata| record.set_metadata(metadata));
        set(&self.disabled, |disabled| record.set_disabled(disabled));
    }
}

impl fmt::Debug for KeyUpdate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what is long.
        f.debug_struct("KeyUpdate")
            .field("name", &self.name)
            .field("abilities", &self.abilities)
            .field("expires_at", &self.expires_at)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}
