//! What a key may grant to others: no more than it has.

use std::sync::Arc;
use std::time::SystemTime;

use ipnet::IpNet;

use super::ManageError;
use crate::key::{KeyKind, RateLimit, RateLimits, Restrictions};
use crate::store::{KeyRecord, KeyState, TenantFilter};

/// What may be seen and granted.
pub(super) struct Authority {
    granter: Option<Arc<KeyRecord>>,
}

impl Authority {
    /// May see and grant everything.
    pub(super) const fn unbounded() -> Self {
        Self { granter: None }
    }

    /// May see and grant what a key may that works at the time `now`.
    pub(super) fn of(granter: Arc<KeyRecord>, now: SystemTime) -> Result<Self, ManageError> {
        if granter.kind == KeyKind::Public {
            // Everybody can read it.
            return Err(ManageError::Exceeds("a public key grants nothing"));
        }
        match granter.state(now) {
            KeyState::Active => Ok(Self { granter: Some(granter) }),
            _ => Err(ManageError::Exceeds("it does not work any more")),
        }
    }

    /// Returns whose keys can be seen of those that are asked for.
    pub(super) fn visible(&self, asked: TenantFilter) -> TenantFilter {
        self.granter.as_ref().map_or(asked, |granter| granter.tenant.clone().into())
    }

    /// Bounds a new key by what the granter is bound by, where nothing else was said.
    pub(super) fn hand_on(&self, record: &mut KeyRecord) {
        let Some(granter) = &self.granter else { return };
        record.tenant = record.tenant.take().or_else(|| granter.tenant.clone());
        record.stage = record.stage.take().or_else(|| granter.stage.clone());
        record.expires_at = record.expires_at.or(granter.expires_at);
        if record.limits.is_empty() {
            record.limits = granter.limits.clone();
        }
        let (own, bound) = (&mut record.restrictions, &granter.restrictions);
        own.addresses = own.addresses.take().or_else(|| bound.addresses.clone());
        own.origins = own.origins.take().or_else(|| bound.origins.clone());
        own.referrers = own.referrers.take().or_else(|| bound.referrers.clone());
        own.endpoints = own.endpoints.take().or_else(|| bound.endpoints.clone());
    }

    /// Refuses a record that would allow more than the granter's.
    pub(super) fn check(&self, record: &KeyRecord) -> Result<(), ManageError> {
        let Some(granter) = &self.granter else { return Ok(()) };
        let expires_in_time = granter
            .expires_at
            .is_none_or(|latest| record.expires_at.is_some_and(|expires_at| expires_at <= latest));
        for (is_within, what) in [
            (record.tenant == granter.tenant, "its tenant is another"),
            (granter.abilities.covers(&record.abilities), "an ability is missing"),
            (granter.stage.is_none() || record.stage == granter.stage, "its stage is another"),
            (expires_in_time, "it expires earlier"),
            (limits_are_within(&granter.limits, &record.limits), "its limits are lower"),
            (
                restrictions_are_within(&granter.restrictions, &record.restrictions),
                "its restrictions are narrower",
            ),
        ] {
            if !is_within {
                return Err(ManageError::Exceeds(what));
            }
        }
        Ok(())
    }
}

/// Tells whether each limit of the granter is there, or a lower one.
fn limits_are_within(granter: &RateLimits, limits: &RateLimits) -> bool {
    let is_lower = |limit: &RateLimit, bound: &RateLimit| {
        limit.window() == bound.window()
            && limit.quota() <= bound.quota()
            && limit.burst() <= bound.burst()
            && limit.is_shared_by_tenant() == bound.is_shared_by_tenant()
            // What is shared is counted by name.
            && (!bound.is_shared_by_tenant() || limit.name() == bound.name())
    };
    granter.iter().all(|bound| limits.iter().any(|limit| is_lower(limit, bound)))
}

fn restrictions_are_within(granter: &Restrictions, restrictions: &Restrictions) -> bool {
    let contains = |bound: &IpNet, network: &IpNet| bound.contains(network);
    is_sublist(&granter.addresses, &restrictions.addresses, contains)
        // Of patterns, only the same is certainly within.
        && is_sublist(&granter.origins, &restrictions.origins, PartialEq::eq)
        && is_sublist(&granter.referrers, &restrictions.referrers, PartialEq::eq)
        && is_sublist(&granter.endpoints, &restrictions.endpoints, PartialEq::eq)
}

type List<T> = Option<Arc<[T]>>;

/// Tells whether all on the list are covered by one on the granter's, if the granter has one.
fn is_sublist<T>(granter: &List<T>, list: &List<T>, covers: impl Fn(&T, &T) -> bool) -> bool {
    let Some(granter) = granter else { return true };
    let Some(list) = list else { return false };
    list.iter().all(|item| granter.iter().any(|bound| covers(bound, item)))
}
