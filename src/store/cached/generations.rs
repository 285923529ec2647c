//! [`Generations`]: counts the invalidations of each key, and [`Tenants`], those of each tenant.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::{KeyDigest, TenantId};

/// The number of counters.
///
/// Keys that share a counter are invalidated together. That is always safe, and costs one load of
/// each: with a hundred thousand keys in memory, a change makes six others load again at their
/// next use.
const COUNTERS: usize = 1 << 14;

/// Counts invalidations. It never forgets one, so a load before an invalidation can always be
/// distinguished from a load after it, without a lock.
pub(super) struct Generations(Box<[AtomicU64]>);

impl Generations {
    pub(super) fn new() -> Self {
        Self((0..COUNTERS).map(|_| AtomicU64::new(0)).collect())
    }

    /// Returns the generation of a key. Anything that was read from the store before it began is outdated.
    pub(super) fn current(&self, digest: &KeyDigest) -> u64 {
        self.counter(digest).load(Ordering::SeqCst)
    }

    /// Begins a new generation of a key.
    pub(super) fn advance(&self, digest: &KeyDigest) {
        self.counter(digest).fetch_add(1, Ordering::SeqCst);
    }

    /// Begins a new generation of every key.
    pub(super) fn advance_all(&self) {
        for counter in &self.0 {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn counter(&self, digest: &KeyDigest) -> &AtomicU64 {
        // Other bytes than those by which the maps place their entries.
        let [.., first, second] = *digest.as_bytes();
        &self.0[usize::from(u16::from_le_bytes([first, second])) % COUNTERS]
    }
}

/// The number of counters of tenants. Tenants that share one are invalidated together.
const TENANTS: usize = 1 << 10;

/// Counts the invalidations of whole tenants.
///
/// The tenant of a key is known only after the load. So a load notes the number of invalidations of all
/// tenants before, and its record is outdated if its tenant was invalidated after that.
pub(super) struct Tenants {
    /// The number of all invalidations.
    count: AtomicU64,
    /// The number of the last one of each tenant.
    last: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl Tenants {
    pub(super) fn new() -> Self {
        let last = (0..TENANTS).map(|_| AtomicU64::new(0)).collect();
        Self { count: AtomicU64::new(0), last, hasher: RandomState::new() }
    }

    /// Returns the number of all invalidations.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Tells whether a tenant was invalidated after `count` was returned.
    pub(super) fn was_invalidated_after(&self, count: u64, tenant: Option<&TenantId>) -> bool {
        // Usually no tenant was, and nothing is hashed.
        self.count() != count
            && tenant.is_some_and(|tenant| self.last(tenant).load(Ordering::SeqCst) > count)
    }

    /// Invalidates a tenant.
    pub(super) fn invalidate(&self, tenant: &TenantId) {
        // Counted first: loads that begin from here on are newer, and all earlier ones are outdated.
        let number = self.count.fetch_add(1, Ordering::SeqCst) + 1;
        self.last(tenant).fetch_max(number, Ordering::SeqCst);
    }

    fn last(&self, tenant: &TenantId) -> &AtomicU64 {
        let hash = self.hasher.hash_one(tenant);
        &self.last[usize::try_from(hash % TENANTS as u64).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_invalidated_alone_or_with_all_others() {
        let generations = Generations::new();
        let keys = [0, 1, 0xff].map(|byte| KeyDigest::from_bytes([byte; 32]));
        let current = || keys.map(|key| generations.current(&key));
        assert_eq!(current(), [0, 0, 0]);
        generations.advance(&keys[1]);
        assert_eq!(current(), [0, 1, 0]);
        generations.advance_all();
        assert_eq!(current(), [1, 2, 1]);
    }

    #[test]
    fn what_was_loaded_before_its_tenant_was_invalidated_is_outdated() {
        let tenants = Tenants::new();
        let [acme, other]: [TenantId; 2] = ["acme", "other"].map(|name| name.parse().unwrap());
        let before = tenants.count();
        assert!(!tenants.was_invalidated_after(before, Some(&acme)));
        tenants.invalidate(&acme);
        let between = tenants.count();
        assert!(tenants.was_invalidated_after(before, Some(&acme)));
        assert!(!tenants.was_invalidated_after(before, None));
        assert!(!tenants.was_invalidated_after(between, Some(&acme)));
        tenants.invalidate(&other);
        assert!(tenants.was_invalidated_after(between, Some(&other)));
        assert!(!tenants.was_invalidated_after(tenants.count(), Some(&other)));
        tenants.invalidate(&acme);
        assert!(tenants.was_invalidated_after(between, Some(&acme)));
    }
}
