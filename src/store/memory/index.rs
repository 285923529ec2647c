//! [`Index`]: where records are, by id, age and tenant.

use std::cmp::Ordering;
use std::sync::Arc;

use super::sorted::Sorted;
use crate::clock::microseconds;
use crate::key::{KeyId, TenantId};
use crate::store::pool::Pool;
use crate::store::{KeyCursor, KeyRecord, TenantFilter};

/// All records, in three orders. Writers change it together with the records.
#[derive(Default)]
pub(super) struct Index {
    by_id: Sorted,
    by_age: Sorted,
    by_tenant: Sorted,
    pool: Pool,
}

impl Index {
    /// Returns the record with an id.
    pub(super) fn get(&self, id: &KeyId) -> Option<&Arc<KeyRecord>> {
        self.by_id.first(|other| other.id < *id).filter(|record| record.id == *id)
    }

    /// Returns all records, by id.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<KeyRecord>> {
        self.by_id.iter()
    }

    /// Makes a record share the parts that others have, too.
    pub(super) fn share(&mut self, record: &mut Arc<KeyRecord>) {
        if !self.pool.has_shared(record) {
            self.pool.share(Arc::make_mut(record));
        }
    }

    pub(super) fn add(&mut self, record: &Arc<KeyRecord>) {
        self.by_id.insert(Arc::clone(record), |other| other.id < record.id);
        self.by_age.insert(Arc::clone(record), |other| by_age(other, record).is_lt());
        self.by_tenant.insert(Arc::clone(record), |other| by_tenant(other, record).is_lt());
    }

    /// Removes a record, which must be equal to the added one.
    pub(super) fn remove(&mut self, record: &KeyRecord) {
        self.by_id.remove(record, |other| other.id < record.id);
        self.by_age.remove(record, |other| by_age(other, record).is_lt());
        self.by_tenant.remove(record, |other| by_tenant(other, record).is_lt());
    }

    /// Returns a tenant's records that come after a place, the newest first.
    pub(super) fn newest<'a>(
        &'a self,
        filter: &TenantFilter,
        after: Option<&KeyCursor>,
    ) -> Box<dyn Iterator<Item = &'a Arc<KeyRecord>> + 'a> {
        let is_after = |record: &KeyRecord| after.is_none_or(|after| after.is_newer_than(record));
        let tenant = match filter {
            TenantFilter::Any => {
                let place = self.by_age.place(&is_after);
                return Box::new(self.by_age.back_from(place));
            }
            TenantFilter::Of(tenant) => Some(tenant.clone()),
            TenantFilter::Nobody => None,
        };
        let is_before = |record: &KeyRecord| match record.tenant.cmp(&tenant) {
            Ordering::Less => true,
            Ordering::Equal => is_after(record),
            Ordering::Greater => false,
        };
        let records = self.by_tenant.back_from(self.by_tenant.place(&is_before));
        Box::new(records.take_while(move |record| is_of(record, tenant.as_ref())))
    }
}

fn is_of(record: &KeyRecord, tenant: Option<&TenantId>) -> bool {
    record.tenant.as_ref() == tenant
}

/// Orders records as lists are ordered, the oldest first.
fn by_age(one: &KeyRecord, other: &KeyRecord) -> Ordering {
    let [age, of_other] = [one, other].map(|record| microseconds(record.created_at()));
    age.cmp(&of_other).then_with(|| one.id.cmp(&other.id))
}

fn by_tenant(one: &KeyRecord, other: &KeyRecord) -> Ordering {
    one.tenant.cmp(&other.tenant).then_with(|| by_age(one, other))
}
