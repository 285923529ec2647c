//! [`Pool`]: equal parts of many records, stored once.

use std::collections::HashSet;
use std::sync::Arc;

use super::KeyRecord;
use super::terms::Terms;
use crate::key::{AbilitySet, TenantId};

/// The number of different values from which unused ones are removed.
const FEW: usize = 1024;

/// The tenants, sets of abilities and terms of the records of a store, each stored once.
///
/// Unused values are removed each time that their number has doubled since the last time. So the pool
/// never holds more than twice the used ones.
#[derive(Default)]
pub(super) struct Pool {
    tenants: Values<TenantId>,
    abilities: Values<AbilitySet>,
    terms: Values<Arc<Terms>>,
}

impl Pool {
    /// Tells whether a record already shares what it can.
    pub(super) fn has_shared(&self, record: &KeyRecord) -> bool {
        record.tenant.as_ref().is_none_or(|tenant| self.tenants.has(tenant, TenantId::is_same))
            && (record.abilities.is_empty()
                || self.abilities.has(&record.abilities, AbilitySet::is_same))
            && record.terms_to_share().is_none_or(|terms| self.terms.has(terms, Arc::ptr_eq))
    }

    /// Makes a record share what other records have, too.
    pub(super) fn share(&mut self, record: &mut KeyRecord) {
        if let Some(tenant) = &mut record.tenant {
            self.tenants.share(tenant, TenantId::is_shared);
        }
        if !record.abilities.is_empty() {
            self.abilities.share(&mut record.abilities, AbilitySet::is_shared);
        }
        if let Some(terms) = record.terms_to_share_mut() {
            self.terms.share(terms, |terms| Arc::strong_count(terms) > 1);
        }
    }
}

struct Values<T> {
    // Hashed with a secret, because tenants choose some of them.
    values: HashSet<T>,
    /// The number from which unused values are removed.
    room: usize,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self { values: HashSet::default(), room: FEW }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Values<T> {
    fn has(&self, value: &T, is_same: impl Fn(&T, &T) -> bool) -> bool {
        self.values.get(value).is_some_and(|known| is_same(known, value))
    }

    fn share(&mut self, value: &mut T, is_used: impl Fn(&T) -> bool) {
        if let Some(same) = self.values.get(value) {
            value.clone_from(same);
            return;
        }
        if self.values.len() >= self.room {
            self.values.retain(is_used);
            self.room = FEW.max(2 * self.values.len());
            self.values.shrink_to(self.room);
        }
        self.values.insert(value.clone());
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::key::KeyHasher;

    fn record(tenant: &str) -> KeyRecord {
        let digest = KeyHasher::sha256().digest(tenant);
        let mut record = KeyRecord::new("key_1".parse().unwrap(), digest, "n", SystemTime::now());
        record.tenant = Some(tenant.parse().unwrap());
        record.abilities = ["bots:read", "bots:write"].try_into().unwrap();
        record.set_stage(Some("live".parse().unwrap()));
        record
    }

    #[test]
    fn records_that_say_the_same_share_it_and_are_what_they_were() {
        let mut pool = Pool::default();
        let [mut one, mut other] = [(); 2].map(|()| record("acme"));
        let before = other.clone();
        pool.share(&mut one);
        pool.share(&mut other);
        assert_eq!(other, before);
        let place = |record: &KeyRecord| {
            let abilities: *const _ = record.abilities.iter().as_slice();
            (
                record.tenant().unwrap().as_str().as_ptr(),
                abilities,
                record.stage().unwrap().as_str().as_ptr(),
            )
        };
        assert_eq!(place(&one), place(&other));
        // A change of one record does not change the other.
        one.set_stage(Some("test".parse().unwrap()));
        assert_eq!(other.stage().unwrap(), "live");
    }

    #[test]
    fn what_no_record_has_any_more_is_forgotten() {
        let mut pool = Pool::default();
        let mut kept = record("kept");
        pool.share(&mut kept);
        for number in 0..10 * FEW {
            pool.share(&mut record(&format!("tenant-{number}")));
        }
        assert!(pool.tenants.values.len() <= FEW, "{}", pool.tenants.values.len());
        assert!(pool.tenants.values.contains(kept.tenant.as_ref().unwrap()));
    }
}
