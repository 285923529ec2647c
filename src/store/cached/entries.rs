//! [`Entries`]: the cached records and unknown digests, and until when they may be served.

use std::hash::{BuildHasherDefault, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::bounded::Bounded;
use super::generations::{Generations, Tenants};
use super::stamp::Stamp;
use crate::key::{KeyDigest, TenantId};
use crate::store::editions::Editions;
use crate::store::pool::Pool;
use crate::store::{ByDigest, FirstBytes, KeyRecord, Token};

/// Records, and digests that are known to have none. Neither evicts the other.
pub(super) struct Entries {
    generations: Generations,
    tenants: Tenants,
    /// The editions of the records that threads keep.
    editions: Editions,
    // Stored digests are as random as a hash.
    found: Bounded<ByDigest, BuildHasherDefault<FirstBytes>>,
    // A client chooses the digests of the keys that it presents, and must not choose their places too.
    unknown: Bounded<KeyDigest, RandomState>,
    limits: Limits,
    keeping: Mutex<Pool>,
}

/// How many entries there may be, how large, and how old, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) capacity: usize,
    pub(super) max_bytes: usize,
    pub(super) negative_capacity: usize,
    pub(super) ttl: u64,
    pub(super) negative_ttl: u64,
    pub(super) max_staleness: u64,
}

impl Limits {
    /// Returns the maximal age of a record that a thread serves without the cache. In the last tenth of the
    /// time to live, each request asks the cache, which so loads used records again.
    const fn kept(&self) -> u64 {
        self.ttl - self.ttl / 10
    }
}

/// What is known of a key.
#[derive(Debug, PartialEq)]
pub(super) enum Known {
    /// The store's recent answer.
    Fresh(Option<Arc<KeyRecord>>),
    /// An older answer, which is served and loaded again.
    Aging(Option<Arc<KeyRecord>>),
    /// Nothing that may be served.
    Nothing,
}

