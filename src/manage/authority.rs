//! What an owner may grant: no more than it has.

use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use super::{Excess, ManageError};
use crate::key::{AbilitySet, KeyKind, RateLimit, RateLimits, Restrictions, Stage, TenantId};
use crate::store::{KeyRecord, KeyState, TenantFilter};

/// What may be seen and granted: everything, or what is within bounds.
pub(super) struct Authority(Option<Bounds>);

/// What granted keys have to be within. Where there is none but that of the tenant and the
/// abilities, nothing else is bounded.
struct Bounds {
    tenant: Option<TenantId>,
    abilities: AbilitySet,
    stage: Option<Stage>,
    expires_at: Option<SystemTime>,
    limits: RateLimits,
    restrictions: Restrictions,
}

impl Authority {
    /// May see and grant everything.
    pub(super) const fn unbounded() -> Self {
        Self(None)
    }

    /// May see what a key may that works at the time `now`, and grant what it has.
    pub(super) fn of_key(key: &KeyRecord, now: SystemTime) -> Result<Self, ManageError> {
        if key.kind == KeyKind::Public {
            // Everybody can read it.
            return Err(Excess::PublicKey.into());
        }
        match key.state(now) {
            KeyState::Active => Ok(Self(Some(Bounds {
                tenant: key.tenant.clone(),
                abilities: key.abilities.clone(),
                stage: key.stage.clone(),
                expires_at: key.expires_at,
                limits: key.limits.clone(),
                restrictions: key.restrictions.clone(),
            }))),
            _ => Err(Excess::Inactive.into()),
        }
    }

    /// May see the keys of `tenant`, and grant `abilities`.
    pub(super) fn of_tenant(tenant: TenantId, abilities: AbilitySet) -> Self {
        Self(Some(Bounds {
            tenant: Some(tenant),
            abilities,
            stage: None,
            expires_at: None,
            limits: RateLimits::default(),
            restrictions: Restrictions::default(),
        }))
    }

    /// Returns whose keys can be seen of those that are asked for.
    pub(super) fn visible(&self, asked: TenantFilter) -> TenantFilter {
        self.0.as_ref().map_or(asked, |bounds| bounds.tenant.clone().into())
    }

    /// Bounds a new key by what the owner is bound by, where nothing else was said.
    pub(super) fn hand_on(&self, record: &mut KeyRecord) {
        let Some(bounds) = &self.0 else { return };
        record.tenant = record.tenant.take().or_else(|| bounds.tenant.clone());
        record.stage = record.stage.take().or_else(|| bounds.stage.clone());
        record.expires_at = record.expires_at.or(bounds.expires_at);
        if record.limits.is_empty() {
            record.limits = bounds.limits.clone();
        }
        let (own, bound) = (&mut record.restrictions, &bounds.restrictions);
        own.addresses = own.addresses.take().or_else(|| bound.addresses.clone());
        own.origins = own.origins.take().or_else(|| bound.origins.clone());
        own.referrers = own.referrers.take().or_else(|| bound.referrers.clone());
        own.endpoints = own.endpoints.take().or_else(|| bound.endpoints.clone());
    }

    /// Refuses a record that would allow more than is within the bounds.
    pub(super) fn check(&self, record: &KeyRecord) -> Result<(), ManageError> {
        let Some(bounds) = &self.0 else { return Ok(()) };
        let expires_in_time = bounds
            .expires_at
            .is_none_or(|latest| record.expires_at.is_some_and(|expires_at| expires_at <= latest));
        for (is_within, excess) in [
            (record.tenant == bounds.tenant, Excess::Tenant),
            (bounds.abilities.covers(&record.abilities), Excess::Abilities),
            (bounds.stage.is_none() || record.stage == bounds.stage, Excess::Stage),
            (expires_in_time, Excess::Expiry),
            (limits_are_within(&bounds.limits, &record.limits), Excess::Limits),
            (
                restrictions_are_within(&bounds.restrictions, &record.restrictions),
                Excess::Restrictions,
            ),
        ] {
            if !is_within {
                return Err(excess.into());
            }
        }
        Ok(())
    }
}

/// Tells whether each of the limits that bound is there, or a lower one.
fn limits_are_within(bounds: &RateLimits, limits: &RateLimits) -> bool {
    let is_lower = |limit: &RateLimit, bound: &RateLimit| {
        limit.window() == bound.window()
            && limit.quota() <= bound.quota()
            && limit.burst() <= bound.burst()
            && limit.is_shared_by_tenant() == bound.is_shared_by_tenant()
            // What is shared is counted by name.
            && (!bound.is_shared_by_tenant() || limit.name() == bound.name())
    };
    bounds.iter().all(|bound| limits.iter().any(|limit| is_lower(limit, bound)))
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
