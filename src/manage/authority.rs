//! What an owner may grant: no more than it has.

use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;
use serde_json::Value;

use super::owner::Owner;
use super::{Excess, ManageError};
#[cfg(feature = "pages")]
use crate::key::Ability;
use crate::key::{AbilitySet, KeyKind, RateLimit, RateLimits, Restrictions, Stage, TenantId};
use crate::store::{KeyChange, KeyRecord, KeyState, TenantFilter};

/// What may be seen and granted: everything, or what is within bounds.
pub(super) struct Authority(Option<Bounds>);

/// What granted keys have to be within. Where there is none but that of the tenant and the
/// abilities, nothing else is bounded.
struct Bounds {
    tenant: Option<TenantId>,
    abilities: AbilitySet,
    stage: Option<Stage>,
    expires_at: Option<SystemTime>,
    /// Of a key; those that it grants are bound by them.
    limits: Option<RateLimits>,
    restrictions: Restrictions,
    of_key: Option<OfKey>,
}

/// What bounds only keys have.
struct OfKey {
    /// The record that was judged.
    record: Arc<KeyRecord>,
    /// The names of the metadata that are handed on.
    inherited: Arc<[String]>,
}

impl Authority {
    /// May see and grant everything.
    pub(super) const fn unbounded() -> Self {
        Self(None)
    }

    /// Tells whether anything is out of its reach.
    pub(super) const fn is_bounded(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses what only the application itself may do, and nobody on whose behalf it acts.
    pub(super) const fn check_is_application(&self) -> Result<(), ManageError> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(ManageError::Exceeds(Excess::Tenants)),
        }
    }

    /// May see what a key may that works at the time `now`, and grant what it has.
    pub(super) fn of_key(
        key: &Arc<KeyRecord>,
        owner: &Owner,
        inherited: &Arc<[String]>,
        now: SystemTime,
    ) -> Result<Self, ManageError> {
        for (is_wrong, excess) in [
            // Everybody can read it.
            (key.kind == KeyKind::Public, Excess::PublicKey),
            (key.state(now) != KeyState::Active, Excess::Inactive),
            (!key.abilities.covers(&owner.needs), Excess::Management),
            (key.tenant.is_none() && !owner.may_be_tenantless, Excess::Tenantless),
        ] {
            if is_wrong {
                return Err(excess.into());
            }
        }
        Ok(Self(Some(Bounds {
            tenant: key.tenant.clone(),
            abilities: key.abilities.clone(),
            stage: key.stage().cloned(),
            expires_at: key.expires_at(),
            limits: Some(key.limits().clone()),
            restrictions: key.restrictions().clone(),
            of_key: Some(OfKey { record: Arc::clone(key), inherited: Arc::clone(inherited) }),
        })))
    }

    /// May see the keys of `tenant`, and grant `abilities`.
    pub(super) fn of_tenant(
        tenant: &TenantId,
        abilities: &AbilitySet,
        owner: &Owner,
    ) -> Result<Self, ManageError> {
        if !abilities.covers(&owner.needs) {
            return Err(Excess::Management.into());
        }
        Ok(Self(Some(Bounds {
            tenant: Some(tenant.clone()),
            abilities: abilities.clone(),
            stage: None,
            expires_at: None,
            limits: None,
            restrictions: Restrictions::default(),
            of_key: None,
        })))
    }

    /// Tells whether an ability may be granted.
    #[cfg(feature = "pages")]
    pub(super) fn grants(&self, ability: &Ability) -> bool {
        self.0.as_ref().is_none_or(|bounds| bounds.abilities.grants(ability))
    }

    /// Returns what has to hold when a change is made: that the owner's record is as it was judged.
    pub(super) fn requirement(&self) -> Option<KeyChange> {
        let of_key = self.0.as_ref()?.of_key.as_ref()?;
        Some(KeyChange::Require(Arc::clone(&of_key.record)))
    }

    /// Tells whether it is that of a key.
    pub(super) fn is_of_key(&self) -> bool {
        self.0.as_ref().is_some_and(|bounds| bounds.of_key.is_some())
    }

    /// Returns whose keys can be seen of those that are asked for.
    pub(super) fn visible(&self, asked: TenantFilter) -> TenantFilter {
        self.0.as_ref().map_or(asked, |bounds| bounds.tenant.clone().into())
    }

    /// Bounds a new key by what the owner is bound by, where nothing else was said.
    pub(super) fn hand_on(&self, record: &mut KeyRecord) {
        let Some(bounds) = &self.0 else { return };
        record.tenant = record.tenant.take().or_else(|| bounds.tenant.clone());
        record.set_stage(record.stage().or(bounds.stage.as_ref()).cloned());
        record.set_expires_at(record.expires_at().or(bounds.expires_at));
        if record.limits().is_empty() {
            record.set_limits(bounds.limits.clone().unwrap_or_default());
        }
        let bound = &bounds.restrictions;
        record.change_restrictions(|own| {
            own.addresses = own.addresses.take().or_else(|| bound.addresses.clone());
            own.origins = own.origins.take().or_else(|| bound.origins.clone());
            own.referrers = own.referrers.take().or_else(|| bound.referrers.clone());
            own.endpoints = own.endpoints.take().or_else(|| bound.endpoints.clone());
        });
        for (name, value) in bounds.of_key.iter().flat_map(OfKey::metadata) {
            if let (Some(value), None) = (value, record.metadata().get(name)) {
                record.change_metadata(|metadata| {
                    metadata.insert(name.clone(), value.clone());
                });
            }
        }
    }

    /// Refuses a record that would allow more than is within the bounds.
    pub(super) fn check(&self, record: &KeyRecord) -> Result<(), ManageError> {
        let Some(bounds) = &self.0 else { return Ok(()) };
        let expires_in_time = bounds.expires_at.is_none_or(|latest| {
            record.expires_at().is_some_and(|expires_at| expires_at <= latest)
        });
        for (is_within, excess) in [
            (record.tenant == bounds.tenant, Excess::Tenant),
            (bounds.abilities.covers(&record.abilities), Excess::Abilities),
            (bounds.stage.is_none() || record.stage() == bounds.stage.as_ref(), Excess::Stage),
            (expires_in_time, Excess::Expiry),
            (limits_are_within(bounds.limits.as_ref(), record.limits()), Excess::Limits),
            (
                restrictions_are_within(&bounds.restrictions, record.restrictions()),
                Excess::Restrictions,
            ),
            (bounds.metadata_are_same(record), Excess::Metadata),
        ] {
            if !is_within {
                return Err(excess.into());
            }
        }
        Ok(())
    }

    /// Refuses limits that take the place of others, or of none, and let a key begin anew.
    ///
    /// What was used is kept by the names of a key's limits, so one that bounds keeps its name. It is
    /// kept by name and numbers for those that a tenant shares, so they are exactly those of the
    /// owner, but for those that the key has already: the levels of others would be whole.
    pub(super) fn check_limits(
        &self,
        before: &RateLimits,
        after: &RateLimits,
    ) -> Result<(), ManageError> {
        let bounds = self.0.as_ref().and_then(|bounds| bounds.limits.as_ref());
        let Some(bounds) = bounds.filter(|_| before != after) else { return Ok(()) };
        let is_kept = |bound: &RateLimit| {
            let mut after = after.iter();
            after.any(|limit| match bound.is_shared_by_tenant() {
                true => limit == bound,
                false => limit.name() == bound.name() && is_lower(limit, bound),
            })
        };
        let is_known = |limit: &RateLimit| bounds.contains(limit) || before.contains(limit);
        let mut shared = after.iter().filter(|limit| limit.is_shared_by_tenant());
        match bounds.iter().all(is_kept) && shared.all(is_known) {
            true => Ok(()),
            false => Err(Excess::Limits.into()),
        }
    }
}

