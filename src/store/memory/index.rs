//! [`Index`]: where records are, by id, age and tenant.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::key::{KeyDigest, KeyId, TenantId};
use crate::store::{KeyCursor, KeyRecord, TenantFilter};

/// Places in a list, the newest first.
type Places = BTreeSet<Reverse<KeyCursor>>;

/// Where each record is. Those who write change it together with the records.
#[derive(Default)]
pub(super) struct Index {
    digests: BTreeMap<KeyId, KeyDigest>,
    all: Places,
    of_tenants: BTreeMap<Option<TenantId>, Places>,
}

impl Index {
    /// Returns the digest of an id.
    pub(super) fn digest(&self, id: &KeyId) -> Option<&KeyDigest> {
        self.digests.get(id)
    }

    /// Returns all digests, in the order of their ids.
    pub(super) fn digests(&self) -> impl Iterator<Item = &KeyDigest> {
        self.digests.values()
    }

    pub(super) fn add(&mut self, record: &KeyRecord) {
        let place = Reverse(KeyCursor::of(record));
        self.digests.insert(record.id.clone(), record.digest);
        self.of_tenants.entry(record.tenant.clone()).or_default().insert(place.clone());
        self.all.insert(place);
    }

    /// Forgets where a record was, which is as it was when it was added.
    pub(super) fn remove(&mut self, record: &KeyRecord) {
        let place = Reverse(KeyCursor::of(record));
        self.digests.remove(&record.id);
        self.all.remove(&place);
        if let Some(places) = self.of_tenants.get_mut(&record.tenant) {
            places.remove(&place);
            if places.is_empty() {
                self.of_tenants.remove(&record.tenant);
            }
        }
    }

    /// Returns the places of a tenant's keys that come after a place, the newest first.
    pub(super) fn places(
        &self,
        tenant: &TenantFilter,
        after: Option<&KeyCursor>,
    ) -> impl Iterator<Item = &KeyCursor> {
        let places = match tenant {
            TenantFilter::Any => Some(&self.all),
            TenantFilter::Of(tenant) => self.of_tenants.get(&Some(tenant.clone())),
            TenantFilter::Nobody => self.of_tenants.get(&None),
        };
        let after = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Reverse(after.clone())));
        let places = places
            .into_iter()
            .flat_map(move |places| places.range((after.clone(), Bound::Unbounded)));
        places.map(|Reverse(place)| place)
    }
}
