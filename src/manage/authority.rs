//! [`Authority`]: what an owner may see and grant.

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

/// What an owner may see and grant: everything, or what is within bounds.
pub(super) struct Authority(Option<Bounds>);

/// The bounds that a granted key must respect. What is `None` or empty is not bounded, except the tenant and the
/// abilities.
struct Bounds {
    tenant: Option<TenantId>,
    abilities: AbilitySet,
    stage: Option<Stage>,
    expires_at: Option<SystemTime>,
    /// The limits of an owner that is a key.
    limits: Option<RateLimits>,
    restrictions: Restrictions,
    of_key: Option<OfKey>,
}

/// The bounds that only keys have.
struct OfKey {
    /// The record that was judged.
    record: Arc<KeyRecord>,
    /// The names of inherited metadata.
    inherited: Arc<[String]>,
}

impl Authority {
    /// Returns the authority to see and grant everything.
    pub(super) const fn unbounded() -> Self {
        Self(None)
    }

    /// Returns whether there are bounds.
    pub(super) const fn is_bounded(&self) -> bool {
        self.0.is_some()
    }

    /// Refuses an owner what only the application itself may do.
    pub(super) const fn check_is_application(&self) -> Result<(), ManageError> {
        match self.0 {
            None => Ok(()),
            Some(_) => Err(ManageError::Exceeds(Excess::Tenants)),
        }
    }

    /// Returns the authority of a key, provided that it works at the time `now`.
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

    /// Returns the authority of a user to see the keys of `tenant`, and to grant `abilities`.
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

    /// Returns whether an ability may be granted.
    #[cfg(feature = "pages")]
    pub(super) fn grants(&self, ability: &Ability) -> bool {
        self.0.as_ref().is_none_or(|bounds| bounds.abilities.grants(ability))
    }

    /// Returns the condition of a change: that the owner's record is the one that was judged.
    pub(super) fn requirement(&self) -> Option<KeyChange> {
        let of_key = self.0.as_ref()?.of_key.as_ref()?;
        Some(KeyChange::Require(Arc::clone(&of_key.record)))
    }

    /// Returns whether the owner is a key.
    pub(super) fn is_of_key(&self) -> bool {
        self.0.as_ref().is_some_and(|bounds| bounds.of_key.is_some())
    }

    /// Restricts a filter of tenants to what the owner sees.
    pub(super) fn visible(&self, asked: TenantFilter) -> TenantFilter {
        self.0.as_ref().map_or(asked, |bounds| bounds.tenant.clone().into())
    }

    /// Gives a new key the owner's tenant, stage, expiry, limits, restrictions and inherited metadata, where it
    /// has none.
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

    /// Refuses a record that exceeds the bounds.
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

    /// Refuses limits that would reset what a key has used.
    ///
    /// What was used is kept by the name of a limit, so each limit of the owner keeps its name. For limits that a
    /// tenant shares, it is kept by name and numbers, so they have to be exactly the owner's, or those that the
    /// key has already: others would start full.
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
    /// Returns whether the inherited metadata are those of the owner. Only the application knows what they allow.
    fn metadata_are_same(&self, record: &KeyRecord) -> bool {
        let mut handed_on = self.of_key.iter().flat_map(OfKey::metadata);
        handed_on.all(|(name, value)| record.metadata().get(name) == value)
    }
}

impl OfKey {
    /// Returns the names and values of inherited metadata.
    fn metadata(&self) -> impl Iterator<Item = (&String, Option<&Value>)> {
        self.inherited.iter().map(|name| (name, self.record.metadata().get(name)))
    }
}

/// Returns whether there is an equal or lower limit for each of the bounds.
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

/// Returns whether each item of the list is covered by one of the bounds, if there are any.
fn is_sublist<T>(bounds: &List<T>, list: &List<T>, covers: impl Fn(&T, &T) -> bool) -> bool {
    let Some(bounds) = bounds else { return true };
    let Some(list) = list else { return false };
    list.iter().all(|item| bounds.iter().any(|bound| covers(bound, item)))
}