impl Entries {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            generations: Generations::new(),
            tenants: Tenants::new(),
            editions: Editions::default(),
            found: Bounded::at_most(limits.capacity, limits.max_bytes),
            // Each is of the same size.
            unknown: Bounded::at_most(limits.negative_capacity, usize::MAX),
            limits,
            keeping: Mutex::default(),
        }
    }

    /// Returns what is known of a key at the time `now`.
    pub(super) fn look(&self, digest: &KeyDigest, now: u64) -> Known {
        let current = self.stamp(digest, now);
        let known = self.found.read(digest, |ByDigest(record), stamp| {
            match self.age_of(record, stamp, current) {
                Some(age) if age < self.limits.ttl => Known::Fresh(Some(Arc::clone(record))),
                Some(age) if age < self.limits.max_staleness => {
                    Known::Aging(Some(Arc::clone(record)))
                }
                _ => Known::Nothing,
            }
        });
        if let Some(known @ (Known::Fresh(_) | Known::Aging(_))) = known {
            return known;
        }
        let age = self.unknown.read(digest, |_, stamp| current.age_of(stamp)).flatten();
        match age {
            Some(age) if age < self.limits.negative_ttl => Known::Fresh(None),
            _ => Known::Nothing,
        }
    }

    /// Returns a record that threads may keep, with the token that tells for how long.
    pub(super) fn look_to_keep(
        &self,
        digest: &KeyDigest,
        now: u64,
    ) -> Option<(Arc<KeyRecord>, Token)> {
        // First, so that a change from now on outdates the found record.
        let edition = self.editions.current(digest)?;
        let current = self.stamp(digest, now);
        let read = |ByDigest(record): &ByDigest, stamp: Stamp| {
            let age = self.age_of(record, stamp, current)?;
            let token = Token::new([edition, stamp.at()]);
            (age < self.limits.kept()).then(|| (Arc::clone(record), token))
        };
        self.found.read(digest, read).flatten()
    }

    /// Tells whether a thread may still serve what it keeps.
    pub(super) fn still_holds(&self, digest: &KeyDigest, token: Token, now: u64) -> bool {
        let [edition, loaded_at] = token.numbers();
        // A time in the future has no age.
        let age = now.checked_sub(loaded_at);
        age.is_some_and(|age| age < self.limits.kept()) && self.editions.is_current(digest, edition)
    }

    /// Returns a record that was not forgotten and is not too old, and when it was loaded.
    pub(super) fn remembered(&self, digest: &KeyDigest, now: u64) -> Option<(Arc<KeyRecord>, u64)> {
        let current = self.stamp(digest, now);
        let read = |ByDigest(record): &ByDigest, stamp: Stamp| {
            let age = self.age_of(record, stamp, current)?;
            (age < self.limits.max_staleness).then(|| (Arc::clone(record), stamp.at()))
        };
        self.found.read(digest, read).flatten()
    }

    /// Returns the stamp of a load that begins at `now`.
    pub(super) fn stamp(&self, digest: &KeyDigest, now: u64) -> Stamp {
        Stamp::new(self.generations.current(digest), self.tenants.count(), now)
    }

    /// Returns the age of a record, unless it was invalidated.
    fn age_of(&self, record: &KeyRecord, stamp: Stamp, current: Stamp) -> Option<u64> {
        let tenant = record.tenant.as_ref();
        let is_outdated = self.tenants.was_invalidated_after(stamp.tenants(), tenant);
        if is_outdated { None } else { current.age_of(stamp) }
    }

    /// Keeps an answer of the store, unless a newer one is known. `stamp` was taken before the store was
    /// asked. A record that has no other owner yet shares what it can with the kept ones.
    pub(super) fn keep(
        &self,
        digest: &KeyDigest,
        stamp: Stamp,
        found: &mut Option<Arc<KeyRecord>>,
    ) {
        // One at a time, so that the newer of two concurrent answers stays.
        let mut pool = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.found.read(digest, |_, of_other| of_other.is_newer_than(stamp)) == Some(true)
            || self.unknown.read(digest, |_, of_other| of_other.is_newer_than(stamp)) == Some(true)
        {
            return;
        }
        let _changing = self.editions.changing(digest);
        match found {
            Some(record) if record.digest == *digest => {
                if let Some(record) = Arc::get_mut(record) {
                    pool.share(record);
                }
                self.unknown.remove(digest);
                self.found.insert(ByDigest(Arc::clone(record)), stamp);
            }
            // The record of another key: it is refused each time, and found only under its own digest.
            Some(_) => {
                self.found.remove(digest);
                self.unknown.remove(digest);
            }
            None => {
                self.found.remove(digest);
                self.unknown.insert(*digest, stamp);
            }
        }
    }

    /// Tells whether nothing else is known of a key than `record`, however old that is.
    pub(super) fn has_only(&self, record: &KeyRecord) -> bool {
        let is_same = |ByDigest(found): &ByDigest, _| **found == *record;
        self.found.read(&record.digest, is_same) != Some(false)
            && self.unknown.read(&record.digest, |_, _| ()).is_none()
    }

    /// Makes threads look up a key again that keep its record, even if the entries have evicted it.
    pub(super) fn take_back(&self, digest: &KeyDigest) {
        self.editions.advance(digest);
    }

    /// Forgets what was loaded of a key until now, also by loads that are still running.
    pub(super) fn forget(&self, digest: &KeyDigest) {
        self.generations.advance(digest);
        self.editions.advance(digest);
        // Only to free their memory: they are outdated already.
        self.found.remove(digest);
        self.unknown.remove(digest);
    }

    /// Forgets what was loaded of the keys of a tenant until now, as [`forget`](Self::forget) does.
    pub(super) fn forget_tenant(&self, tenant: &TenantId) {
        self.tenants.invalidate(tenant);
        // The tenants of the records that threads keep are not noted, so threads look up each again.
        self.editions.advance_all();
    }

    /// Forgets what was loaded of all keys until now.
    pub(super) fn forget_all(&self) {
        // Their memory is reused when keys are loaded again. Freeing it would delay every request.
        self.generations.advance_all();
        self.editions.advance_all();
    }

    /// Returns how many records and how many unknown digests are in memory.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.found.len(), self.unknown.len())
    }

    /// Returns how many records and how many unknown digests were evicted.
    #[cfg(feature = "metrics")]
    pub(super) fn evicted(&self) -> [u64; 2] {
        [self.found.evicted(), self.unknown.evicted()]
    }

    /// Returns the estimated size of the records in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.found.bytes()
    }

    pub(super) fn max_staleness(&self) -> Duration {
        Duration::from_nanos(self.limits.max_staleness)
    }
}