impl Bounds {
    /// Tells whether the metadata that are handed on are those of the owner: what they allow is known
    /// to the application only.
    fn metadata_are_same(&self, record: &KeyRecord) -> bool {
        let mut handed_on = self.of_key.iter().flat_map(OfKey::metadata);
        handed_on.all(|(name, value)| record.metadata().get(name) == value)
    }
}

impl OfKey {
    /// Returns the names and values of the metadata that are handed on.
    fn metadata(&self) -> impl Iterator<Item = (&String, Option<&Value>)> {
        self.inherited.iter().map(|name| (name, self.record.metadata().get(name)))
    }
}

/// Tells whether each of the limits that bound is there, or a lower one.
fn limits_are_within(bounds: Option<&RateLimits>, limits: &RateLimits) -> bool {
    let is_shared_alike = |limit: &RateLimit, bound: &RateLimit| {
        limit.is_shared_by_tenant() == bound.is_shared_by_tenant()
            && (!bound.is_shared_by_tenant() || limit.name() == bound.name())
    };
    let mut bounds = bounds.into_iter().flat_map(|bounds| bounds.iter());
    bounds.all(|bound| {
        limits.iter().any(|limit| is_lower(limit, bound) && is_shared_alike(limit, bound))
    })
}

fn is_lower(limit: &RateLimit, bound: &RateLimit) -> bool {
    limit.window() == bound.window()
        && limit.quota() <= bound.quota()
        && limit.burst() <= bound.burst()
}

fn restrictions_are_within(bounds: &Restrictions, restrictions: &Restrictions) -> bool {
    let contains = |bound: &IpNet, network: &IpNet| bound.contains(network);
    is_sublist(&bounds.addresses, &restrictions.addresses, contains)
        // Of patterns, only the same is certainly within.
        && is_sublist(&bounds.origins, &restrictions.origins, PartialEq::eq)
        && is_sublist(&bounds.referrers, &restrictions.referrers, PartialEq::eq)
        && is_sublist(&bounds.endpoints, &restrictions.endpoints, PartialEq::eq)
}

type List<T> = Option<Arc<[T]>>;

/// Tells whether all on the list are covered by one on the list that bounds it, if there is one.
fn is_sublist<T>(bounds: &List<T>, list: &List<T>, covers: impl Fn(&T, &T) -> bool) -> bool {
    let Some(bounds) = bounds else { return true };
    let Some(list) = list else { return false };
    list.iter().all(|item| bounds.iter().any(|bound| covers(bound, item)))
}
